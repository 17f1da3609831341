"""What passes say that they can explain, and what they really do to the tiny models."""

from __future__ import annotations

import pytest
from pass_support import Runner, Zoo, filled_in

from evaluators.base import Artifact
from evaluators.fidelity import compare
from search_spaces.data import DataSpec
from search_spaces.vocabulary import Value
from tuner.passes import all_passes
from tuner.passes.tolerances import EXACT, HALF, of_bits

Changes = dict[str, Value]

EXPLAIN_NOTHING = {"drop_layers", "full_finetune", "lora", "qlora"}


def tolerance(name: str, model_format: str, **changes: Value) -> float | None:
    pass_ = all_passes()[name]
    return pass_.tolerance(filled_in(pass_, changes, model_format), model_format)


def within(name: str, model: Artifact, run_pass: Runner, data: DataSpec, changes: Changes) -> bool:
    """Whether the pass's result lies within half of what it explains, and not everything does."""
    explained = tolerance(name, model.format, **changes)
    assert explained is not None
    return compare(model, run_pass(name, model, **changes), data).drift.kl < explained / 2


def test_only_what_trains_or_removes_layers_may_change_everything() -> None:
    passes = [p for p in all_passes().values() if type(p).__module__.startswith("tuner.")]
    silent = {
        p.spec.name
        for p in passes
        if all(tolerance(p.spec.name, format_) is None for format_ in p.spec.accepts)
    }
    assert silent == EXPLAIN_NOTHING | {"session"}


def test_fewer_bits_explain_more() -> None:
    found = [of_bits(bits) for bits in (32, 16, 8, 4)]
    assert found == sorted(found, key=lambda bound: bound or 0)
    assert found[0] == EXACT
    assert of_bits(2) is None, "at 2 bits nothing is too far"


@pytest.mark.parametrize(
    ("changes", "bits"),
    [
        ({"precision": "fp32"}, 32),
        ({"precision": "fp16", "execution_provider": "cuda"}, 16),
        ({"precision": "bf16", "execution_provider": "cuda"}, 16),
        ({"precision": "int8"}, 8),
        ({"precision": "int8", "head_precision": "int4"}, 4),
        ({"precision": "int8", "moe_precision": "int2"}, 2),
        ({"precision": "fp32", "kv_cache": "int8_per_tensor"}, 8),
        ({"precision": "fp16", "execution_provider": "cuda", "kv_cache": "fp8_per_tensor"}, 8),
        ({"precision": "int4"}, 4),
    ],
)
def test_a_build_explains_what_its_fewest_bits_do(changes: Changes, bits: int) -> None:
    assert tolerance("genai_builder", "hf", **changes) == of_bits(bits)
    assert tolerance("multi_lora", "adapter", **changes) == of_bits(bits)


def test_of_packed_layers_less_can_be_explained_than_where_all_is_rounded() -> None:
    packed, whole = tolerance("genai_builder", "quantized"), of_bits(4)
    assert packed is not None
    assert whole is not None
    assert HALF < packed < whole


def test_a_session_explains_something_only_where_an_option_can_change_numbers() -> None:
    assert tolerance("session", "onnx", intra_op_num_threads=2, allow_spinning=False) is None
    assert tolerance("session", "genai", graph_optimization_level="basic") is None
    approximate = tolerance("session", "onnx", gelu_approximation=True)
    elsewhere = tolerance("session", "genai", execution_provider="openvino")
    assert approximate is not None
    assert elsewhere is not None
    assert approximate < elsewhere


@pytest.mark.parametrize(
    ("name", "format_", "changes"),
    [
        ("genai_builder", "hf", {"precision": "fp32"}),
        ("genai_builder", "hf", {"precision": "int8"}),
        ("genai_builder", "hf", {"precision": "int4", "block_size": 64, "algorithm": "rtn"}),
        ("rtn", "hf", {"bits": 8}),
        ("weight_only", "genai", {"bits": 8}),
    ],
)
def test_language_models_lie_within_what_is_explained(
    name: str, format_: str, changes: Changes, zoo: Zoo, run_pass: Runner, tones: DataSpec
) -> None:
    assert within(name, zoo.model("llama", format_), run_pass, tones, changes)


def test_a_quantised_graph_that_is_run_unfused_lies_within_what_is_explained(
    zoo: Zoo, run_pass: Runner, tones: DataSpec
) -> None:
    quantised = zoo.made("static_int8", "bert", "onnx")
    assert within("session", quantised, run_pass, tones, {"graph_optimization_level": "disable"})


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("session", {"gelu_approximation": True}),
        ("session", {"graph_optimization_level": "disable"}),
        ("optimize_graph", {"approximate_gelu": True}),
        ("optimize_graph", {"tool": "onnxslim"}),
        ("weight_only", {"bits": 8}),
        ("static_int8", {"calibration": "percentile", "percentile": 99.0}),
    ],
)
def test_classifiers_lie_within_what_is_explained(
    name: str, changes: Changes, zoo: Zoo, run_pass: Runner, tones: DataSpec
) -> None:
    assert within(name, zoo.model("bert", "onnx"), run_pass, tones, changes)
