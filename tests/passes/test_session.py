"""What the session pass writes, and that the runtime obeys it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pass_support import Runner, filled_in, next_logits

from evaluators.base import Artifact
from search_spaces.vocabulary import Value
from tuner.passes import PassError, all_passes

THREADS = """
import os, sys
import onnxruntime_genai as og
before = len(os.listdir("/proc/self/task"))
model = og.Model(sys.argv[1])
print(len(os.listdir("/proc/self/task")) - before)
"""


@pytest.fixture(scope="module")
def built(tiny_genai: Path) -> Artifact:
    return Artifact("genai", tiny_genai)


def options(model: Artifact) -> dict[str, Any]:
    config = json.loads((model.path / "genai_config.json").read_text())
    found: dict[str, Any] = config["model"]["decoder"]["session_options"]
    return found


def cores() -> int:
    return len(os.sched_getaffinity(0))


def test_options_are_written_under_the_runtime_s_names(built: Artifact, run_pass: Runner) -> None:
    made = run_pass(
        "session",
        built,
        intra_op_num_threads=3,
        graph_optimization_level="basic",
        allow_spinning=False,
        enable_cpu_mem_arena=False,
        enable_mem_pattern=False,
    )
    assert options(built).items() <= options(made).items()
    assert (
        options(made).items()
        >= {
            "intra_op_num_threads": 3,
            "graph_optimization_level": "ORT_ENABLE_BASIC",
            "session.intra_op.allow_spinning": "0",
            "enable_cpu_mem_arena": False,
            "enable_mem_pattern": False,
        }.items()
    )


def test_rest_of_the_configuration_stays(built: Artifact, run_pass: Runner) -> None:
    made = run_pass("session", built, intra_op_num_threads=1)
    before, after = (json.loads((m.path / "genai_config.json").read_text()) for m in (built, made))
    for config in (before, after):
        del config["model"]["decoder"]["session_options"]
    assert after == before


def test_zero_threads_become_the_number_of_cores(built: Artifact, run_pass: Runner) -> None:
    assert options(run_pass("session", built))["intra_op_num_threads"] == cores()


def test_cores_are_part_of_the_key_only_where_they_decide() -> None:
    pass_ = all_passes()["session"]
    assert pass_.environment(filled_in(pass_, {})) == {"cores": str(cores())}
    assert pass_.environment(filled_in(pass_, {"intra_op_num_threads": 2})) == {}


def test_weights_are_shared_not_copied(built: Artifact, run_pass: Runner) -> None:
    made = run_pass("session", built)
    assert (made.path / "model.onnx.data").samefile(built.path / "model.onnx.data")
    assert not (made.path / "genai_config.json").samefile(built.path / "genai_config.json")


def test_session_can_follow_a_session(built: Artifact, run_pass: Runner) -> None:
    twice = run_pass("session", run_pass("session", built), intra_op_num_threads=5)
    assert options(twice)["intra_op_num_threads"] == 5


def threads_started(model: Artifact) -> int:
    command = [sys.executable, "-c", THREADS, str(model.path)]
    return int(subprocess.check_output(command, text=True))


def test_runtime_starts_as_many_threads_as_told(built: Artifact, run_pass: Runner) -> None:
    one, four = (run_pass("session", built, intra_op_num_threads=n) for n in (1, 4))
    assert threads_started(four) - threads_started(one) == 3


@pytest.mark.parametrize(
    "changes",
    [
        *({"graph_optimization_level": level} for level in ("disable", "basic", "extended", "all")),
        {"allow_spinning": False},
        {"enable_cpu_mem_arena": False, "enable_mem_pattern": False},
    ],
)
def test_results_do_not_depend_on_options(
    changes: dict[str, Value], built: Artifact, run_pass: Runner
) -> None:
    made = run_pass("session", built, **changes)
    np.testing.assert_allclose(next_logits(made), next_logits(built), rtol=0, atol=1e-3)


def test_folder_that_is_no_genai_model_is_refused(
    built: Artifact, run_pass: Runner, tmp_path: Path
) -> None:
    with pytest.raises(PassError, match=r"it has no genai_config\.json"):
        run_pass("session", Artifact("genai", tmp_path))
    broken = shutil.copytree(built.path, tmp_path / "broken")
    (broken / "genai_config.json").write_text('{"model": {}}')
    with pytest.raises(PassError, match="cannot be read as a GenAI configuration"):
        run_pass("session", Artifact("genai", broken))
