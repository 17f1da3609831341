"""What the GenAI builder pass builds, what it tells the builder, and what it refuses."""

from __future__ import annotations

import ast
import json
import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext, suppress
from itertools import product
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import onnx
import pytest
import tiny_models
from pass_support import PROMPT, Runner, Zoo, filled_in, next_logits

from evaluators.base import Artifact, MeasurementError
from evaluators.runtimes.genai import Generation
from evaluators.runtimes.scoring import Scoring
from search_spaces.vocabulary import Value
from tuner.genai import builder
from tuner.genai.errors import Unbuildable
from tuner.genai.legality import PRECISIONS_OF, refuse_model
from tuner.genai.options import NOT_OFFERED, OFFERED, builder_options
from tuner.passes import PassError, all_passes

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
    outcome: AbstractContextManager[object] = pytest.raises(PassError, match="reshape")
    with suppress(Unbuildable):
        refuse_model(config, parameters)
        outcome = nullcontext()
    monkeypatch.setattr(builder, "refuse_model", lambda *_: None)
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
    with pytest.raises(PassError, match="does not know NeverHeardOfForCausalLM"):
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


# Every option of the builder


def options_read() -> set[str]:
    """The keys that the installed builder asks its options for, wherever it does."""
    import onnxruntime_genai

    found: set[str] = set()
    for path in (Path(onnxruntime_genai.__file__).parent / "models").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            found |= {key for key in _keys(node) if not key.startswith("_")}
    return found - {"hf_details"}  # what the builder hands to itself


def _keys(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
        holder, key = node.func.value, node.args[0]
        if node.func.attr != "get":
            return
    elif isinstance(node, ast.Subscript):
        holder, key = node.value, node.slice
    elif isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.In):
        holder, key = node.comparators[0], node.left
    else:
        return
    if ast.unparse(holder).endswith("extra_options") and isinstance(key, ast.Constant):
        yield str(key.value)


def test_every_option_that_the_builder_reads_is_a_parameter_or_left_out_for_a_reason() -> None:
    read = options_read()
    assert len(read) > 40
    assert read - {*OFFERED} - NOT_OFFERED.keys() == set()
    assert not NOT_OFFERED.keys() & {*OFFERED}


OTHERS: dict[str, dict[str, Value]] = {
    "unquantized_nodes": {"unquantized_nodes": ("/lm_head/MatMul",)},
    "kv_cache": {"kv_cache": "int8_per_tensor", "kv_cache_scales": "scales.json"},
    "kv_cache_scales": {"kv_cache": "int8_per_tensor", "kv_cache_scales": "scales.json"},
    "paged_chunk_size": {"paged_attention": True, "paged_chunk_size": 64},
    "paged_batch_size": {"paged_attention": True, "paged_batch_size": 8},
    "paged_scheduled_tokens": {"paged_attention": True, "paged_scheduled_tokens": 64},
    "paged_blocks": {"paged_attention": True, "paged_blocks": 100},
    "paged_memory": {"paged_attention": True, "paged_memory": 0.5},
    "paged_block_size": {"paged_attention": True, "paged_block_size": 64},
    "kv_cache_rotation": {"paged_attention": True, "kv_cache_rotation": "hadamard"},
}


def test_every_parameter_says_something_to_the_builder() -> None:
    spec = all_passes()["genai_builder"].spec
    told: set[str] = set()
    for parameter in spec.parameters:
        values = [v for v in parameter.choices or (False, True) if v != parameter.default]
        changes = OTHERS.get(parameter.name, {parameter.name: values[0]})
        said = set()
        for provider in PRECISIONS_OF:
            where: dict[str, Value] = {"execution_provider": provider, "precision": "int4"}
            plain = builder_options(with_defaults(**where))
            changed = builder_options(with_defaults(**(where | changes)))
            said |= {key for key in changed if plain.get(key) != changed[key]}
            told |= changed.keys()
        assert said or parameter.name in ("precision", "execution_provider", "activation_dtype")
    told |= builder_options(
        with_defaults(execution_provider="webgpu", activation_dtype="fp32")
    ).keys()
    told |= builder_options(
        with_defaults(execution_provider="cuda", activation_dtype="bf16")
    ).keys()
    assert {*OFFERED} <= told


