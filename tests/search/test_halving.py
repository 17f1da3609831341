"""Who goes on at a rung, and which rungs are worth having."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Sequence

import pytest

from tuner.search.halving import Rungs, Standing, shares

THIRD = 1 / 3
Values = Sequence[float | None]


def filled(*losses: Values, violation: float = 0.0) -> Rungs:
    """A rung that these reached."""
    rungs = Rungs()
    for number, values in enumerate(losses):
        rungs.recall_rung(THIRD, values, violation, number)
    return rungs


def test_nobody_is_stopped_before_there_are_peers() -> None:
    rungs = Rungs()
    found = [rungs.report(THIRD, [float(n)], 0.0, n) for n in range(4)]
    assert [standing.promoted for standing in found] == [True, True, True, False]
    assert found[-1] == Standing(better=3, peers=3, promoted=False)


@pytest.mark.parametrize(("loss", "better"), [(0.5, 0), (1.5, 1), (2.5, 2), (3.5, 3), (4.5, 4)])
def test_the_better_half_goes_on(loss: float, better: int) -> None:
    standing = filled([1.0], [2.0], [3.0], [4.0]).report(THIRD, [loss], 0.0, 9)
    assert standing == Standing(better, 4, promoted=better < 2.5)


def test_a_stricter_rule_lets_fewer_go_on() -> None:
    rungs = Rungs(eta=4.0)
    for number in range(8):
        rungs.recall_rung(THIRD, [float(number)], 0.0, number)
    assert rungs.report(THIRD, [1.5], 0.0, 8).promoted
    assert not rungs.report(THIRD, [2.5], 0.0, 9).promoted


def test_equals_are_not_better() -> None:
    rungs = filled([1.0], [1.0], [1.0], [1.0])
    assert rungs.report(THIRD, [1.0], 0.0, 9) == Standing(0, 4, promoted=True)


def test_feasible_ones_come_before_infeasible_ones() -> None:
    rungs = filled([5.0], [6.0], [7.0], violation=0.5)
    assert rungs.report(THIRD, [9.0], 0.0, 3) == Standing(0, 3, promoted=True)
    assert rungs.report(THIRD, [1.0], 0.1, 4) == Standing(1, 4, promoted=True)
    assert rungs.report(THIRD, [1.0], 0.5, 5) == Standing(2, 5, promoted=True)
    assert rungs.report(THIRD, [1.0], 0.6, 6) == Standing(6, 6, promoted=False)


def test_what_no_other_dominates_goes_on() -> None:
    rungs = filled([1.0, 9.0], [2.0, 8.0], [3.0, 7.0], [4.0, 6.0], [5.0, 5.0])
    assert rungs.report(THIRD, [2.5, 7.5], 0.0, 9).promoted
    assert not rungs.report(THIRD, [5.5, 5.5], 0.0, 10).promoted


@pytest.mark.parametrize(("values", "better"), [([1.5, 1.5], 2), ([1.5, 4.0], 2), ([3.0, 3.0], 3)])
def test_the_fewer_dominate_it_the_better_a_candidate_is(values: Values, better: int) -> None:
    rungs = filled([0.0, 0.0], [1.0, 1.0], [2.0, 2.0], [2.5, 4.5])
    assert rungs.report(THIRD, values, 0.0, 9).better == better


def test_of_those_that_as_many_dominate_the_lonelier_are_better() -> None:
    rungs = filled([0.0, 0.0], [1.0, 9.0], [5.0, 5.0], [5.2, 4.8], [9.0, 1.0])
    assert rungs.report(THIRD, [5.1, 4.9], 0.0, 9) == Standing(5, 5, promoted=False)
    assert rungs.report(THIRD, [3.0, 7.0], 0.0, 9) == Standing(3, 5, promoted=False)


def test_a_candidate_that_may_reach_the_front_goes_on() -> None:
    rungs = filled([1.0, 1.0], [1.1, 1.0], [1.0, 1.1], [1.2, 1.0])
    assert not rungs.report(THIRD, [1.5, 1.5], 0.0, 9).promoted
    assert rungs.report(THIRD, [1.5, 1.5], 0.0, 9, hopes=[0.9, 1.5]).promoted
    assert not rungs.report(THIRD, [1.5, 1.5], 0.0, 9, hopes=[1.05, 1.5]).promoted


def test_hopes_help_no_infeasible_candidate() -> None:
    rungs = filled([1.0], [1.1], [1.2])
    assert not rungs.report(THIRD, [2.0], 0.2, 9, hopes=[0.0]).promoted


def test_what_was_not_measured_is_not_compared() -> None:
    rungs = filled([None, 1.0], [None, 2.0], [None, 3.0], [None, 4.0])
    assert rungs.report(THIRD, [5.0, 1.5], 0.0, 9).better == 1
    assert not rungs.report(THIRD, [None, 5.0], 0.0, 10).promoted
    assert rungs.report(THIRD, [None, None], 0.0, 11).promoted


def test_rungs_are_apart() -> None:
    rungs = filled([1.0], [1.1], [1.2], [1.3])
    assert rungs.report(1 / 9, [9.0], 0.0, 9) == Standing(0, 0, promoted=True)


def test_a_candidate_that_is_reported_again_is_not_its_own_peer() -> None:
    rungs = filled([1.0], [2.0], [3.0])
    again = [rungs.report(THIRD, [2.5], 0.0, 9) for _ in range(3)]
    assert again == [Standing(2, 3, promoted=False)] * 3


def _draws(count: int) -> list[tuple[list[float], float]]:
    rng = random.Random(0)
    return [([rng.random(), rng.random()], max(0.0, rng.gauss(0, 1))) for _ in range(count)]


def test_what_is_recalled_stands_as_what_was_reported() -> None:
    reported, draws = Rungs(), _draws(60)
    found = [reported.report(THIRD, v, over, n) for n, (v, over) in enumerate(draws)]
    for at in (5, 30, 59):
        recalled = Rungs()
        for n, (values, over) in reversed(list(enumerate(draws[:at]))):
            recalled.recall_rung(float(repr(THIRD)), values, over, n)
        values, over = draws[at]
        assert recalled.report(THIRD, values, over, at) == found[at]


def test_a_report_is_quick_among_many() -> None:
    rungs = Rungs()
    for number, (values, _) in enumerate(_draws(300)):
        rungs.recall_rung(THIRD, values, 0.0, number)
    started = time.process_time()
    rungs.report(THIRD, [0.5, 0.5], 0.0, 300)
    assert time.process_time() - started < 0.25


def test_the_best_is_seldom_stopped_and_much_is_saved() -> None:
    rng = random.Random(1)
    lost = stopped = 0
    for _ in range(100):
        ends = [rng.gauss(0, 1) for _ in range(30)]
        rungs, kept = Rungs(), []
        for number, end in enumerate(ends):
            seen = 0.8 * end + 0.6 * rng.gauss(0, 1) + 0.5 * rng.gauss(0, 1)
            if rungs.report(THIRD, [seen], 0.0, number, [seen - 1.0]).promoted:
                kept.append(end)
        stopped += len(ends) - len(kept)
        lost += min(kept) > min(ends)
    assert lost <= 10
    assert 0.3 < stopped / 3000 < 0.5


@pytest.mark.parametrize(
    ("training", "other", "expected"),
    [
        (0.0, 0.0, ()),
        (20.0, 10.0, ()),
        (30.0, 10.0, (1 / 3,)),
        (100.0, 10.0, (1 / 3,)),
        (101.0, 10.0, (1 / 9, 1 / 3)),
        (5.0, 0.0, (1 / 9, 1 / 3)),
        (math.inf, 10.0, (1 / 9, 1 / 3)),
    ],
)
def test_rungs_are_worth_having_where_training_is_dear(
    training: float, other: float, expected: tuple[float, ...]
) -> None:
    assert shares(training, other) == expected
