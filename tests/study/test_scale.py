"""Many trials: what a query reads does not grow with what it does not ask for."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from documented import QUERIES
from sqlalchemy import Engine, text

from tuner.study.database import open_engine
from tuner.study.reader import StudyReader

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

from database_fill import TEMPLATE, fill  # found on the path set above
from database_page import page
from database_times import documented_queries, parameters

SIZES = {"large": 4000, "nightly/2026-11-20/minilm": 100}
BIG = "tvpmgced"  # the views' names for trials, values, parameters, metrics, stages, ...


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    engine = open_engine(str(tmp_path_factory.mktemp("scale") / "study.db"))
    fill(engine, SIZES, template=100)
    yield engine
    engine.dispose()


def plan(engine: Engine, query: str) -> list[str]:
    with engine.connect() as connection:
        asked = text(f"EXPLAIN QUERY PLAN {query}")
        return [row[-1] for row in connection.execute(asked, parameters("large", 1.0))]


@pytest.mark.parametrize("title", QUERIES)
def test_no_query_reads_the_trials_of_all_studies(engine: Engine, title: str) -> None:
    steps = plan(engine, QUERIES[title])
    scans = [s for s in steps if re.match(rf"SCAN [{BIG}]\b(?!.* tune_trials_running)", s)]
    assert scans == []
    assert [step for step in steps if step.startswith("MATERIALIZE tuner_")] == []


def test_the_list_of_studies_reads_no_recipes(engine: Engine) -> None:
    steps = plan(engine, "SELECT study, trials, complete, feasible, front FROM tuner_studies")
    trials = [step for step in steps if re.match(r"\w+ t\b", step)]
    assert len(trials) == 4
    assert all("COVERING INDEX" in step for step in trials), trials


def test_events_of_a_kind_are_found_without_reading_the_others(engine: Engine) -> None:
    for query in (QUERIES["Lessons"], QUERIES["Rungs"]):
        assert any("tune_events_kinds" in step for step in plan(engine, query))


def test_the_benchmark_times_what_is_documented() -> None:
    assert documented_queries() == QUERIES


def test_the_benchmark_fills_as_the_writer_writes(engine: Engine) -> None:
    reader = StudyReader(engine)
    summaries = {s.name: s for s in reader.studies()}
    template, night = summaries[TEMPLATE], summaries["nightly/2026-11-20/minilm"]
    assert (night.trials, night.feasible, night.failures) == (
        template.trials,
        template.feasible,
        template.failures,
    )
    large = summaries["large"]
    assert (large.trials, large.front) == (4001, template.front)  # one runs
    assert large.feasible == 40 * template.feasible
    with engine.connect() as connection:
        assert connection.execute(text("PRAGMA foreign_key_check")).all() == []
    front = [t.number for t in reader.trials("large") if t.on_front]
    assert min(front) >= 3900, "the trials of earlier commands have left it"


def test_a_copied_trial_is_like_its_original(engine: Engine) -> None:
    reader = StudyReader(engine)
    original = next(t for t in reader.trials(TEMPLATE) if t.state == "complete")
    number = original.number + 700
    copy = next(t for t in reader.trials("large") if t.number == number)
    assert copy.steps == original.steps
    assert copy.objectives == original.objectives
    assert copy.candidate != original.candidate
    (of_copy, of_original) = (
        [m.detail for m in reader.measurements(study, n)]
        for study, n in (("large", number), (TEMPLATE, original.number))
    )
    assert of_copy == of_original
    told = [e for e in reader.events_of_kind("large", "told") if e.number == number]
    assert [e.body["number"] for e in told] == [number]


def test_the_benchmarks_page_names_what_is_too_slow() -> None:
    query = {"title": "Best so far", "rows": 3, "wall_ms": 250.0, "cpu_ms": 240.0}
    command = {"title": "tune list", "lines": 2, "wall_s": 0.6, "cpu_s": 0.5}
    database = {"queries": [query], "fill_s": 3.0, "bytes": 10**9, "commands": [command]}
    origin = {"machine": {"cpu": "c", "cores": 2}, "versions": {}, "load": [0, 1], "date": "d"}
    found = {"trials": 7, "studies": 2, "large": 5, "databases": {"SQLite": database}}
    shown = page({"scale": found | origin})
    assert "| Best so far | 3 | 250.0 | 240.0 |" in shown
    assert "200 ms or more: Best so far (SQLite)." in shown
    assert "| `tune list` | 2 | 0.60 | 0.50 |" in shown
