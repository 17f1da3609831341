"""Intervals: against known values, and by how often they hold the truth."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest

from evaluators.base import NotEnoughSamples
from evaluators.statistics import (
    order_statistics,
    require_samples,
    samples_needed,
    t_quantile,
    wilson,
)


@pytest.mark.parametrize(("statistic", "needed"), [("p90", 29), ("p95", 59), ("p99", 299)])
def test_tails_need_samples(statistic: str, needed: int) -> None:
    assert samples_needed(float(f"0.{statistic[1:]}")) == needed
    require_samples(needed, statistic)
    with pytest.raises(
        NotEnoughSamples, match=f"{statistic} needs {needed} samples .* {needed - 1}"
    ):
        require_samples(needed - 1, statistic)


def test_order_statistics_are_the_binomial_ranks() -> None:
    # Conover, Practical Nonparametric Statistics: for the median of 16, ranks 4 and 13.
    assert order_statistics(16, 0.5) == (3, 7, 12)
    assert order_statistics(1000, 0.95)[1] == 949


def test_order_statistics_are_the_narrowest_that_leave_out_a_fortieth_on_each_side() -> None:
    low, _, high = order_statistics(200, 0.95)

    def at_most(k: int) -> Fraction:
        q = Fraction(95, 100)
        return sum(
            (math.comb(200, i) * q**i * (1 - q) ** (200 - i) for i in range(k + 1)), Fraction(0)
        )

    assert at_most(low) <= Fraction(1, 40) < at_most(low + 1)
    assert at_most(high - 1) < Fraction(39, 40) <= at_most(high)


@pytest.mark.parametrize(
    ("freedom", "quantile"),
    [(1, 12.7062), (2, 4.3027), (3, 3.1824), (4, 2.7764), (5, 2.5706), (8, 2.3060), (100, 1.9840)],
)
def test_t_quantiles_are_those_of_the_tables(freedom: int, quantile: float) -> None:
    assert t_quantile(freedom) == pytest.approx(quantile, abs=5e-5)


def test_no_degrees_of_freedom_are_refused() -> None:
    with pytest.raises(ValueError, match="expected 1 or more"):
        t_quantile(0)


def test_wilson_is_the_score_interval() -> None:
    found = wilson(8, 10)
    assert (found.low, found.high) == pytest.approx((0.4902, 0.9433), abs=5e-5)


@pytest.mark.parametrize("right", [0, 1, 160])
def test_wilson_stays_within_0_and_1_and_holds_its_value(right: int) -> None:
    found = wilson(right, 160)
    assert 0 <= found.low <= found.value <= found.high <= 1
    assert found.low < found.high


def test_wilson_of_nothing_is_refused() -> None:
    with pytest.raises(NotEnoughSamples):
        wilson(0, 0)
