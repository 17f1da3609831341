"""The replay of a space that was measured whole: from a study's database to the page."""

from __future__ import annotations

import csv
import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from search_spaces import Space, read_space
from search_spaces.candidates import Candidate, enumerate_candidates, plain
from tuner.registry import vocabulary
from tuner.study.database import open_engine
from tuner.study.events import (
    Event,
    Measured,
    StageFinished,
    StudyStarted,
    StudyStopped,
    Told,
    TrialAsked,
)
from tuner.study.writer import StudyWriter

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

import minilm_table  # found on the path set above
import search_replay
from search_drivers import run
from search_engine import EngineRun

SECONDS = {"drop_layers": 1.0, "full_finetune": 8.0, "onnx_export": 3.0, "session": 0.1}
MEASURING = {"accuracy": 1.0, "latency": 4.0, "size": 0.1}


def _small(text: str) -> str:
    """Of the real space a part: 3 x 2 x 3 x 2 candidates."""
    tones = Path(search_replay.SPACE).parent.parent / "search_spaces" / "tones"
    text = text.replace("../search_spaces/tones", str(tones))
    text = text.replace("{choices: [1.0e-4, 2.0e-4]}", "1.0e-4")
    text = text.replace("      - static_int8: {calibration: {choices: [minmax, percentile]}}\n", "")
    text = text.replace("{bits: {choices: [4, 8]}, block_size: {choices: [32, 128]}}", "{bits: 8}")
    text = text.replace("{per_channel: {choices: [true, false]}}", "{per_channel: true}")
    return text.replace("accuracy>=0.6", "accuracy>=0.55")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of the smaller space."""
    path = tmp_path_factory.mktemp("space") / "minilm_table.yaml"
    text = _small(search_replay.SPACE.read_text())
    limits = text[text.index("constraints:") : text.index("search:")]
    own = 'constraints: ["accuracy>=0.6", "size<60MB"]\n'
    path.write_text(text.replace(limits, own))
    return path


@pytest.fixture(scope="module")
def made(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the table of a grid study over that space."""
    folder = tmp_path_factory.mktemp("study")
    space = read_space(source, vocabulary()).space
    engine = open_engine(str(folder / "study.db"))
    with StudyWriter(engine, "grid") as writer:
        for event in _events(space):
            writer(event)
    engine.dispose()
    minilm_table.main([str(folder / "study.db"), "--output", str(folder)])
    return folder


def _events(space: Space) -> Iterator[Event]:
    about = {"name": "minilm", "path": None, "model": space.model.text}
    about |= {"fingerprint": "f" * 64, "text": ""}
    objectives = tuple(
        {"text": o.text, "metric": o.metric, "statistic": o.statistic, "minimize": o.minimize}
        for o in space.objectives
    )
    yield StudyStarted("grid", False, about, objectives, (), {}, {"cpu": "one"})
    there: set[str] = set()
    for number, candidate in enumerate(enumerate_candidates(space)):
        yield from _trial(number, candidate, there)
    yield StudyStopped("exhausted", None, 9.0)


def _trial(number: int, candidate: Candidate, there: set[str]) -> Iterator[Event]:
    steps = tuple(step.to_json() for step in candidate.steps)
    yield TrialAsked(number, "trial", candidate.key, plain(candidate.decisions), steps)
    for position, step in enumerate(candidate.steps):
        key = _digest([s.to_json() for s in candidate.steps[: position + 1]])
        seconds = 0.0 if key in there else SECONDS.get(step.id, 2.0)
        cached = key in there
        there.add(key)
        name = step.spec.name
        yield StageFinished(number, position, step.id, name, key, cached, seconds, 1, None, None)
    values = _values(candidate)
    for evaluator, seconds in MEASURING.items():
        key = _digest([evaluator, candidate.key])
        statistic = "p50" if evaluator == "latency" else None
        estimate = _estimate(evaluator, statistic, values[evaluator])
        yield Measured(number, evaluator, "dev", key, False, seconds, (estimate,), ())
    objectives = values["accuracy"], values["latency"]
    yield Told(number, "complete", objectives, (), 1.0)


