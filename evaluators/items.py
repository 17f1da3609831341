"""What two models did with the same items, compared item by item.

Knows nothing of how the items were measured.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from evaluators.base import Interval, Json, NotEnoughSamples
from evaluators.statistics import NORMAL, t_quantile, wilson


def paired_difference(
    items: Sequence[Json], baseline_items: Sequence[Json], factor: float
) -> Interval:
    """Accuracy - factor x the baseline's accuracy, from what both did on the same items.

    The normal interval of the mean of the items' differences, with half an item added for each of
    the four outcomes (both right, either, neither). With factor 1 that is the adjusted Wald
    interval for matched proportions (Agresti and Min, Statistics in Medicine 24, 2005), which
    holds its level with few items and is not empty where both agree on all.
    """
    right = [item["label"] == item["predicted"] for item in items]
    before = [item["label"] == item["predicted"] for item in baseline_items]
    pairs = list(zip(right, before, strict=True))
    cells = [(a, b) for a in (True, False) for b in (True, False)]
    weights = {cell: pairs.count(cell) + 0.5 for cell in cells}
    total = sum(weights.values())
    mean = sum(w * (a - factor * b) for (a, b), w in weights.items()) / total
    squares = sum(w * (a - factor * b - mean) ** 2 for (a, b), w in weights.items())
    half = NORMAL * math.sqrt(squares) / total
    value = (sum(right) - factor * sum(before)) / len(pairs)
    return Interval(value, min(value, mean - half), max(value, mean + half))


def mean_interval(values: Sequence[float]) -> Interval:
    """The mean of what was measured of every item, with its interval.

    Of values that are all 0 or 1 it is Wilson's, else Student's. NotEnoughSamples for fewer than 2.
    """
    if len(values) < 2:
        raise NotEnoughSamples(f"an interval needs 2 items or more, found {len(values)}")
    if set(values) <= {0, 1}:
        return wilson(round(sum(values)), len(values))
    value = statistics.fmean(values)
    half = t_quantile(len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values))
    return Interval(value, value - half, value + half)


def mean_difference(
    values: Sequence[float], baseline_values: Sequence[float], factor: float
) -> Interval:
    """A mean - factor x the baseline's, from what was measured of the same items.

    Of values that are all 0 or 1 by `paired_difference`, else Student's interval of the items'
    differences.
    """
    if {*values, *baseline_values} <= {0, 1}:
        return paired_difference(_as_right(values), _as_right(baseline_values), factor)
    pairs = zip(values, baseline_values, strict=True)
    differences = [value - factor * before for value, before in pairs]
    value = statistics.fmean(differences)
    half = t_quantile(len(values) - 1) * statistics.stdev(differences) / math.sqrt(len(values))
    return Interval(value, value - half, value + half)


def _as_right(values: Sequence[float]) -> list[Json]:
    """Items that are right where the value is 1."""
    return [{"label": 1, "predicted": int(value)} for value in values]
