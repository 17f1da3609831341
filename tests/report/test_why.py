from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from study.scripted_study import Study as Script
from study.scripted_study import asked, measured, started

from tuner.cli import study_commands
from tuner.cli.arguments import parse
from tuner.report.answer import console, print_answer
from tuner.report.choices import in_order
from tuner.report.output import summary
from tuner.report.why import UnknownMetricError, print_why, reasons, short_lines, why_json
from tuner.study.api import Study
from tuner.study.database import open_engine
from tuner.study.events import Event, Json, StudyStarted, StudyStopped, Told

SPACE = """
model: org/tiny
task: text-classification
data: {files: {train: rows.jsonl, dev: rows.jsonl}, template: "{phrase} {tone}", label: tone}
pipeline:
  - lora:
      r: {choices: [4, 16]}
      max_steps: {range: [10, 1000], log: true}
    optional: true
  - merge_adapter
  - genai_builder:
      precision: {choices: [fp32, int4]}
      block_size: {choices: [32, 128], when: "precision == 'int4'"}
  - session:
      intra_op_num_threads: {choices: [1, 2]}
metrics:
  latency: {prompt_tokens: 8, new_tokens: 4}
  accuracy: {}
objectives: [minimize tpot, maximize accuracy]
constraints: ["latency<50ms"]
"""


def beginning(folder: Path, text: str = SPACE) -> StudyStarted:
    rows = "".join(f'{{"phrase": "a {i}", "tone": "t{i % 2}"}}\n' for i in range(8))
    (folder / "rows.jsonl").write_text(rows)
    event = started()
    space = {**event.space, "text": text, "path": str(folder / "space.yaml")}
    fields = {n: getattr(event, n) for n in event.__slots__} | {"space": space}
    return StudyStarted(**fields)


def candidate(rng: random.Random) -> dict[str, Any]:
    lora = rng.random() < 0.6
    precision = rng.choice(["fp32", "int4"])
    tuned = {"lora.r": rng.choice([4, 16]), "lora.max_steps": rng.choice([10, 90, 400, 1000])}
    block = {"genai_builder.block_size": rng.choice([32, 128])} if precision == "int4" else {}
    return {
        "lora": lora,
        **(tuned if lora else {}),
        "genai_builder.precision": precision,
        **block,
        "session.intra_op_num_threads": rng.choice([1, 2]),
    }


def number_of(metric: str, value: float | None, unit: str, spread: float) -> Json:
    ends = (None, None) if value is None else (value * (1 - spread), value * (1 + spread))
    return {
        "metric": metric,
        "statistic": "p50" if unit == "s" else None,
        "value": value,
        "low": ends[0],
        "high": ends[1],
        "unit": unit,
        "samples": 160,
    }


def trial(number: int, choices: dict[str, Any], rng: random.Random, state: str) -> Iterator[Event]:
    """int4 halves the time, two threads take a quarter off; lora adds 20 points, int4 takes 5."""
    quick = 0.5 if choices["genai_builder.precision"] == "int4" else 1.0
    time = 0.04 * quick * (0.75 if choices["session.intra_op_num_threads"] == 2 else 1.0)
    time *= math.exp(rng.gauss(0, 0.02))
    right = 0.55 + 0.2 * choices["lora"] - 0.05 * (quick < 1) + rng.gauss(0, 0.01)
    yield asked(number, **choices)
    times = [number_of(name, time * k, "s", 0.05) for name, k in (("latency", 1), ("tpot", 0.1))]
    yield measured(number, *times)
    if state != "screened":
        share = number_of("accuracy", right, "fraction", 0.03)
        yield measured(number, share, evaluator="accuracy", key=f"{number:064}")
    objectives = (time * 0.1, right) if state == "complete" else None
    yield Told(number, state, objectives, (), 1.0)


def tried(script: Script, first: StudyStarted, count: int, state: str = "complete") -> Study:
    rng = random.Random(2)
    events = [e for n in range(count) for e in trial(n, candidate(rng), rng, state)]
    script.send(first, *events, StudyStopped("trials", None, 10.0))
    return Study(script.reader, script.name)


@pytest.fixture
def script(tmp_path: Path) -> Iterator[Script]:
    engine = open_engine(str(tmp_path / "study.db"))
    yield Script(engine)
    engine.dispose()


@pytest.fixture
def study(script: Script, tmp_path: Path) -> Study:
    return tried(script, beginning(tmp_path), 24)


def choice(data: Json, metric: str, decision: str) -> Json:
    found: list[Json] = data["effects"][metric]["choices"]
    return next(c for c in found if c["decision"] == decision)


def test_the_summary_says_what_each_choice_did_with_its_interval(study: Study) -> None:
    data = json.loads(json.dumps(summary(study)))
    precision = choice(data, "latency", "genai_builder.precision")
    wanted = 0.5 if precision["value"] == "int4" else 2.0
    assert data["effects"]["latency"]["kind"] == "ratio"
    assert precision["change"] == pytest.approx(wanted, rel=0.1)
    assert precision["low"] < wanted < precision["high"]
    lora = choice(data, "accuracy", "lora")
    assert data["effects"]["accuracy"]["kind"] == "difference"
    assert abs(lora["change"]) == pytest.approx(0.2, abs=0.04)
    shares = data["importance"]["accuracy"]["decisions"]
    assert max(shares, key=lambda name: shares[name]["share"] or 0.0) == "lora"
    assert set(data["importance"]) == {"tpot", "accuracy", "latency"}


