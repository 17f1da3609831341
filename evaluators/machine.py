"""What the machine was doing while something was measured, as far as it can be read.

Knows nothing of models.
"""

from __future__ import annotations

import os
import platform
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from evaluators.base import Json

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_STREAM = 1 << 20  # elements of each array of the calibration kernel: 4 MiB


class Calibration:
    """A small fixed kernel on every core at once, bound by arithmetic and memory alike.

    It takes the same time whenever the machine is undisturbed: a block of measurements beside
    which it took longer was disturbed.
    """

    def __init__(self) -> None:
        import numpy as np

        self._threads = ThreadPoolExecutor(cores())
        self._arrays = [np.linspace(0.0, 1.0, _STREAM, dtype=np.float32) for _ in range(cores())]
        self._outs = [np.empty_like(values) for values in self._arrays]
        self.seconds()  # the first run also pays for the pages

    def seconds(self) -> float:
        """How long the kernel takes now, until its last core has done it: the median of three.

        One more goes before them: cores that were idle first have to wake up.
        """
        return statistics.median([self._once() for _ in range(4)][1:])

    def _once(self) -> float:
        started = time.perf_counter_ns()
        list(self._threads.map(_stream, self._arrays, self._outs))
        return (time.perf_counter_ns() - started) / 1e9


def _stream(values: NDArray[np.float32], out: NDArray[np.float32]) -> None:
    """Two passes over arrays; NumPy lets other threads run meanwhile."""
    import numpy as np

    for _ in range(2):
        np.multiply(values, 1.0001, out=out)
        np.sqrt(out, out=out)


def conditions() -> Json:
    """The processor, its frequency governor and the cores that this process may use."""
    return {
        "cpu": cpu_model(),
        "cores": cores(),
        "governor": _read(Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")),
    }


def fingerprint() -> dict[str, str]:
    """What the key of a time covers: one measured elsewhere says nothing about this machine."""
    return {
        "cpu": cpu_model() or platform.machine(),
        "cores": str(cores()),
        "system": f"{platform.system()} {platform.machine()}",
    }


def cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cpu_model() -> str | None:
    """The processor's name, or None where it cannot be read."""
    for line in (_read(Path("/proc/cpuinfo")) or "").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return None


def load() -> float:
    """The load average of the last minute: how many tasks wanted to run."""
    return os.getloadavg()[0]


def stolen() -> float | None:
    """Seconds, over all cores, that the hypervisor gave to others since boot; None if unknown."""
    first = (_read(Path("/proc/stat")) or "").partition("\n")[0].split()
    if len(first) < 9:
        return None
    return int(first[8]) / float(os.sysconf("SC_CLK_TCK"))


def busy() -> float | None:
    """Seconds, over all cores, that processes of this machine computed since boot."""
    first = (_read(Path("/proc/stat")) or "").partition("\n")[0].split()
    if len(first) < 9:
        return None
    user, nice, system = (int(field) for field in first[1:4])
    return (user + nice + system) / float(os.sysconf("SC_CLK_TCK"))


def versions(*distributions: str) -> dict[str, str | None]:
    """The installed version of each distribution; None where it is not installed."""
    return {name: _version(name) for name in distributions}


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return None
