"""Quantities with units: reading them into canonical units, and writing them for people.

Canonical units are "s", "B", "J", "fraction", "tokens/s", "items/s", "bits/B" and "" (a plain
number). Knows nothing of
metrics or constraints.
"""

from __future__ import annotations

import math
import re

from search_spaces.problems import hint, listed, short

_TIMES = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0}
_SIZES = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9}
_BINARY_SIZES = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_DURATIONS = {**_TIMES, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}

_DIMENSIONS: dict[str, dict[str, float]] = {
    "s": _TIMES,
    "B": {**_SIZES, **_BINARY_SIZES},
    "fraction": {"%": 0.01},
    "tokens/s": {"tokens/s": 1.0},
    "items/s": {"items/s": 1.0},
    "J": {"mJ": 1e-3, "J": 1.0},
    "bits/B": {"bits/B": 1.0},
    "": {},
}
_KINDS = {
    "s": "a time",
    "B": "a size",
    "fraction": "a fraction",
    "tokens/s": "a rate",
    "items/s": "a rate",
    "J": "an energy",
    "bits/B": "a rate",
    "": "a plain number",
}
_USUAL = {"s": "ms", "B": "MB", "J": "J", "tokens/s": "tokens/s", "items/s": "items/s"}
_ALL_UNITS = [unit for units in _DIMENSIONS.values() for unit in units]

NUMBER = r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?"
"""A number, as a regular expression without groups."""

UNIT = r"[A-Za-zµμ%/]+"
"""What may be a unit, as a regular expression without groups."""

_QUANTITY = re.compile(rf"\s*({NUMBER})\s*({UNIT})?\s*")


class UnitError(ValueError):
    """Not a quantity, or not one of the wanted kind; one sentence."""


def parse_quantity(text: str) -> tuple[float, str | None]:
    """`"50 ms"` as (50.0, "ms"); the unit is None where there is none. UnitError otherwise."""
    match = _QUANTITY.fullmatch(text)
    if match is None:
        raise UnitError(f"{short(text)} is not a number{_comma_hint(text)}")
    number = float(match[1])
    if not math.isfinite(number):
        raise UnitError(f"{short(text)} is too large")
    return number, None if match[2] is None else _known(match[2])


def _comma_hint(text: str) -> str:
    return f"; write {text.replace(',', '.')}" if re.fullmatch(r"\s*\d+,\d+.*", text) else ""


def _known(unit: str) -> str:
    unit = "us" if unit in ("µs", "μs") else unit
    if unit not in _ALL_UNITS:
        raise UnitError(
            f"unknown unit {short(unit)}, expected {listed(_ALL_UNITS)}{hint(unit, _ALL_UNITS)}"
        )
    return unit


def units_of(canonical: str) -> str:
    """What a quantity of a canonical unit is, in words: `a time: ns, us, ms or s`."""
    if canonical == "":
        return "a plain number, without a unit"
    if canonical == "fraction":
        return "a fraction: 0.9 or 90%"
    return f"{_KINDS[canonical]}: {listed(_DIMENSIONS[canonical])}"


def unit_names(canonical: str) -> list[str]:
    """The units in which a quantity of a canonical unit may be written."""
    return list(_DIMENSIONS[canonical])


def duration_units() -> list[str]:
    """The units that the parts of a duration may have."""
    return list(_DURATIONS)


def needs_unit(canonical: str) -> bool:
    """Whether a bare number is not enough."""
    return canonical in _USUAL


def usual_unit(canonical: str) -> str:
    """The unit that a person probably means: ms, MB or tokens/s; empty where none is needed."""
    return _USUAL.get(canonical, "")


def to_canonical(number: float, unit: str | None, canonical: str, name: str) -> float:
    """`number` in a canonical unit; `name` is what is measured, for the UnitError."""
    if unit is None:
        if needs_unit(canonical):
            raise UnitError(f"{name} is {units_of(canonical)}; found {number:g} without a unit")
        return number
    scale = _DIMENSIONS[canonical].get(unit)
    if scale is None:
        raise UnitError(f"{name} is {units_of(canonical)}; found {unit}")
    return number * scale if scale >= 1 else number / round(1 / scale)


def parse_duration(text: str) -> float:
    """`8m`, `90s`, `1h30m`, `500ms`, `2d` or a bare number of seconds, as seconds; UnitError."""
    seconds, position = 0.0, 0
    parts = list(_QUANTITY.finditer(text))
    for part in parts:
        if part.start() != position or (part[2] is None and len(parts) > 1):
            break
        seconds += float(part[1]) * _duration_scale(part[2] or "s")
        position = part.end()
    if not parts or position != len(text):
        raise UnitError(f"{short(text)} is not a duration, expected 90s, 8m or 1h30m")
    if not 0 < seconds < math.inf:
        raise UnitError(f"{short(text)} is no time at all; expected a duration above zero")
    return seconds


def _duration_scale(unit: str) -> float:
    scale = _DURATIONS.get(unit)
    if scale is None:
        raise UnitError(
            f"unknown unit {short(unit)}, expected {listed(_DURATIONS)}{hint(unit, _DURATIONS)}"
        )
    return scale


def parse_size(text: str) -> int:
    """`4GB` or `512MiB` as bytes, at least 1; UnitError."""
    number, unit = parse_quantity(text)
    if unit is None:
        raise UnitError(f"{short(text)} has no unit; did you mean {number:g}GB?")
    size = round(to_canonical(number, unit, "B", "it"))
    if size < 1:
        raise UnitError(f"{short(text)} is no size; expected more than zero bytes")
    return size


def format_quantity(value: float, unit: str) -> str:
    """A value in a canonical unit, for people, with three significant digits: `5.87 ms`."""
    if not math.isfinite(value):
        return f"{value} {unit}".strip()
    if unit == "s":
        return _scaled(value, _TIMES)
    if unit == "B":
        return _scaled(value, _SIZES)
    if unit == "fraction":
        return f"{_three_digits(value * 100)} %"
    return f"{_three_digits(value)} {unit}".strip()


def _scaled(value: float, units: dict[str, float] | dict[str, int]) -> str:
    """In the largest unit that keeps the number at 1 or above; the rounded number decides."""
    rounded = abs(float(f"{value:.3g}"))
    scales = sorted(units.items(), key=lambda item: item[1])
    unit, scale = scales[0] if value else next(i for i in scales if i[1] == 1)
    for name, size in scales:
        # The tolerance is for scales such as 1e-3, which binary numbers do not hold exactly.
        if rounded >= size * (1 - 1e-9):
            unit, scale = name, size
    if unit == "B":
        return f"{round(value)} B"
    return f"{_three_digits(value / scale)} {unit}"


def _three_digits(value: float) -> str:
    """Three significant digits in plain notation; whole numbers above 999 keep their zeros."""
    if value == 0:
        return "0"
    rounded = float(f"{value:.3g}")
    digits = 2 - math.floor(math.log10(abs(rounded)))
    return f"{rounded:g}" if digits > 6 else f"{rounded:.{max(0, digits)}f}"
