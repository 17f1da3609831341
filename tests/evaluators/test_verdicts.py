"""Verdicts of intervals against limits, absolute and relative to a baseline."""

from __future__ import annotations

import random
import statistics

import pytest

from evaluators.accuracy import Accuracy
from evaluators.base import Estimate, Json, Measurement
from evaluators.items import paired_difference
from evaluators.verdicts import (
    Judgement,
    Verdict,
    difference,
    judge,
    overall,
)
from search_spaces.constraints import Constraint, Limit, Operator


def estimate(value: float, low: float, high: float) -> Estimate:
    return Estimate("latency", "p50", value, low, high, "s", 45)


def constraint(
    operator: str, offset: float, factor: float = 0.0, tolerance: float | None = None
) -> Constraint:
    limit = Limit(offset, factor)
    return Constraint("text", "latency", None, Operator(operator), limit, tolerance)


def items(right: list[bool]) -> list[Json]:
    return [{"label": "a", "predicted": "a" if r else "b", "scores": {}} for r in right]


@pytest.mark.parametrize(
    ("operator", "low", "high", "verdict"),
    [
        ("<", 40, 49, "feasible"),
        ("<", 40, 50, "undecided"),
        ("<=", 40, 50, "feasible"),
        ("<", 50, 60, "infeasible"),
        ("<=", 50, 60, "undecided"),
        ("<", 51, 60, "infeasible"),
        (">", 51, 60, "feasible"),
        (">", 50, 60, "undecided"),
        (">=", 50, 60, "feasible"),
        (">", 40, 50, "infeasible"),
        (">=", 40, 50, "undecided"),
        (">=", 40, 49, "infeasible"),
        ("<", 45, 55, "undecided"),
        (">", 45, 55, "undecided"),
    ],
)
def test_the_verdict_is_that_of_the_whole_interval(
    operator: str, low: float, high: float, verdict: str
) -> None:
    found = judge(constraint(operator, 50), estimate((low + high) / 2, low, high), None)
    assert found.verdict == verdict
    assert found.limit == 50
    assert (found.violation <= 0) == (verdict == "feasible")


def test_an_exact_value_on_a_strict_limit_misses_it() -> None:
    exact = estimate(50, 50, 50)
    assert judge(constraint("<", 50), exact, None).verdict is Verdict.INFEASIBLE
    assert judge(constraint("<", 50), exact, None).violation > 0
    assert judge(constraint("<=", 50), exact, None).verdict is Verdict.FEASIBLE
    assert judge(constraint("<=", 50), exact, None).violation <= 0


def test_the_violation_counts_tolerances() -> None:
    over = estimate(60, 58, 62)
    assert judge(constraint("<", 50), over, None).violation == pytest.approx(2)
    assert judge(constraint("<", 50, tolerance=20), over, None).violation == pytest.approx(0.5)
    assert judge(constraint(">", 50), over, None).violation == pytest.approx(-2)
    assert judge(constraint("<=", 0), over, None).violation == pytest.approx(60)


def test_an_undecided_value_within_the_limit_is_barely_violated() -> None:
    found = judge(constraint("<", 50), estimate(49, 44, 54), None)
    assert found.verdict is Verdict.UNDECIDED
    assert 0 < found.violation < 1e-3


def test_a_relative_limit_needs_the_baseline() -> None:
    with pytest.raises(ValueError, match="needs the baseline"):
        judge(constraint("<", 0, 0.5), estimate(1, 1, 1), None)


def test_a_relative_limit_takes_the_baselines_spread_into_account() -> None:
    narrow, wide = estimate(100, 99, 101), estimate(100, 70, 130)
    halved = constraint("<=", 0, 0.5)
    candidate = estimate(45, 44, 46)
    assert judge(halved, candidate, narrow).verdict is Verdict.FEASIBLE
    assert judge(halved, candidate, narrow).limit == 50
    assert judge(halved, candidate, wide).verdict is Verdict.UNDECIDED


