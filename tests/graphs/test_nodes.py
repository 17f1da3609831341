"""Finding nodes in a graph by what a person says of them."""

from __future__ import annotations

import onnx
import pytest
from onnx import helper

from tuner.graphs import nodes
from tuner.passes import PassError

FLOAT, INT = onnx.TensorProto.FLOAT, onnx.TensorProto.INT64


@pytest.fixture(scope="module")
def graph() -> onnx.ModelProto:
    """Scores of which some are masked: softmax(x w + lowest * (1 - mask)) and a second product."""
    made = [
        helper.make_node("Cast", ["attention_mask"], ["m"], "mask/Cast", to=FLOAT),
        helper.make_node("Sub", ["one", "m"], ["hidden"], "mask/Sub"),
        helper.make_node("Mul", ["hidden", "lowest"], ["bias"], "mask/Mul"),
        helper.make_node("MatMul", ["x", "w"], ["s"], "layer.0/score/MatMul"),
        helper.make_node("Add", ["s", "bias"], ["masked"], "layer.0/score/Add"),
        helper.make_node("Softmax", ["masked"], ["p"], "layer.0/Softmax"),
        helper.make_node("MatMul", ["p", "x"], ["v"], "layer.0/value/MatMul"),
        helper.make_node("Add", ["v", "one"], ["y"], "layer.1/Add"),
    ]
    inputs = [
        helper.make_tensor_value_info("x", FLOAT, [4, 4]),
        helper.make_tensor_value_info("attention_mask", INT, [1, 4]),
    ]
    constants = [
        helper.make_tensor("w", FLOAT, [4, 4], [1.0] * 16),
        helper.make_tensor("one", FLOAT, [], [1.0]),
        helper.make_tensor("lowest", FLOAT, [], [-3.4e38]),
    ]
    outputs = [helper.make_tensor_value_info("y", FLOAT, [4, 4])]
    return helper.make_model(helper.make_graph(made, "main", inputs, outputs, constants))


def test_masking_ends_behind_the_softmax(graph: onnx.ModelProto) -> None:
    assert nodes.masking(graph) == {
        "mask/Cast",
        "mask/Sub",
        "mask/Mul",
        "layer.0/score/Add",
        "layer.0/Softmax",
    }


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (("layer.1/Add",), ["layer.1/Add"]),
        (("*/Add", "layer.1/*"), ["layer.0/score/Add", "layer.1/Add"]),
        ("layer.0/*/MatMul", ["layer.0/score/MatMul", "layer.0/value/MatMul"]),
        ((), []),
    ],
)
def test_names_and_patterns_mean_nodes_in_the_order_of_the_graph(
    graph: onnx.ModelProto, wanted: tuple[str, ...] | str, found: list[str]
) -> None:
    assert nodes.matching(graph, "exclude_nodes", wanted) == found


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ("layer.1/Ad", "exclude_nodes: this graph has no node 'layer.1/Ad'; did you mean 'layer.1"),
        ("*/scores/*", "did you mean 'layer.0/score/MatMul' or 'layer.0/score/Add'?"),
        ("zzz", "its names are like 'mask/Cast', 'mask/Sub' or 'mask/Mul'"),
    ],
)
def test_a_name_that_means_nothing_is_an_error_with_the_nearest(
    graph: onnx.ModelProto, wanted: str, said: str
) -> None:
    with pytest.raises(PassError) as caught:
        nodes.matching(graph, "exclude_nodes", (wanted,))
    assert said in str(caught.value)


def test_products_with_and_without_a_stored_matrix_are_told_apart(graph: onnx.ModelProto) -> None:
    assert [(n.name, shape) for n, shape in nodes.matrices(graph)] == [
        ("layer.0/score/MatMul", (4, 4))
    ]
    assert nodes.products_of_activations(graph) == ["layer.0/value/MatMul"]
