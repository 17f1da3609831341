"""What the GenAI builder pass builds, what it tells the builder, and what it refuses."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from itertools import product
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import onnx
import pytest
import tiny_models
from pass_support import PROMPT, Runner, filled_in, next_logits

from evaluators.base import Artifact
from search_spaces.vocabulary import Value
from tuner.passes import PassError, all_passes
from tuner.passes.genai_builder import builder_options, refuse_model

Models = Callable[[str], Artifact]


def size(model: Artifact) -> int:
    return sum(path.stat().st_size for path in model.path.glob("model.onnx*"))


def quantised_nodes(model: Artifact) -> dict[str, dict[str, Any]]:
    """The attributes of every quantised matrix, by node name."""
    graph = onnx.load(model.path / "model.onnx", load_external_data=False).graph
    nodes = [node for node in graph.node if node.op_type == "MatMulNBits"]
    return {
        n.name: {a.name: onnx.helper.get_attribute_value(a) for a in n.attribute} for n in nodes
    }


def with_defaults(**changes: Value) -> dict[str, Value]:
    return filled_in(all_passes()["genai_builder"], changes)


def test_neutral_build_computes_what_the_checkpoint_does(models: Models, run_pass: Runner) -> None:
    neutral = dict(all_passes()["genai_builder"].spec.neutral or {})
    built = next_logits(run_pass("genai_builder", models("hf"), **neutral))
    np.testing.assert_allclose(built, next_logits(models("hf")), rtol=0, atol=1e-3)


def test_fewer_bits_are_smaller_and_less_exact(models: Models, run_pass: Runner) -> None:
    exact = next_logits(models("hf"))
    built = [run_pass("genai_builder", models("hf"), precision=p) for p in ("fp32", "int8", "int4")]
    assert size(built[0]) > size(built[1]) > size(built[2])
    errors = [float(np.abs(next_logits(model) - exact).mean()) for model in built]
    assert errors[0] < errors[1] < errors[2]


def test_tokenizer_is_there_and_agrees(models: Models, run_pass: Runner) -> None:
    import onnxruntime_genai as og

    built = run_pass("genai_builder", models("hf"))
    ids = og.Tokenizer(og.Model(str(built.path))).encode(PROMPT)
    assert list(ids) == tiny_models.tokenizer()(PROMPT).input_ids
    assert (built.path / "chat_template.jinja").exists()


@pytest.mark.parametrize("precision", ["int8", "int4"])
def test_options_reach_the_quantised_matrices(
    precision: str, phi3: Artifact, run_pass: Runner
) -> None:
    built = run_pass(
        "genai_builder", phi3, precision=precision, block_size=64, accuracy_level=1, algorithm="rtn"
    )
    found = quantised_nodes(built).values()
    assert {(n["bits"], n["block_size"], n["accuracy_level"]) for n in found} == {
        (int(precision[3:]), 64, 1)
    }


def test_algorithm_last_keeps_the_head_in_8_bits(phi3: Artifact, run_pass: Runner) -> None:
    nodes = quantised_nodes(run_pass("genai_builder", phi3, algorithm="rtn_last"))
    assert nodes["/lm_head/MatMul_Q8"]["bits"] == 8
    assert {n["bits"] for name, n in nodes.items() if "lm_head" not in name} == {4}


@pytest.mark.parametrize("algorithm", ["default", "rtn"])
def test_asymmetric_rounding_gives_other_weights(
    algorithm: str, phi3: Artifact, run_pass: Runner
) -> None:
    one = run_pass("genai_builder", phi3, algorithm=algorithm)
    other = run_pass("genai_builder", phi3, algorithm=algorithm, symmetric=False)
    assert size(other) > size(one)  # the zero points
    assert np.abs(next_logits(other) - next_logits(one)).max() > 0.01


def test_separate_embeddings_are_larger(llama: Artifact, run_pass: Runner) -> None:
    shared = run_pass("genai_builder", llama)
    separate = run_pass("genai_builder", llama, share_embeddings=False)
    table = 600 * 64 * 4  # words, hidden size, bytes
    assert size(separate) - size(shared) > 0.9 * table


def test_unquantised_build_gets_no_quantisation_options() -> None:
    assert set(builder_options(with_defaults(precision="fp32"))) == {"hf_token"}
    assert set(builder_options(with_defaults(precision="int8"))) == {
        "hf_token",
        "block_size",
        "accuracy_level",
        "algo_config",
        "is_symmetric",
    }


def test_build_asks_nothing_of_the_network(
    phi3: Artifact, run_pass: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> NoReturn:
        raise AssertionError("the builder opened a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert size(run_pass("genai_builder", phi3)) > 0


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_precision_that_check_refuses_would_fail(
    precision: str, phi3: Artifact, run_pass: Runner
) -> None:
    assert all_passes()["genai_builder"].check(with_defaults(precision=precision))
    built = run_pass("genai_builder", phi3, precision=precision)
    with pytest.raises(RuntimeError):
        next_logits(built)


def test_asymmetric_table_shared_with_the_head_is_refused_with_what_helps(
    llama: Artifact, run_pass: Runner
) -> None:
    with pytest.raises(PassError, match=r"tied to its output head.*share_embeddings: false"):
        run_pass("genai_builder", llama, symmetric=False)
    for remedy in ({"algorithm": "rtn"}, {"share_embeddings": False}):
        built = run_pass("genai_builder", llama, symmetric=False, **remedy)
        assert np.isfinite(next_logits(built)).all()


@pytest.fixture(scope="module")
def odd_llama(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """A model with matrices of 64 and of 160 inputs."""
    return Artifact(
        "hf", tiny_models.save_llama(tmp_path_factory.mktemp("odd"), intermediate_size=160)
    )


@pytest.mark.parametrize(
    ("algorithm", "symmetric", "block"),
    [
        *product(["k_quant", "k_quant_mixed"], [True], [16, 32, 64]),
        *product(["rtn", "default"], [True], [32, 64]),
        ("rtn", False, 16),
        ("rtn", False, 32),
    ],
)
def test_block_size_is_refused_exactly_where_the_builder_fails(
    algorithm: str,
    symmetric: bool,
    block: int,
    odd_llama: Artifact,
    run_pass: Runner,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    parameters = with_defaults(algorithm=algorithm, symmetric=symmetric, block_size=block)
    config = json.loads((odd_llama.path / "config.json").read_text())
    outcome: AbstractContextManager[object] = pytest.raises(ValueError, match="reshape")
    with suppress(PassError):
        refuse_model(config, parameters)
        outcome = nullcontext()
    monkeypatch.setattr("tuner.passes.genai_builder.refuse_model", lambda *_: None)
    with outcome:
        run_pass("genai_builder", odd_llama, **parameters)


def test_refused_block_size_comes_with_those_that_fit(
    odd_llama: Artifact, run_pass: Runner
) -> None:
    with pytest.raises(PassError, match="160 weights in blocks of 32 make 5; block_size 16 fits"):
        run_pass("genai_builder", odd_llama, algorithm="k_quant")


def test_architecture_that_the_builder_does_not_know_is_refused(
    llama: Artifact, run_pass: Runner, tmp_path: Path
) -> None:
    other = shutil.copytree(llama.path, tmp_path / "other")
    config = json.loads((other / "config.json").read_text())
    config["architectures"] = ["NeverHeardOfForCausalLM"]
    (other / "config.json").write_text(json.dumps(config))
    with pytest.raises(PassError, match="does not know this model"):
        run_pass("genai_builder", Artifact("hf", other))


def test_folder_without_a_configuration_is_refused(tmp_path: Path, run_pass: Runner) -> None:
    with pytest.raises(PassError, match=r"no transformers checkpoint: config\.json"):
        run_pass("genai_builder", Artifact("hf", tmp_path))


def test_cpu_is_always_available() -> None:
    unavailable = all_passes()["genai_builder"].spec.parameter("execution_provider").unavailable
    assert unavailable is not None
    assert unavailable("cpu") is None


@pytest.mark.skipif(Path("/proc/driver/nvidia").exists(), reason="there is an NVIDIA driver")
def test_cuda_without_a_gpu_is_unavailable_with_the_reason() -> None:
    unavailable = all_passes()["genai_builder"].spec.parameter("execution_provider").unavailable
    assert unavailable is not None
    assert "NVIDIA" in (unavailable("cuda") or "")
