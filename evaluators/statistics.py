"""What intervals are made of: order statistics, proportions, quantiles of Student's t.

Pure Python. Knows nothing of models or of constraints.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence

from evaluators.base import Interval, NotEnoughSamples

LEVEL = 0.95


BLOCK_STATISTICS: dict[str, Callable[[Sequence[float]], float]] = {
    "p50": statistics.median,
    "mean": statistics.fmean,
    "min": min,
}
QUANTILES = {"p90": 0.90, "p95": 0.95, "p99": 0.99}
STATISTICS = ("p50", "mean", "p90", "p95", "p99", "min")


def require_samples(count: int, statistic: str) -> None:
    """NotEnoughSamples below 29, 59 and 299 samples for p90, p95 and p99.

    With fewer, even the largest sample is too likely below the percentile.
    """
    needed = samples_needed(QUANTILES[statistic])
    if count < needed:
        raise NotEnoughSamples(
            f"{statistic} needs {needed} samples or more, found {count}; "
            "raise requests, blocks or processes"
        )


def samples_needed(quantile: float) -> int:
    """The fewest samples of which the largest is above the quantile with 95 % confidence."""
    return math.ceil(math.log(1 - LEVEL) / math.log(quantile))


def order_statistics(count: int, quantile: float) -> tuple[int, int, int]:
    """Indices into sorted samples: (low end, the percentile, high end) of a 95 % interval.

    Each end leaves out 2.5 %, by the binomial distribution of how many samples lie below the
    quantile. Where there are too few samples for that above, the high end is the largest sample,
    which leaves out at most 5 % as long as there are `samples_needed`.
    """
    outside = (1 - LEVEL) / 2
    # `below[k]`: the probability that at most k of the samples lie below the quantile.
    below = _binomial_cumulative(count, quantile)
    low = max((k for k in range(count) if k == 0 or below[k] <= outside), default=0)
    high = next((k for k in range(count) if below[k] >= 1 - outside), count - 1)
    return low, min(count - 1, math.ceil(quantile * count) - 1), high


def _binomial_cumulative(count: int, probability: float) -> list[float]:
    """P(X <= k) for k = 0 ... count, X binomial. In logarithms, so that no term underflows."""
    log_p, log_q = math.log(probability), math.log1p(-probability)
    total, sums = 0.0, []
    for k in range(count + 1):
        ways = math.lgamma(count + 1) - math.lgamma(k + 1) - math.lgamma(count - k + 1)
        total += math.exp(ways + k * log_p + (count - k) * log_q)
        sums.append(min(1.0, total))
    return sums


def wilson(successes: int, count: int) -> Interval:
    """A proportion with Wilson's score interval (Wilson 1927), which stays within 0 and 1."""
    if count < 1:
        raise NotEnoughSamples("a proportion needs 1 item or more, found none")
    z, p = NORMAL, successes / count
    centre = (p + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(p * (1 - p) / count + z * z / (4 * count * count))
    # At 0 and 1 rounding may put the end a hair on the wrong side of the value.
    return Interval(p, min(p, max(0.0, centre - half)), max(p, min(1.0, centre + half)))


NORMAL = statistics.NormalDist().inv_cdf((1 + LEVEL) / 2)
"""The two-sided 95 % quantile of the normal distribution, 1.96."""


def t_quantile(freedom: int, level: float = LEVEL) -> float:
    """The two-sided quantile of Student's t with a whole number of degrees of freedom, >= 1.

    By bisection on the distribution function, which has a closed form for whole degrees
    (Abramowitz and Stegun, 26.7.3 and 26.7.4). ValueError for less than 1 degree.
    """
    if freedom < 1:
        raise ValueError(f"degrees of freedom: {freedom}, expected 1 or more")
    low, high = 0.0, math.pi / 2  # of the angle atan(t / sqrt(freedom))
    for _ in range(60):
        middle = (low + high) / 2
        if _t_inside(middle, freedom) < level:
            low = middle
        else:
            high = middle
    return math.sqrt(freedom) * math.tan(low)


def _t_inside(angle: float, freedom: int) -> float:
    """P(|T| <= t) for t = sqrt(freedom) * tan(angle)."""
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = freedom % 2
    term = cosine if odd else 1.0
    total = term if freedom > 1 else 0.0
    for k in range(2 + odd, freedom, 2):
        term *= cosine * cosine * (k - 1) / k
        total += term
    if odd:
        return 2 / math.pi * (angle + sine * total)
    return sine * total
