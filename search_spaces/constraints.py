"""Constraints and objectives as data; their text form is read by `expressions`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Operator(StrEnum):
    """How a metric is compared with its limit."""

    LT = "<"
    LE = "<="
    GT = ">"
    GE = ">="

    @property
    def is_upper(self) -> bool:
        """Whether the limit is an upper bound."""
        return self in (Operator.LT, Operator.LE)


@dataclass(frozen=True, slots=True)
class Limit:
    """`factor` x baseline + `offset`, in the metric's canonical unit; factor 0: an absolute limit.

    `accuracy>=baseline-2%` is factor 1, offset -0.02 (points, as accuracy is a fraction);
    `latency<=baseline+10%` is factor 1.1, offset 0 (a percentage of a quantity with a unit).
    """

    offset: float
    factor: float = 0.0

    @property
    def relative(self) -> bool:
        """Whether the baseline is needed to know the limit."""
        return self.factor != 0.0

    def value(self, baseline: float | None) -> float:
        """The limit as a number; ValueError when it is relative and there is no baseline."""
        if not self.relative:
            return self.offset
        if baseline is None:
            raise ValueError("a relative limit needs the baseline's value")
        return self.factor * baseline + self.offset


@dataclass(frozen=True, slots=True)
class Constraint:
    """`METRIC[.STATISTIC] OP LIMIT`. `text` is what the user wrote, without spaces.

    `tolerance` scales a violation (canonical unit); None: 10 % of the limit.
    """

    text: str
    metric: str
    statistic: str | None
    operator: Operator
    limit: Limit
    tolerance: float | None = None


@dataclass(frozen=True, slots=True)
class Objective:
    """`minimize METRIC[.STATISTIC]` or `maximize ...`. `text` is canonical."""

    text: str
    metric: str
    statistic: str | None
    minimize: bool
