"""What the search makes of estimates: objectives that can be compared."""

from __future__ import annotations

import pytest

from evaluators import all_evaluators
from evaluators.base import Estimate, Interval
from search_spaces import Overrides, parse_space
from search_spaces.catalog import find_space, read_text
from tuner.registry import vocabulary
from tuner.search.judging import Judge, Numbers


@pytest.fixture(scope="module")
def judge() -> Judge:
    """Of the quick start, whose objectives are accuracy and tpot."""
    path = find_space("quickstart").absolute()
    space = parse_space(read_text(path), path, vocabulary(), Overrides()).space
    return Judge(space, vocabulary(), all_evaluators())


def numbers(tpot: float, ratio: float | None, accuracy: float) -> Numbers:
    beside = None if ratio is None else Interval(ratio, ratio * 0.9, ratio * 1.1)
    time = Estimate("tpot", "p50", tpot, tpot * 0.5, tpot * 2, "s", 12, beside)
    share = Estimate("accuracy", None, accuracy, accuracy - 0.1, accuracy + 0.1, "fraction", 160)
    return Numbers({(e.metric, e.statistic): e for e in (time, share)})


def test_candidates_of_a_slow_and_a_quick_hour_are_compared_by_their_ratios(judge: Judge) -> None:
    judge.baseline = numbers(0.060, 1.0, 0.4)
    slow_hour = judge.objectives(numbers(0.030, 0.5, 0.6))
    quick_hour = judge.objectives(numbers(0.015, 0.6, 0.5))
    assert slow_hour == pytest.approx((0.6, 0.030))
    assert quick_hour == pytest.approx((0.5, 0.036)), "slower than the other, for all its 15 ms"
    assert judge.known_losses(numbers(0.015, 0.6, 0.5)) == pytest.approx([-0.5, 0.036])
    assert judge.hopes(numbers(0.015, 0.6, 0.5), {"latency"}) == pytest.approx((-0.5, 0.0324))


def test_a_time_without_a_ratio_counts_as_it_is(judge: Judge) -> None:
    judge.baseline = Numbers()
    assert judge.objectives(numbers(0.015, None, 0.5)) == (0.5, 0.015)
