"""What a study takes over from earlier ones, and what it does not."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, NoReturn

import pytest
from sqlalchemy import Engine
from toy_plugin import Toy, ToyMetrics
from warm_support import SPACE, Bench, asked, made, measured

from search_spaces.candidates import enumerate_candidates
from search_spaces.space import Space
from search_spaces.vocabulary import Aspect, EvaluatorSpec, PassSpec
from tuner.pipeline.plan import Source
from tuner.search.judging import judgement_json
from tuner.study.database import open_engine
from tuner.study.events import (
    RUNG,
    TWIN,
    Event,
    Failed,
    Judged,
    MeasureStarted,
    RungReached,
    Screened,
    StageStarted,
    Told,
)
from tuner.study.history import load_history
from tuner.warm.keys import Keys
from tuner.warm.source import WarmStartError, find_origins

TIMED = SPACE.replace('"cost<20ms"', '"cost<20ms", "tick<5.9ms"')


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_engine(str(tmp_path / "study.db"))
    yield engine
    engine.dispose()


@pytest.fixture
def bench(engine: Engine, tmp_path: Path) -> Bench:
    return Bench(engine, tmp_path)


def test_another_seed_changes_no_number_so_every_trial_holds(bench: Bench) -> None:
    bench.record("old", bench.space())
    [told], hints = bench.start("new", bench.space(("seed: 3", "seed: 4")), "old")
    assert (told.exact, told.similar, told.left_out, hints) == (6, 0, {}, [])
    assert told.text == "warm start from old: 6 trials exact"
    old, new = bench.trials("old"), bench.trials("new")
    assert [t.origin for t in new] == [f"old#{n}" for n in range(6)]
    assert [t.seconds for t in new] == [0.0] * 6
    for field in ("state", "verdict", "objectives", "candidate", "parameters", "on_front"):
        assert [getattr(t, field) for t in new] == [getattr(t, field) for t in old]
    assert all(s.cached and s.seconds == 0 for s in bench.reader.stages("new"))
    details = [
        [bench.reader.measurements(s, n)[0].detail for n in range(6)] for s in ("old", "new")
    ]
    assert details[0] == details[1]


def test_the_history_goes_on_from_what_was_taken_over(bench: Bench) -> None:
    bench.record("old", bench.space())
    bench.start("new", bench.space(("seed: 3", "seed: 4")), "old")
    history = load_history(bench.reader, "new")
    assert history.baseline is not None
    assert [t.imported and t.finished for t in history.trials] == [True] * 6


def test_trials_are_judged_anew_by_a_moved_limit(bench: Bench) -> None:
    bench.record("old", bench.space())
    [told], _ = bench.start("new", bench.space(("20ms", "15.5ms")), "old")
    assert told.exact == 6
    verdicts = {t.parameters["toy.a"]: t.verdict for t in bench.trials("new")}
    assert verdicts == {0: "feasible", 1: "feasible", 2: "infeasible"}
    assert {t.verdict for t in bench.trials("old")} == {"feasible"}
    front = [t.parameters["toy.a"] for t in bench.trials("new") if t.on_front]
    assert set(front) == {0, 1}


def test_an_added_relative_constraint_is_judged_beside_the_old_baseline(bench: Bench) -> None:
    bench.record("old", bench.space())
    edited = bench.space(('"cost<20ms"', '"cost<20ms", "worth>=baseline-1%"'))
    [told], _ = bench.start("new", edited, "old")
    assert told.exact == 6
    feasible = {t.parameters["toy.a"] for t in bench.trials("new") if t.verdict == "feasible"}
    assert feasible == {2}, "which the baseline is"


def test_a_new_choice_leaves_all_valid_and_a_removed_one_its_own_out(bench: Bench) -> None:
    bench.record("old", bench.space())
    [wider], _ = bench.start("wider", bench.space(("[0, 1, 2]", "[0, 1, 2, 3]")), "old")
    [narrower], _ = bench.start("narrower", bench.space(("[0, 1, 2]", "[0, 2]")), "old")
    assert (wider.exact, wider.left_out) == (6, {})
    assert narrower.exact == 4
    assert narrower.left_out == {"toy.a=1 is no longer in the space": 2}
    assert [t.number for t in bench.trials("narrower")] == [0, 1, 2, 3]


def test_a_changed_range_keeps_what_lies_in_it_and_on_its_steps(bench: Bench) -> None:
    bench.record("old", bench.space())
    [inside], _ = bench.start(
        "inside", bench.space(("{choices: [0, 1, 2]}", "{range: [1, 9]}")), "old"
    )
    stepped = bench.space(("{choices: [0, 1, 2]}", "{range: [0, 8], step: 2}"))
    [on_steps], _ = bench.start("on_steps", stepped, "old")
    assert inside.left_out == {"toy.a=0 is no longer in the space": 2}
    assert on_steps.left_out == {"toy.a=1 is no longer in the space": 2}
    assert inside.exact == on_steps.exact == 4


def test_a_choice_that_became_fixed_keeps_the_trials_that_have_it(bench: Bench) -> None:
    bench.record("old", bench.space())
    [fixed], _ = bench.start("fixed", bench.space(("c: {choices: [0, 1]}", "c: 1")), "old")
    assert (fixed.exact, fixed.left_out) == (3, {"toy_tail.c=0 is no longer in the space": 3})
    assert "toy_tail.c" not in bench.trials("fixed")[0].parameters
    [freed], _ = bench.start("freed", bench.space(), "fixed")
    assert freed.exact == 3
    assert {t.parameters["toy_tail.c"] for t in bench.trials("freed")} == {1}
    assert {t.origin for t in bench.trials("freed")} == {"old#1", "old#3", "old#5"}, "tried there"


def test_a_pass_that_became_optional_keeps_all_and_one_that_is_new_none(bench: Bench) -> None:
    bench.record("old", bench.space())
    tail = "      c: {choices: [0, 1]}\n"
    optional = bench.space((tail, tail + "    optional: true\n"))
    [told], _ = bench.start("optional", optional, "old")
    assert told.exact == 6
    assert {t.parameters["toy_tail"] for t in bench.trials("optional")} == {True}
    without = bench.space(("  - toy_tail:\n" + tail, ""))
    [told], _ = bench.start("without", without, "old")
    assert told.left_out == {"toy_tail is no longer in the pipeline": 6}
    bench.record("short", without)
    [told], _ = bench.start("always", bench.space(("[0, 1]", "[0, 1, 2]")), "short")
    assert told.left_out == {"toy_tail is always in the pipeline": 3}
    [told], _ = bench.start("maybe", optional, "short")
    assert told.exact == 3


def test_a_limit_on_what_was_not_measured_leaves_trials_as_hints(bench: Bench) -> None:
    bench.record("old", bench.space())
    [told], hints = bench.start("new", bench.space(text=TIMED), "old")
    assert (told.exact, told.similar) == (0, 6)
    assert told.text == "warm start from old: 0 trials exact, 6 similar (ticks was not measured)"
    candidate, result, origin = hints[0]
    assert origin == "old#0"
    assert candidate.key == bench.trials("old")[0].candidate
    assert result.objectives == list(bench.trials("old")[0].objectives or ())
    assert set(result.violations) == {"cost<20ms"}
    assert bench.trials("new") == []


def test_times_of_another_machine_only_hint_and_it_is_named(bench: Bench) -> None:
    space = bench.space(text=TIMED)
    bench.record("old", space)
    bench.machine = {**bench.machine, "cpu": "Xeon 8488C", "cores": "4"}
    [told], hints = bench.start("new", space, "old")
    assert (told.exact, told.similar) == (0, 6)
    machines = "other machine: EPYC 7763, 8 cores instead of Xeon 8488C, 4 cores"
    assert told.text == f"warm start from old: 0 trials exact, 6 similar ({machines})"
    assert all(set(h[1].violations) == {"cost<20ms", "tick<5.9ms"} for h in hints)


def test_what_is_no_time_holds_on_another_machine(bench: Bench) -> None:
    """Toy metrics depend on the runtime as declared; so only the evaluator that says so hints."""
    bench.evaluators = {"toy_metrics": _Portable()}
    bench.record("old", bench.space())
    bench.machine = {**bench.machine, "cpu": "Xeon 8488C"}
    [told], _ = bench.start("new", bench.space(("seed: 3", "seed: 4")), "old")
    assert told.exact == 6


def test_another_model_of_the_same_space_only_hints(bench: Bench) -> None:
    bench.record("old", bench.space())
    bench.source = Source("n" * 64, "text-generation", {})
    [told], hints = bench.start("new", bench.space(), "old")
    assert (told.exact, len(hints)) == (0, 6)
    assert told.text.endswith("6 similar (another model)")


def test_a_pass_in_another_version_only_hints(bench: Bench) -> None:
    bench.record("old", bench.space())
    bench.passes = {**bench.passes, "toy": _NewerToy()}
    [told], _ = bench.start("new", bench.space(), "old")
    assert told.text == "warm start from old: 0 trials exact, 6 similar (toy makes another model)"


def test_a_percentile_that_was_not_asked_for_comes_from_the_samples(bench: Bench) -> None:
    bench.record("old", bench.space(text=TIMED))
    asks = bench.space(("tick<5.9ms", "tick.p95<9ms"), text=TIMED)
    [told], _ = bench.start("new", asks, "old")
    assert told.exact == 6
    found = {(m.metric, m.statistic) for m in bench.reader.metrics("new", 0)}
    assert ("tick", "p95") in found
    bench.sessions = 1  # of twenty requests each
    bench.record("few", bench.space(text=TIMED))
    [told], _ = bench.start("newer", asks, "few")
    assert (told.exact, told.similar) == (0, 6)


def test_what_a_new_limit_leaves_undecided_is_to_be_measured_more_often(bench: Bench) -> None:
    bench.sessions = 1
    loose = bench.space(("tick<5.9ms", "tick<60ms"), text=TIMED)
    bench.record("old", loose)
    [told], hints = bench.start("new", bench.space(text=TIMED), "old")
    near = [candidate.decisions["toy.a"] for candidate, _, _ in hints]
    assert set(near) == {2}, "about 6 ms"
    assert told.exact == 4
    bench.sessions = 9  # as often as it ever is
    bench.record("thorough", loose)
    [told], _ = bench.start("newer", bench.space(text=TIMED), "thorough")
    assert told.exact == 6


def test_a_second_source_adds_what_the_first_did_not_have(bench: Bench) -> None:
    bench.record("a", bench.space(("[0, 1, 2]", "[0, 1]")))
    bench.record("b", bench.space(("[0, 1, 2]", "[1, 2]")))
    told, _ = bench.start("new", bench.space(), "a", "b")
    assert [t.exact for t in told] == [4, 2]
    assert told[1].left_out == {"in the study already": 2}
    assert [t.number for t in bench.trials("new")] == list(range(6))
    assert {t.parameters["toy.a"] for t in bench.trials("new") if t.on_front} == {0, 1, 2}


def test_a_source_is_taken_over_once_and_its_hints_outlive_it(bench: Bench, engine: Engine) -> None:
    bench.record("old", bench.space())
    bench.machine = {**bench.machine, "cpu": "Xeon 8488C"}
    _, first = bench.start("new", bench.space(), "old")
    with engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM tune_studies WHERE name = 'old'")
    told, again = bench.start("new", bench.space(), "old")
    assert told == []
    assert len(first) == 6
    assert [(c.key, r, o) for c, r, o in again] == [(c.key, r, o) for c, r, o in first]


def test_killed_within_it_nothing_was_taken_over(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.record("old", bench.space())
    with monkeypatch.context() as patch:
        patch.setattr("tuner.warm.start._Import._event", _killed)
        with pytest.raises(KeyboardInterrupt):
            bench.start("new", bench.space(), "old")
    assert bench.trials("new") == []
    [told], _ = bench.start("new", bench.space(), "old")
    assert told.exact == 6


def test_a_stage_that_failed_for_certain_fails_here_too(bench: Bench) -> None:
    space = bench.space(("{choices: [0, 1, 2]}", "9"))
    bench.record("old", bench.space(("{choices: [0, 1, 2]}", "8")), _failing(bench, space, "error"))
    both = bench.space(("[0, 1, 2]", "[8, 9]"))
    [told], _ = bench.start("new", both, "old")
    assert told.exact == 3
    failed = bench.trials("new")[-1]
    assert (failed.state, failed.where, failed.reason) == ("infeasible", "toy_tail", "error")
    stages = bench.reader.stages("new", failed.number)
    assert [s.outcome for s in stages] == ["done", "failed"]
    bench.passes = {**bench.passes, "toy": _NewerToy()}
    [told], _ = bench.start("newer", both, "old")
    assert told.left_out == {"failed in toy_tail, and may not here": 1}


def test_a_failure_of_too_little_memory_is_tried_again_where_there_is_more(bench: Bench) -> None:
    space = bench.space(("{choices: [0, 1, 2]}", "9"))
    oom = _failing(bench, space, "out_of_memory")
    bench.record("old", bench.space(("{choices: [0, 1, 2]}", "8")), oom)
    both = bench.space(("[0, 1, 2]", "[8, 9]"))
    [told], _ = bench.start("same", both, "old")
    assert told.exact == 3
    more = bench.space(("[0, 1, 2]", "[8, 9]"), text=SPACE + "limits: {memory: 64GB}\n")
    [told], _ = bench.start("more", more, "old")
    assert told.exact == 2


def test_what_no_evaluator_could_measure_stays_so_while_the_same_is_asked(bench: Bench) -> None:
    only = bench.space(("{choices: [0, 1, 2]}", "9"))
    bench.record(
        "old",
        bench.space(("{choices: [0, 1, 2]}", "8")),
        _failing(bench, only, "dead", in_metric=True),
    )
    both = bench.space(("[0, 1, 2]", "[8, 9]"))
    [told], _ = bench.start("same", both, "old")
    assert told.exact == 3
    assert bench.trials("same")[-1].where == "toy_metrics"
    [told], _ = bench.start("other", bench.space(("[0, 1, 2]", "[8, 9]"), ("20ms", "30ms")), "old")
    assert told.left_out == {"failed in toy_metrics, and may not here": 1}


def test_what_was_screened_stays_so_only_while_it_cannot_fit(bench: Bench) -> None:
    only = bench.space(("{choices: [0, 1, 2]}", "{choices: [90]}"))
    bench.record("old", bench.space(), _screened(bench, only))
    wide = bench.space(("[0, 1, 2]", "[0, 1, 2, 90]"))
    [told], _ = bench.start("same", wide, "old")
    assert told.exact == 7
    trial = bench.trials("same")[-1]
    assert (trial.state, trial.verdict) == ("screened", "infeasible")
    assert list(trial.objectives or ()) == pytest.approx([0.192, 1 - 1 / 93.6])
    assert [s.position for s in bench.reader.stages("same", 6)] == [TWIN]
    [told], hints = bench.start(
        "freed", bench.space(("[0, 1, 2]", "[0, 1, 2, 90]"), ("20ms", "1s")), "old"
    )
    assert told.exact == 6
    [(_, result, _)] = hints
    assert result.objectives is None
    assert list(result.known) == pytest.approx([0.192, 1 - 1 / 93.6])


def test_what_was_stopped_stays_so_only_while_the_same_is_asked(bench: Bench) -> None:
    bench.passes = {**bench.passes, "toy": _Trained()}
    only = bench.space(("{choices: [0, 1, 2]}", "{choices: [9]}"))
    bench.record("old", bench.space(), _stopped(bench, only))
    wide = ("[0, 1, 2]", "[0, 1, 2, 9]")
    [told], _ = bench.start("same", bench.space(wide, ("seed: 3", "seed: 4")), "old")
    assert told.exact == 7
    past = load_history(bench.reader, "same").trials[-1]
    assert (past.state, past.result.share, past.result.objectives) == ("stopped", 1 / 3, None)
    assert list(past.result.known) == pytest.approx([0.03, 1 - 1 / 12.6])
    assert [rung.promoted for rung in past.rungs] == [False]
    stages = bench.reader.stages("same", 6)
    assert [(s.position, s.share) for s in stages] == [(RUNG, 1 / 3), (RUNG + 1, 1.0)]
    [told], hints = bench.start("moved", bench.space(wide, ("20ms", "25ms")), "old")
    assert told.exact == 6
    [(_, result, origin)] = hints
    assert (result.share, result.objectives, origin) == (1 / 3, None, "old#6")


def test_trials_that_are_not_over_or_may_succeed_yet_are_left_out(bench: Bench) -> None:
    [first, second, *_] = enumerate_candidates(bench.space(("[0, 1, 2]", "[5, 6]")))
    flaky: list[Event] = [
        asked(6, first),
        Failed(6, "toy", "killed", "killed", False, None),
        Told(6, "failed", None, (), 1.0),
        asked(7, second),
    ]
    bench.record("old", bench.space(), flaky)
    [told], _ = bench.start("new", bench.space(("[0, 1, 2]", "[0, 1, 2, 5, 6]")), "old")
    assert told.exact == 6
    assert told.left_out == {"failed for a reason that may pass": 1, "not over": 1}


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("olt", "there is no study 'olt' in {0}/study.db; the nearest name is 'old'"),
        ("new", "the study 'new' cannot start from itself"),
        ("{0}/study.db#new", "the study 'new' cannot start from itself"),
        ("gone.db#old", "there is no study database at gone.db"),
        ("gone.db", "there is no study database at gone.db"),
        ("{0}/junk.db", "the study database {0}/junk.db is not an SQLite file"),
        ("{0}/cut.db#old", "the study database {0}/cut.db cannot be used"),
        ("{0}/newer.db", "was written by a newer version of this program"),
        ("{0}/study.db", "it holds 2 studies; say which: {0}/study.db#"),
        ("{0}/empty.db", "it holds no studies"),
        ("oracle://host/x", "the study database cannot be of kind 'oracle'"),
        ("#old", "expected STUDY or DB#STUDY"),
        ("study.db#", "expected STUDY or DB#STUDY"),
    ],
)
def test_what_cannot_be_begun_with_is_said_in_one_sentence(
    bench: Bench, engine: Engine, tmp_path: Path, address: str, words: str
) -> None:
    bench.record("old", bench.space())
    bench.record("new", bench.space())
    open_engine(str(tmp_path / "empty.db")).dispose()
    (tmp_path / "junk.db").write_text("no database")
    for name in ("newer.db", "cut.db"):
        with (
            sqlite3.connect(tmp_path / "study.db") as old,
            sqlite3.connect(tmp_path / name) as copy,
        ):
            old.backup(copy)
            copy.execute("update tuner_schema set version = 99")
    whole = (tmp_path / "cut.db").read_bytes()
    (tmp_path / "cut.db").write_bytes(whole[: len(whole) // 8])
    address, db = address.format(tmp_path), str(tmp_path / "study.db")
    with ExitStack() as stack, pytest.raises(WarmStartError) as raised:
        find_origins([address], db, bench.reader, "new", stack)
    assert words.format(tmp_path) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_database_with_one_study_names_it(bench: Bench, tmp_path: Path) -> None:
    bench.record("old", bench.space())
    db = str(tmp_path / "study.db")
    with ExitStack() as stack:
        [origin] = find_origins([db, db], str(tmp_path / "mine.db"), bench.reader, "new", stack)
        assert (origin.label, origin.study, len(origin.reader.trials("old"))) == (db, "old", 7)


def test_hundreds_of_trials_take_seconds(bench: Bench) -> None:
    choices = ("{choices: [0, 1]}", f"{{choices: {list(range(10))}}}")
    wide = bench.space(("{choices: [0, 1, 2]}", "{range: [0, 29]}"), choices)
    bench.record("old", wide)
    started = time.monotonic()
    [told], _ = bench.start("new", replace(wide, search=replace(wide.search, seed=9)), "old")
    assert told.exact == 300
    assert time.monotonic() - started < 30, "one second on an idle machine"


class _NewerToy(Toy):
    spec: ClassVar[PassSpec] = replace(Toy.spec, version=2)


class _Trained(Toy):
    spec: ClassVar[PassSpec] = replace(Toy.spec, budget="b")


class _Portable(ToyMetrics):
    """Measures what no machine changes."""

    spec: ClassVar[EvaluatorSpec] = replace(
        ToyMetrics.spec,
        metrics=tuple(
            replace(m, depends_on=frozenset({Aspect.WEIGHTS, Aspect.STRUCTURE}))
            for m in ToyMetrics.spec.metrics
        ),
    )


def _killed(_import: object) -> NoReturn:
    raise KeyboardInterrupt


def _keys(bench: Bench, space: Space) -> Keys:
    return Keys(space, bench.source, bench.passes, bench.evaluators, bench.machine)


def _failing(
    bench: Bench, space: Space, reason: str, *, in_metric: bool = False
) -> Iterator[Event]:
    """Trial 2, of the space's first candidate: its second stage fails, or its evaluator does."""
    candidate = next(enumerate_candidates(space))
    stages = _keys(bench, space).stages(candidate)
    yield asked(2, candidate)
    yield from made(2, stages if in_metric else stages[:1])
    if in_metric:
        [key, *_] = _keys(bench, space).measurements(stages, "toy_metrics")
        yield MeasureStarted(2, "toy_metrics", key)
    else:
        yield StageStarted(2, 1, "toy_tail", "toy_tail", stages[1].key)
    yield Failed(2, "toy_metrics" if in_metric else "toy_tail", reason, "as asked", True, None)
    yield Told(2, "infeasible", None, (), 1.0)


