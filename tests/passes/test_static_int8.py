"""Weights and activations in 8 bits, with ranges measured on texts."""

from __future__ import annotations

import numpy as np
import pytest
from onnx_support import distance, graph, logits, node_names, operators
from pass_support import Exporter, Runner, Zoo, filled_in

from evaluators.base import Artifact
from search_spaces.vocabulary import Value
from tuner.passes import PassError
from tuner.passes.static_int8 import StaticInt8

FEW: dict[str, Value] = {"calibration_samples": 8}


@pytest.fixture(scope="module")
def classifier(zoo: Zoo) -> Artifact:
    return zoo.model("bert", "onnx")


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"format": "qoperator"},
        {"calibration": "entropy"},
        {"calibration": "percentile", "percentile": 99.9},
        {"moving_average": True},
        {"activation_type": "qint8", "activation_symmetric": True},
        {"weight_type": "quint8", "weight_symmetric": False},
        {"op_types": ("Gather", "Gemm", "MatMul")},
        {"const_b_only": False},
    ],
)
def test_every_way_of_measuring_and_rounding_stays_near(
    classifier: Artifact, run_pass: Runner, changes: dict[str, Value]
) -> None:
    made = run_pass("static_int8", classifier, **FEW | changes)
    assert 1e-4 < distance(made, classifier) < 0.5


def test_formats_differ_in_their_operators(classifier: Artifact, run_pass: Runner) -> None:
    pairs = operators(run_pass("static_int8", classifier, **FEW))
    integers = operators(run_pass("static_int8", classifier, format="qoperator", **FEW))
    assert pairs["DequantizeLinear"] > 24
    assert not pairs["QLinearMatMul"]
    assert integers["QLinearMatMul"] == 24


def test_finer_activations_and_scales_are_nearer(classifier: Artifact, run_pass: Runner) -> None:
    sixteen = run_pass("static_int8", classifier, activation_type="quint16")
    eight = run_pass("static_int8", classifier)
    coarse = run_pass("static_int8", classifier, per_channel=False, reduce_range=True)
    far = distance(coarse, classifier)
    assert distance(sixteen, classifier) < distance(eight, classifier) < far


def test_more_and_longer_texts_measure_better(classifier: Artifact, run_pass: Runner) -> None:
    many = run_pass("static_int8", classifier)
    few = run_pass("static_int8", classifier, calibration_samples=4)
    short = run_pass("static_int8", classifier, calibration_samples=4, calibration_length=2)
    far = distance(short, classifier)
    assert distance(many, classifier) < distance(few, classifier) < far


def test_a_low_percentile_cuts_off_what_is_needed(classifier: Artifact, run_pass: Runner) -> None:
    cut = run_pass("static_int8", classifier, calibration="percentile", percentile=80.0, **FEW)
    whole = run_pass("static_int8", classifier, calibration="percentile", percentile=99.99, **FEW)
    assert distance(whole, classifier) < distance(cut, classifier)


@pytest.mark.parametrize("exporter", ["torchscript", "dynamo"])
def test_padding_is_not_looked_at_whatever_is_quantised(
    exported: Exporter, run_pass: Runner, exporter: str
) -> None:
    classifier = exported(exporter=exporter)
    every = ("Add", "Gemm", "MatMul", "Mul", "Softmax", "Where")
    made = run_pass("static_int8", classifier, op_types=every, **FEW)
    assert np.abs(logits(made) - logits(made, batch=1)).max() < 1e-4


def test_excluded_nodes_stay(classifier: Artifact, run_pass: Runner) -> None:
    changes: dict[str, Value] = FEW | {"format": "qoperator"}
    made = run_pass("static_int8", classifier, exclude_nodes=("*/layer.0/*",), **changes)
    assert operators(made)["QLinearMatMul"] == 18
    none = run_pass("static_int8", classifier, exclude_ops=("MatMul",), **changes)
    assert operators(none)["QLinearMatMul"] == 0
    assert operators(none)["QGemm"] == 2


def test_a_node_that_is_folded_away_cannot_be_excluded(
    classifier: Artifact, run_pass: Runner
) -> None:
    constant = node_names(classifier, "Constant")[0]
    with pytest.raises(PassError, match="folded into others before"):
        run_pass("static_int8", classifier, exclude_nodes=(constant,), **FEW)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"format": "qoperator", "activation_type": "qint16"}, "needs format qdq"),
        ({"activation_type": "qint8", "weight_type": "quint8"}, "cannot multiply qint8"),
        ({"weight_symmetric": False}, "has no effect on qint8 weights"),
        ({"format": "qoperator", "op_types": ("LayerNormalization",)}, "is none of"),
        ({"op_types": ("MatMull",)}, "did you mean 'MatMul'"),
    ],
)
def test_impossible_combinations_are_refused_before_it_runs(
    changes: dict[str, Value], said: str
) -> None:
    pass_ = StaticInt8()
    (problem,) = pass_.check(filled_in(pass_, changes))
    assert said in problem


def test_a_symmetry_without_effect_would_change_nothing(
    classifier: Artifact, run_pass: Runner
) -> None:
    """The reason for which `check` refuses it."""
    with_it = graph(run_pass("static_int8", classifier, weight_symmetric=False, **FEW))
    without = graph(run_pass("static_int8", classifier, **FEW))
    assert with_it == without


def test_a_quantised_graph_is_not_quantised_again(classifier: Artifact, run_pass: Runner) -> None:
    with pytest.raises(PassError, match="quantised already"):
        run_pass("static_int8", run_pass("static_int8", classifier, **FEW), **FEW)


def test_fixed_shapes_are_calibrated_with_padding(bert: Artifact, run_pass: Runner) -> None:
    fixed = run_pass("onnx_export", bert, shapes="fixed", batch=24, sequence=64)
    made = run_pass("static_int8", fixed, **FEW)
    assert operators(made)["DequantizeLinear"]
