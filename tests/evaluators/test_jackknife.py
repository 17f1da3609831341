"""The jackknife, against formulas with another origin and against simulated truth."""

from __future__ import annotations

import math
import random
import statistics

import pytest

from evaluators.base import NotEnoughSamples
from evaluators.jackknife import Row, jackknife
from evaluators.statistics import t_quantile


def ratio(sums: Row) -> float:
    return sums[0] / sums[1]


def test_of_a_plain_mean_it_is_students_interval() -> None:
    values = [3.0, 5.0, 4.0, 7.0, 1.0]
    found = jackknife([(value, 1.0) for value in values], ratio, "windows")
    half = t_quantile(4) * statistics.stdev(values) / math.sqrt(5)
    assert found.value == pytest.approx(4.0)
    assert found.high - found.value == pytest.approx(half)
    assert found.value - found.low == pytest.approx(half)


def test_neighbours_that_are_alike_are_taken_together() -> None:
    values = [v for v in (1.0, 2.0, 3.0, 4.0) for _ in range(4)]
    alike = jackknife([(value, 1.0) for value in values], ratio, "windows")
    assert alike.high - alike.value == pytest.approx(
        t_quantile(3) * statistics.stdev([1, 2, 3, 4]) / 2
    )
    mixed = jackknife([(value, 1.0) for value in values[::4] * 4], ratio, "windows")
    assert mixed.high - mixed.low < (alike.high - alike.low) / 2


def test_a_single_row_has_no_interval() -> None:
    with pytest.raises(NotEnoughSamples, match="2 windows or more, found 1"):
        jackknife([(1.0, 1.0)], ratio, "windows")


@pytest.mark.parametrize(("count", "correlation"), [(2, 0.0), (15, 0.2), (64, 0.4)])
def test_the_interval_holds_the_truth_as_often_as_it_says(count: int, correlation: float) -> None:
    source = random.Random(3)
    held, tries = 0, 400
    for _ in range(tries):
        level, rows = source.gauss(0, 1), []
        for _ in range(count):
            fresh = math.sqrt(1 - correlation**2) * source.gauss(0, 1)
            level = correlation * level + fresh
            tokens = source.randint(200, 256)
            rows.append(((3.0 + 0.3 * level) * tokens, float(tokens)))
        found = jackknife(rows, ratio, "windows")
        held += found.low <= 3.0 <= found.high
    assert held / tries >= 0.92