def _values(candidate: Candidate) -> dict[str, float]:
    """Better with more training; faster with fewer layers and threads that help."""
    chosen = candidate.decisions
    dropped = chosen.get("drop_layers.layers", 0)
    assert isinstance(dropped, int)
    way = str(chosen["one_of"])
    loss = {"none": 0.0, "dynamic_int8": 0.02, "weight_only": 0.01}[way]
    speed = {"none": 1.0, "dynamic_int8": 0.5, "weight_only": 0.8}[way]
    trained = 0.05 if chosen["full_finetune.max_steps"] == 80 else 0.0
    threads = 1.0 if chosen["session.intra_op_num_threads"] == 2 else 1.7
    return {
        "accuracy": 0.6 + trained - loss - 0.01 * dropped,
        "latency": 0.01 * speed * threads * (6 - dropped) / 6,
        "size": 9e7 * (0.3 if way != "none" else 1.0),
    }


def _estimate(metric: str, statistic: str | None, value: float) -> dict[str, Any]:
    ends = {"value": value, "low": value, "high": value, "ratio": None}
    return {"metric": metric, "statistic": statistic, "unit": "", "samples": 1, **ends}


def _digest(data: object) -> str:
    return hashlib.sha256(json.dumps(data, default=str).encode()).hexdigest()


def test_the_table_has_a_row_per_candidate_with_what_its_stages_took(made: Path) -> None:
    with (made / "minilm_table.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 36
    assert all(float(row["seconds:full_finetune"]) == 8 for row in rows)
    assert all(float(row["measuring:latency"]) == 4 for row in rows)
    left_out = [row for row in rows if row["drop_layers"] == "false"]
    assert len(left_out) == 12
    assert all(row["drop_layers.layers"] == row["seconds:drop_layers"] == "" for row in left_out)
    facts = json.loads((made / "minilm_table.json").read_text())
    assert facts["environment"] == {"cpu": "one"}
    assert facts["candidates"] == 36


def test_the_replay_knows_the_best_and_what_everything_costs(made: Path, source: Path) -> None:
    problem = search_replay.Replay(made / "minilm_table.csv", source)
    best = max(v["accuracy"] for v in problem.rows.values() if v["size"] < 60e6)
    assert problem.winner == pytest.approx(-best)
    stages = 2 * 1 + 6 * 8 + 6 * 3 + 12 * 2 + 36 * 0.1
    measurements = 18 * 1.0 + 18 * 4.0 + 9 * 0.1
    assert problem.budget == pytest.approx(stages + measurements)
    assert problem.share_of_best(problem.front) == pytest.approx(1)


def test_a_search_of_everything_finds_the_best_and_pays_for_it_once(
    made: Path, source: Path
) -> None:
    problem = search_replay.Replay(made / "minilm_table.csv", source)
    trace = run(problem, "random", 0, 10 * problem.budget)
    assert sum(trace.became.values()) == 36
    assert trace.points[-1][1] == pytest.approx(1)
    assert trace.seconds == pytest.approx(problem.budget)


def test_the_twin_of_a_fine_tuned_encoder_trains_for_a_moment_only(
    made: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tuner.search.strategies.random import RandomStrategy

    monkeypatch.setattr(RandomStrategy, "thrifty", True)
    problem = search_replay.Replay(made / "minilm_table.csv", source)
    trace = EngineRun(problem, "random", 0, 10 * problem.budget).trace
    assert trace.became["screened"] > 0
    assert trace.seconds < 1.2 * problem.budget


def test_a_table_that_does_not_fit_its_space_is_refused(
    made: Path, source: Path, tmp_path: Path
) -> None:
    lines = (made / "minilm_table.csv").read_text().splitlines()
    short = tmp_path / "short.csv"
    short.write_text("\n".join(lines[:-1]) + "\n")
    with pytest.raises(SystemExit, match="35 candidates; the space has 36"):
        search_replay.Replay(short, source)
    other = tmp_path / "other.csv"
    other.write_text("\n".join(lines).replace("latency", "letency") + "\n")
    with pytest.raises(SystemExit, match="no column latency"):
        search_replay.Replay(other, source)


def test_the_page_tells_how_many_runs_found_the_best(
    made: Path, source: Path, tmp_path: Path
) -> None:
    arguments = ["--table", str(made / "minilm_table.csv"), "--space", str(source)]
    arguments += ["--strategies", "random", "--quick", "--jobs", "1", "--output", str(tmp_path)]
    search_replay.main(arguments)
    page = (tmp_path / "search_replay.md").read_text()
    assert "36 candidates of MiniLM" in page
    assert "| random | " in page
    assert "made with cpu one" in page
    assert len((tmp_path / "search_replay.jsonl").read_text().splitlines()) == 2
