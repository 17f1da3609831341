"""Matrices of 4 and 8 bits in ONNX models."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tiny_models
from onnx_support import distance, graph, inode, node_names, operators, size
from pass_support import Runner, Zoo, next_logits

from evaluators.base import Artifact
from search_spaces.vocabulary import Value
from tuner.passes import PassError


@pytest.fixture(scope="module")
def classifier(zoo: Zoo) -> Artifact:
    return zoo.model("bert", "onnx")


def attributes(model: Artifact) -> list[dict[str, int]]:
    nodes = [node for node in graph(model).graph.node if node.op_type == "MatMulNBits"]
    return [{a.name: a.i for a in node.attribute} for node in nodes]


@pytest.mark.parametrize("algorithm", ["default", "rtn", "k_quant", "gptq"])
def test_fewer_bits_are_further_away(
    classifier: Artifact, run_pass: Runner, algorithm: str
) -> None:
    eight = run_pass("weight_only", classifier, algorithm=algorithm, bits=8)
    four = run_pass("weight_only", classifier, algorithm=algorithm, bits=4)
    assert {made["bits"] for made in attributes(eight)} == {8}
    assert 1e-5 < distance(eight, classifier) < 0.05
    assert 3 * distance(eight, classifier) < distance(four, classifier) < 0.7
    assert size(four) < size(eight) < size(classifier)


def test_hqq_is_near_with_its_four_bits(classifier: Artifact, run_pass: Runner) -> None:
    made = run_pass("weight_only", classifier, algorithm="hqq", accuracy_level=1)
    assert {(m["bits"], m["accuracy_level"]) for m in attributes(made)} == {(4, 1)}
    assert distance(made, classifier) < 0.6


@pytest.mark.parametrize("algorithm", ["default", "rtn", "gptq"])
def test_larger_blocks_and_no_zero_points_are_smaller(
    classifier: Artifact, run_pass: Runner, algorithm: str
) -> None:
    fine = run_pass("weight_only", classifier, algorithm=algorithm, block_size=16)
    plain = run_pass("weight_only", classifier, algorithm=algorithm, block_size=16, symmetric=True)
    coarse = run_pass("weight_only", classifier, algorithm=algorithm, block_size=32, symmetric=True)
    assert {made["block_size"] for made in attributes(coarse)} == {32}
    assert size(coarse) < size(plain) < size(fine)
    assert distance(fine, classifier) < distance(coarse, classifier)


def test_gptq_is_nearer_than_plain_rounding(classifier: Artifact, run_pass: Runner) -> None:
    plain = run_pass("weight_only", classifier, algorithm="rtn", block_size=16)
    gptq = run_pass("weight_only", classifier, algorithm="gptq", block_size=16)
    ordered = run_pass("weight_only", classifier, algorithm="gptq", block_size=16, act_order=True)
    assert distance(gptq, classifier) < 0.95 * distance(plain, classifier)
    assert distance(ordered, classifier) < distance(plain, classifier)
    assert distance(gptq, ordered) > 0


def test_damping_makes_a_difference_to_gptq(classifier: Artifact, run_pass: Runner) -> None:
    changes: dict[str, Value] = {"algorithm": "gptq", "calibration_samples": 4}
    loose = run_pass("weight_only", classifier, percdamp=0.001, **changes)
    assert distance(run_pass("weight_only", classifier, percdamp=1.0, **changes), loose) > 0


def test_accuracy_level_is_written_into_every_matrix(
    classifier: Artifact, run_pass: Runner
) -> None:
    for algorithm in ("default", "rtn", "hqq", "k_quant", "gptq"):
        made = run_pass("weight_only", classifier, algorithm=algorithm, accuracy_level=4)
        assert {m["accuracy_level"] for m in attributes(made)} == {4}
    decided = run_pass("weight_only", classifier)
    assert all(not made.get("accuracy_level") for made in attributes(decided))


def test_embeddings_are_quantised_when_asked_for(classifier: Artifact, run_pass: Runner) -> None:
    made = run_pass("weight_only", classifier, embeddings=True)
    assert operators(made)["GatherBlockQuantized"]
    assert size(made) < 0.7 * size(run_pass("weight_only", classifier))
    assert distance(made, classifier) < 0.7


@pytest.mark.parametrize("algorithm", ["default", "rtn", "hqq", "k_quant", "gptq"])
def test_excluded_nodes_stay(classifier: Artifact, run_pass: Runner, algorithm: str) -> None:
    made = run_pass("weight_only", classifier, algorithm=algorithm, exclude_nodes=("*/layer.0/*",))
    assert operators(made)["MatMulNBits"] == 18
    assert {n for n in node_names(classifier, "MatMul") if "/layer.0/" in n} <= {
        *node_names(made, "MatMul")
    }


@pytest.mark.parametrize(
    ("algorithm", "said"),
    [
        ("rtn", "64 weights in blocks of 64 make 1; use block_size 16 or 32, symmetric: true, "),
        ("k_quant", "use block_size 16 or 32, bits: 8 or algorithm default"),
        ("gptq", "symmetric: true, bits: 8 or algorithm default"),
    ],
)
def test_an_odd_number_of_packed_zero_points_is_refused_with_what_works(
    classifier: Artifact, run_pass: Runner, algorithm: str, said: str
) -> None:
    changes: dict[str, Value] = {"algorithm": algorithm, "block_size": 64}
    with pytest.raises(PassError, match="even number of blocks") as caught:
        run_pass("weight_only", classifier, **changes)
    assert said in str(caught.value)
    ways: list[dict[str, Value]] = [{"block_size": 32}, {"bits": 8}, {"algorithm": "default"}]
    if "symmetric" in said:
        ways.append({"symmetric": True})
    for way in ways:
        assert distance(run_pass("weight_only", classifier, **changes | way), classifier) < 1


def test_quantised_and_excluded_graphs_leave_nothing_to_do(
    classifier: Artifact, run_pass: Runner
) -> None:
    with pytest.raises(PassError, match=r"quantised already \(MatMulNBits\)"):
        run_pass("weight_only", run_pass("weight_only", classifier))
    with pytest.raises(PassError, match="no product with a stored matrix"):
        run_pass("weight_only", classifier, exclude_nodes=("*",))


@pytest.mark.parametrize("algorithm", ["default", "rtn", "hqq", "k_quant", "gptq"])
def test_matrices_that_layers_share_are_stored_once(
    albert: Artifact, run_pass: Runner, algorithm: str
) -> None:
    made = run_pass("weight_only", albert, algorithm=algorithm, block_size=16, bits=4)
    shared = operators(albert)["MatMul"] - 4  # of two layers, but for attention's own products
    assert operators(made)["MatMulNBits"] == shared
    assert size(made) < 0.8 * size(albert)
    assert distance(made, albert) < 0.8


@pytest.fixture(scope="module")
def albert(run_pass: Runner, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """An ALBERT of two layers with the same weights."""
    import torch
    from transformers import AlbertConfig, AlbertForSequenceClassification

    words = tiny_models.encoder_tokenizer()
    sizes = {"embedding_size": 32, "hidden_size": 64, "intermediate_size": 128}
    config = AlbertConfig(
        vocab_size=len(words),
        num_hidden_layers=2,
        num_attention_heads=4,
        initializer_range=0.2,
        pad_token_id=3,
        id2label=dict(enumerate(sorted(tiny_models.PHRASES))),
        **sizes,
    )
    folder = tmp_path_factory.mktemp("albert")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        AlbertForSequenceClassification(config).save_pretrained(folder)
    words.save_pretrained(folder)
    return run_pass("onnx_export", Artifact("hf", folder))


@pytest.mark.parametrize("algorithm", ["default", "rtn", "hqq", "k_quant", "gptq"])
def test_a_genai_decoder_runs_with_packed_matrices(
    tiny_genai: Path, run_pass: Runner, algorithm: str
) -> None:
    given = Artifact("genai", tiny_genai)
    made = run_pass("weight_only", given, algorithm=algorithm, calibration_samples=8)
    assert np.corrcoef(next_logits(made), next_logits(given))[0, 1] > 0.8
    assert inode(made.path, "genai_config.json") == inode(given.path, "genai_config.json")
    ours, theirs = (m.path / "model.onnx.data" for m in (made, given))
    assert ours.stat().st_size < 0.6 * theirs.stat().st_size


def test_a_decoder_that_the_builder_quantised_is_refused(llama: Artifact, run_pass: Runner) -> None:
    packed = run_pass("genai_builder", llama, precision="int4")
    with pytest.raises(PassError, match="quantised already"):
        run_pass("weight_only", packed)


def test_a_table_that_the_head_shares_cannot_be_quantised(
    llama: Artifact, run_pass: Runner
) -> None:
    floats = run_pass("genai_builder", llama, precision="fp32")
    with pytest.raises(PassError, match="shared with the output head"):
        run_pass("weight_only", floats, embeddings=True)
