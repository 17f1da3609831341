"""Counters of the energy that a machine draws: RAPL's of processors and memory, NVML's of GPUs.

RAPL is read from the kernel's power-capping tree (/sys/class/powercap, of Intel's processors and,
since Linux 5.8, of AMD's). Knows nothing of models.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from evaluators import nvidia
from evaluators.base import MeasurementError

POWERCAP = Path("/sys/class/powercap")

_ZONE = re.compile(r"intel-rapl:\d+(:\d+)?")  # AMD's have this name too; intel-rapl-mmio is a twin
_COUNTED = re.compile(r"package-\d+(-die-\d+)?|dram")


@dataclass(frozen=True, slots=True)
class Counter:
    """Something that counts joules. `wraps`: the joules after which it begins again; 0: never."""

    name: str
    read: Callable[[], float]
    wraps: float = 0.0

    def drawn(self, before: float, after: float) -> float:
        """Joules between two readings, of which the counter wrapped once at most."""
        if after >= before:
            return after - before
        if not self.wraps:
            raise MeasurementError(f"the energy counter {self.name} went back: it was reset")
        return after - before + self.wraps


def counters(powercap: Path = POWERCAP) -> list[Counter]:
    """What the machine counts, without overlap: processor packages, memory (dram), GPUs.

    Cores and the graphics in a processor are parts of its package; a platform's counter ("psys")
    covers packages too. Empty where the machine counts nothing, or does not let it be read.
    """
    found = [Counter(_name(zone), _reader(zone), _wraps(zone)) for zone in _readable(powercap)]
    if nvidia.unavailable() is None:
        found += [Counter(name, read) for name, read in nvidia.energy_counters().items()]
    return found


def unavailable(powercap: Path = POWERCAP) -> str | None:
    """Why no energy can be measured on this machine, with what would help; None where it can."""
    if _readable(powercap) or nvidia.unavailable() is None:
        return None
    zones = _zones(powercap)
    if zones:
        paths = ", ".join(str(zone / "energy_uj") for zone in zones)
        return (
            f"this machine's energy counters may not be read; ask for read permission of {paths} "
            "(by default they are for root only)"
        )
    return (
        f"this machine reports no energy: there is no intel-rapl zone in {powercap} (RAPL, which "
        "virtual machines and containers mostly lack), and no NVIDIA GPU whose driver tells"
    )


def drawn(
    found: list[Counter], before: Mapping[str, float], after: Mapping[str, float]
) -> dict[str, float]:
    """Counter -> joules between two readings."""
    return {c.name: c.drawn(before[c.name], after[c.name]) for c in found}


def reading(found: list[Counter]) -> dict[str, float]:
    """Counter -> the joules that it shows now."""
    return {counter.name: counter.read() for counter in found}


def _zones(powercap: Path) -> list[Path]:
    """The zones that count, in order."""
    if not powercap.is_dir():
        return []
    zones = (path for path in sorted(powercap.iterdir()) if _ZONE.fullmatch(path.name))
    return [zone for zone in zones if _COUNTED.fullmatch(_text(zone / "name") or "")]


def _readable(powercap: Path) -> list[Path]:
    return [zone for zone in _zones(powercap) if _text(zone / "energy_uj")]


def _name(zone: Path) -> str:
    """The zone's name, with its number: two packages each have a "dram"."""
    return f"{_text(zone / 'name')} ({zone.name})"


def _reader(zone: Path) -> Callable[[], float]:
    return lambda: _joules(zone / "energy_uj")


def _wraps(zone: Path) -> float:
    return _joules(zone / "max_energy_range_uj")


def _joules(path: Path) -> float:
    text = _text(path)
    if text is None or not text.isdigit():
        raise MeasurementError(f"{path}: found {text!r}, expected microjoules")
    return int(text) / 1e6


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:
        return None