# Other providers


BUILDS = [(provider, p) for provider, precisions in PRECISIONS_OF.items() for p in precisions]
NEAR = {"fp32": 1e-3, "fp16": 0.05, "int8": 0.6}


def scored(model: Artifact) -> np.ndarray:
    """The logits after PROMPT as accuracy sees them."""
    ids = np.array([tiny_models.tokenizer()(PROMPT).input_ids], np.int64)
    return Scoring(model.path).step(ids, None, keep=False)[0][0]


@pytest.mark.parametrize(("provider", "precision"), BUILDS)
def test_build_for_any_provider_is_scored_here_or_refused_in_words(
    provider: str, precision: str, phi3: Artifact, run_pass: Runner
) -> None:
    built = run_pass("genai_builder", phi3, execution_provider=provider, precision=precision)
    if precision == "bf16":
        with pytest.raises(MeasurementError, match="computes in bf16"):
            scored(built)
        return
    error = np.abs(scored(built) - next_logits(phi3))
    assert error.max() < NEAR.get(precision, 5)
    assert error.mean() > 0.05 or precision != "int4"


@pytest.mark.parametrize(
    ("provider", "precision"),
    [
        pair
        for pair in product(PRECISIONS_OF, ("fp32", "fp16", "bf16", "int8"))
        if pair not in BUILDS
    ],
)
def test_precision_that_a_provider_cannot_run_is_refused_with_those_it_can(
    provider: str, precision: str
) -> None:
    pass_ = all_passes()["genai_builder"]
    [said] = pass_.check(with_defaults(execution_provider=provider, precision=precision))
    assert said.startswith(f"precision {precision} cannot run on {provider}: ")
    assert said.endswith(f"or {PRECISIONS_OF[provider][-1]}")


@pytest.mark.parametrize("provider", ["cuda", "dml", "NvTensorRtRtx"])
def test_fp32_is_refused_where_the_builder_writes_a_graph_that_nothing_opens(
    provider: str, phi3: Artifact, run_pass: Runner
) -> None:
    built = run_pass("genai_builder", phi3, execution_provider=provider, precision="fp32")
    with pytest.raises(MeasurementError, match="does not exist in the graph"):
        Scoring(built.path)


def test_steps_after_the_prompt_agree_between_cache_types(
    phi3: Artifact, run_pass: Runner, scales: str
) -> None:
    ids = np.array([tiny_models.tokenizer()(PROMPT).input_ids] * 2, np.int64)
    found = []
    for changes in ({}, {"kv_cache": "int8_per_tensor", "kv_cache_scales": scales}):
        built = run_pass("genai_builder", phi3, precision="fp32", **changes)
        scoring = Scoring(built.path)
        _, cache = scoring.step(ids[:, :-1], None, keep=True)
        found.append(scoring.step(ids[:, -1:], cache, keep=False)[0])
        assert {values.dtype.name for values in cache.values()} == {
            "int8" if changes else "float32"
        }
    assert 1e-4 < np.abs(found[0] - found[1]).max() < 0.5


# What single options do


