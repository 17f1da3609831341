from __future__ import annotations

import math
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from scripted_study import (
    BASELINE,
    LATENCY_LIMIT,
    Script,
    Study,
    asked,
    estimate,
    measured,
    stage,
    started,
)
from sqlalchemy import Engine, text

from tuner.study.database import DatabaseError
from tuner.study.events import (
    Confirmed,
    Event,
    Failed,
    Judged,
    MeasureStarted,
    StageStarted,
    StudyStopped,
    Told,
)
from tuner.study.recording import event_kind
from tuner.study.writer import StudyWriter


def failed(number: int, where: str = "lora", **changes: Any) -> Failed:
    return replace(
        Failed(number, where, "crashed", "segmentation fault", True, "logs/lora.log"), **changes
    )


def test_a_trial_runs_until_it_is_told(study: Study) -> None:
    with StudyWriter(study.engine, "tones") as writer:
        writer(started())
        writer(asked(0, **{"lora.r": 4}))
        running = study.reader.trials("tones")[0]
        writer(Told(0, "complete", (0.02, 0.9), (0,), 7.5))
    over = study.reader.trials("tones")[0]
    assert (running.state, running.finished_at, running.objectives) == ("running", None, None)
    assert (over.state, over.seconds, over.objectives) == ("complete", 7.5, (0.02, 0.9))
    assert over.finished_at is not None
    assert over.finished_at >= over.started_at


def test_a_recipe_comes_back_as_it_was_sent(study: Study) -> None:
    parameters = {"lora": True, "lora.r": 16, "lora.lr": 1e-4, "targets": ["q", "v"], "x": None}
    event = asked(0, **parameters)
    study.send(started(), event)
    trial = study.reader.trials("tones")[0]
    assert dict(trial.parameters) == parameters
    assert list(trial.parameters) == list(parameters)
    assert trial.steps == event.steps
    assert trial.candidate == event.candidate


def test_events_are_logged_in_order_with_everything_but_raw_detail(study: Study) -> None:
    events: list[Event] = [
        started(),
        asked(0, r=4),
        StageStarted(0, 0, "lora", "lora", "key"),
        stage(0, 0, "lora"),
        MeasureStarted(0, "latency", "key"),
        measured(0, estimate("latency", 0.04)),
        StudyStopped("trials", None, 3.0),
    ]
    study.send(*events)
    log = study.reader.events("tones")
    assert [row.kind for row in log] == [event_kind(event) for event in events]
    assert [row.number for row in log] == [None, 0, 0, 0, 0, 0, None]
    assert log[1].body["parameters"] == {"r": 4}
    assert log[5].body["estimates"] == [estimate("latency", 0.04)]
    assert "detail" not in log[5].body
    assert [row.at for row in log] == sorted(row.at for row in log)


def test_a_stage_is_first_running_and_then_done(study: Study) -> None:
    with StudyWriter(study.engine, "tones") as writer:
        writer(started())
        writer(asked(0))
        writer(StageStarted(0, 0, "lora", "lora", "key"))
        running = study.reader.stages("tones", 0)[0]
        writer(stage(0, 0, "lora", key="key", log="logs/lora.log"))
    done = study.reader.stages("tones", 0)[0]
    assert (running.outcome, running.seconds, running.cached) == ("running", None, False)
    assert (done.outcome, done.seconds, done.bytes) == ("done", 3.0, 1000)
    assert (done.peak_memory, done.log) == (5_000_000_000, "logs/lora.log")
    assert done.started_at == running.started_at


def test_a_failure_ends_the_running_stage_and_says_why(study: Study) -> None:
    study.send(
        started(),
        asked(0),
        stage(0, 0, "lora"),
        StageStarted(0, 1, "merge", "merge", "key"),
        failed(0, "merge", message="it crashed\0 \udcff"),
        Told(0, "infeasible", None, (), 2.0),
    )
    trial = study.reader.trials("tones")[0]
    assert (trial.state, trial.reason, trial.where) == ("infeasible", "crashed", "merge")
    assert trial.message == "it crashed\ufffd ?"
    assert (trial.deterministic, trial.log) == (True, "logs/lora.log")
    assert [s.outcome for s in study.reader.stages("tones", 0)] == ["done", "failed"]
    merge = study.reader.stages("tones", 0)[1]
    assert merge.seconds is not None
    assert merge.seconds >= 0
    assert merge.log == "logs/lora.log"