def test_a_difference_of_exact_values_is_exact() -> None:
    found = difference(estimate(3, 3, 3), estimate(4, 4, 4), 0.5)
    assert (found.low, found.value, found.high) == (1, 1, 1)


def test_a_difference_keeps_lopsided_intervals() -> None:
    found = difference(estimate(10, 9, 12), estimate(5, 5, 5), 1.0)
    assert (found.low, found.value, found.high) == (4, 5, 7)


def test_paired_items_decide_what_two_intervals_cannot() -> None:
    before = items([i % 3 != 0 for i in range(240)])
    after = items([i % 3 != 0 or i % 10 == 0 for i in range(240)])
    accuracy = [sum(i["label"] == i["predicted"] for i in part) / 240 for part in (after, before)]
    estimates = [estimate(a, a - 0.06, a + 0.06) for a in accuracy]
    at_least = constraint(">=", -0.01, 1.0)
    assert judge(at_least, *estimates).verdict is Verdict.UNDECIDED
    paired = judge(
        at_least, *estimates, paired=lambda factor: paired_difference(after, before, factor)
    )
    assert paired.verdict is Verdict.FEASIBLE
    assert paired.limit == pytest.approx(accuracy[1] - 0.01)


def test_the_paired_interval_is_that_of_agresti_and_min() -> None:
    # 20 items, 9 only right before, 1 only right now: 8/20, adjusted (9.5 - 1.5)/22.
    right = [True] * 5 + [False] * 5 + [True] + [False] * 9
    before = [True] * 5 + [False] * 5 + [False] + [True] * 9
    found = paired_difference(items(right), items(before), 1.0)
    assert found.value == pytest.approx(-0.4)
    half = 1.959964 * (11 - 8**2 / 22) ** 0.5 / 22
    assert (found.low, found.high) == pytest.approx((-8 / 22 - half, -8 / 22 + half), abs=1e-6)


def test_a_few_items_that_agree_prove_little() -> None:
    same = items([True, False] * 10)
    found = paired_difference(same, same, 1.0)
    assert found.low < -0.05
    assert found.value == 0


@pytest.mark.parametrize("factor", [1.0, 0.95])
@pytest.mark.parametrize(("gains", "losses"), [(0.01, 0.01), (0.05, 0.10), (0.2, 0.05)])
def test_paired_intervals_hold_the_truth(factor: float, gains: float, losses: float) -> None:
    rng = random.Random(3)
    common = 0.6
    truth = common + gains - factor * (common + losses)
    held = []
    for _ in range(800):
        draws = [rng.random() for _ in range(160)]
        right = [d < common + gains for d in draws]
        before = [d < common or common + gains <= d < common + gains + losses for d in draws]
        found = paired_difference(items(right), items(before), factor)
        held.append(found.low <= truth <= found.high)
    assert statistics.fmean(held) >= 0.93


def test_items_of_another_length_are_not_paired() -> None:
    ours, theirs = Measurement(items=items([True])), Measurement(items=items([True] * 2))
    assert Accuracy().paired([ours], [theirs], "accuracy", 1.0) is None
    found = Accuracy().paired([theirs], [theirs], "accuracy", 1.0)
    assert found is not None
    assert found.value == 0


def test_where_nothing_is_paired_the_two_intervals_are_compared() -> None:
    accuracy = estimate(0.8, 0.7, 0.9)
    at_least = constraint(">=", -0.01, 1.0)
    assert judge(at_least, accuracy, accuracy, paired=lambda _: None) == judge(
        at_least, accuracy, accuracy
    )


def test_the_worst_verdict_counts() -> None:
    def made(verdict: Verdict) -> Judgement:
        return Judgement(constraint("<", 1), 1, 1, verdict, 0)

    feasible, undecided, infeasible = (
        made(Verdict(v)) for v in ("feasible", "undecided", "infeasible")
    )
    assert overall([]) is Verdict.FEASIBLE
    assert overall([feasible, feasible]) is Verdict.FEASIBLE
    assert overall([feasible, undecided]) is Verdict.UNDECIDED
    assert overall([undecided, infeasible, feasible]) is Verdict.INFEASIBLE
