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
from pass_support import PROMPT, Runner, Zoo, filled_in, next_logits

from evaluators.base import Artifact
from evaluators.runtimes.genai import Generation
from evaluators.runtimes.onnx import Encoder
from evaluators.runtimes.providers import unavailable
from search_spaces.vocabulary import Aspect, Value
from tuner.passes import PassError, all_passes

NO_OPENVINO = unavailable("openvino")

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


@pytest.fixture(scope="module")
def classifier(zoo: Zoo) -> Artifact:
    return zoo.model("bert", "onnx")


def options(model: Artifact) -> dict[str, Any]:
    config = json.loads((model.path / "genai_config.json").read_text())
    found: dict[str, Any] = config["model"]["decoder"]["session_options"]
    return found


def session(model: Artifact) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((model.path / "session.json").read_text())
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
        {"prepacking": False},
        {"flush_denormals": True, "dynamic_block_base": 4},
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


# The provider of a GenAI model


def built_for(built: Artifact, to: Path, *providers: str) -> Artifact:
    """A copy of a model that says that it was built for other providers."""
    folder = shutil.copytree(built.path, to)
    config = json.loads((folder / "genai_config.json").read_text())
    entries = [{name: {}} for name in providers]
    config["model"]["decoder"]["session_options"]["provider_options"] = entries
    (folder / "genai_config.json").write_text(json.dumps(config))
    return Artifact("genai", folder)


def test_provider_stays_as_the_model_was_built(
    built: Artifact, run_pass: Runner, tmp_path: Path
) -> None:
    for number, providers in enumerate([(), ("cuda",), ("dml",)]):
        given = built_for(built, tmp_path / str(number), *providers)
        expected = [{name: {}} for name in providers]
        assert options(run_pass("session", given))["provider_options"] == expected


@pytest.mark.parametrize(
    ("of", "wanted", "message"),
    [
        ("cuda", "cpu", "built for cuda and cannot run on cpu: .* execution_provider cpu, or"),
        ("cuda", "openvino", "built for cuda and cannot run on openvino: .*_provider cpu, or"),
        ("dml", "cuda", "built for dml and cannot run on cuda: .*_provider cuda, or"),
        (None, "cuda", "built for cpu and cannot run on cuda: .*_provider cuda, or"),
        ("QNN", "cpu", "built for QNN and cannot run on cpu"),
    ],
)
def test_provider_that_the_model_was_not_built_for_is_refused(
    of: str | None, wanted: str, message: str, built: Artifact, run_pass: Runner, tmp_path: Path
) -> None:
    given = built_for(built, tmp_path / "built", *([] if of is None else [of]))
    with pytest.raises(PassError, match=message):
        run_pass("session", given, execution_provider=wanted)


def test_openvino_is_taken_back_by_another_session(built: Artifact, run_pass: Runner) -> None:
    there = run_pass("session", built, execution_provider="openvino")
    assert [list(entry) for entry in options(there)["provider_options"]] == [["OpenVINO"]]
    assert options(run_pass("session", there))["provider_options"]
    back = run_pass("session", there, execution_provider="cpu")
    assert options(back)["provider_options"] == []


@pytest.mark.skipif(NO_OPENVINO is not None, reason=str(NO_OPENVINO))
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_openvino_runs_a_genai_model(built: Artifact, run_pass: Runner, precision: str) -> None:
    chosen = {"execution_provider": "openvino", "inference_precision": precision}
    made = run_pass("session", built, intra_op_num_threads=1, **chosen)
    generation = Generation(made.path)
    assert generation.conditions()["device"] == "OpenVINO"
    off = np.abs(next_logits(made) - next_logits(built)).max()
    assert off < 1e-4 if precision == "fp32" else 1e-4 < off < 0.5


# Classifiers


def test_classifier_gets_its_session_and_shares_the_rest(
    classifier: Artifact, run_pass: Runner
) -> None:
    made = run_pass("session", classifier, intra_op_num_threads=1, enable_mem_pattern=False)
    before, after = ({p.name for p in m.path.iterdir()} for m in (classifier, made))
    assert after - before == {"session.json"}
    assert before < after
    assert (made.path / "model.onnx").samefile(classifier.path / "model.onnx")
    assert session(made)["execution_provider"] == "cpu"
    conditions = Encoder(made.path).conditions()
    assert conditions["threads"] == 1
    assert conditions["session_options"]["enable_mem_pattern"] is False


