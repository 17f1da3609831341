"""Nights of a sweep: searches that begin with the last night's, and answers measured afresh."""

from __future__ import annotations

import math
import sqlite3
import time
from dataclasses import replace
from pathlib import Path

import pytest
from sweep.conftest import PLAN, SPACE, Sweep

from search_spaces.space import Fixed
from tuner.study.database import open_engine
from tuner.study.reader import StudyReader
from tuner.sweep.calendar import NightError, tonight
from tuner.sweep.night import Busy, _alone
from tuner.sweep.records import (
    REFERENCE,
    TONIGHT,
    EntryResult,
    Night,
    read_night,
    read_nights,
    write_night,
)


def entry(sweep: Sweep, night: str, name: str = "one") -> EntryResult:
    found = read_night(sweep.results / night).entry(name)
    assert found is not None
    return found


def query(sweep: Sweep, sql: str, *values: object) -> list[tuple[object, ...]]:
    with sqlite3.connect(sweep.results / "toys.db") as connection:
        return connection.execute(sql, values).fetchall()


# What a night does


def test_a_first_night_watches_its_own_answers(three_nights: Sweep) -> None:
    found = entry(three_nights, "night-1")
    assert (found.state, found.study) == ("done", "toys/night-1/one")
    assert [(w.label, w.of_night, w.state) for w in found.watched] == [(TONIGHT, "night-1", "done")]
    assert found.answer is not None
    assert found.watched[0].key == found.answer.key


def test_every_night_is_in_one_database(three_nights: Sweep) -> None:
    reader = StudyReader(open_engine(str(three_nights.results / "toys.db")))
    names = {study.name for study in reader.studies()}
    for night in ("night-1", "night-2", "night-3"):
        found = entry(three_nights, night)
        assert {found.study, *found.watch_studies} <= names


def test_a_night_begins_with_what_the_last_one_found(three_nights: Sweep) -> None:
    first, second = entry(three_nights, "night-1"), entry(three_nights, "night-2")
    assert (first.trials, first.taken_over) == (2, 0)
    assert (second.trials, second.taken_over) == (4, 2), "two more than the night before"


def test_the_last_nights_answer_is_watched_beside_tonights(three_nights: Sweep) -> None:
    first, second = entry(three_nights, "night-1"), entry(three_nights, "night-2")
    assert first.answer is not None
    assert second.answer is not None
    expected = [(first.answer.key, REFERENCE, "night-1")]
    if second.answer.key != first.answer.key:
        expected.append((second.answer.key, TONIGHT, "night-2"))
    assert [(w.key, w.label, w.of_night) for w in second.watched] == expected


def test_what_is_watched_is_timed_anew_each_night_beside_the_baseline(three_nights: Sweep) -> None:
    second = entry(three_nights, "night-2").watched[0]
    third = entry(three_nights, "night-3").watched_of(second.key)
    if third is None:  # night-2's own answer is the one that is watched on the third night
        third = entry(three_nights, "night-3").watched[0]
        second_again = entry(three_nights, "night-2").watched_of(third.key)
        assert second_again is not None
        second = second_again
    before, now = second.sessions("pace"), third.sessions("pace")
    assert len(before) == len(now) == 4, "two processes in the search, two confirming"
    change = sum(now) / 4 - sum(before) / 4
    assert math.exp(change) == pytest.approx(1.5, rel=0.02), "the baseline kept its pace"
    for watched in (second, third):
        rows = query(
            three_nights,
            "select number, evaluator, cached from tuner_measurements where study = ?"
            " and evaluator = 'toy_pace' and number >= 0",
            watched.study,
        )
        assert rows, "they were timed"
        assert not any(cached for _, _, cached in rows), "and nothing came from the store"


def test_what_was_built_comes_from_the_store(three_nights: Sweep) -> None:
    found = entry(three_nights, "night-2").watched[0]
    assert set(found.stages) == {"toy", "toy_tail"}
    assert found.made == ()
    before = entry(three_nights, "night-1").watched[0]
    assert before.key == found.key
    assert before.stages == found.stages, "the same bytes"


def test_the_anchor_is_told_beside_the_machines_own_speed(three_nights: Sweep) -> None:
    [anchor] = entry(three_nights, "night-1").watched[0].anchor
    assert (anchor.name, anchor.unit) == ("pace", "s")
    assert anchor.value == pytest.approx(0.016, rel=0.02)
    assert len(anchor.kernels) == 4


