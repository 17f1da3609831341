"""Means over items, with intervals that cover the truth as often as they say."""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable

import pytest

from evaluators.base import Interval, NotEnoughSamples
from evaluators.shares import mean_interval, mean_of_intervals, paired_mean
from evaluators.statistics import wilson

TRIES = 1000


def covered(interval: Callable[[], Interval], truth: float) -> float:
    found = [interval() for _ in range(TRIES)]
    return sum(i.low <= truth <= i.high for i in found) / TRIES


def test_counts_have_wilsons_interval() -> None:
    assert mean_interval([1, 0, 0, 1, 1]) == wilson(3, 5)
    assert mean_interval([True, False]) == wilson(1, 2)


def test_items_that_are_alike_leave_an_interval() -> None:
    found = mean_interval([0.5] * 10)
    assert found.low < 0.5 < found.high
    with pytest.raises(NotEnoughSamples, match="1 item or more"):
        mean_interval([])


@pytest.mark.parametrize(("a", "b"), [(0.3, 2.0), (0.2, 0.2), (8.0, 2.0)])
@pytest.mark.parametrize("count", [8, 64])
def test_the_mean_of_numbers_is_within_its_interval_in_19_of_20(
    a: float, b: float, count: int
) -> None:
    draw = random.Random(1)

    def interval() -> Interval:
        return mean_interval([draw.betavariate(a, b) for _ in range(count)])

    assert covered(interval, a / (a + b)) >= 0.93


def test_more_items_narrow_the_interval() -> None:
    draw = random.Random(2)
    widths = []
    for count in (10, 100, 1000):
        found = mean_interval([draw.random() for _ in range(count)])
        widths.append(found.high - found.low)
    assert widths == sorted(widths, reverse=True)
    assert widths[2] == pytest.approx(2 * 1.96 * statistics.NormalDist().stdev * 0.289 / 31.6, 0.1)


def test_pairs_tell_a_difference_that_two_intervals_do_not() -> None:
    draw = random.Random(3)
    before = [draw.random() * 0.9 for _ in range(100)]
    now = [value + 0.05 for value in before]
    found = paired_mean(now, before, 1.0)
    assert found.value == pytest.approx(0.05)
    assert found.low > 0
    first, second = mean_interval(before), mean_interval(now)
    assert first.high > second.low


def test_pairs_of_the_same_answers_leave_an_interval_around_nothing() -> None:
    found = paired_mean([0.3] * 20, [0.3] * 20, 1.0)
    assert found.low < 0 < found.high
    assert found.value == 0
    half = paired_mean([1.0] * 20, [1.0] * 20, 0.5)
    assert half.value == 0.5


@pytest.mark.parametrize("factor", [1.0, 0.9])
def test_the_paired_mean_is_within_its_interval_in_19_of_20(factor: float) -> None:
    draw = random.Random(4)

    def interval() -> Interval:
        before = [float(draw.random() < 0.7) for _ in range(100)]
        now = [b if draw.random() < 0.8 else float(draw.random() < 0.5) for b in before]
        return paired_mean(now, before, factor)

    assert covered(interval, 0.8 * 0.7 + 0.2 * 0.5 - factor * 0.7) >= 0.93


def test_the_mean_over_tasks_has_the_width_of_independent_parts() -> None:
    parts = [Interval(0.5, 0.4, 0.7), Interval(0.7, 0.4, 0.8)]
    found = mean_of_intervals(parts)
    assert found.value == pytest.approx(0.6)
    assert found.low == pytest.approx(0.6 - (0.1**2 + 0.3**2) ** 0.5 / 2)
    assert found.high == pytest.approx(0.6 + (0.2**2 + 0.1**2) ** 0.5 / 2)
    alone = mean_of_intervals(parts[:1])
    assert (alone.value, alone.low, alone.high) == pytest.approx((0.5, 0.4, 0.7))


def test_the_mean_over_tasks_is_within_its_interval_in_19_of_20() -> None:
    draw = random.Random(5)

    def interval() -> Interval:
        shares = (0.1, 0.5, 0.95)
        tasks = [[float(draw.random() < share) for _ in range(30)] for share in shares]
        return mean_of_intervals([mean_interval(values) for values in tasks])

    assert covered(interval, (0.1 + 0.5 + 0.95) / 3) >= 0.93
