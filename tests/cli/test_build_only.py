"""`tune --build-only`: models for providers that this machine lacks, built and not run."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest
from cli.conftest import Desk

from search_spaces import Overrides, SpaceError, parse_space
from search_spaces.reader import Reading
from search_spaces.vocabulary import Aspect
from tuner.registry import vocabulary

PIPELINE = """
model: {model}
task: text-classification
data:
  files: {data}
  template: "### Text: {{phrase}}\\n### The tone is:\\n{{tone}}"
  label: tone
  split: {{dev: 0.5, test: 0.25}}
pipeline:
  - genai_builder:
      precision: {precision}
      execution_provider: {provider}
metrics:
  accuracy: {{max_items: 4, floor: none}}
objectives: [minimize latency, maximize accuracy]
constraints: ["latency<50ms", "size<1GB"]
search: {{strategy: grid}}
"""


@pytest.fixture
def space(tiny_llama: Path, tone_file: Path) -> str:
    """A space for one candidate, in int4 for cuda."""
    return text_of(tiny_llama, tone_file, "int4", "cuda")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One store for all: what one test built, another finds."""
    return tmp_path_factory.mktemp("store")


@pytest.fixture
def desk(desk: Desk, store: Path) -> Desk:
    desk.environment["TUNER_STORE"] = str(store)
    return desk


def text_of(model: Path, data: Path, precision: str, provider: str) -> str:
    return PIPELINE.format(model=model, data=data, precision=precision, provider=provider)


def read(text: str, *, build_only: bool) -> Reading:
    return parse_space(text, None, vocabulary(), Overrides(build_only=build_only))


@pytest.mark.skipif(Path("/proc/driver/nvidia").exists(), reason="there is an NVIDIA driver")
def test_provider_that_is_not_here_is_refused_unless_only_built(space: str) -> None:
    with pytest.raises(SpaceError, match="cuda cannot be used here: this machine has no NVIDIA"):
        read(space, build_only=False)
    read(space, build_only=True)


def test_what_depends_on_the_runtime_is_dropped_with_a_notice(space: str) -> None:
    reading = read(space, build_only=True)
    assert sorted(reading.space.evaluators) == ["accuracy", "size"]
    assert [o.text for o in reading.space.objectives] == ["maximize accuracy"]
    assert [c.text for c in reading.space.constraints] == ["size<1GB"]
    assert reading.notices == (
        "--build-only: latency is not measured, since nothing is run; left out: minimize latency "
        "and latency<50ms",
    )


def test_size_is_the_objective_where_none_is_left(space: str) -> None:
    reading = read(space.replace(", maximize accuracy", ""), build_only=True)
    assert [o.text for o in reading.space.objectives] == ["minimize size"]
    assert "no objective is left; the candidates' is: minimize size" in reading.notices[-1]


def test_every_evaluator_that_stays_needs_no_runtime(space: str) -> None:
    for name in read(space, build_only=True).space.evaluators:
        for metric in vocabulary().evaluators[name].metrics:
            assert Aspect.RUNTIME not in metric.depends_on


def test_only_candidate_is_built_scored_and_written(desk: Desk, space: str) -> None:
    desk.write(space)
    found = desk.tune("--space", "space.yaml", "--build-only", "--study", "s")
    assert found.returncode == 0, found.stderr
    assert "note: --build-only: latency is not measured" in found.stderr
    assert "#0 *  built, " in found.stdout
    config = json.loads((desk.folder / "tuned/s/model/genai_config.json").read_text())
    options = config["model"]["decoder"]["session_options"]["provider_options"]
    assert [name for entry in options for name in entry] == ["cuda"]
    assert "built" in desk.tune("show", "s", "0").stdout
    [row] = rows(desk, "SELECT state, verdict, objective_1 FROM tuner_trials WHERE number = 0")
    assert row[:2] == ("built", "feasible")
    assert 0 <= row[2] <= 1  # the accuracy, scored on the CPU
    assert rows(desk, "SELECT complete, feasible, failures FROM tuner_studies") == [(1, 1, 0)]
    assert rows(desk, "SELECT DISTINCT metric FROM tuner_metrics ORDER BY 1") == [
        ("accuracy",),
        ("f1",),
        ("macro_f1",),
        ("size",),
    ]


def test_model_that_cannot_be_scored_is_built_all_the_same(
    desk: Desk, tiny_llama: Path, tone_file: Path
) -> None:
    desk.write(text_of(tiny_llama, tone_file, "bf16", "cuda"))
    command = ("--space", "space.yaml", "--build-only", "--study", "s")
    found = desk.tune(*command)
    assert found.returncode == 0, found.stderr
    assert "built; no accuracy: the model computes in bf16" in " ".join(found.stdout.split())
    assert (desk.folder / "tuned/s/model/model.onnx").exists()
    shown = desk.tune("show", "s", "0").stdout
    assert "no accuracy (error)" in shown or "no accuracy (refused)" in shown
    [row] = rows(desk, "SELECT state, message FROM tuner_trials WHERE number = 0")
    assert row[0] == "built"
    assert "bf16" in row[1]
    # The size is known all the same, and the same command has nothing left to do.
    assert rows(desk, "SELECT metric FROM tuner_metrics WHERE number = 0") == [("size",)]
    again = desk.tune(*command)
    assert again.returncode == 0
    assert "#0" not in again.stdout.partition("Chosen")[0]


def test_best_of_several_is_written_for_its_own_provider(
    desk: Desk, tiny_llama: Path, tone_file: Path
) -> None:
    several = "{choices: [bf16, int4]}", "cuda"
    text = text_of(tiny_llama, tone_file, *several).replace("minimize latency", "minimize size")
    desk.write(text.replace(", maximize accuracy", ""))
    answer = desk.answer("--space", "space.yaml", "--build-only")
    assert answer["trials"] == 2
    assert answer["chosen"]["parameters"]["genai_builder.precision"] == "int4"
    assert answer["chosen"]["verdict"] == "feasible"
    assert answer["chosen"]["metrics"]["size"]["value"] > 0
    assert "latency" not in answer["chosen"]["metrics"]


def test_model_that_misses_least_is_written_where_none_fits(
    desk: Desk, tiny_llama: Path, tone_file: Path
) -> None:
    text = text_of(tiny_llama, tone_file, "{choices: [bf16, int4]}", "cuda")
    desk.write(text.replace("size<1GB", "size<1KB"))
    found = desk.tune("--space", "space.yaml", "--build-only", "--study", "s")
    assert found.returncode == 3
    assert "Chosen: #1" in found.stdout
    assert "nearest to the constraints" in found.stdout
    assert (desk.folder / "tuned/s/model/model.onnx").exists()


def test_check_refuses_a_pipeline_that_nothing_can_open(desk: Desk, space: str) -> None:
    session = "  - session: {execution_provider: dml}\nmetrics:"
    desk.write(space.replace("metrics:", session))
    found = desk.tune("check", "space.yaml", "--build-only")
    assert found.returncode == 2
    assert "built for cuda, but would be opened with dml" in found.stderr


def rows(desk: Desk, query: str) -> list[tuple[object, ...]]:
    with sqlite3.connect(desk.folder / "tuned" / "study.db") as connection:
        return connection.execute(query).fetchall()
