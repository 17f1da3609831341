"""Whether two models really take different times: sessions of the two in turn, until that is clear.

Looking again and again until something shows would show something where there is nothing, so each
look has its share of the risk. Knows nothing of studies.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from evaluators.base import Interval, Measurement
from evaluators.statistics import t_quantile
from evaluators.timing import log_ratios

CONFIDENCE = 0.99
"""Of two models that take the same time, at most one pair in a hundred is said to differ."""

LOOKS = (3, 5, 8, 12, 18)
"""After so many sessions it is seen whether the difference is clear."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """A metric of one model over that of another. `ratio`: with the interval of the last look.

    `differ`: whether 1 is outside of it. `sessions`: how many were held, each in fresh processes.
    """

    ratio: Interval
    differ: bool
    sessions: int


def compare(
    session: Callable[[int], Measurement],
    metric: str,
    statistic: str = "p50",
    looks: Sequence[int] = LOOKS,
) -> Comparison:
    """Hold sessions until the two differ for certain, or until the last look.

    `session`: holds the n-th session, the one model measured beside the other. The interval of a
    look is Student's over sessions, at a level that shares 1 - CONFIDENCE between all looks
    (Bonferroni).
    """
    held: list[Measurement] = []
    for look in looks:
        held += [session(number) for number in range(len(held), look)]
        ratio = ratio_of(held, metric, statistic, 1 - (1 - CONFIDENCE) / len(looks))
        if not ratio.low <= 1 <= ratio.high:
            break
    return Comparison(ratio, not ratio.low <= 1 <= ratio.high, len(held))


def ratio_of(
    sessions: Sequence[Measurement], metric: str, statistic: str, level: float
) -> Interval:
    """The ratio over at least two sessions, each of which counts as one observation."""
    logs = [statistics.median(log_ratios(s, metric, statistic)) for s in sessions]
    mean = statistics.fmean(logs)
    half = t_quantile(len(logs) - 1, level) * statistics.stdev(logs) / math.sqrt(len(logs))
    return Interval(*(math.exp(x) for x in (mean, mean - half, mean + half)))