@pytest.fixture(scope="module")
def scales(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A file of cache scales for two layers."""
    file = tmp_path_factory.mktemp("scales") / "scales.json"
    one = [0.05, 0.05]
    file.write_text(json.dumps({"scales": {"k_scales": one, "v_scales": one}, "qmax": 128}))
    return str(file)


def graph_of(model: Artifact) -> Any:
    return onnx.load(model.path / "model.onnx", load_external_data=False).graph


def test_other_bits_for_the_head_or_for_sensitive_layers(phi3: Artifact, run_pass: Runner) -> None:
    head = quantised_nodes(run_pass("genai_builder", phi3, head_precision="int8"))
    assert {n["bits"] for name, n in head.items() if "lm_head" in name} == {8}
    assert {n["bits"] for name, n in head.items() if "lm_head" not in name} == {4}
    both = quantised_nodes(run_pass("genai_builder", phi3, sensitive_precision="int8"))
    assert {n["bits"] for n in both.values()} == {4, 8}


def test_embedding_is_quantised_where_asked(phi3: Artifact, run_pass: Runner) -> None:
    usual = run_pass("genai_builder", phi3)
    small = run_pass("genai_builder", phi3, quantize_embedding=True)
    assert size(usual) - size(small) > 0.7 * 600 * 64 * 4
    assert "GatherBlockQuantized" in {node.op_type for node in graph_of(small).node}


def test_nodes_that_stay_in_floats(phi3: Artifact, run_pass: Runner) -> None:
    built = run_pass("genai_builder", phi3, unquantized_nodes=("/lm_head/MatMul",))
    assert not any("lm_head" in name for name in quantised_nodes(built))
    with pytest.raises(PassError, match=r"no matrix '/lm_hed/MatMul'.*'/lm_head/MatMul"):
        run_pass("genai_builder", phi3, unquantized_nodes=("/lm_hed/MatMul",))


def test_dequantise_multiply_pairs_compute_the_same(phi3: Artifact, run_pass: Runner) -> None:
    usual = run_pass("genai_builder", phi3, accuracy_level=1)
    pairs = run_pass("genai_builder", phi3, qdq=True, accuracy_level=1)
    assert "DequantizeLinear" in {node.op_type for node in graph_of(pairs).node}
    np.testing.assert_allclose(scored(pairs), scored(usual), rtol=0, atol=0.3)


@pytest.mark.parametrize(
    ("changes", "operators"),
    [
        ({"fuse_qkv": False}, {"q_proj", "k_proj", "v_proj"}),
        ({"fuse_gate_up": True}, {"gate_up_proj"}),
        ({"prune_head": True}, set()),
        ({"hidden_states": True}, set()),
        ({"device_initializers": True}, set()),
    ],
)
def test_graph_is_another_and_computes_the_same(
    changes: dict[str, Value], operators: set[str], phi3: Artifact, run_pass: Runner
) -> None:
    built = run_pass("genai_builder", phi3, precision="fp32", **changes)
    names = {part for node in graph_of(built).node for part in node.name.split("/")}
    assert operators <= names
    np.testing.assert_allclose(scored(built), next_logits(phi3), rtol=0, atol=1e-3)
    assert next_logits(built)[:5] == pytest.approx(scored(built)[:5], abs=1e-3)


def test_pruned_head_gives_one_position(phi3: Artifact, run_pass: Runner) -> None:
    built = run_pass("genai_builder", phi3, precision="fp32", prune_head=True)
    generation = Generation(built.path)
    prompt = np.array([tiny_models.tokenizer()(PROMPT).input_ids], np.int32)
    generation.check(prompt, 4)
    assert "logits" in {output.name for output in graph_of(built).output}
    assert generation._start(prompt, 4).get_output("logits").shape[1] == 1


@pytest.mark.parametrize(
    ("provider", "key", "value"),
    [("cuda", "enable_cuda_graph", "1"), ("webgpu", "enableGraphCapture", "1")],
)
def test_graph_capture_is_asked_of_the_provider(
    provider: str, key: str, value: str, phi3: Artifact, run_pass: Runner
) -> None:
    built = run_pass("genai_builder", phi3, execution_provider=provider, graph_capture=True)
    config = json.loads((built.path / "genai_config.json").read_text())
    [entry] = config["model"]["decoder"]["session_options"]["provider_options"]
    assert next(iter(entry.values()))[key] == value


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"paged_attention": True}, "paged_attention"),
        ({"prepacked_for": "sm80"}, "ordered for one GPU's kernels"),
        ({"activation_dtype": "bf16"}, "computes in bf16"),
    ],
)
def test_what_only_a_gpu_computes_is_built_and_not_scored(
    changes: dict[str, Value], said: str, phi3: Artifact, run_pass: Runner
) -> None:
    built = run_pass("genai_builder", phi3, execution_provider="cuda", **changes)
    assert (
        all_passes()["genai_builder"].check(with_defaults(execution_provider="cuda", **changes))
        == []
    )
    with pytest.raises(MeasurementError, match=said):
        Scoring(built.path)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"qdq": True, "algorithm": "rtn_last"}, "matrices of 8 bits"),
        ({"qdq": True, "head_precision": "int8"}, "matrices of 8 bits"),
        ({"qdq": True, "quantize_embedding": True}, "quantised embedding"),
        ({"kv_cache": "int8_per_tensor"}, "needs kv_cache_scales"),
        ({"kv_cache": "int8_per_token"}, "needs execution_provider cuda and paged_attention"),
        ({"kv_cache": "int8_per_tensor", "kv_cache_scales": "/no/such"}, "No such file"),
        ({"moe_precision": "mxfp4"}, "is for cuda, not cpu"),
        ({"execution_provider": "cuda", "moe_precision": "int2"}, "moe_block_size 64 or 128"),
        ({"execution_provider": "cuda", "activation_dtype": "fp32"}, "is for webgpu"),
        (
            {"execution_provider": "cuda", "prepacked_for": "sm90", "block_size": 32},
            "needs block_size 64 or 128, not 32",
        ),
        (
            {
                "execution_provider": "webgpu",
                "activation_dtype": "fp32",
                "paged_attention": True,
            },
            "needs activations in fp16",
        ),
    ],
)
def test_impossible_combination_is_refused_before_it_runs(
    changes: dict[str, Value], said: str
) -> None:
    [problem] = all_passes()["genai_builder"].check(with_defaults(**changes))
    assert said in problem


@pytest.mark.parametrize(
    ("changes", "remedy"),
    [
        ({"head_precision": "int8"}, {"share_embeddings": False}),
        ({"head_precision": "int8"}, {"algorithm": "rtn"}),
        ({"qdq": True}, {"share_embeddings": False}),
        ({"execution_provider": "NvTensorRtRtx"}, {"share_embeddings": False}),
    ],
)
def test_table_that_embedding_and_head_cannot_share_is_refused_with_what_helps(
    changes: dict[str, Value],
    remedy: dict[str, Value],
    llama: Artifact,
    run_pass: Runner,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(PassError, match="tied to its output head"):
        run_pass("genai_builder", llama, **changes)
    helped = run_pass("genai_builder", llama, **(changes | remedy))
    assert np.isfinite(scored(helped)).all()
    monkeypatch.setattr(builder, "refuse_model", lambda *_: None)
    with pytest.raises((PassError, MeasurementError)):
        scored(run_pass("genai_builder", llama, **changes))


# Weights that come packed


@pytest.mark.parametrize("provider", ["cpu", "cuda", "dml", "webgpu"])
def test_packed_weights_are_taken_as_they_are(
    provider: str, models: Models, run_pass: Runner
) -> None:
    packed = models("quantized")
    built = run_pass(
        "genai_builder",
        packed,
        execution_provider=provider,
        accuracy_level=1,
        share_embeddings=False,
        unquantized_nodes=("/lm_head/MatMul",),
    )
    tolerance = 1e-3 if provider == "cpu" else 0.05
    np.testing.assert_allclose(scored(built), next_logits(packed), rtol=0, atol=tolerance)


def test_packed_weights_are_refused_where_they_would_be_written_wrongly(
    zoo: Zoo, run_pass: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = zoo.model("phi3", "quantized")
    with pytest.raises(PassError, match="packed weights wrongly for NvTensorRtRtx"):
        run_pass("genai_builder", packed, execution_provider="NvTensorRtRtx")
    monkeypatch.setattr(builder, "refuse_model", lambda *_: None)
    wrong = run_pass("genai_builder", packed, execution_provider="NvTensorRtRtx")
    assert np.abs(scored(wrong) - next_logits(packed)).max() > 2


def test_content_of_the_scales_is_a_part_of_the_key(tmp_path: Path) -> None:
    pass_, file = all_passes()["genai_builder"], tmp_path / "scales.json"
    parameters = with_defaults(kv_cache="int8_per_tensor", kv_cache_scales=str(file))
    assert pass_.environment(with_defaults()) == {}
    keys = []
    for text in ("{}", "[]"):
        file.write_text(text)
        keys.append(pass_.environment(parameters)["kv_cache_scales"])
    assert keys[0] != keys[1]