def test_a_second_measurement_of_a_metric_replaces_the_estimate_and_keeps_both_details(
    study: Study,
) -> None:
    study.send(
        started(),
        asked(0),
        measured(0, estimate("latency", 0.04), key="a" * 64),
        measured(0, estimate("latency", 0.05), key="b" * 64),
        measured(0, estimate("latency", 0.06), key="c" * 64, split="test"),
    )
    values = {m.split: m.value for m in study.reader.metrics("tones", 0)}
    assert values == {"dev": 0.05, "test": 0.06}
    keys = [m.key[0] for m in study.reader.measurements("tones", 0)]
    assert keys == ["a", "b", "c"]


def test_raw_detail_comes_back_and_is_stored_once(study: Study) -> None:
    event = measured(0, estimate("latency", 0.04))
    study.send(started(), asked(0), event, asked(1), replace(event, number=1, cached=True))
    first, second = (study.reader.measurements("tones", n)[0] for n in (0, 1))
    assert first.detail == second.detail == event.detail
    assert (first.cached, second.cached) == (False, True)
    with study.engine.connect() as connection:
        assert connection.execute(text("SELECT COUNT(*) FROM tune_details")).scalar_one() == 1


def test_numbers_that_are_none_do_not_stop_a_study(study: Study) -> None:
    odd = estimate("perplexity", math.inf, unit="") | {"low": math.nan}
    scores: Any = ({"items": [{"scores": [-math.inf, math.nan]}]},)
    study.send(
        started(),
        asked(0),
        measured(0, odd, detail=scores),
        Told(0, "complete", (math.inf, math.nan), (), 1.0),
    )
    metric = study.reader.metrics("tones", 0)[0]
    assert (metric.value, metric.low) == (math.inf, None)
    assert study.reader.trials("tones")[0].objectives == (math.inf, None)
    detail = study.reader.measurements("tones", 0)[0].detail
    assert detail == ({"items": [{"scores": [None, None]}]},)


def judged(number: int, verdict: str, *values: float) -> Judged:
    constraint = {"metric": "latency", "statistic": "p95", "limit": LATENCY_LIMIT}
    constraints = (
        constraint | {"text": f"c{i}", "value": v, "verdict": verdict, "violation": v - 1}
        for i, v in enumerate(values)
    )
    return Judged(number, verdict, tuple(constraints))


def test_the_last_judgement_counts(study: Study) -> None:
    study.send(started(), asked(0), judged(0, "undecided", 1.0, 2.0), judged(0, "infeasible", 3.0))
    assert study.reader.trials("tones")[0].verdict == "infeasible"
    rows = study.reader.constraints("tones", 0)
    assert [(r.text, r.value, r.violation, r.statistic) for r in rows] == [("c0", 3.0, 2.0, "p95")]


def test_the_front_changes_with_every_trial_told(study: Study) -> None:
    study.send(
        started(),
        *(asked(n) for n in range(3)),
        Told(0, "complete", (1.0, 1.0), (0,), 1.0),
        Told(1, "complete", (2.0, 2.0), (0, 1), 1.0),
        Told(2, "complete", (0.5, 1.5), (2, 1), 1.0),
    )
    assert [t.on_front for t in study.reader.trials("tones")] == [False, True, True]
    with study.engine.connect() as connection:
        query = "SELECT front_since, front_until FROM tuner_trials ORDER BY number"
        (since, until), *others = connection.execute(text(query)).all()
    assert since < until
    assert [row.front_until for row in others] == [None, None]


def test_the_baseline_says_nothing_about_the_front(study: Study) -> None:
    study.send(started(), asked(0), Told(0, "complete", (1.0, 1.0), (0,), 1.0))
    study.send(started(resumed=True), asked(BASELINE), Told(BASELINE, "baseline", None, (), 1.0))
    assert [t.on_front for t in study.reader.trials("tones")] == [False, True]


