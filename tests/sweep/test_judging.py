from __future__ import annotations

import math
from dataclasses import replace

import pytest
from made_nights import (
    QUIET,
    accuracy,
    anchor,
    entry,
    latency,
    level,
    night,
    rate,
    same_answer,
    size,
    watched,
)

from tuner.sweep.changes import Change, Comparison, Verdict
from tuner.sweep.judging import judge
from tuner.sweep.noise import NIGHTS_DIFFER, Noise
from tuner.sweep.records import REFERENCE, EntryResult, Measured, Night, Rules

RULES = Rules()
NOISY = (-0.2, 0.0, 0.2)
RESTLESS = (0.5, 0.57, 0.49, 0.56, 0.5, 0.58, 0.5, 0.5)


def compared(before: Measured, now: Measured) -> Comparison:
    """Of one answer on two nights."""
    tonight, reference = same_answer(before, now)
    return judge(tonight, reference, RULES, [reference, tonight])


def only(comparison: Comparison) -> Change:
    [change] = comparison.changes
    return change


def test_a_model_that_became_much_slower_beside_its_anchor_is_a_regression() -> None:
    comparison = compared(latency(0.5), latency(0.8))
    change = only(comparison)
    assert change.verdict is Verdict.REGRESSION
    assert change.size == pytest.approx(1.6)
    assert 1.05 < change.low < 1.6 < change.high
    assert (comparison.verdict, comparison.exit_code) == ("regression", 4)


def test_milliseconds_alone_are_no_regression() -> None:
    slow_machine = replace(latency(0.5), value=0.5, low=0.4, high=0.6)
    comparison = compared(latency(0.5), slow_machine)
    assert only(comparison).verdict is Verdict.UNCHANGED
    assert comparison.exit_code == 0


def test_seconds_without_an_anchor_are_not_compared() -> None:
    assert compared(level("load_time", 1.0, "s"), level("load_time", 9.0, "s")).changes == ()


def test_a_model_that_became_much_faster_is_an_improvement_and_no_regression() -> None:
    comparison = compared(latency(0.8), latency(0.5))
    assert only(comparison).verdict is Verdict.IMPROVEMENT
    assert comparison.exit_code == 0


@pytest.mark.parametrize(
    ("now", "verdict"), [(1.2, Verdict.REGRESSION), (4.0, Verdict.IMPROVEMENT)]
)
def test_of_a_rate_more_is_better(now: float, verdict: Verdict) -> None:
    change = only(compared(rate(2.0), rate(now)))
    assert change.verdict is verdict
    assert change.size == pytest.approx(now / 2.0)
    assert change.worse == (verdict is Verdict.REGRESSION)


def test_what_looks_slower_on_a_noisy_night_is_undecided_and_says_what_would_tell() -> None:
    change = only(compared(latency(0.5), latency(0.6)))
    assert change.verdict is Verdict.UNDECIDED
    assert change.low < 1.05 < change.high
    assert change.processes is not None
    assert change.processes > 3


def test_no_number_of_processes_tells_what_nights_differ_by() -> None:
    rough = [night(entry(watched(latency(r))), name=f"n{i}") for i, r in enumerate(RESTLESS, 1)]
    tonight = night(entry(watched(latency(0.5 * 1.3), label=REFERENCE)), name="n9")
    [change] = judge(tonight, rough[-1], RULES, rough).changes
    assert change.verdict is Verdict.UNDECIDED
    assert change.processes is None


def test_sessions_that_differ_widen_the_interval() -> None:
    calm, rough = (only(compared(latency(0.5, n), latency(0.7, n))) for n in (QUIET, NOISY))
    assert math.log(rough.high / rough.low) > 2 * math.log(calm.high / calm.low)
    assert calm.verdict is Verdict.REGRESSION
    assert rough.verdict is Verdict.UNDECIDED


def test_more_comparisons_on_a_night_make_each_of_them_wider() -> None:
    names = [f"e{i}" for i in range(20)]
    before = night(*(entry(watched(latency(0.5)), name=n) for n in names))
    now = [entry(watched(latency(0.5), label=REFERENCE), name=n) for n in names]
    alone = only(compared(latency(0.5), latency(0.5)))
    many = judge(night(*now, name="n2"), before, RULES, [before]).changes
    assert len(many) == 20
    assert many[0].high > alone.high


def test_calm_nights_in_the_history_narrow_the_interval_and_a_regression_does_not_widen_it() -> (
    None
):
    nights = [night(entry(watched(latency(0.5))), name=f"n{i}") for i in range(1, 9)]
    bad = night(entry(watched(latency(0.9))), name="n9", verdict="regression")
    noise, again = (Noise.of("latency", ns) for ns in (nights, [*nights, bad]))
    assert noise.nights.variance < NIGHTS_DIFFER**2 / 2
    assert again.nights.variance == noise.nights.variance
    tonight = night(entry(watched(latency(0.5), label=REFERENCE)), name="n10")
    short = judge(tonight, nights[-1], RULES, nights[-1:]).changes[0]
    long = judge(tonight, nights[-1], RULES, nights).changes[0]
    assert long.high - long.low < 0.8 * (short.high - short.low)