def _screened(bench: Bench, space: Space) -> Iterator[Event]:
    """Trial 6, of the space's first candidate: its twin costs too much."""
    candidate = next(enumerate_candidates(space))
    stages = _keys(bench, space).stages(candidate)
    numbers = bench.numbers(space, candidate)
    judgements = tuple(judgement_json(j) for j in bench.judge(space).judge(numbers))
    yield asked(6, candidate)
    yield from made(6, stages[1:], first=TWIN)
    yield from measured(_keys(bench, space), 6, stages, numbers)
    yield Screened(6, ("cost<20ms",))
    yield Judged(6, "infeasible", judgements)
    yield Told(6, "screened", bench.judge(space).objectives(numbers), (), 1.0)


def _stopped(bench: Bench, space: Space) -> Iterator[Event]:
    """Trial 6, of the space's first candidate: stopped after a third of its training."""
    candidate = next(enumerate_candidates(space))
    stages = _keys(bench, space).stages(candidate, {"toy": 1 / 3})
    numbers = bench.numbers(space, candidate)
    judgements = tuple(judgement_json(j) for j in bench.judge(space).judge(numbers))
    values = bench.judge(space).objectives(numbers)
    yield asked(6, candidate)
    yield from made(6, stages, first=RUNG)
    yield from measured(_keys(bench, space), 6, stages, numbers)
    yield RungReached(6, 1 / 3, values, 0.0, 3, 6, False)
    yield Judged(6, "feasible", judgements)
    yield Told(6, "stopped", values, (), 1.0)