def test_what_passes_and_metrics_declare_rules_choices_out(study: Study) -> None:
    latency, accuracy = reasons(study, ["latency", "accuracy"])
    assert latency.ruled_out == ("lora", "lora.r", "lora.max_steps")
    assert accuracy.ruled_out == ("session.intra_op_num_threads",)
    assert not [e for e in latency.analysis.effects if e.decision.startswith("lora")]


def test_the_interval_of_a_share_of_rows_is_no_narrower_than_its_rows_allow(study: Study) -> None:
    [reason] = reasons(study, ["accuracy"])
    lora = next(e for e in reason.analysis.effects if e.decision == "lora")
    assert lora.change is not None
    assert lora.low is not None
    least = 1.96 * math.sqrt(0.2 * 0.8 / 160)
    assert lora.change - lora.low > 0.9 * least


def test_a_space_that_cannot_be_read_any_more_leaves_the_trials(
    script: Script, tmp_path: Path
) -> None:
    study = tried(script, beginning(tmp_path, "model: [nothing"), 24)
    [latency] = reasons(study, ["latency"])
    assert latency.ruled_out == ()
    told = {e.decision: e for e in latency.analysis.effects}
    assert told["genai_builder.precision"].change == pytest.approx(0.5, rel=0.15) or told[
        "genai_builder.precision"
    ].change == pytest.approx(2.0, rel=0.15)


def test_what_was_never_trained_counts_for_what_training_cannot_change(
    script: Script, tmp_path: Path
) -> None:
    study = tried(script, beginning(tmp_path), 24, "screened")
    latency, accuracy = reasons(study, ["latency", "tpot"])[0], reasons(study)[1]
    assert latency.analysis.trials > 10
    assert (accuracy.metric, accuracy.analysis.note) == ("accuracy", "too few trials to tell")


def test_what_was_measured_after_a_part_of_the_training_does_not_count(
    script: Script, tmp_path: Path
) -> None:
    study = tried(script, beginning(tmp_path), 12, "stopped")
    [accuracy] = reasons(study, ["accuracy"])
    assert accuracy.analysis.trials == 0


def test_numbers_that_are_missing_or_none_are_passed_over(script: Script, tmp_path: Path) -> None:
    rng = random.Random(2)
    events = [e for n in range(12) for e in trial(n, candidate(rng), rng, "complete")]
    lost: list[Event] = []
    for n, value in ((12, None), (13, math.nan), (14, math.inf)):
        lost += [asked(n, **candidate(rng))]
        lost += [measured(n, number_of("accuracy", value, "fraction", 0.0), evaluator="accuracy")]
        lost += [Told(n, "complete", None, (), 1.0)]
    lost += [asked(15, **candidate(rng)), Told(15, "failed", None, (), 1.0)]
    script.send(beginning(tmp_path), *events, *lost)
    [accuracy] = reasons(Study(script.reader, script.name), ["accuracy"])
    assert accuracy.analysis.trials == 12


@pytest.mark.parametrize("count", [0, 1, 3, 5])
def test_few_trials_are_no_error(script: Script, tmp_path: Path, count: int) -> None:
    study = tried(script, beginning(tmp_path), count)
    data = why_json(reasons(study))
    json.dumps(data, allow_nan=False)
    if count < 5:
        assert data["importance"]["accuracy"]["note"] == "too few trials to tell"
        assert short_lines(study) == []


def test_after_an_answer_there_are_few_lines_with_the_clearest_choices(study: Study) -> None:
    title, *lines = short_lines(study)
    assert "tune why tones" in title
    assert max(map(len, [title, *lines])) < 80
    assert any(line.startswith("  accuracy: ") and "lora" in line for line in lines)
    assert any(line.startswith("  latency: precision") for line in lines)
    assert len(lines) <= 6


def printed(study: Study, capsys: pytest.CaptureFixture[str]) -> str:
    import sys

    out: Console = console(sys.stdout)
    print_why(out, study, reasons(study))
    print_answer(out, study)
    return capsys.readouterr().out


def test_all_of_it_fits_80_columns(study: Study, capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(study, capsys)
    assert max(map(len, text.splitlines())) <= 80
    assert "cannot change it: lora, lora.r, lora.max_steps" in text
    assert "What mattered" in text


def test_the_command_prints_one_metric_and_refuses_one_that_is_not_there(
    study: Study, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["why", study.name, "--db", str(tmp_path / "study.db"), "--metric"]
    assert study_commands.run(parse([*words, "latency", "--json"])) == 0
    assert set(json.loads(capsys.readouterr().out)["effects"]) == {"latency"}
    assert study_commands.run(parse([*words, "latency"])) == 0
    assert "also measured (--metric NAME): accuracy, tpot" in capsys.readouterr().out
    assert study_commands.run(parse([*words, "latnecy"])) == 2
    error = capsys.readouterr().err
    assert "no trial of tones has 'latnecy'; measured: accuracy, latency" in error
    assert "did you mean 'latency'" in error


def test_a_metric_that_no_trial_has_is_named(study: Study) -> None:
    with pytest.raises(UnknownMetricError, match="accuracy"):
        reasons(study, ["energy"])


def test_decisions_keep_the_pipelines_order_though_rows_lack_some() -> None:
    rows = [{"a": 1, "d": 1}, {"a": 1, "b": 1, "d": 2}, {"a": 2, "b": 1, "c": 3, "d": 1}]
    assert in_order(rows) == ["a", "b", "c", "d"]
