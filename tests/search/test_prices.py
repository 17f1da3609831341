"""What keeps everything out, which limits let what in, and how limits are rounded."""

from __future__ import annotations

import pytest

from evaluators.base import Estimate, Interval
from evaluators.verdicts import Verdict, distance, judge
from search_spaces.constraints import Constraint
from search_spaces.expressions import parse_constraint
from tuner.registry import vocabulary
from tuner.search.prices import Need, binding, nearest_front, relaxed, staircase


def need(number: int, missed: dict[int, float], *losses: float | None) -> Need:
    return Need(number, missed, (missed.get(0, 0.0), missed.get(1, 0.0)), losses)


def test_the_nearest_front_leaves_out_what_another_beats_in_everything() -> None:
    needs = [need(0, {0: 1.0}, 5.0), need(1, {0: 2.0}, 4.0), need(2, {0: 2.0}, 6.0)]
    assert [n.number for n in nearest_front(needs)] == [0, 1]


def test_of_equal_candidates_the_first_stays() -> None:
    assert [n.number for n in nearest_front([need(3, {0: 1.0}, 5.0), need(1, {0: 1.0}, 5.0)])] == [
        1
    ]


def test_what_was_not_measured_is_beaten_only_by_its_like() -> None:
    needs = [need(0, {0: 1.0}, 5.0), need(1, {0: 2.0}, None), need(2, {0: 3.0}, None)]
    assert [n.number for n in nearest_front(needs)] == [0, 1]


def test_constraints_that_are_enough_alone_come_before_any_together() -> None:
    needs = [need(0, {0: 3.0}, 1.0), need(1, {1: 2.0}, 1.0), need(2, {0: 0.1, 1: 0.1}, 1.0)]
    assert binding(needs) == [{1}, {0}]
    assert binding(needs[2:]) == [{0, 1}]
    assert binding([]) == []


def test_what_was_not_measured_binds_only_where_there_is_nothing_else() -> None:
    needs = [need(0, {0: 3.0}, 1.0), need(1, {1: 2.0}, None)]
    assert binding(needs) == [{0}]
    assert binding(needs[1:]) == [{1}]


def test_each_step_of_the_list_is_better_in_something_than_all_before() -> None:
    needs = [
        need(0, {0: 2.0}, 5.0, 5.0),
        need(1, {0: 3.0}, 6.0, 6.0),
        need(2, {0: 4.0}, 4.0, 9.0),
        need(3, {0: 1.0}, None, None),
        need(4, {0: 5.0, 1: 1.0}, 0.0, 0.0),
    ]
    assert [n.number for n in staircase(needs, frozenset({0}))] == [3, 0, 2]


@pytest.mark.parametrize(
    ("text", "value", "expected"),
    [
        ("latency<50ms", Interval(0.055, 0.054, 0.0558), "latency<56ms"),
        ("latency<50ms", Interval(0.055, 0.054, 0.0551), "latency<55.2ms"),
        ("latency<=0.05s", Interval(0.055, 0.054, 0.0558), "latency<=0.056s"),
        ("latency<50ms", Interval(0.06, 0.06, 0.06), "latency<60.1ms"),
        ("latency<=50ms", Interval(0.06, 0.06, 0.06), "latency<=60ms"),
        ("latency.p95<50ms", Interval(1.19, 1.1, 1.234), "latency.p95<1240ms"),
        ("latency<=0.5*baseline", Interval(0.06, 0.06, 0.06), "latency<=0.6*baseline"),
        ("latency<=baseline-50%", Interval(0.06, 0.06, 0.06), "latency<=baseline-40%"),
        ("latency<=baseline-50%", Interval(0.13, 0.13, 0.13), "latency<=baseline+30%"),
        ("latency<baseline-50ms", Interval(0.13, 0.13, 0.13), "latency<baseline+30.1ms"),
    ],
)
def test_a_limit_is_rounded_to_the_safe_side_in_the_form_it_was_written(
    text: str, value: Interval, expected: str
) -> None:
    words = vocabulary()
    statistic = "p95" if "p95" in text else "p50"
    ends = (value.value, value.low, value.high)
    measured = Estimate("latency", statistic, *ends, "s", 30)
    baseline = Estimate("latency", statistic, 0.1, 0.1, 0.1, "s", 30)

    def far(constraint: Constraint) -> Interval:
        return distance(constraint, measured, baseline)

    found = relaxed(parse_constraint(text, words), "s", far, lambda t: parse_constraint(t, words))
    assert found == expected
    verdict = judge(parse_constraint(found, words), measured, baseline).verdict
    assert verdict is Verdict.FEASIBLE


def test_a_limit_that_a_metric_cannot_have_is_not_written() -> None:
    words = vocabulary()
    estimate = Estimate("throughput", None, 3.0, -1.0, 7.0, "tokens/s", 30)
    metric = words.metric("throughput")
    assert metric is not None
    asked = parse_constraint("throughput>=50tokens/s", words)

    def far(constraint: Constraint) -> Interval:
        return distance(constraint, estimate, None)

    unit = metric[1].unit
    assert relaxed(asked, unit, far, lambda t: parse_constraint(t, words)) is None