def test_exact_and_timed_metrics_are_told_apart(three_nights: Sweep) -> None:
    kinds = {m.name: m.kind for m in entry(three_nights, "night-1").watched[0].metrics}
    assert kinds == {"pace": "timed", "cost": "exact", "worth": "exact"}
    better = {m.name: m.lower_is_better for m in entry(three_nights, "night-1").watched[0].metrics}
    assert better == {"pace": True, "cost": True, "worth": False}


def test_what_is_watched_is_judged_by_the_entrys_constraints(three_nights: Sweep) -> None:
    assert entry(three_nights, "night-1").watched[0].verdict == "feasible"


def test_a_night_tells_of_machine_versions_and_question(three_nights: Sweep) -> None:
    night = read_night(three_nights.results / "night-1")
    assert night.finished is not None
    assert night.versions["optuna"]
    assert night.machine["cores"]
    assert night.plan["entries"][0]["name"] == "one"
    found = night.entries[0]
    assert found.settings["objectives"] == ["minimize pace", "maximize worth"]
    assert found.environment["python"]


def test_the_answers_recipe_lies_in_the_nights_folder(three_nights: Sweep) -> None:
    from search_spaces import parse_space
    from search_spaces.space import steps_of
    from tuner.registry import vocabulary

    path = three_nights.results / "night-1" / "one.recipe.yaml"
    space = parse_space(path.read_text(), path, vocabulary()).space
    steps = [step for item in space.pipeline for step in steps_of(item)]
    assert all(isinstance(d, Fixed) for step in steps for d in step.parameters.values())
    assert space.model.path == three_nights.folder / "model"


def test_a_record_comes_back_as_it_was(three_nights: Sweep, tmp_path: Path) -> None:
    for night in read_nights(three_nights.results):
        write_night(tmp_path, night)
        assert read_night(tmp_path) == night


# What a plan's settings do


def test_what_the_plan_sets_holds_for_what_is_watched_too(after_three: Sweep) -> None:
    after_three.write(
        "name: toys\nentries: [{space: one.yaml, trials: 1, set: {pipeline.toy_tail.c: 9}}]",
        "plan.yaml",
    )
    after_three.night("night-4")
    now = entry(after_three, "night-4").watched[0]
    before = entry(after_three, "night-3").watched_of(now.key)
    assert before is not None
    assert (now.of_night, now.label) == ("night-3", REFERENCE)
    values = [w.steps[1]["parameters"]["c"] for w in (before, now)]
    assert values[0] in (0, 1)
    assert values[1] == 9


def test_two_answers_that_the_plan_makes_the_same_are_measured_once(sweep: Sweep) -> None:
    one = "name: toys\nentries: [{space: one.yaml, set: {SET}}]"
    fixed = "{pipeline.toy.a: 0, pipeline.toy_tail.c: VALUE}"
    sweep.write(one.replace("{SET}", fixed.replace("VALUE", "0")), "plan.yaml")
    sweep.night("night-1")
    sweep.write(one.replace("{SET}", fixed.replace("VALUE", "1")), "plan.yaml")
    sweep.night("night-2")
    reference, own = entry(sweep, "night-2").watched
    assert (reference.label, own.label) == (REFERENCE, TONIGHT)
    assert reference.key != own.key
    assert reference.study == own.study
    assert reference.metrics == own.metrics


def test_another_reference_is_measured_on_a_night_that_was_over(after_three: Sweep) -> None:
    asked = after_three.runner("night-3", baseline="night-1")
    assert [e.name for e in asked.pending()] == ["one"]
    before = entry(after_three, "night-3")
    found = asked.run()
    assert (found.reference, found.finished is not None) == ("night-1", True)
    assert found.entries[0].watched[0].of_night == "night-1"
    assert found.entries[0].trials == before.trials, "the search was over"


# What goes wrong


def test_one_entrys_failure_stops_no_other_and_is_tried_again(sweep: Sweep) -> None:
    sweep.write(PLAN, "plan.yaml")
    sweep.write(SPACE.replace("a: {choices: [0, 1, 3]}", "fault: error"), "one.yaml")
    told: list[str] = []
    night = sweep.runner("night-1", tell=lambda e: told.append(e.name)).run()
    assert told == ["one", "two"]
    first, second = night.entries
    assert (first.state, second.state) == ("failed", "done")
    assert first.message is not None
    assert "a fault was asked for" in first.message
    assert night.finished is not None
    sweep.write(SPACE, "one.yaml")
    again = sweep.runner("night-1")
    assert [e.name for e in again.pending()] == ["one"]
    assert [e.state for e in again.run().entries] == ["done", "done"]