def test_nights_that_differ_widen_the_interval() -> None:
    nights = [night(entry(watched(latency(r))), name=f"n{i}") for i, r in enumerate(RESTLESS, 1)]
    assert Noise.of("latency", nights).nights.variance > NIGHTS_DIFFER**2


def test_nights_after_tonight_are_no_history() -> None:
    first, tonight = (night(entry(watched(latency(0.5))), name=n) for n in ("n1", "n2"))
    later = [night(entry(watched(latency(0.5 + i % 2))), name=f"n{i}") for i in range(3, 9)]
    plain = judge(tonight, first, RULES, [first, tonight])
    assert judge(tonight, first, RULES, [*later, tonight, first]) == plain


def test_rows_that_turned_wrong_are_a_regression_of_accuracy_by_pairs() -> None:
    before, now = [1] * 140 + [0] * 20, [1] * 100 + [0] * 60
    change = only(compared(accuracy(before), accuracy(now)))
    assert change.verdict is Verdict.REGRESSION
    assert change.size == pytest.approx(-0.25)
    assert change.high < -0.05 * 0.875
    assert "40 of 160" in change.how


def test_a_few_rows_that_turned_are_not() -> None:
    before, now = [1] * 100 + [0] * 60, [1] * 98 + [0] * 60 + [1] * 2
    assert only(compared(accuracy(before), accuracy(now))).verdict is Verdict.UNCHANGED


def test_the_same_answer_to_every_row_is_no_change_at_all() -> None:
    change = only(compared(accuracy([1, 0] * 80), accuracy([1, 0] * 80)))
    assert (change.size, change.low, change.high) == (0.0, 0.0, 0.0)
    assert (change.verdict, change.worse) == (Verdict.UNCHANGED, False)


def test_other_rows_are_compared_by_two_intervals_which_says_less() -> None:
    before = accuracy([1] * 140 + [0] * 20)
    now = accuracy([1] * 120 + [0] * 40, items_key="others")
    change = only(compared(before, now))
    assert change.how == "two intervals"
    assert change.verdict is Verdict.UNDECIDED


@pytest.mark.parametrize(
    ("now", "verdict"),
    [
        (1000.0, Verdict.UNCHANGED),
        (1000.5, Verdict.UNCHANGED),
        (1030.0, Verdict.CHANGED),
        (1100.0, Verdict.REGRESSION),
        (900.0, Verdict.IMPROVEMENT),
    ],
)
def test_an_exact_number_is_judged_as_it_is(now: float, verdict: Verdict) -> None:
    change = only(compared(size(1000.0), size(now)))
    assert change.verdict is verdict
    assert change.exact
    assert change.confidence == 1.0


def test_memory_is_compared_by_its_intervals() -> None:
    change = only(compared(level("memory", 100.0, "B"), level("memory", 200.0, "B")))
    assert change.verdict is Verdict.REGRESSION


def test_a_number_that_is_missing_is_not_compared() -> None:
    gone = replace(size(1.0), value=None, low=None, high=None)
    assert compared(size(1.0), gone).changes == ()


def with_anchor(kernels: float) -> tuple[Night, Night]:
    """The same ratio, and an anchor whose time over the kernel's is another one."""
    logs = [math.log(kernels) + x for x in QUIET]
    now = watched(latency(0.5), label=REFERENCE, anchors=[anchor(logs)])
    before = watched(latency(0.5), anchors=[anchor(QUIET)])
    return night(entry(now), name="n2"), night(entry(before))


def test_an_anchor_that_took_twice_as_long_is_named_and_is_no_regression_of_the_answer() -> None:
    tonight, reference = with_anchor(2.0)
    comparison = judge(tonight, reference, RULES, [reference])
    ratio, of_anchor = comparison.changes
    assert ratio.verdict is Verdict.UNCHANGED
    assert "moved too" in (ratio.anchor or "")
    assert (of_anchor.subject, of_anchor.verdict) == ("anchor", Verdict.REGRESSION)
    assert comparison.exit_code == 0


def test_an_anchor_that_stood_still_is_said_to() -> None:
    tonight, reference = with_anchor(1.01)
    ratio, of_anchor = judge(tonight, reference, RULES, [reference]).changes
    assert "as long as before" in (ratio.anchor or "")
    assert of_anchor.verdict is Verdict.UNCHANGED


def test_without_the_kernel_nothing_is_said_of_the_anchor() -> None:
    assert only(compared(latency(0.5), latency(0.9))).anchor is None


