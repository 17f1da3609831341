"""What the machine was doing while something was measured, as far as it can be read.

Knows nothing of models.
"""

from __future__ import annotations

import os
import platform
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from evaluators.base import Json

_STREAM = 4 << 20  # elements of each array of the calibration kernel: 16 MiB, beyond most caches


class Calibration:
    """A small fixed kernel, on one core, bound by arithmetic and memory alike.

    It takes the same time whenever the machine is undisturbed: a block of measurements beside
    which it took longer was disturbed.
    """

    def __init__(self) -> None:
        import numpy as np

        self._values = np.linspace(0.0, 1.0, _STREAM, dtype=np.float32)
        self._out = np.empty_like(self._values)
        self.seconds()  # the first run also pays for the pages

    def seconds(self) -> float:
        """How long the kernel takes now."""
        import numpy as np

        started = time.perf_counter_ns()
        for _ in range(2):
            np.multiply(self._values, 1.0001, out=self._out)
            np.sqrt(self._out, out=self._out)
        return (time.perf_counter_ns() - started) / 1e9


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
