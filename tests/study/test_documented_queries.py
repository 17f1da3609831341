"""Every query of docs/database.md, run on a made-up study and compared with its events."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from documented import DOCUMENT, QUERIES, new_database
from documented import ask as ask_of
from scripted_study import BASELINE, Script, Study
from sqlalchemy import Engine, Row, inspect, text

from tuner.study.events import Event, Failed, Judged, Measured, StageFinished, Told, TrialAsked
from tuner.study.views import VIEWS

TRIALS = 80
NAME = "it's <b>tones</b> \U0001f600"


@pytest.fixture(scope="module")
def events() -> list[Event]:
    return list(Script(TRIALS, NAME).events())


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def engine(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, events: list[Event]
) -> Iterator[Engine]:
    with new_database(request, tmp_path_factory.mktemp("study")) as engine:
        Study(engine, "another").send_all(Script(10, "another", seed=9).events())
        Study(engine, NAME).send_all(events)
        yield engine


def ask(engine: Engine, title: str, **parameters: Any) -> list[Row[Any]]:
    return ask_of(engine, title, study=NAME, **parameters)


def of(events: list[Event], kind: type) -> list[Any]:
    return [e for e in events if isinstance(e, kind)]


def told(events: list[Event]) -> dict[int, Told]:
    return {e.number: e for e in of(events, Told) if e.number != BASELINE}


def verdicts(events: list[Event]) -> dict[int, str]:
    return {e.number: e.verdict for e in of(events, Judged)}


def test_every_query_is_tested() -> None:
    files = (Path(__file__), Path(__file__).with_name("test_known_study.py"))
    source = "".join(file.read_text() for file in files)
    assert len(QUERIES) >= 20
    assert [title for title in QUERIES if f'"{title}"' not in source] == []


def test_the_front_now(engine: Engine, events: list[Event]) -> None:
    ends = told(events)
    front = list(ends.values())[-1].front
    rows = ask(engine, "The front now")
    assert len(rows) >= 3
    found = {row.number: (row.objective_1, row.objective_2) for row in rows}
    assert found == {number: ends[number].objectives for number in front}
    assert [row.objective_1 for row in rows] == sorted(row.objective_1 for row in rows)


def test_the_front_over_time(engine: Engine, events: list[Event]) -> None:
    expected, before = [], frozenset[int]()
    for end in told(events).values():
        front = frozenset(end.front)
        if front != before:
            expected.append(len(front))
        before = front
    assert [row.front for row in ask(engine, "The front over time")] == expected


def test_the_front_at_a_moment(engine: Engine, events: list[Event]) -> None:
    moments = [row.at for row in ask(engine, "The front over time")]
    fronts: list[set[int]] = []
    for end in told(events).values():
        if not fronts or set(end.front) != fronts[-1]:
            fronts.append(set(end.front))
    fronts = [front for front in fronts if front]
    for moment, front in zip(moments, fronts, strict=True):
        rows = ask(engine, "The front as it was at a moment", at=moment)
        assert {row.number for row in rows} == front


def test_best_so_far(engine: Engine, events: list[Event]) -> None:
    feasible = [n for n, verdict in verdicts(events).items() if verdict == "feasible"]
    values = [told(events)[n].objectives[0] for n in feasible]  # type: ignore[index]
    rows = ask(engine, "Best so far")
    assert [(row.number, row.value) for row in rows] == list(zip(feasible, values, strict=True))
    assert [row.best for row in rows] == [min(values[: i + 1]) for i in range(len(values))]


def test_cost_by_stage(engine: Engine, events: list[Event]) -> None:
    seconds: dict[str, list[float]] = defaultdict(list)
    for event in of(events, StageFinished):
        if not event.cached:
            seconds[event.pass_name].append(event.seconds)
    rows = {getattr(row, "pass"): row for row in ask(engine, "Cost by stage")}
    assert set(rows) == {"lora", "genai_builder", "session"}
    for name in ("lora", "genai_builder"):
        assert rows[name].runs == len(seconds[name])
        assert rows[name].seconds == pytest.approx(sum(seconds[name]))
        assert rows[name].peak_memory == 5_000_000_000
    failures = len(of(events, Failed))  # all of them in "session", and they count
    assert rows["session"].runs == len(seconds["session"]) + failures


def test_cost_of_measuring(engine: Engine, events: list[Event]) -> None:
    runs = Counter((e.evaluator, e.split) for e in of(events, Measured) if not e.cached)
    rows = ask(engine, "Cost of measuring")
    assert {(row.evaluator, row.split): row.runs for row in rows} == runs
    assert [row.seconds for row in rows] == [2.0 * row.runs for row in rows]


def test_cache_hit_rate(engine: Engine, events: list[Event]) -> None:
    hits: dict[str, list[bool]] = defaultdict(list)
    for event in of(events, StageFinished):
        hits[event.pass_name].append(event.cached)
    rows = {getattr(row, "pass"): row for row in ask(engine, "Cache hit rate")}
    assert {name: row.stages for name, row in rows.items()} == {n: len(h) for n, h in hits.items()}
    for name, row in rows.items():
        assert float(row.hit_rate) == pytest.approx(sum(hits[name]) / len(hits[name]))
    assert 0 < rows["genai_builder"].hit_rate < 1


def test_failures_by_reason(engine: Engine, events: list[Event]) -> None:
    expected = Counter((e.reason, told(events)[e.number].state) for e in of(events, Failed))
    rows = ask(engine, "Failures by reason")
    assert {(row.reason, row.state): row.trials for row in rows} == expected
    assert set(expected) == {("out_of_memory", "infeasible"), ("killed", "failed")}


def test_feasible_share(engine: Engine, events: list[Event]) -> None:
    counts = Counter(verdicts(events).values())
    (row,) = ask(engine, "Feasible share")
    assert min(counts["feasible"], counts["undecided"]) > 0
    found = (row.finished, row.feasible, row.undecided)
    assert found == (TRIALS, counts["feasible"], counts["undecided"])
    assert float(row.share) == pytest.approx(counts["feasible"] / TRIALS)
    assert float(row.undecided_share) == pytest.approx(counts["undecided"] / TRIALS)


def test_which_constraint_excludes_most(engine: Engine, events: list[Event]) -> None:
    missed: Counter[str] = Counter()
    for event in of(events, Judged):
        missed.update(c["text"] for c in event.constraints if c["verdict"] == "infeasible")
    rows = ask(engine, "Which constraint excludes most")
    assert {row.text: row.missed for row in rows} == missed
    assert [row.judged for row in rows] == [len(of(events, Judged))] * 2
    assert rows[0].missed >= rows[1].missed > 0
    assert all(row.least_violation < 0 for row in rows)


def test_what_a_parameter_does(engine: Engine, events: list[Event]) -> None:
    chosen = {e.number: e.parameters for e in of(events, TrialAsked)}
    values: dict[str, list[float]] = defaultdict(list)
    for end in told(events).values():
        if end.objectives is not None:
            precision = chosen[end.number]["genai_builder.precision"]
            values[precision].append(end.objectives[0])
    asked = {"parameter": "genai_builder.precision", "metric": "tpot"}
    rows = {r.choice: r for r in ask(engine, "What a parameter does to a metric", **asked)}
    assert set(rows) == {"fp32", "int8", "int4"}
    for precision, row in rows.items():
        assert row.trials == len(values[precision])
        assert (row.least, row.most) == (min(values[precision]), max(values[precision]))
        assert row.mean == pytest.approx(sum(values[precision]) / row.trials)


def test_every_view_and_column_is_documented(engine: Engine) -> None:
    chapters = dict(re.findall(r"^### (tuner_\w+):(.*?)(?=^#)", DOCUMENT.read_text(), re.M | re.S))
    assert set(chapters) == set(VIEWS)
    for view, chapter in chapters.items():
        cells = re.findall(r"^\| (`.*?) \|", chapter, re.M)
        documented = set(re.findall(r"`(\w+)`", " ".join(cells)))
        documented |= {"objective_2"} if "objective_3" in documented else set()
        assert documented == {column["name"] for column in inspect(engine).get_columns(view)}, view


def test_the_view_of_studies_counts(engine: Engine, events: list[Event]) -> None:
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT * FROM tuner_studies ORDER BY study")).all()
    another, row = rows
    ends = told(events).values()
    assert another.trials == 10
    assert (row.trials, row.complete) == (TRIALS, sum(e.state == "complete" for e in ends))
    assert row.failures == len(of(events, Failed))
    assert row.feasible == list(verdicts(events).values()).count("feasible")
    assert row.front == len(list(ends)[-1].front)
    assert row.chosen == min(list(ends)[-1].front)
    assert row.seconds == pytest.approx(row.last_event_at - row.created_at, abs=0.01)


def test_the_views_of_events_runs_and_confirmations(engine: Engine, events: list[Event]) -> None:
    counts = {}
    with engine.connect() as connection:
        for view in ("tuner_events", "tuner_runs", "tuner_confirmations"):
            query = f"SELECT COUNT(*) FROM {view} WHERE study = :study"
            counts[view] = connection.execute(text(query), {"study": NAME}).scalar_one()
        reason = connection.execute(text("SELECT DISTINCT reason FROM tuner_runs")).scalars().all()
    assert counts == {"tuner_events": len(events), "tuner_runs": 1, "tuner_confirmations": 1}
    assert reason == ["trials"]
