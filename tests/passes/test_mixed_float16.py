"""ONNX models in 16 bits, but for sensitive operators."""

from __future__ import annotations

import pytest
from onnx import TensorProto
from onnx_support import distance, graph, node_names
from pass_support import Exporter, Runner, Zoo, filled_in

from evaluators.base import Artifact
from tuner.passes import PassError
from tuner.passes.mixed_float16 import MixedFloat16


@pytest.fixture(scope="module")
def classifier(zoo: Zoo) -> Artifact:
    return zoo.model("bert", "onnx")


def test_sensitive_operators_read_32_bits(classifier: Artifact, run_pass: Runner) -> None:
    made = run_pass("mixed_float16", classifier)
    casts = {node.output[0]: node for node in graph(made).graph.node if node.op_type == "Cast"}
    softmaxes = [node for node in graph(made).graph.node if node.op_type == "Softmax"]
    assert softmaxes
    for node in softmaxes:
        (to,) = (a.i for a in casts[node.input[0]].attribute if a.name == "to")
        assert to == TensorProto.FLOAT


def test_it_is_no_further_from_32_bits_than_16_bits_all_over(
    classifier: Artifact, run_pass: Runner
) -> None:
    mixed = run_pass("mixed_float16", classifier, keep_last=64)
    assert distance(mixed, classifier) < distance(run_pass("float16", classifier), classifier)


def test_the_last_products_keep_32_bits(classifier: Artifact, run_pass: Runner) -> None:
    made = run_pass("mixed_float16", classifier, op_block_list=(), keep_last=1)
    floats = {t.name for t in graph(made).graph.initializer if t.data_type == TensorProto.FLOAT}
    (last,) = node_names(made, "Gemm")[-1:]
    read = {name for n in graph(made).graph.node if n.name == last for name in n.input}
    assert floats & read
    assert all(
        name not in floats for n in graph(made).graph.node if n.name != last for name in n.input
    )


def test_it_works_on_fused_operators(classifier: Artifact, run_pass: Runner) -> None:
    fused = run_pass("optimize_graph", classifier)
    made = run_pass("mixed_float16", fused)
    assert node_names(made, "Attention")
    assert distance(made, classifier) < 0.01


def test_graphs_whose_types_nobody_infers_are_refused_with_what_works(
    exported: Exporter, run_pass: Runner
) -> None:
    whole = exported(exporter="dynamo", attention="sdpa", opset=23)
    with pytest.raises(PassError, match="opset below 23, or leave optimize_graph out"):
        run_pass("mixed_float16", run_pass("optimize_graph", whole))
    assert distance(run_pass("mixed_float16", whole), whole) < 0.01


def test_a_conversion_that_keeps_nothing_is_refused() -> None:
    pass_ = MixedFloat16()
    (problem,) = pass_.check(filled_in(pass_, {"op_block_list": ()}))
    assert "use float16" in problem


def test_operators_that_the_graph_does_not_have_are_an_error(
    classifier: Artifact, run_pass: Runner
) -> None:
    with pytest.raises(PassError, match="none of the operators in op_block_list"):
        run_pass("mixed_float16", classifier, op_block_list=("Resize",))
