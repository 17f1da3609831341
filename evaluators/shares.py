"""Means of what was found item by item, each a number from 0 to 1, with 95 % intervals.

Pure Python. Knows nothing of what the numbers say, or of how they were found.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from evaluators.base import Interval, NotEnoughSamples
from evaluators.statistics import NORMAL, t_quantile, wilson


def mean_interval(values: Sequence[float]) -> Interval:
    """The mean over items. Where each is 0 or 1 with Wilson's interval, else with Student's.

    Student's is taken with one item of 0 and one of 1 added, as Agresti and Coull add them to a
    proportion ("Approximate is better than exact", 1998): few items that happen to be alike are
    no evidence that all are. NotEnoughSamples without an item.
    """
    if not values:
        raise NotEnoughSamples("a mean needs 1 item or more, found none")
    if all(value in (0, 1) for value in values):
        return wilson(round(sum(values)), len(values))
    value, more = statistics.fmean(values), [*values, 0.0, 1.0]
    centre = statistics.fmean(more)
    half = t_quantile(len(more) - 1) * statistics.stdev(more) / math.sqrt(len(more))
    return Interval(value, min(value, max(0.0, centre - half)), max(value, min(1.0, centre + half)))


def paired_mean(values: Sequence[float], before: Sequence[float], factor: float) -> Interval:
    """The mean - factor x the mean before, of the same items in the same order.

    The normal interval of the mean of the items' differences, with half an item added at each of
    the four corners (0 or 1 now, 0 or 1 before). For items that are 0 or 1 and factor 1 that is
    the adjusted Wald interval for matched proportions (Agresti and Min, Statistics in Medicine
    24, 2005).
    """
    corners = [(a, b, 0.5) for a in (0.0, 1.0) for b in (0.0, 1.0)]
    pairs = [*((a, b, 1.0) for a, b in zip(values, before, strict=True)), *corners]
    total = sum(weight for _, _, weight in pairs)
    mean = sum(weight * (a - factor * b) for a, b, weight in pairs) / total
    squares = sum(weight * (a - factor * b - mean) ** 2 for a, b, weight in pairs)
    half = NORMAL * math.sqrt(squares) / total
    value = statistics.fmean(values) - factor * statistics.fmean(before)
    return Interval(value, min(value, mean - half), max(value, mean + half))


def mean_of_intervals(found: Sequence[Interval]) -> Interval:
    """The mean of independent values, its interval made of theirs.

    Each end is away from the mean by the root of the sum of the squared distances of the values
    from their ends, over their number (Zou and Donner, Statistics in Medicine 27, 2008).
    """
    value = statistics.fmean(interval.value for interval in found)
    below = math.hypot(*(interval.value - interval.low for interval in found)) / len(found)
    above = math.hypot(*(interval.high - interval.value for interval in found)) / len(found)
    return Interval(value, value - below, value + above)
