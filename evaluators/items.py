"""What two models did with the same items, compared item by item.

Knows nothing of how the items were measured.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from evaluators.base import Interval, Json
from evaluators.statistics import NORMAL


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
