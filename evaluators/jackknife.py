"""Intervals of figures that are made of sums over items, such as ratios of two sums.

Pure Python. Knows nothing of what the items are.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence

from evaluators.base import Interval, NotEnoughSamples
from evaluators.statistics import t_quantile

Row = Sequence[float]
"""What an item adds to each of the sums."""


def jackknife(rows: Sequence[Row], figure: Callable[[Row], float], of: str) -> Interval:
    """A figure of the rows' column sums, with a 95 % interval by the delete-a-group jackknife.

    Rows that stand side by side may resemble each other (windows of one text do), so that there
    are two intervals, and the wider is given: Student's over single rows, and over groups of
    neighbours (Kunsch, Annals of Statistics 17, 1989), each of the square root of their number, but
    four groups at least. Simulated with rows that correlate by 0.4 with the next, it holds the true
    figure in 90 % with 15 rows and in 95 % with 64; with independent rows in 95 to 98 %.
    `of`: what the rows are, for the message. NotEnoughSamples with a single row.
    """
    if len(rows) < 2:
        raise NotEnoughSamples(
            f"an interval needs 2 {of} or more, found {len(rows)}; give more text"
        )
    value = figure(_sums(rows))
    together = max(1, min(math.isqrt(len(rows)), len(rows) // 4))
    half = max(_half_width(rows, figure, size) for size in {1, together})
    return Interval(value, value - half, value + half)


def _half_width(rows: Sequence[Row], figure: Callable[[Row], float], size: int) -> float:
    groups = len(rows) // size
    sums = [
        _sums(rows[i * len(rows) // groups : (i + 1) * len(rows) // groups]) for i in range(groups)
    ]
    total = _sums(sums)
    without = [figure([a - b for a, b in zip(total, part, strict=True)]) for part in sums]
    variance = statistics.pvariance(without) * (groups - 1)
    return t_quantile(groups - 1) * math.sqrt(variance)


def _sums(rows: Sequence[Row]) -> list[float]:
    return [math.fsum(column) for column in zip(*rows, strict=True)]