def searched(
    ours: tuple[Measured, ...], theirs: tuple[Measured, ...], **more: str
) -> tuple[Change, ...]:
    """Tonight's answer beside the reference's on one night, and what changed by that."""
    before = night(entry(watched(*theirs, key="old")))
    old = watched(*theirs, key="old", label=REFERENCE, **more)
    new = watched(*ours, key="new", of_night="n2")
    goals = ("minimize latency", "maximize accuracy", "minimize size")
    limits = ("accuracy>=0.5",)
    tonight = night(entry(old, new, objectives=goals, constraints=limits), name="n2")
    found = judge(tonight, before, RULES, [before]).changes
    return tuple(c for c in found if c.subject == "search")


def test_a_search_that_found_a_slower_model_and_nothing_better_is_a_regression() -> None:
    [change] = searched((latency(0.9),), (latency(0.5),))
    assert change.verdict is Verdict.REGRESSION
    assert change.size == pytest.approx(1.8)


def test_a_search_that_found_a_faster_model_is_an_improvement() -> None:
    [change] = searched((latency(0.5),), (latency(0.9),))
    assert change.verdict is Verdict.IMPROVEMENT


def test_a_slower_model_that_is_smaller_is_another_trade_off() -> None:
    changes = searched((latency(0.9), size(500)), (latency(0.5), size(1000)))
    assert {c.verdict for c in changes} == {Verdict.CHANGED}


@pytest.mark.parametrize("verdict", ["infeasible", "undecided"])
def test_a_slower_answer_is_right_where_the_faster_one_breaks_the_constraints(
    verdict: str,
) -> None:
    [change] = searched((latency(0.9),), (latency(0.5),), verdict=verdict)
    assert change.verdict is Verdict.CHANGED


def of_states(now: EntryResult, before: EntryResult) -> Comparison:
    first = night(before)
    return judge(night(now, name="n2"), first, RULES, [first])


DONE = entry(watched(latency()))


@pytest.mark.parametrize("state", ["failed", "nothing_fits"])
def test_an_entry_that_gave_an_answer_before_and_none_now_is_a_regression(state: str) -> None:
    now = entry(state=state, message="cannot fetch", answer=None)
    comparison = of_states(now, DONE)
    [event] = comparison.lost
    assert "cannot fetch" in event.message
    assert comparison.exit_code == 4


def test_an_entry_that_had_failed_before_fails_the_night_without_a_regression() -> None:
    broken = entry(state="failed", message="no such model", answer=None)
    assert of_states(broken, broken).exit_code == 1
    assert judge(night(broken), None, RULES).exit_code == 1


def test_an_entry_that_works_again_is_told() -> None:
    comparison = of_states(DONE, entry(state="failed", answer=None))
    assert [e.kind for e in comparison.events] == ["repaired"]
    assert comparison.exit_code == 0


def test_an_answer_that_can_no_longer_be_made_is_a_regression_with_its_reason() -> None:
    gone = watched(label=REFERENCE, state="failed", message="onnx_export: no such operator")
    comparison = of_states(entry(gone, watched(latency(), key="b", of_night="n2")), DONE)
    [event] = comparison.lost
    assert "no such operator" in event.message
    assert "n1" in event.message
    assert comparison.exit_code == 4


def test_an_answer_that_no_longer_meets_its_constraints_is_named() -> None:
    now = entry(watched(latency(), label=REFERENCE, verdict="infeasible"), constraints=("size<1",))
    comparison = of_states(now, DONE)
    assert [e.kind for e in comparison.events] == ["limits"]
    assert comparison.exit_code == 0


def test_an_answer_that_the_plan_fixes_otherwise_is_still_the_reference_s() -> None:
    now = entry(watched(latency(0.9), key="other", label=REFERENCE))
    comparison = of_states(now, DONE)
    assert [c.verdict for c in comparison.regressions] == [Verdict.REGRESSION]


@pytest.mark.parametrize("state", ["skipped", "unfinished"])
def test_an_entry_that_was_not_run_is_not_judged(state: str) -> None:
    comparison = of_states(entry(state=state, answer=None), DONE)
    assert (comparison.changes, comparison.events, comparison.exit_code) == ((), (), 0)


def test_the_first_night_is_compared_with_nothing() -> None:
    comparison = judge(night(DONE), None, RULES, [])
    assert (comparison.reference, comparison.changes, comparison.exit_code) == (None, (), 0)


def test_an_entry_that_is_new_tonight_is_compared_with_nothing() -> None:
    tonight = night(DONE, entry(watched(latency(9.0)), name="new"), name="n2")
    comparison = judge(tonight, night(DONE), RULES, [])
    assert {c.entry for c in comparison.changes} == {"minilm"}


def test_percentiles_which_have_no_ratio_are_not_compared() -> None:
    tail = replace(latency(), name="latency.p95", ratio=None, sessions=())
    assert compared(tail, replace(tail, value=9.0, high=9.0)).changes == ()


def test_a_ratio_without_its_sessions_is_compared_by_its_interval() -> None:
    before, now = (replace(latency(r), sessions=()) for r in (0.5, 1.5))
    assert only(compared(before, now)).verdict is Verdict.REGRESSION
