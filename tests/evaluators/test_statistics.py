"""Intervals: against known values, and by how often they hold the truth."""

from __future__ import annotations

import math
import random
import statistics
from fractions import Fraction

import pytest

from evaluators.base import NotEnoughSamples
from evaluators.statistics import (
    STATISTICS,
    Interval,
    block_interval,
    order_statistics,
    samples_needed,
    t_quantile,
    timing,
    wilson,
)

TRUTH = 0.050
PROCESS, BLOCK, REQUEST = 0.04, 0.03, 0.02


def simulate(
    rng: random.Random, processes: int = 3, blocks: int = 3, requests: int = 5
) -> list[list[list[float]]]:
    """Timings whose centre differs between processes and between the blocks of a process."""
    measured = []
    for _ in range(processes):
        process = TRUTH * (1 + rng.gauss(0, PROCESS))
        centres = [process * (1 + rng.gauss(0, BLOCK)) for _ in range(blocks)]
        measured.append(
            [[c * (1 + rng.gauss(0, REQUEST)) for _ in range(requests)] for c in centres]
        )
    return measured


def coverage(found: list[Interval], truth: float) -> float:
    return statistics.fmean(interval.low <= truth <= interval.high for interval in found)


@pytest.mark.parametrize("statistic", ["p50", "mean"])
@pytest.mark.parametrize("shape", [(3, 3, 5), (2, 3, 5), (6, 2, 3)])
def test_block_intervals_hold_the_truth(statistic: str, shape: tuple[int, int, int]) -> None:
    rng = random.Random(7)
    found = [timing(simulate(rng, *shape), statistic) for _ in range(1500)]
    assert coverage(found, TRUTH) >= 0.94


def test_block_intervals_hold_the_truth_when_processes_do_not_differ() -> None:
    rng = random.Random(8)
    found = []
    for _ in range(1500):
        centres = [[TRUTH * (1 + rng.gauss(0, BLOCK)) for _ in range(3)] for _ in range(3)]
        found.append(
            block_interval([[[c] for c in blocks] for blocks in centres], statistics.fmean)
        )
    assert coverage(found, TRUTH) >= 0.94


def test_more_processes_narrow_the_interval() -> None:
    rng = random.Random(9)

    def width(processes: int) -> float:
        found = [timing(simulate(rng, processes), "p50") for _ in range(300)]
        return statistics.fmean(i.high - i.low for i in found)

    assert width(6) < 0.55 * width(3)


def test_tail_intervals_hold_the_truth() -> None:
    rng = random.Random(10)
    spread = math.sqrt(PROCESS**2 + BLOCK**2 + REQUEST**2)
    truth = TRUTH * (1 + spread * statistics.NormalDist().inv_cdf(0.95))
    found = [timing(simulate(rng, 3, 4, 6), "p95") for _ in range(600)]
    assert coverage(found, truth) >= 0.9


def test_a_mean_of_processes_that_agree_is_no_tighter_than_its_blocks() -> None:
    blocks = [[[1.0], [1.2]], [[1.2], [1.0]], [[1.1], [1.1]]]
    found = timing(blocks, "p50")
    assert found.value == pytest.approx(1.1)
    assert found.high - found.low > 0.2


def test_one_process_gives_an_interval_from_its_blocks() -> None:
    found = timing([[[1.0, 9.0, 1.0], [1.2, 1.2, 1.2]]], "p50")
    assert found.value == pytest.approx(1.1)
    assert found.high - found.value == pytest.approx(12.706 * 0.1, rel=1e-3)


def test_the_statistics_differ_as_they_should() -> None:
    blocks = [[[1.0, 1.0, 4.0], [2.0, 2.0, 5.0]]]
    assert timing(blocks, "p50").value == 1.5
    assert timing(blocks, "mean").value == 2.5
    assert timing(blocks, "min").value == 1.5


def test_no_time_is_negative() -> None:
    assert timing([[[0.1], [0.9]]], "p50").low == 0.0


def test_a_single_block_has_no_interval() -> None:
    with pytest.raises(NotEnoughSamples, match="2 blocks of samples or more, found 1"):
        timing([[[1.0] * 100]], "p50")


@pytest.mark.parametrize(("statistic", "needed"), [("p90", 29), ("p95", 59), ("p99", 299)])
def test_tails_need_samples(statistic: str, needed: int) -> None:
    assert samples_needed(float(f"0.{statistic[1:]}")) == needed
    samples = [1.0 + i / 1000 for i in range(needed)]
    half = needed // 2
    enough = timing([[samples[:half]], [samples[half:]]], statistic)
    assert enough.high >= samples[-1]
    with pytest.raises(
        NotEnoughSamples, match=f"{statistic} needs {needed} samples .* {needed - 1}"
    ):
        timing([[samples[:half]], [samples[half:-1]]], statistic)


def test_every_declared_statistic_can_be_computed() -> None:
    samples = simulate(random.Random(1), 3, 10, 10)
    for statistic in STATISTICS:
        found = timing(samples, statistic)
        assert found.low <= found.value <= found.high


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
