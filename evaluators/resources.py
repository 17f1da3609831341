"""What a process and a machine use while a model runs: resident memory, and intervals for it.

Reads what Linux tells of the process itself, in /proc. Knows nothing of what a model is.
"""

from __future__ import annotations

import ctypes
import gc
import math
import os
import re
import statistics
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from evaluators.base import Artifact, Interval, MeasurementError
from evaluators.statistics import t_quantile
from evaluators.timing import Spread, moderated

PRIOR_FREEDOM = 4
"""What an assumed spread between processes weighs beside the spread that is seen."""

_SAMPLING = 0.002  # seconds between two looks at the resident memory
_HEADER = re.compile(r"[0-9a-f]+-[0-9a-f]+ \S{4} [0-9a-f]+ \S+ (\d+) *(.*)")
_SHARED = ("/dev/shm/", "/dev/zero", "/memfd:", "/SYSV")  # memory that looks like a file


def between_processes(processes: Sequence[Sequence[float]], differ: float) -> Interval:
    """The mean over processes of each process's mean, with a 95 % interval.

    `differ`: the relative standard deviation that one model's processes are assumed to show,
    which few processes neither confirm nor refute (see `timing.moderated`). The interval follows
    the ratio of values, so that none is negative; where a value is 0, their difference.
    """
    positive = all(value > 0 for values in processes for value in values)
    if positive:
        logs = [[math.log(value) for value in values] for values in processes]
        return moderated(logs, Spread(differ**2, PRIOR_FREEDOM)).interval()
    centre = statistics.fmean(statistics.fmean(values) for values in processes)
    found = moderated(processes, Spread((differ * centre) ** 2, PRIOR_FREEDOM))
    half = t_quantile(int(found.freedom)) * math.sqrt(found.variance)
    return Interval(found.value, max(0.0, found.value - half), found.value + half)


def model_files(model: Artifact) -> list[Path]:
    """Every file of a model, and of its base, as the system knows it (links followed)."""
    folders = [model.path] if model.base is None else [model.path, model.base.path]
    return [path.resolve() for f in folders for path in f.rglob("*") if path.is_file()]


@dataclass(frozen=True, slots=True)
class Resident:
    """Bytes of a process's memory that are in RAM now.

    `own`: memory that the process filled itself, and pages of the model's files that it mapped.
    `others`: pages of other files that it mapped, which are the code and constants of libraries.
    """

    own: int
    others: int


def resident(files: Iterable[Path]) -> Resident:
    """What of this process is in RAM; `files`: those of the model. From /proc/self/smaps."""
    names = {str(path) for path in files}
    own = others = 0
    for path, rss, anonymous in _mappings():
        if path is None or path in names:
            own += rss
        else:
            own, others = own + anonymous, others + rss - anonymous
    return Resident(own, others)


def _mappings() -> Iterator[tuple[str | None, int, int]]:
    """The file behind each mapping (None: memory), its resident bytes, those of them not shared."""
    path, sizes = None, {"Rss": 0, "Anonymous": 0}
    for line in _smaps().splitlines():
        header = _HEADER.fullmatch(line)
        if header is not None:
            is_file = header[1] != "0" and not header[2].startswith(_SHARED)
            path = header[2] if is_file else None
        elif line.startswith(("Rss:", "Anonymous:")):
            name, value, _ = line.split()
            sizes[name[:-1]] = int(value) << 10
            if name == "Anonymous:":  # which comes after Rss
                yield path, sizes["Rss"], sizes["Anonymous"]


def _smaps() -> str:
    try:
        return Path("/proc/self/smaps").read_text(encoding="utf-8", errors="surrogateescape")
    except OSError as error:
        reason = error.strerror
        raise MeasurementError(f"/proc/self/smaps cannot be read ({reason})") from error


def release_unused() -> None:
    """Collect garbage, and give back to the system what the allocator holds but nobody uses."""
    gc.collect()
    with suppress(AttributeError):  # another C library than glibc
        ctypes.CDLL(None).malloc_trim(0)


class Highest:
    """The highest value that `look` gives while it is entered.

    It looks every 2 ms, in a thread, and so not while a library holds the interpreter's lock;
    once more at the end.
    """

    def __init__(self, look: Callable[[], int]) -> None:
        self.value = 0
        self._look = look
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()
        self.value = max(self.value, self._look())

    def _sample(self) -> None:
        while not self._stop.wait(_SAMPLING):
            self.value = max(self.value, self._look())


def reset_high_water() -> bool:
    """Let the kernel's high-water mark of resident memory begin anew; False where it may not."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:  # a kernel without it, or a sandbox that forbids it
        return False
    return True


def high_water() -> int:
    """The most bytes of this process, libraries included, that were in RAM since the reset."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    found = re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)
    return 0 if found is None else int(found[1]) << 10


def total_resident() -> int:
    """The bytes of this process, libraries included, that are in RAM now. Quick."""
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
