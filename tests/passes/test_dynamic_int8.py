"""Weights in 8 bits, activations rounded while the model runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tiny_models
from onnx import numpy_helper
from onnx_support import distance, graph, inode, node_names, operators, size
from pass_support import Exporter, Runner, Zoo, filled_in, next_logits

from evaluators.base import Artifact
from search_spaces.vocabulary import Value
from tuner.models.checkpoint import load_classifier, load_tokenizer
from tuner.passes import PassError
from tuner.passes.dynamic_int8 import DynamicInt8


@pytest.fixture(scope="module")
def classifier(zoo: Zoo) -> Artifact:
    return zoo.model("bert", "onnx")


@pytest.fixture(scope="module")
def uneven(bert: Artifact, run_pass: Runner, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """The classifier with a few large columns in each query, undone in the keys."""
    import torch

    model = load_classifier(bert.path, sorted(tiny_models.PHRASES), dtype=torch.float32)
    with torch.no_grad():
        for layer in model.bert.encoder.layer:
            query, key = layer.attention.self.query, layer.attention.self.key
            for parameter, factor in ((query, 30), (key, 1 / 30)):
                parameter.weight[::16] *= factor
                parameter.bias[::16] *= factor
    folder = tmp_path_factory.mktemp("uneven")
    model.save_pretrained(folder)
    load_tokenizer(bert.path).save_pretrained(folder)
    return run_pass("onnx_export", Artifact("hf", folder))


def stored(model: Artifact, ending: str) -> list[np.ndarray]:
    """The matrices whose name ends so."""
    tensors = [t for t in graph(model).graph.initializer if t.name.endswith(ending)]
    return [numpy_helper.to_array(t) for t in tensors if len(t.dims) == 2]


def test_it_is_smaller_and_near_and_shares_the_other_files(
    classifier: Artifact, run_pass: Runner
) -> None:
    made = run_pass("dynamic_int8", classifier)
    assert 0.001 < distance(made, classifier) < 0.15
    assert size(made) < 0.5 * size(classifier)
    assert operators(made)["MatMulInteger"] == 26  # the head too
    assert inode(made.path, "tokenizer.json") == inode(classifier.path, "tokenizer.json")


def test_a_scale_for_each_column_is_nearer_than_one_for_all(
    uneven: Artifact, run_pass: Runner
) -> None:
    each = run_pass("dynamic_int8", uneven, op_types=("MatMul",))
    one = run_pass("dynamic_int8", uneven, op_types=("MatMul",), per_channel=False)
    assert distance(each, uneven) < 0.7 * distance(one, uneven)


def test_seven_bits_are_further_away(classifier: Artifact, run_pass: Runner) -> None:
    eight = run_pass("dynamic_int8", classifier, per_channel=False)
    seven = run_pass("dynamic_int8", classifier, per_channel=False, reduce_range=True)
    assert distance(eight, classifier) < distance(seven, classifier)


@pytest.mark.parametrize(
    ("changes", "dtype", "largest"),
    [
        ({}, np.int8, 127),
        ({"reduce_range": True}, np.int8, 64),
        ({"weight_type": "quint8"}, np.uint8, 255),
        ({"weight_type": "quint8", "reduce_range": True}, np.uint8, 128),
    ],
)
def test_weights_have_the_type_and_range_asked_for(
    classifier: Artifact,
    run_pass: Runner,
    changes: dict[str, Value],
    dtype: type[np.generic],
    largest: int,
) -> None:
    made = run_pass("dynamic_int8", classifier, op_types=("MatMul",), **changes)
    matrices = stored(made, "_quantized")
    assert matrices
    assert {matrix.dtype for matrix in matrices} == {np.dtype(dtype)}
    assert max(int(matrix.max()) for matrix in matrices) <= largest
    assert max(int(matrix.max()) for matrix in matrices) > largest // 2


def test_a_zero_point_uses_all_of_the_range(classifier: Artifact, run_pass: Runner) -> None:
    changes: dict[str, Value] = {"per_channel": False, "op_types": ("MatMul",)}
    around_zero = run_pass("dynamic_int8", classifier, **changes)
    shifted = run_pass("dynamic_int8", classifier, weight_symmetric=False, **changes)
    zeros = [t for t in graph(shifted).graph.initializer if t.name.endswith("_zero_point")]
    assert any(numpy_helper.to_array(tensor).any() for tensor in zeros)
    plain = [t for t in graph(around_zero).graph.initializer if t.name.endswith("_zero_point")]
    assert not any(numpy_helper.to_array(tensor).any() for tensor in plain)


def test_products_of_attention_are_rounded_when_asked_for(
    classifier: Artifact, run_pass: Runner
) -> None:
    assert operators(run_pass("dynamic_int8", classifier))["MatMul"] == 8
    assert operators(run_pass("dynamic_int8", classifier, const_b_only=False))["MatMul"] == 0


def test_excluded_nodes_stay_by_name_by_pattern_and_by_operator(
    classifier: Artifact, run_pass: Runner
) -> None:
    first = node_names(classifier, "MatMul")[0]
    by_name = run_pass("dynamic_int8", classifier, exclude_nodes=(first,))
    assert operators(by_name)["MatMulInteger"] == 25
    assert first in node_names(by_name, "MatMul")
    by_pattern = run_pass("dynamic_int8", classifier, exclude_nodes=("*/layer.0/*",))
    assert operators(by_pattern)["MatMulInteger"] == 20
    heads = run_pass("dynamic_int8", classifier, exclude_ops=("Gemm",))
    assert operators(heads)["MatMulInteger"] == 24
    by_operator = run_pass("dynamic_int8", classifier, exclude_ops=("Gather",))
    assert size(by_operator) > size(run_pass("dynamic_int8", classifier))


def test_a_name_that_matches_nothing_is_an_error_that_names_a_near_one(
    classifier: Artifact, run_pass: Runner
) -> None:
    with pytest.raises(PassError, match=r"no node '\*/atention/\*'; did you mean .*attention"):
        run_pass("dynamic_int8", classifier, exclude_nodes=("*/atention/*",))


def test_an_operator_that_cannot_be_quantised_is_refused_before_it_runs() -> None:
    pass_ = DynamicInt8()
    (problem,) = pass_.check(filled_in(pass_, {"op_types": ("Matmul",)}))
    assert "did you mean 'MatMul'?" in problem
    (problem,) = pass_.check(filled_in(pass_, {"op_types": ()}))
    assert "op_types is empty" in problem


def test_a_graph_in_which_nothing_can_be_quantised_is_an_error(
    classifier: Artifact, run_pass: Runner
) -> None:
    with pytest.raises(PassError, match="nothing could be quantised: no LSTM"):
        run_pass("dynamic_int8", classifier, op_types=("LSTM",))


def test_a_quantised_graph_is_not_quantised_again(classifier: Artifact, run_pass: Runner) -> None:
    for name in ("dynamic_int8", "weight_only"):
        with pytest.raises(PassError, match="quantised already"):
            run_pass("dynamic_int8", run_pass(name, classifier))


def test_weights_in_16_bits_are_refused(classifier: Artifact, run_pass: Runner) -> None:
    with pytest.raises(PassError, match="16 bits"):
        run_pass("dynamic_int8", run_pass("float16", classifier))


def test_fused_attention_is_quantised_whole(classifier: Artifact, run_pass: Runner) -> None:
    made = run_pass("dynamic_int8", run_pass("optimize_graph", classifier))
    assert operators(made)["QAttention"] == 4
    assert distance(made, classifier) < 0.15


def test_attention_of_the_standard_operators_is_left_alone(
    exported: Exporter, run_pass: Runner
) -> None:
    whole = exported(exporter="dynamo", attention="sdpa", opset=23)
    made = run_pass("dynamic_int8", whole)
    assert operators(made)["Attention"] == 4
    assert distance(made, whole) < 0.15


def test_a_genai_decoder_runs_with_8_bits(tiny_genai: Path, run_pass: Runner) -> None:
    given = Artifact("genai", tiny_genai)
    made = run_pass("dynamic_int8", given)
    assert weight_file(made) < 0.5 * weight_file(given)
    assert np.corrcoef(next_logits(made), next_logits(given))[0, 1] > 0.98
    assert inode(made.path, "genai_config.json") == inode(given.path, "genai_config.json")


def weight_file(model: Artifact) -> int:
    return (model.path / "model.onnx.data").stat().st_size
