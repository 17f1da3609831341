"""What the documented queries give on a study small enough to be worked out by hand."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from documented import ask as ask_of
from documented import new_database
from known_study import DAY, NAME, NIGHTS, NOON, SHARE, make_known
from sqlalchemy import Engine, text


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def engine(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Engine]:
    with new_database(request, tmp_path_factory.mktemp("study")) as engine:
        make_known(engine)
        yield engine


def ask(engine: Engine, title: str, **parameters: Any) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in ask_of(engine, title, study=NAME, **parameters)]


def test_the_best_so_far_is_of_whole_models_that_fit(engine: Engine) -> None:
    rows = ask(engine, "Best so far")
    assert [(number, value, best) for number, _, value, best in rows] == [
        (0, 0.010, 0.010),
        (5, 0.008, 0.008),
    ]


def test_the_front_over_time_has_one_trial_throughout(engine: Engine) -> None:
    assert [front for _, front in ask(engine, "The front over time")] == [1, 1]


def test_the_cost_of_a_stage_is_of_every_time_that_it_ran(engine: Engine) -> None:
    rows = {row[0]: row[1:] for row in ask(engine, "Cost by stage")}
    # 30 + 30 + 20 of whole trainings, 10 + 10 of shares
    assert rows["train"] == (5, 100.0, 20.0, 400)
    runs, seconds, _, memory = rows["build"]
    # 5 s each of the baseline and trials 0, 2, 3, 5; 3 s of a twin, 2 s of 6; and 4, which failed
    assert (runs, memory) == (8, 200)
    assert seconds == pytest.approx(30.0, abs=1.0)


def test_twins_and_rungs_cost_what_their_stages_took(engine: Engine) -> None:
    rows = {row[:2]: row[2:] for row in ask(engine, "Cost of twins and rungs")}
    assert rows["twin", None] == (1, 2, 1, 3.0)
    assert rows["rung", 1] == (2, 3, 0, 25.0)
    trials, stages, reused, seconds = rows["candidate", None]
    assert (trials, stages, reused) == (6, 10, 1)  # the baseline, 0, 3, 4, 5 and 6
    assert seconds == pytest.approx(5 + 35 + 35 + 25 + 2, abs=1.0)


def test_what_the_store_answered_costs_no_measuring(engine: Engine) -> None:
    assert ask(engine, "Cost of measuring") == [("latency", "dev", 6, 13.0)]


def test_time_is_summed_up_by_day(engine: Engine) -> None:
    assert ask(engine, "Time spent per day") == [(20_000, 1, 100.0), (20_001, 1, 50.0)]


def test_a_command_is_told_with_the_trials_that_it_finished(engine: Engine) -> None:
    rows = ask(engine, "Time spent per command")
    assert [row[1:] for row in rows] == [
        (NOON, 100.0, "trials", 6),
        (NOON + DAY + 3600, 50.0, None, 1),
    ]


def test_stages_of_twins_count_as_needed(engine: Engine) -> None:
    rows = ask(engine, "Cache hit rate")
    assert [(name, stages, float(rate)) for name, stages, rate in rows] == [
        ("build", 7, 0.0),
        ("session", 1, 1.0),
        ("train", 6, pytest.approx(1 / 6)),
    ]


def test_a_failure_is_counted_by_its_reason(engine: Engine) -> None:
    assert ask(engine, "Failures by reason") == [("out_of_memory", "infeasible", 1)]


def test_the_feasible_share_is_of_all_that_ended(engine: Engine) -> None:
    ((finished, feasible, undecided, share, undecided_share),) = ask(engine, "Feasible share")
    assert (finished, feasible, undecided) == (7, 2, 1)
    assert float(share) == pytest.approx(2 / 7)
    assert float(undecided_share) == pytest.approx(1 / 7)


def test_a_study_without_an_ended_trial_has_no_share(engine: Engine) -> None:
    title = "Feasible share"
    rows = ask_of(engine, title, study="nightly/2026-11-21/smollm2")
    assert [tuple(row) for row in rows] == [(0, None, None, None, None)]


def test_every_trial_ended_somehow(engine: Engine) -> None:
    assert ask(engine, "How trials ended") == [
        ("complete", "feasible", 2),
        ("complete", "infeasible", 1),
        ("complete", "undecided", 1),
        ("infeasible", None, 1),
        ("running", None, 1),
        ("screened", "infeasible", 1),
        ("stopped", "feasible", 1),
    ]


def test_constraints_tell_what_they_exclude_and_leave_open(engine: Engine) -> None:
    assert ask(engine, "Which constraint excludes most") == [
        ("latency<50ms", 6, 2, 1, -1.0),
        ("accuracy>=baseline-2%", 5, 0, 0, -1.0),
    ]


def test_a_parameter_is_judged_by_whole_models(engine: Engine) -> None:
    title = "What a parameter does to a metric"
    rows = ask(engine, title, parameter="r", metric="tpot")
    assert [row[:5] for row in rows] == [
        ("4", "p50", 1, 0.010, 0.010),
        ("16", "p50", 3, 0.005, 0.030),
    ]
    assert rows[1][5] == pytest.approx((0.005 + 0.008 + 0.030) / 3)


def test_lessons_and_rungs_tell_what_was_learned(engine: Engine) -> None:
    ((_, _, body),) = ask(engine, "Lessons")
    lesson = json.loads(body)
    assert (lesson["text"], lesson["failures"]) == ("r=64 is too large", 3)
    rungs = [(number, json.loads(body)) for number, _, body in ask(engine, "Rungs")]
    assert [(n, r["share"], r["promoted"]) for n, r in rungs] == [
        (2, SHARE, False),
        (5, SHARE, True),
    ]


def test_commands_that_run_tell_how_far_they_are(engine: Engine) -> None:
    rows = ask_of(engine, "Commands that run")
    assert {row.study: row.trials for row in rows} == {NAME: 1, "nightly/2026-11-21/smollm2": 0}
    assert json.loads(rows[0].settings)["trials"] == 200
    assert all(row.owner for row in rows)


def test_what_runs_now_is_named_by_its_step(engine: Engine) -> None:
    rows = ask_of(engine, "What runs now")
    assert [(row.study, row.number, row.step) for row in rows] == [(NAME, 7, "train_2")]


def test_studies_of_a_sweep_stand_side_by_side(engine: Engine) -> None:
    rows = ask_of(engine, "Studies side by side", pattern="nightly/%")
    counts = [tuple(row)[:7] for row in rows]
    assert counts == [
        ("nightly/2026-11-20/minilm", 1, 1, 0, 0, 1, 0),
        ("nightly/2026-11-21/minilm", 1, 1, 0, 0, 1, 0),
        ("nightly/2026-11-21/smollm2", 0, 0, 0, 0, 0, None),
    ]


def test_an_entry_is_followed_over_the_nights(engine: Engine) -> None:
    rows = ask_of(engine, "The answer over the nights", pattern="nightly/%/minilm")
    latency = {row.study: row for row in rows if row.metric == "latency"}
    assert {name: row.ratio for name, row in latency.items()} == NIGHTS
    assert {name: row.ratio_low for name, row in latency.items()} == {
        name: pytest.approx(0.9 * ratio) for name, ratio in NIGHTS.items()
    }
    accuracy = [row for row in rows if row.metric == "accuracy"]
    assert [(row.study, row.value, row.baseline) for row in accuracy] == [
        (name, 0.6, 0.8) for name in NIGHTS
    ]
    assert [row.ratio for row in accuracy] == [pytest.approx(0.75)] * 2
    assert [row.ratio_low for row in accuracy] == [None, None]


def test_a_confirmed_answer_has_both_splits(engine: Engine) -> None:
    rows = ask_of(engine, "The answer over the nights", pattern="known%")
    assert [(row.study, row.chosen, row.metric, row.split) for row in rows] == [
        (NAME, 5, "accuracy", "test"),
        (NAME, 5, "tpot", "dev"),
    ]
    assert rows[0].ratio == pytest.approx(0.84 / 0.70)


def test_a_trial_names_its_command(engine: Engine) -> None:
    query = "SELECT t.number FROM tuner_trials t JOIN tuner_runs r ON r.run = t.run"
    query += " WHERE t.study = :study AND r.reason IS NULL ORDER BY t.number"
    with engine.connect() as connection:
        assert connection.execute(text(query), {"study": NAME}).scalars().all() == [6, 7]