def test_the_front_of_an_earlier_command_is_known(study: Study) -> None:
    study.send(started(), asked(0), Told(0, "complete", (1.0, 1.0), (0,), 1.0))
    study.send(started(resumed=True), asked(1), Told(1, "complete", (0.5, 2.0), (1,), 1.0))
    assert [t.on_front for t in study.reader.trials("tones")] == [False, True]


def test_a_trial_that_is_tried_again_forgets_its_first_attempt(study: Study) -> None:
    first: list[Event] = [
        asked(0, r=4, old=1),
        stage(0, 0, "lora"),
        stage(0, 1, "merge"),
        measured(0, estimate("latency", 0.04)),
        judged(0, "infeasible", 3.0),
        failed(0),
    ]
    study.send(started(), *first)
    study.send(started(resumed=True), asked(0, r=8), stage(0, 0, "lora", cached=True))
    trial = study.reader.trials("tones")[0]
    assert (trial.state, trial.verdict, trial.reason, trial.log) == ("running", None, None, None)
    assert trial.parameters == {"r": 8}
    assert [s.cached for s in study.reader.stages("tones", 0)] == [True]
    assert study.reader.metrics("tones", 0) == []
    assert study.reader.constraints("tones", 0) == []
    assert study.reader.measurements("tones", 0) == []
    with study.engine.connect() as connection:
        assert connection.execute(text("SELECT name FROM tuner_params")).scalars().all() == ["r"]


def test_what_a_killed_command_left_running_is_interrupted_when_the_next_starts(
    study: Study, database: Path
) -> None:
    _in_a_process_that_dies(
        database, "started(), asked(0), StageStarted(0, 0, 'lora', 'lora', 'key')"
    )
    assert study.reader.trials("tones")[0].state == "running"
    study.send(started(resumed=True))
    assert study.reader.trials("tones")[0].state == "interrupted"
    assert study.reader.stages("tones")[0].outcome == "interrupted"
    assert study.reader.study("tones").runs[0].reason == "killed"


def test_what_a_living_command_runs_is_left_to_it(study: Study) -> None:
    study.send(started(), asked(0), StageStarted(0, 0, "lora", "lora", "key"))
    Study(study.engine).send(started(resumed=True))
    assert study.reader.trials("tones")[0].state == "running"
    assert study.reader.stages("tones")[0].outcome == "running"


def test_a_trial_that_another_command_took_over_is_no_longer_the_first_ones(study: Study) -> None:
    first, second = (StudyWriter(study.engine, study.name) for _ in range(2))
    with first, second:
        for writer in (first, second):
            writer(started())
            writer(asked(0, r=8))
        second(Told(0, "complete", (0.1, 0.9), (0,), 1.0))
        first(Told(0, "failed", None, (), 9.0))
    [trial] = study.reader.trials("tones")
    assert (trial.state, trial.on_front, trial.seconds) == ("complete", True, 1.0)


def _in_a_process_that_dies(database: Path, events: str) -> None:
    code = (
        "import os; from scripted_study import *; from tuner.study.events import *\n"
        "from tuner.study.database import open_engine\n"
        f"study = Study(open_engine({str(database)!r})); study.send({events}); os._exit(9)"
    )
    folder = Path(__file__).parent
    run = subprocess.run([sys.executable, "-c", code], cwd=folder, check=False)
    assert run.returncode == 9


def test_stopping_interrupts_what_runs_and_keeps_the_reason(study: Study) -> None:
    study.send(started(), asked(BASELINE), failed(BASELINE), StudyStopped("error", None, 1.0))
    assert study.reader.trials("tones")[0].state == "failed"
    run = study.reader.study("tones").runs[0]
    assert run.reason == "error"
    assert run.stopped_at == run.last_event_at