@pytest.mark.parametrize(
    "changes",
    [
        *({"graph_optimization_level": level} for level in ("disable", "basic", "extended", "all")),
        {"execution_mode": "parallel", "inter_op_num_threads": 2},
        {"allow_spinning": False, "dynamic_block_base": 4},
        {"enable_cpu_mem_arena": False, "enable_mem_pattern": False, "enable_mem_reuse": False},
        {"prepacking": False, "flush_denormals": True},
    ],
)
def test_classifier_runs_with_every_option(
    changes: dict[str, Value], classifier: Artifact, run_pass: Runner
) -> None:
    made = run_pass("session", classifier, intra_op_num_threads=1, **changes)
    np.testing.assert_allclose(logits(made), logits(classifier), rtol=0, atol=1e-4)


def test_approximation_of_gelu_is_seen_in_the_numbers(
    classifier: Artifact, run_pass: Runner
) -> None:
    made = run_pass("session", classifier, gelu_approximation=True)
    assert 1e-6 < np.abs(logits(made) - logits(classifier)).max() < 0.1


def test_number_of_threads_changes_no_bit(classifier: Artifact, run_pass: Runner) -> None:
    one, three = (run_pass("session", classifier, intra_op_num_threads=n) for n in (1, 3))
    assert np.array_equal(logits(one), logits(three))


def test_options_under_openvino_are_its_own(classifier: Artifact, run_pass: Runner) -> None:
    chosen = {"execution_provider": "openvino", "inference_precision": "fp32"}
    made = run_pass("session", classifier, intra_op_num_threads=3, **chosen)
    own = json.loads(session(made)["provider_options"]["load_config"])
    assert own == {"CPU": {"INFERENCE_NUM_THREADS": 3, "INFERENCE_PRECISION_HINT": "f32"}}
    kept = run_pass("session", made)
    assert session(kept)["execution_provider"] == "openvino"
    assert session(run_pass("session", made, execution_provider="cpu"))["provider_options"] == {}


@pytest.mark.skipif(NO_OPENVINO is not None, reason=str(NO_OPENVINO))
def test_openvino_runs_a_classifier(classifier: Artifact, run_pass: Runner) -> None:
    made = run_pass("session", classifier, execution_provider="openvino")
    assert Encoder(made.path).conditions()["provider"] == "OpenVINOExecutionProvider"


def test_session_that_cannot_be_read_is_refused(
    classifier: Artifact, run_pass: Runner, tmp_path: Path
) -> None:
    broken = shutil.copytree(classifier.path, tmp_path / "broken")
    (broken / "session.json").write_text('{"provider": "cpu"}')
    with pytest.raises(PassError, match="found 'provider', expected execution_provider"):
        run_pass("session", Artifact("onnx", broken))


def logits(model: Artifact) -> np.ndarray:
    encoder = Encoder(model.path)
    return encoder.logits(encoder.tokenise([PROMPT])[0])


# What its parameters decide

LATENCY = frozenset({Aspect.STRUCTURE, Aspect.RUNTIME})
ACCURACY = frozenset({Aspect.WEIGHTS, Aspect.STRUCTURE})
SIZE = frozenset({Aspect.STRUCTURE})


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, None),
        ({"intra_op_num_threads": 1, "allow_spinning": False, "dynamic_block_base": 4}, None),
        ({"execution_mode": "parallel", "inter_op_num_threads": 2}, None),
        ({"execution_provider": "cpu"}, None),
        ({"execution_provider": "cuda"}, {"execution_provider": "cuda"}),
        (
            {"execution_provider": "openvino", "intra_op_num_threads": 2},
            {"execution_provider": "openvino"},
        ),
        (
            {"execution_provider": "openvino", "inference_precision": "fp32"},
            {"execution_provider": "openvino", "inference_precision": "fp32"},
        ),
        ({"graph_optimization_level": "basic"}, {"graph_optimization_level": "basic"}),
        ({"gelu_approximation": True, "intra_op_num_threads": 1}, {"gelu_approximation": True}),
    ],
)
def test_accuracy_depends_on_what_can_change_the_numbers(
    changes: dict[str, Value], expected: dict[str, Value] | None
) -> None:
    pass_ = all_passes()["session"]
    parameters = filled_in(pass_, changes, "onnx")
    assert pass_.relevant(parameters, ACCURACY, "onnx") == expected
    assert pass_.relevant(parameters, LATENCY, "onnx") == parameters
    assert pass_.relevant(parameters, SIZE, "onnx") is None


def test_generating_models_are_scored_alike_but_on_openvino() -> None:
    pass_ = all_passes()["session"]
    level = filled_in(pass_, {"graph_optimization_level": "basic"}, "genai")
    assert pass_.relevant(level, ACCURACY, "genai") is None
    openvino = filled_in(pass_, {"execution_provider": "openvino"}, "genai")
    assert pass_.relevant(openvino, ACCURACY, "genai") == {"execution_provider": "openvino"}