def test_an_entry_in_which_nothing_fits_is_no_failure_and_says_what_misses(sweep: Sweep) -> None:
    sweep.write(SPACE.replace("cost<20ms", "cost<1ms"), "one.yaml")
    night = sweep.night("night-1")
    found = night.entries[0]
    assert (found.state, found.answer, found.watched) == ("nothing_fits", None, ())
    assert found.message is not None
    assert "misses cost<1ms (1" in found.message
    assert sweep.runner("night-1").pending() == []


def test_an_answer_that_can_no_longer_be_made_is_told_with_the_reason(after_three: Sweep) -> None:
    last = read_night(after_three.results / "night-3")
    answer = last.entries[0].answer
    assert answer is not None
    gone = [{**step, "parameters": {**step["parameters"], "zz": 1}} for step in answer.steps]
    changed = replace(last.entries[0], answer=replace(answer, steps=tuple(gone)))
    write_night(after_three.results / "night-3", last.with_entry(changed))
    found = after_three.night("night-4").entries[0]
    assert found.watched[0].state == "failed"
    assert found.watched[0].message is not None
    assert "zz" in found.watched[0].message
    assert found.state == "done", "the search is another matter"


def test_some_entries_may_be_run_first_and_the_rest_later(sweep: Sweep) -> None:
    sweep.write(PLAN, "plan.yaml")
    night = sweep.runner("night-1").run(["two"])
    assert ([e.name for e in night.entries], night.finished) == (["two"], None)
    assert [e.name for e in sweep.runner("night-1").pending()] == ["one"]


def test_two_commands_do_not_work_on_one_sweep_at_once(sweep: Sweep) -> None:
    with _alone(sweep.results), pytest.raises(Busy, match="another command works on"):
        sweep.night("night-1")


# Which night it is


def some_night(name: str, started: float, finished: float | None, verdict: str | None) -> Night:
    about = {"cpu": "x"}
    return Night(name, "toys", started, finished, "1", None, False, about, {}, {}, None, verdict)


def test_a_finished_night_has_nothing_left_to_run(three_nights: Sweep) -> None:
    runner = three_nights.runner("night-1")
    assert runner.pending() == []
    assert runner.run() == read_night(three_nights.results / "night-1")


def test_a_night_that_was_cut_off_goes_on_under_its_name(sweep: Sweep) -> None:
    plan = sweep.runner("night-1").plan
    cut_off = some_night("yesterday", time.time() - 3600, None, None)
    assert tonight(plan, [cut_off], None, None).name == "yesterday"
    stale = some_night("yesterday", time.time() - 20 * 3600, None, None)
    assert tonight(plan, [stale], None, None).name == time.strftime("%Y-%m-%d")
    assert tonight(plan, [cut_off], "other", None).name == "other"


def test_the_reference_is_the_latest_finished_night_without_a_regression(sweep: Sweep) -> None:
    plan = sweep.runner("night-1").plan
    found = sweep.night("night-1").entries
    nights = [
        replace(some_night("a", 1.0, 2.0, "ok"), entries=found),
        replace(some_night("b", 3.0, 4.0, "failed"), entries=found),
        replace(some_night("c", 5.0, 6.0, "regression"), entries=found),
        some_night("d", 7.0, 8.0, "failed"),  # without an answer
        replace(some_night("e", 9.0, None, None), entries=found),
    ]
    assert tonight(plan, nights, "f", None).reference == "b"
    assert tonight(plan, nights, "f", "c").reference == "c", "as it was asked for"
    assert tonight(plan, [], "f", None).reference is None


@pytest.mark.parametrize(
    ("night", "baseline", "said"),
    [
        ("f", "x", "no earlier night 'x'; there are a"),
        ("a", "a", "no earlier night 'a'; there is none before it"),
        ("../f", None, "a night's name: found '../f', expected letters"),
    ],
)
def test_a_night_that_cannot_be_says_what_there_is(
    sweep: Sweep, night: str, baseline: str | None, said: str
) -> None:
    plan = sweep.runner("night-1").plan
    with pytest.raises(NightError, match=said.replace("?", r"\?").replace(".", r"\.")):
        tonight(plan, [some_night("a", 1.0, 2.0, "ok")], night, baseline)
