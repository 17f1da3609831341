"""ONNX models in 16 bits."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto
from onnx_support import distance, graph, logits, node_names, size
from pass_support import Runner, Zoo

from evaluators.base import Artifact
from search_spaces.vocabulary import Value
from tuner.passes import PassError


@pytest.fixture(scope="module")
def classifier(zoo: Zoo) -> Artifact:
    return zoo.model("bert", "onnx")


def test_it_is_half_as_large_and_says_nearly_the_same(
    classifier: Artifact, run_pass: Runner
) -> None:
    made = run_pass("float16", classifier)
    assert distance(made, classifier) < 0.01
    assert size(made) < 0.65 * size(classifier)  # of a graph this small much is no weight
    assert logits(made).dtype == np.float32


def test_logits_in_16_bits_when_asked_for(classifier: Artifact, run_pass: Runner) -> None:
    made = run_pass("float16", classifier, keep_io=False)
    assert logits(made).dtype == np.float16


def test_blocked_operators_and_nodes_keep_32_bits(classifier: Artifact, run_pass: Runner) -> None:
    whole, without = (
        run_pass("float16", classifier),
        run_pass(
            "float16", classifier, op_block_list=("Softmax",), node_block_list=("*classifier*",)
        ),
    )
    casts = len(node_names(without, "Cast")) - len(node_names(whole, "Cast"))
    assert casts >= 2 * len(node_names(without, "Softmax"))
    floats = [t for t in graph(without).graph.initializer if t.data_type == TensorProto.FLOAT]
    assert any("classifier" in tensor.name for tensor in floats)


def test_weights_are_cut_to_the_range_given(classifier: Artifact, run_pass: Runner) -> None:
    from onnx import numpy_helper

    made = run_pass("float16", classifier, max_finite=1.0, min_positive=0.01)
    halves = [t for t in graph(made).graph.initializer if t.data_type == TensorProto.FLOAT16]
    matrices = [numpy_helper.to_array(t) for t in halves if len(t.dims) == 2]
    assert matrices
    for matrix in matrices:
        assert np.abs(matrix).max() <= 1.0
        assert np.abs(matrix[matrix != 0]).min() >= np.float16(0.01)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"op_block_list": ("Softmx",)}, "did you mean 'Softmax'"),
        ({"node_block_list": ("clasifier",)}, "no node 'clasifier'; did you mean .*classifier"),
    ],
)
def test_what_the_graph_does_not_have_cannot_be_blocked(
    classifier: Artifact, run_pass: Runner, changes: dict[str, Value], said: str
) -> None:
    with pytest.raises(PassError, match=said):
        run_pass("float16", classifier, **changes)


def test_a_graph_in_integers_is_refused(classifier: Artifact, run_pass: Runner) -> None:
    integers = run_pass("dynamic_int8", classifier)
    with pytest.raises(PassError, match="quantised already"):
        run_pass("float16", integers)


def test_a_graph_in_16_bits_is_refused(classifier: Artifact, run_pass: Runner) -> None:
    with pytest.raises(PassError, match="no 32-bit floats"):
        run_pass("float16", run_pass("float16", classifier))


def test_packed_matrices_may_be_multiplied_in_16_bits(
    classifier: Artifact, run_pass: Runner
) -> None:
    packed = run_pass("weight_only", classifier, bits=8)
    assert distance(run_pass("float16", packed), packed) < 0.02