def test_resuming_takes_the_new_declaration_and_keeps_the_trials(study: Study) -> None:
    study.send(started(), asked(0), StudyStopped("trials", 0, 1.0))
    changed = replace(
        started(resumed=True), settings={"trials": 50}, objectives=started().objectives[:1]
    )
    study.send(changed)
    row = study.reader.study("tones")
    assert row.settings == {"trials": 50}
    assert len(row.objectives) == 1
    assert row.chosen == 0
    assert len(row.runs) == 2
    assert len(study.reader.trials("tones")) == 1
    assert len(study.reader.studies()) == 1


def test_a_confirmation_is_a_metric_of_the_test_split(study: Study) -> None:
    study.send(
        started(),
        asked(BASELINE),
        asked(0),
        measured(0, estimate("accuracy", 0.8), split="test", evaluator="accuracy"),
        Confirmed(0, (estimate("accuracy", 0.7),), (estimate("accuracy", 0.6),)),
    )
    rows = [(m.number, m.split, m.value, m.evaluator) for m in study.reader.metrics("tones")]
    assert rows == [(BASELINE, "test", 0.6, None), (0, "test", 0.7, "accuracy")]
    [confirmed] = study.reader.confirmations("tones")
    assert confirmed.estimates == (estimate("accuracy", 0.7),)
    assert confirmed.baseline == (estimate("accuracy", 0.6),)


def test_an_event_before_the_start_is_refused(study: Study) -> None:
    with pytest.raises(ValueError, match="TrialAsked came before StudyStarted"):
        study.send(asked(0))


def test_an_event_of_another_study_is_refused(study: Study) -> None:
    with pytest.raises(ValueError, match="'other', expected 'tones'"):
        study.send(started("other"))
    assert study.reader.studies() == []


def test_an_event_that_cannot_be_written_leaves_no_trace(study: Study) -> None:
    with StudyWriter(study.engine, "tones") as writer:
        writer(started())
        with pytest.raises(DatabaseError, match="cannot be used: FOREIGN KEY"):
            writer(stage(5, 0, "lora"))  # a trial that was never asked
        writer(asked(0))
        with pytest.raises(TypeError):
            writer(Told(0, "complete", (object(),), (0,), 1.0))  # type: ignore[arg-type]
        writer(asked(1))
        writer(Told(1, "complete", (1.0, 1.0), (1,), 1.0))
    assert [row.kind for row in study.reader.events("tones")] == [
        "study_started",
        "trial_asked",
        "trial_asked",
        "told",
    ]
    assert [t.on_front for t in study.reader.trials("tones")] == [False, True]


def test_studies_in_one_database_do_not_mix(engine: Engine) -> None:
    one, two = Study(engine, "one"), Study(engine, "two")
    one.send_all(Script(3, "one").events())
    two.send_all(Script(5, "two", seed=1).events())
    assert len(one.reader.trials("one")) == 4
    assert len(two.reader.trials("two")) == 6
    assert {s.name: s.trials for s in one.reader.studies()} == {"one": 3, "two": 5}


def test_threads_may_share_a_writer(study: Study) -> None:
    with StudyWriter(study.engine, "tones") as writer:
        writer(started())

        def ask_ten(first: int) -> None:
            for number in range(first, first + 10):
                writer(asked(number))

        threads = [threading.Thread(target=ask_ten, args=(n,)) for n in range(0, 40, 10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [t.number for t in study.reader.trials("tones")] == list(range(40))


def test_time_spent_is_summed_over_commands(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("tuner.study.writer.time.monotonic", lambda: now)

    def work(*moments: float, resumed: bool) -> None:
        nonlocal now
        with StudyWriter(study.engine, "tones") as writer:
            writer(started(resumed=resumed))
            for moment in moments:
                now += moment
                writer(asked(0))

    work(10.0, 5.0, resumed=False)
    now += 1000.0  # nobody worked
    work(2.5, resumed=True)
    assert study.reader.seconds_spent("tones") == pytest.approx(17.5)


def test_every_kind_of_event_has_its_name() -> None:
    kinds = {event_kind(event) for event in Script(30).events()}
    assert kinds == {
        "study_started",
        "trial_asked",
        "stage_started",
        "stage_finished",
        "measure_started",
        "measured",
        "judged",
        "failed",
        "told",
        "confirmed",
        "study_stopped",
    }
