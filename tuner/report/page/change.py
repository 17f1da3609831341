"""How a trial's metric differs from the baseline's, with the interval of what is the closest look.

A ratio measured in turn, else the same items answered by both, else two intervals. Knows nothing
of pages.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

from evaluators import all_evaluators
from evaluators.base import Interval, Measurement
from evaluators.verdicts import difference

Rows = Sequence[tuple[Any, ...]]
"""What SQL gives: the trial's row, then the baseline's."""


def interval_of(row: tuple[Any, ...]) -> Interval | None:
    """Value, low and high as an interval; None where there is no value."""
    value, low, high = row
    if value is None:
        return None
    return Interval(value, value if low is None else low, value if high is None else high)


def ratio(rows: Rows) -> Interval | None:
    """The ratio of two independent values (value, low, high); None where one is not above 0."""
    ours, theirs = map(interval_of, rows)
    if ours is None or theirs is None or min(ours.value, ours.low, theirs.value, theirs.low) <= 0:
        return None
    logs = [Interval(*(math.log(x) for x in (i.value, i.low, i.high))) for i in (ours, theirs)]
    found = difference(logs[0], logs[1], 1.0)
    return Interval(ours.value / theirs.value, math.exp(found.low), math.exp(found.high))


def gap(rows: Rows) -> Interval | None:
    """The difference of two independent values (value, low, high); None where one has none."""
    ours, theirs = map(interval_of, rows)
    return None if ours is None or theirs is None else difference(ours, theirs, 1.0)


def paired_gap(rows: Rows) -> Interval | None:
    """The difference of a metric that both answered the same items for (evaluator, metric, detail).

    None where the evaluator cannot say, or is not installed.
    """
    if len(rows) != 2:
        return None
    (name, metric, ours), (_, _, theirs) = rows
    engine = all_evaluators().get(name)
    if engine is None:
        return None
    left, right = (
        [Measurement.from_json(d) for d in json.loads(detail)] for detail in (ours, theirs)
    )
    if not any(m.items for m in left) or not any(m.items for m in right):
        return None
    return engine.paired(left, right, metric, 1.0)
