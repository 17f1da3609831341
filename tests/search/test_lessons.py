"""Lessons: what failures have in common is not tried again, and nothing else is left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from toy_spaces import CONTINUOUS, HEAD, STAGED, space_of

from search_spaces.candidates import Candidate, enumerate_candidates
from search_spaces.space import Space
from search_spaces.vocabulary import Value
from tuner.search.lessons import Lessons
from tuner.search.strategies import Known, Result, make_strategy
from tuner.study.events import Failed, LessonLearned

WIDE = (
    HEAD
    + """
pipeline:
  - tune_weights:
      x: {choices: [1, 4, 16]}
      y: {range: [0, 2]}
    optional: true
  - fold
  - convert:
      kind: {choices: [full, half, tiny]}
      block: {choices: [16, 32, 64, 128], when: "kind == 'tiny'"}
  - settings:
      threads: {choices: [1, 2, 4, 8]}
"""
)
"""(1 + 3 x 3) x (2 + 4) x 4 = 240 candidates."""

Cause = tuple[str, Mapping[str, Value]]
ROUTE = ("tune_weights", "fold", "convert", "settings", "speed")


def failed(where: str = "convert", reason: str = "error", *, certain: bool = True) -> Failed:
    return Failed(0, where, reason, "it does not work", certain, None)


def those(space: Space, **decisions: Value) -> list[Candidate]:
    """The candidates that have these decisions, mixed; `step__name` for `step.name`."""
    wanted = {name.replace("__", "."): value for name, value in decisions.items()}
    found = [c for c in enumerate_candidates(space) if wanted.items() <= c.decisions.items()]
    return sorted(found, key=lambda c: c.key)


def fate(candidate: Candidate, causes: Sequence[Cause]) -> Failed | None:
    """The failure that the first of the causes brings about."""
    met = [where for where, pairs in causes if pairs.items() <= candidate.decisions.items()]
    return failed(min(met, key=ROUTE.index)) if met else None


def study(
    space: Space, causes: Sequence[Cause], trials: int, *, learning: bool = True
) -> tuple[Lessons, int, int]:
    """The lessons of a study, its trials and how many of them failed."""
    strategy, lessons, seen, failures = make_strategy(space), Lessons(space), set[str](), 0
    for number in range(trials):
        known = Known(seen, lessons.bars) if learning else Known(seen)
        candidate = strategy.propose(number, known)
        if candidate is None:
            break
        seen.add(candidate.key)
        failure = fate(candidate, causes)
        failures += failure is not None
        strategy.tell(candidate, Result(None, {}) if failure else Result([0.1, 0.5], {}))
        lessons.learn(candidate, failure)
    return lessons, len(seen), failures


def learned(
    lessons: Lessons, bad: Sequence[Candidate], good: Sequence[Candidate], failure: Failed
) -> list[LessonLearned]:
    """What is learned of so many that got through, and then of these failures."""
    news = [e for c in good for e in lessons.learn(c)]
    return news + [e for c in bad for e in lessons.learn(c, failure)]


BLOCK: Cause = ("convert", {"convert.block": 128})
PAIR: Cause = ("convert", {"convert.kind": "half", "tune_weights.x": 16})
LATE: Cause = ("speed", {"convert.kind": "full", "settings.threads": 8})


def test_three_failures_with_a_decision_in_common_teach_a_lesson() -> None:
    space = space_of(WIDE)
    lessons = Lessons(space)
    bad = those(space, convert__block=128, settings__threads=1)[:3]
    good = those(space, convert__kind="tiny", convert__block=16) + those(
        space, convert__kind="full"
    )
    [event] = learned(lessons, bad, good, failed())
    assert event.decisions["convert.block"] == 128
    assert (event.where, event.reason, event.failures) == ("convert", "error", 3)
    assert event.text.endswith("3 of 3 failed in convert (error: it does not work)")
    assert "convert.block=128" in event.text
    again = those(space, **{n.replace(".", "__"): v for n, v in event.decisions.items()})
    assert all(lessons.bars(c) for c in again)
    assert not any(lessons.bars(c) for c in good)


def test_a_lesson_says_no_more_than_was_seen() -> None:
    space = space_of(WIDE)
    lessons = Lessons(space)
    bad = those(space, convert__block=128, tune_weights__x=4, settings__threads=1)
    good = those(space, convert__kind="full")
    [event] = learned(lessons, bad, good, failed())
    assert event.decisions == {
        "tune_weights.x": 4,
        "convert.kind": "tiny",
        "convert.block": 128,
    }
    other = those(space, convert__block=128, tune_weights__x=16)[0]
    assert not lessons.bars(other)


def test_a_failure_with_another_value_widens_a_lesson() -> None:
    space = space_of(WIDE)
    lessons = Lessons(space)
    bad = those(space, convert__block=128, tune_weights__x=4, settings__threads=1)
    learned(lessons, bad, those(space, convert__kind="full"), failed())
    [event] = lessons.learn(those(space, convert__block=128, tune_weights__x=16)[0], failed())
    assert event.decisions == {"tune_weights": True, "convert.kind": "tiny", "convert.block": 128}
    assert [lesson.pairs for lesson in lessons.lessons] == [frozenset(event.decisions.items())]


def test_a_trial_that_gets_past_refutes_a_lesson() -> None:
    space = space_of(WIDE)
    lessons = Lessons(space)
    bad = those(space, settings__threads=8, convert__kind="tiny")
    good = those(space, settings__threads=1)
    assert learned(lessons, bad, good, failed("speed"))
    wrong = those(space, settings__threads=8, convert__kind="tiny", tune_weights=False)[0]
    assert lessons.bars(wrong)
    lessons.learn(wrong)
    assert not lessons.bars(wrong)


@pytest.mark.parametrize("failures", [1, 2])
def test_one_or_two_failures_teach_no_lesson(failures: int) -> None:
    space = space_of(WIDE)
    bad = those(space, convert__block=128)[:failures]
    assert learned(Lessons(space), bad, those(space, convert__kind="full"), failed()) == []


def test_where_everything_fails_nothing_is_learned() -> None:
    space = space_of(WIDE)
    lessons = Lessons(space)
    tried = [c for c in enumerate_candidates(space) if c.decisions["settings.threads"] == 1]
    assert learned(lessons, tried[:40], (), failed("convert")) == []
    assert not all(lessons.bars(c) for c in enumerate_candidates(space))


def test_transient_failures_teach_nothing() -> None:
    space = space_of(WIDE)
    lessons = Lessons(space)
    bad, good = those(space, convert__block=128), those(space, convert__kind="full")
    assert learned(lessons, bad, good, failed(certain=False)) == []
    assert not any(lessons.bars(c) for c in enumerate_candidates(space))


def test_failures_of_different_kinds_do_not_make_a_lesson_together() -> None:
    space = space_of(WIDE)
    lessons = Lessons(space)
    learned(lessons, (), those(space, convert__kind="full"), failed())
    bad = those(space, convert__block=128, settings__threads=1)
    kinds = [failed(), failed(), failed(reason="timeout"), failed("settings"), failed("speed")]
    assert [e for c, f in zip(bad, kinds, strict=False) for e in lessons.learn(c, f)] == []


def test_what_comes_after_the_failing_step_is_no_cause() -> None:
    space = space_of(WIDE)
    lessons = Lessons(space)
    bad = those(space, convert__kind="half", settings__threads=8)
    good = those(space, convert__kind="full", settings__threads=1)
    event = learned(lessons, bad, good, failed("convert"))[-1]
    assert event.decisions == {"convert.kind": "half"}
    assert lessons.bars(those(space, convert__kind="half", settings__threads=1)[0])


def test_of_what_was_refused_beforehand_a_later_decision_may_be_the_cause() -> None:
    space = space_of(WIDE)
    lessons = Lessons(space)
    bad = those(space, convert__kind="half", settings__threads=8)
    good = those(space, convert__kind="half", settings__threads=1)
    good += those(space, convert__kind="full", settings__threads=8)
    event = learned(lessons, bad, good, failed("convert", "refused"))[-1]
    assert event.decisions == {"convert.kind": "half", "settings.threads": 8}
    assert event.text.startswith("convert.kind=half with settings.threads=8: ")


def test_a_decision_with_one_value_and_a_continuous_one_are_no_cause() -> None:
    text = CONTINUOUS.replace("threads: {choices: [1, 2]}", "threads: {choices: [1]}")
    lessons, *_ = study(space_of(text, strategy="random"), [BLOCK], 60)
    names = {name for lesson in lessons.lessons for name, _ in lesson.pairs}
    assert names <= {"convert.kind", "convert.block", "tune_weights", "tune_weights.y"}
    assert "convert.block" in names


def test_the_whole_of_a_failed_step_is_not_tried_again() -> None:
    space = space_of(WIDE)
    lessons = Lessons(space)
    first = those(space, convert__kind="half", tune_weights__x=4)[0]
    lessons.learn(first, failed("convert"))
    same = [c for c in enumerate_candidates(space) if lessons.bars(c)]
    assert len(same) == 4  # one per number of threads
    assert {c.decisions["settings.threads"] for c in same} == {1, 2, 4, 8}


def test_a_candidate_that_failed_while_being_measured_bars_no_other() -> None:
    space = space_of(WIDE)
    lessons = Lessons(space)
    first = those(space, convert__kind="half")[0]
    lessons.learn(first, failed("speed"))
    assert [c.key for c in enumerate_candidates(space) if lessons.bars(c)] in ([], [first.key])


def test_of_a_screened_candidate_only_the_twins_steps_were_got_past() -> None:
    space = space_of(WIDE)
    lessons = Lessons(space)
    bad = those(space, tune_weights__x=16)
    for candidate in those(space, tune_weights__x=16, convert__kind="tiny"):
        lessons.learn(candidate, passed=("convert", "settings", "speed"))
    good = those(space, tune_weights=False) + those(space, tune_weights__x=4)
    learned(lessons, bad, good, failed("tune_weights"))
    assert all(lessons.bars(c) for c in bad)


@pytest.mark.parametrize("causes", [[BLOCK], [PAIR], [LATE]], ids=["block", "pair", "late"])
def test_nothing_that_works_is_barred_and_failures_become_fewer(causes: list[Cause]) -> None:
    without = with_lessons = 0.0
    for seed in range(5):
        space = space_of(WIDE, strategy="random", seed=str(seed))
        lessons, trials, failures = study(space, causes, 80)
        _, all_trials, all_failures = study(space, causes, 80, learning=False)
        without += all_failures / all_trials
        with_lessons += failures / trials
        barred = filter(lessons.bars, enumerate_candidates(space))
        assert all(fate(c, causes) is not None for c in barred)
    assert with_lessons < 0.7 * without


def test_two_causes_are_told_apart() -> None:
    space = space_of(WIDE, strategy="random", seed="1")
    lessons, *_ = study(space, [BLOCK, LATE], 120)
    assert {frozenset(lesson.pairs) for lesson in lessons.lessons} == {
        frozenset({("convert.kind", "tiny"), ("convert.block", 128)}),
        frozenset({("convert.kind", "full"), ("settings.threads", 8)}),
    }


def test_lessons_follow_from_what_was_told() -> None:
    space = space_of(STAGED)
    tried = list(enumerate_candidates(space))[::3]
    one, two = Lessons(space), Lessons(space)
    events = [[e for c in tried for e in k.learn(c, fate(c, [BLOCK, PAIR]))] for k in (one, two)]
    assert events[0] == events[1]
    assert one.lessons == two.lessons


def test_failures_without_a_cause_teach_nothing() -> None:
    space = space_of(WIDE)
    lessons = Lessons(space)
    tried = list(enumerate_candidates(space))
    noise = [hash_of(c) % 7 == 0 for c in tried]
    events = [
        e
        for c, fails in zip(tried, noise, strict=True)
        for e in lessons.learn(c, failed("speed") if fails else None)
    ]
    assert events == []


def hash_of(candidate: Candidate) -> int:
    return int(candidate.key[:8], 16)
