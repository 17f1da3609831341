"""The mission's command on a real (tiny) Phi-3: fine-tune, merge, build, measure, answer."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cli.conftest import Desk

QUICK = [
    *("--set", "pipeline.lora.max_steps=3"),
    *("--set", "metrics.latency.prompt_tokens=8"),
    *("--set", "metrics.latency.new_tokens=4"),
    *("--set", "metrics.latency.processes=1"),
    *("--set", "metrics.latency.blocks=2"),
    *("--set", "metrics.latency.requests=1"),
    *("--set", "metrics.latency.seconds=0"),
    *("--set", "metrics.accuracy.max_items=160"),
    *("--set", "metrics.accuracy.floor=none"),
    *("--trials", "4"),
]

TEN_LINES = """
import sys
import onnxruntime_genai as og
model = og.Model(sys.argv[1])
tokenizer = og.Tokenizer(model)
parameters = og.GeneratorParams(model)
parameters.set_search_options(max_length=40, min_length=30, do_sample=False)
generator = og.Generator(model, parameters)
generator.append_tokens(tokenizer.encode("The letter came on a"))
while not generator.is_done():
    generator.generate_next_token()
print(len(generator.get_sequence(0)))
"""


@dataclass(frozen=True)
class Ran:
    desk: Desk
    done: subprocess.CompletedProcess[str]
    output: Path
    model: Path

    @property
    def summary(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.output / "summary.json").read_text())
        return found


@pytest.fixture(scope="module")
def ran(tiny_phi3: Path, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    desk = Desk(tmp_path_factory.mktemp("phi3"))
    wanted = ["--space", "phi3", "--constraint", "latency<5s", "--model", str(tiny_phi3)]
    # Relative to the baseline, what an untrained model scores on 160 rows decides nothing.
    wanted += ["--set", "constraints=[]", "--min", "accuracy=5%"]
    done = desk.tune(*wanted, *QUICK, "--output", "out", timeout=400)
    return Ran(desk, done, desk.folder / "out", tiny_phi3)


def test_the_shipped_space_runs_on_any_phi3_model(ran: Ran) -> None:
    assert ran.done.returncode == 0, ran.done.stdout + ran.done.stderr
    assert ran.summary["trials"] == 4
    assert ran.summary["failed"] == 0
    assert "cuda is left out" in ran.done.stderr
    tuned = [step["id"] for step in ran.summary["chosen"]["pipeline"]]
    assert tuned[-2:] == ["genai_builder", "session"]


def test_third_party_noise_stays_off_the_screen(ran: Ran) -> None:
    shown = (ran.done.stdout + ran.done.stderr).lower()
    for noise in ("warning", "loading weights", "it/s", "saving"):
        assert noise not in shown


def test_the_winner_generates_with_onnxruntime_genai_alone(ran: Ran) -> None:
    done = subprocess.run(
        [sys.executable, "-c", TEN_LINES, str(ran.output / "model")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 30


def test_what_was_measured_is_kept_with_how(ran: Ran) -> None:
    study, number = ran.summary["study"], ran.summary["chosen"]["number"]
    shown = ran.desk.tune("show", study, str(number), "--db", "tuned/study.db").stdout
    assert "CPUExecutionProvider" in shown
    assert "measured accuracy (dev)" in shown
    assert "stage genai_builder" in shown


def test_the_search_value_and_the_confirmed_value_stand_side_by_side(ran: Ran) -> None:
    confirmed = {e["metric"]: e for e in ran.summary["confirmed"]["estimates"]}
    wanted = {"latency", "ttft", "tpot", "accuracy", "f1", "macro_f1", "size"}
    assert set(confirmed) == wanted
    searched = ran.summary["chosen"]["metrics"]["size"]["value"]
    assert confirmed["size"]["value"] == pytest.approx(searched, rel=0.01), "of another adapter"
    assert confirmed["latency"]["low"] <= confirmed["latency"]["value"]
    assert "confirmed" in ran.done.stdout


def test_a_limit_that_nothing_meets_names_the_nearest(ran: Ran) -> None:
    wanted = ["--space", "phi3", "--max", "latency=0.001ms", "--model", str(ran.model)]
    done = ran.desk.tune(*wanted, *QUICK, timeout=400)
    assert done.returncode == 3, done.stdout + done.stderr
    assert "Nothing is feasible" in done.stdout
    assert "misses latency<=0.001ms by" in done.stdout
