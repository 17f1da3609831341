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
      - dynamic_int8: {{per_channel: {{choices: [true, false]}}}}
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
    assert ran.summary["trials"] == 2 * 3 * 2
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
    assert shown.count("reused") >= 9, "two of twelve trials train, and the baseline shares one"
    again = ran.desk.tune("--space", "space.yaml", "--output", "out", timeout=100)
    assert again.returncode == 0
    assert "feasible," not in again.stdout, "every trial was done before"
