"""Rewriting a graph: the same answers from fewer operators."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from onnx_support import distance, graph, inode, operators
from pass_support import Runner, Zoo, filled_in

from evaluators.base import Artifact
from search_spaces.vocabulary import Value
from tuner.graphs import folders
from tuner.passes import PassError
from tuner.passes.optimize_graph import STEPS, OptimizeGraph


@pytest.fixture(scope="module")
def classifier(zoo: Zoo) -> Artifact:
    return zoo.model("bert", "onnx")


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"level": "extended"},
        {"tool": "ort_offline"},
        {"tool": "ort_offline", "level": "extended"},
        {"tool": "ort_offline", "level": "all"},
        {"tool": "onnxslim"},
    ],
)
def test_it_says_the_same_with_fewer_operators(
    classifier: Artifact, run_pass: Runner, changes: dict[str, Value]
) -> None:
    made = run_pass("optimize_graph", classifier, **changes)
    assert distance(made, classifier) < 1e-5
    assert operators(made).total() < operators(classifier).total()
    assert inode(made.path, "tokenizer.json") == inode(classifier.path, "tokenizer.json")


@pytest.mark.parametrize(
    ("switch", "operator"),
    [
        ("fuse_attention", "Attention"),
        ("fuse_skip_layer_norm", "SkipLayerNormalization"),
        ("fuse_embed_layer_norm", "EmbedLayerNormalization"),
        ("fuse_bias_gelu", "BiasGelu"),
        ("fuse_gelu", "BiasGelu"),
    ],
)
def test_a_fusion_that_is_switched_off_does_not_happen(
    classifier: Artifact, run_pass: Runner, switch: str, operator: str
) -> None:
    assert operators(run_pass("optimize_graph", classifier))[operator]
    assert not operators(run_pass("optimize_graph", classifier, **{switch: False}))[operator]


def test_bias_before_a_residual_sum_is_a_switch_of_its_own(
    classifier: Artifact, run_pass: Runner
) -> None:
    apart = operators(run_pass("optimize_graph", classifier, fuse_bias_skip_layer_norm=False))
    joint = operators(run_pass("optimize_graph", classifier))
    assert apart["SkipLayerNormalization"] == joint["SkipLayerNormalization"]
    assert apart["Add"] > joint["Add"]


def test_an_approximate_gelu_is_near_but_not_the_same(
    classifier: Artifact, run_pass: Runner
) -> None:
    made = run_pass("optimize_graph", classifier, approximate_gelu=True)
    assert operators(made)["FastGelu"]
    assert 1e-5 < distance(made, classifier) < 0.05


def test_a_step_of_onnxslim_that_is_skipped_leaves_more_operators(
    classifier: Artifact, run_pass: Runner
) -> None:
    every = operators(run_pass("optimize_graph", classifier, tool="onnxslim"))
    fewer = run_pass(
        "optimize_graph", classifier, tool="onnxslim", skip_steps=("subexpression_elimination",)
    )
    assert operators(fewer).total() > every.total()


def test_unknown_and_all_steps_are_refused_before_it_runs() -> None:
    pass_ = OptimizeGraph()
    slim: dict[str, Value] = {"tool": "onnxslim"}
    (problem,) = pass_.check(filled_in(pass_, slim | {"skip_steps": ("graph_fuson",)}))
    assert "did you mean 'graph_fusion'?" in problem
    (problem,) = pass_.check(filled_in(pass_, slim | {"skip_steps": STEPS}))
    assert "nothing to do" in problem


def test_only_the_level_that_looks_at_the_processor_depends_on_it() -> None:
    pass_ = OptimizeGraph()
    offline: dict[str, Value] = {"tool": "ort_offline"}
    assert pass_.environment(filled_in(pass_, offline | {"level": "all"}))["cpu"]
    assert not pass_.environment(filled_in(pass_, offline | {"level": "extended"}))


def test_a_graph_that_a_tool_cannot_read_is_an_error_in_words(
    classifier: Artifact, run_pass: Runner, tmp_path: Path
) -> None:
    broken = graph(classifier)
    broken.graph.node[0].op_type = "NoSuchOperator"
    for path in classifier.path.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    onnx.save(broken, tmp_path / "model.onnx")
    with pytest.raises(PassError, match="ort_offline cannot optimise this graph"):
        run_pass("optimize_graph", Artifact("onnx", tmp_path), tool="ort_offline")


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("optimize_graph", {}),
        ("optimize_graph", {"tool": "ort_offline"}),
        ("optimize_graph", {"tool": "onnxslim"}),
        ("float16", {}),
        ("dynamic_int8", {}),
        ("static_int8", {"calibration_samples": 4}),
        ("weight_only", {}),
        ("weight_only", {"algorithm": "gptq", "calibration_samples": 4}),
    ],
)
def test_graphs_beyond_what_one_file_holds_go_through_every_pass(
    classifier: Artifact,
    run_pass: Runner,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    changes: dict[str, Value],
) -> None:
    like = run_pass(name, classifier, **changes)
    monkeypatch.setattr(folders, "BIG", 1000)
    made = run_pass(name, classifier, **changes)
    assert (made.path / "model.onnx.data").stat().st_size > 100_000
    assert distance(made, like) < 1e-5
