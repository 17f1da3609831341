"""The decisions that an analysis is made of, and the columns that stand for their values in it.

Knows nothing of what is measured.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tuner.search.anova import Array

Row = Mapping[str, Any]

_PARTS = ((1.0, 1 / 3), (0.5, 1 / 5))  # of a range's line and bend: its size, its variance at 1


@dataclass(frozen=True, slots=True)
class Factor:
    """A decision: its values, or the range of its numbers (`levels` empty)."""

    name: str
    levels: tuple[Any, ...] = ()
    low: float = 0.0
    high: float = 1.0
    log: bool = False

    def cell(self, value: Any) -> int:
        """The index of a value; of a number in a range, the third that it lies in."""
        if self.levels:
            return self.levels.index(value)
        return min(2, int(self.position(value) * 3))

    def position(self, value: float) -> float:
        """Where in its range a number lies, from 0 to 1."""
        value = min(max(value, self.low), self.high)
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def shown(self) -> tuple[Any, ...]:
        """The values that effects are told of: all, or a range's ends and middle."""
        if self.levels:
            return self.levels
        middle = math.sqrt(self.low * self.high) if self.log else (self.low + self.high) / 2
        return self.low, middle, self.high


def tried(factor: Factor, rows: Sequence[Row]) -> Factor:
    """The factor with those of its values that were tried."""
    if not factor.levels:
        return factor
    seen = {factor.cell(row[factor.name]) for row in rows if factor.name in row}
    return Factor(factor.name, tuple(v for i, v in enumerate(factor.levels) if i in seen))


def varies(factor: Factor, rows: Sequence[Row]) -> bool:
    """Whether the rows have at least two of its values."""
    if factor.levels:
        return len(factor.levels) > 1
    return len({row[factor.name] for row in rows if factor.name in row}) > 1


def features(factor: Factor, rows: Sequence[Row]) -> Array:
    """A factor's columns: each value's indicator less its share; of a range, a line and a bend."""
    import numpy as np

    width = len(factor.levels) or len(_PARTS)
    found = np.zeros((len(rows), width))
    for i, row in enumerate(rows):
        if factor.name in row:
            found[i] = _point(factor, row[factor.name])
    return found


def _point(factor: Factor, value: Any) -> Array:
    import numpy as np

    if factor.levels:
        found = np.full(len(factor.levels), -1.0 / len(factor.levels))
        found[factor.cell(value)] += 1.0
        return found
    u = factor.position(value)
    return np.array([_PARTS[0][0] * (2 * u - 1), _PARTS[1][0] * (6 * u * u - 6 * u + 1)])


def step_between(factor: Factor, a: Any, b: Any) -> Array:
    """What the columns change by from one value to the other."""
    return _point(factor, b) - _point(factor, a)


def covariance(factor: Factor, *, paired: bool) -> Array:
    """Of a factor's columns, each value as likely as the others."""
    import numpy as np

    if factor.levels:
        points = np.array([_point(factor, v) for v in factor.levels])
        found: Array = points.T @ points / len(points)
        return found
    return np.diag([size**2 * variance for size, variance in _PARTS][: 1 if paired else None])
