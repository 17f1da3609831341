"""Verdicts: whether what was measured fits a constraint, does not, or cannot be told yet.

Knows nothing of how it was measured.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from evaluators.base import Estimate, Interval
from search_spaces.constraints import Constraint, Operator

_BARELY = 1e-6
"""The violation of a constraint that the value satisfies, but the interval does not."""


class Verdict(StrEnum):
    """What can be said at 95 % confidence."""

    FEASIBLE = "feasible"
    INFEASIBLE = "infeasible"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class Judgement:
    """A constraint's verdict. `limit` and `value` in the metric's canonical unit.

    `violation`: by how many tolerances the value misses the limit; <= 0 when feasible, else > 0.
    """

    constraint: Constraint
    limit: float
    value: float
    verdict: Verdict
    violation: float


def judge(
    constraint: Constraint,
    estimate: Estimate,
    baseline: Estimate | None,
    paired: Callable[[float], Interval | None] | None = None,
) -> Judgement:
    """Compare an estimate's 95 % interval with a constraint's limit.

    An upper bound is feasible when the whole interval is within it, infeasible when the whole
    interval is beyond it, else undecided; a lower bound is the mirror image. A limit relative to
    the baseline is judged on the difference: by the estimate's own ratio to the baseline where it
    has one, by `paired`, which gives the value less a factor times the baseline's where both did
    the same items, else from both intervals (see `difference`).
    ValueError when the limit is relative and there is no baseline.
    """
    limit = constraint.limit.value(None if baseline is None else baseline.value)
    found = distance(constraint, estimate, baseline, paired)
    verdict = _verdict(constraint.operator, found)
    violation = _violation(constraint, found.value, limit)
    if verdict is not Verdict.FEASIBLE:
        violation = max(violation, _BARELY)
    return Judgement(constraint, limit, estimate.value, verdict, violation)


def overall(judgements: Sequence[Judgement]) -> Verdict:
    """The worst verdict: infeasible before undecided before feasible; feasible where none is."""
    found = {judgement.verdict for judgement in judgements}
    order = (Verdict.INFEASIBLE, Verdict.UNDECIDED)
    return next((verdict for verdict in order if verdict in found), Verdict.FEASIBLE)


def difference(
    estimate: Estimate | Interval, baseline: Estimate | Interval, factor: float
) -> Interval:
    """The estimate less factor x baseline, from two independent intervals.

    Each end adds in quadrature the distances of the two ends that lead there, which keeps
    intervals that are not symmetric (the method of variance estimates recovery; Zou and Donner,
    Statistics in Medicine 27, 2008).
    """
    value = estimate.value - factor * baseline.value
    over, under = baseline.high - baseline.value, baseline.value - baseline.low
    low = value - math.hypot(estimate.value - estimate.low, factor * over)
    high = value + math.hypot(estimate.high - estimate.value, factor * under)
    return Interval(value, low, high)


def distance(
    constraint: Constraint,
    estimate: Estimate,
    baseline: Estimate | None,
    paired: Callable[[float], Interval | None] | None = None,
) -> Interval:
    """How far the value is above the limit, in the metric's unit; below zero it is below.

    What `judge` goes by.
    """
    limit = constraint.limit
    if not limit.relative or baseline is None:
        return _moved(Interval(estimate.value, estimate.low, estimate.high), limit.offset)
    together = _together(estimate, baseline, limit.factor)
    if together is None and paired is not None:
        together = paired(limit.factor)
    return _moved(together or difference(estimate, baseline, limit.factor), limit.offset)


def _together(estimate: Estimate, baseline: Estimate, factor: float) -> Interval | None:
    """The estimate less factor x baseline, where it was measured in turn with the baseline."""
    ratio = estimate.ratio
    if ratio is None:
        return None
    return Interval(*((r - factor) * baseline.value for r in (ratio.value, ratio.low, ratio.high)))


def _moved(interval: Interval, offset: float) -> Interval:
    return Interval(interval.value - offset, interval.low - offset, interval.high - offset)


def _verdict(operator: Operator, distance: Interval) -> Verdict:
    inside, outside = distance.high, distance.low
    if not operator.is_upper:
        inside, outside = -distance.low, -distance.high
    strict = operator in (Operator.LT, Operator.GT)
    if inside < 0 or (inside == 0 and not strict):
        return Verdict.FEASIBLE
    if outside > 0 or (outside == 0 and strict):
        return Verdict.INFEASIBLE
    return Verdict.UNDECIDED


def tolerance_of(constraint: Constraint, limit: float) -> float:
    """What a violation of 1 is in the metric's unit: what was declared, else 10 % of the limit."""
    return constraint.tolerance or 0.1 * abs(limit) or 1.0


def _violation(constraint: Constraint, distance: float, limit: float) -> float:
    signed = distance if constraint.operator.is_upper else -distance
    return signed / tolerance_of(constraint, limit)
