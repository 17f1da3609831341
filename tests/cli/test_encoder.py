"""An encoder, from the checkpoint to the answer: tuned, exported, quantised, measured."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from cli.conftest import Desk

SPACE = """
model: {model}
task: text-classification
data:
  files: {data}
  template: "{{phrase}}\\n{{tone}}"
  label: tone
  split: {{dev: 0.25, test: 0.25}}
pipeline:
  - drop_layers: {{layers: 2}}
    optional: true
  - full_finetune: {{max_steps: 6, batch_size: 8}}
    baseline: true
  - onnx_export
  - one_of:
      - none
      - dynamic_int8
  - session: {{intra_op_num_threads: {{choices: [1, 2]}}}}
metrics:
  latency: {{prompt_tokens: 8, processes: 1, blocks: 2, requests: 1, seconds: 0.0}}
  accuracy: {{floor: none}}
  size: {{}}
objectives: [maximize accuracy, minimize size]
constraints: ["latency<2s"]
search: {{strategy: grid}}
"""

WITHOUT_US = """
import sys
import numpy as np, onnxruntime as ort
from transformers import AutoConfig, AutoTokenizer
folder = sys.argv[1]
session = ort.InferenceSession(folder + "/model.onnx", providers=["CPUExecutionProvider"])
words = AutoTokenizer.from_pretrained(folder)("Who knew?", return_tensors="np")
names = {i.name for i in session.get_inputs()}
feed = {k: v.astype(np.int64) for k, v in words.items() if k in names}
feed.update({k: np.zeros_like(feed["input_ids"]) for k in names - feed.keys()})
best = session.run(["logits"], feed)[0][0].argmax()
print(AutoConfig.from_pretrained(folder).id2label[int(best)])
"""


@dataclass(frozen=True)
class Ran:
    desk: Desk
    done: subprocess.CompletedProcess[str]
    output: Path

    @property
    def summary(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.output / "summary.json").read_text())
        return found


@pytest.fixture(scope="module")
def ran(tiny_bert: Path, tone_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    desk = Desk(tmp_path_factory.mktemp("encoder"))
    desk.write(SPACE.format(model=tiny_bert, data=tone_file))
    done = desk.tune("--space", "space.yaml", "--output", "out", timeout=400)
    return Ran(desk, done, desk.folder / "out")


def test_every_candidate_of_the_space_is_tried(ran: Ran) -> None:
    assert ran.done.returncode == 0, ran.done.stdout + ran.done.stderr
    assert ran.summary["trials"] == 2 * 2 * 2
    assert ran.summary["failed"] == 0


def test_the_baseline_is_fine_tuned_but_not_otherwise_changed(ran: Ran) -> None:
    steps = [step["id"] for step in ran.summary["baseline"]["pipeline"]]
    assert steps == ["full_finetune", "onnx_export", "session"]


def test_the_recipe_keeps_the_baseline(ran: Ran) -> None:
    recipe = yaml.safe_load((ran.output / "recipe.yaml").read_text())
    marked = [step for step in recipe["pipeline"] if isinstance(step, dict) and "baseline" in step]
    assert [next(iter(step)) for step in marked] == ["full_finetune"]
    done = ran.desk.tune("check", "--space", str(ran.output / "recipe.yaml"))
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_winner_classifies_with_onnxruntime_alone(ran: Ran) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_US, str(ran.output / "model")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() in {"fear", "joy", "sadness", "surprise"}


def test_fine_tunings_are_shared_by_all_that_follows(ran: Ran) -> None:
    shown = ran.done.stdout
    assert shown.count("reused") >= 5, "two of eight trials train, and the baseline shares one"
    again = ran.desk.tune("--space", "space.yaml", "--output", "out", timeout=100)
    assert again.returncode == 0
    assert "feasible," not in again.stdout, "every trial was done before"


def test_a_percentile_is_asked_of_enough_samples(ran: Ran) -> None:
    options = [f"metrics.latency.{name}" for name in ("processes=3", "requests=10")]
    settings = [word for option in options for word in ("--set", option)]
    wanted = [*settings, "--constraint", "latency.p95<5s", "--trials", "2", "--study", "tails"]
    done = ran.desk.tune("--space", "space.yaml", *wanted, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "latency.p95" in done.stdout
    shown = ran.desk.tune("show", "tails", "0", "--json")
    found = json.loads(shown.stdout)
    assert found["metrics"]["latency.p95"]["value"] >= found["metrics"]["latency"]["value"]
    [latency] = [
        m for m in found["measurements"] if m["evaluator"] == "latency" and "dev" in m.values()
    ]
    assert len(latency["detail"]) >= 3


def test_a_trial_shows_how_it_was_measured(ran: Ran) -> None:
    shown = ran.desk.tune("show", ran.summary["study"], "0").stdout
    assert "session 1: latency by block" in shown
    assert "the baseline's" in shown
    assert "provider CPUExecutionProvider" in shown
    assert max(map(len, shown.splitlines()), default=0) <= 80 or "log:" in shown


def test_two_trials_are_compared_by_what_is_stored_and_by_measuring(ran: Ran) -> None:
    study, numbers = ran.summary["study"], ["0", "baseline"]
    done = ran.desk.tune("compare", study, *numbers)
    assert done.returncode == 0, done.stderr
    assert "accuracy" in done.stdout
    assert "item by item" in done.stdout
    measured = ran.desk.tune("compare", study, *numbers, "--measure", "latency", "--json")
    assert measured.returncode == 0, measured.stderr
    [finding] = json.loads(measured.stdout)
    assert finding["change"]["low"] < finding["change"]["value"] < finding["change"]["high"]
    assert "sessions of the two in turn" in finding["how"]
    again = ran.desk.tune("compare", study, *numbers, "--measure", "latency", "--json")
    assert json.loads(again.stdout) == [finding]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["0", "99"], "no trial '99'; trials: 0 to 7, or baseline"),
        (["0", "1", "--measure", "size"], "size is not timed"),
        (["0", "1", "--measure", "latncy"], "'latncy' was not measured of both; found accuracy"),
        (["0", "1", "--measure", "latency", "--store", "nowhere"], "is not in the store"),
    ],
)
def test_a_comparison_that_cannot_be_made_says_why(
    ran: Ran, words: list[str], message: str
) -> None:
    done = ran.desk.tune("compare", ran.summary["study"], *words)
    assert done.returncode == 2
    assert message in done.stderr
