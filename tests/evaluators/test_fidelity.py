"""How far two models lie apart, by what each says of the same texts."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models

from evaluators.base import Artifact, DeadModel, MeasurementError
from evaluators.fidelity import SENTENCES, SEQUENCES, TOKENS, compare, compare_job, drift
from search_spaces.data import DataSpec

Change = Callable[[dict[str, Any]], None]


@pytest.fixture(scope="session")
def tones(tone_file: Path) -> DataSpec:
    return DataSpec((("all", tone_file),), tiny_models.TEMPLATE, "tone")


def changed(source: Path, folder: Path, change: Change) -> Artifact:
    """A copy of a checkpoint whose tensors, by name, were changed."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(source, folder)
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return Artifact("hf", folder)


def rounded(bits: int) -> Change:
    """Weights in so many bits, one scale for a row."""

    def change(tensors: dict[str, Any]) -> None:
        for name, tensor in tensors.items():
            if tensor.ndim == 2:
                most = tensor.abs().amax(1, keepdim=True).clamp(min=1e-6)  # padding's row is empty
                step = most / (2 ** (bits - 1) - 1)
                tensors[name] = (tensor / step).round() * step

    return change


def job(before: Artifact, after: Artifact, data: DataSpec | None = None) -> dict[str, Any]:
    payload = {
        "before": before.to_json(),
        "after": after.to_json(),
        "data": None if data is None else data.to_json(),
    }
    found: dict[str, Any] = json.loads(json.dumps(compare_job(payload), allow_nan=False))
    return found


# The arithmetic


def test_drift_is_the_divergence_of_the_first_from_the_second() -> None:
    before = np.log(np.array([[[0.5, 0.5], [0.9, 0.1]]], np.float32))
    after = np.log(np.array([[[0.25, 0.75], [0.9, 0.1]]], np.float32))
    found = drift(before, after)
    wanted = 0.5 * math.log(0.5 / 0.25) + 0.5 * math.log(0.5 / 0.75)
    assert found.worst == pytest.approx(wanted, rel=1e-5)
    assert found.kl == pytest.approx(wanted / 2, rel=1e-5)
    assert found.top1 == 0.5, "of two equal ones the first counts"
    assert found.positions == 2


def test_what_changes_no_probability_is_no_drift() -> None:
    logits = np.random.default_rng(0).normal(size=(3, 5, 40)).astype(np.float32)
    found = drift(logits, logits + np.float32(1000))
    assert found.kl < 1e-7
    assert found.top1 == 1


def test_logits_too_large_for_their_exponential_are_compared_all_the_same() -> None:
    before = np.array([[5000.0, 0.0]], np.float32)
    assert drift(before, before[:, ::-1]).kl == pytest.approx(5000)


def test_outputs_of_another_shape_cannot_be_compared() -> None:
    with pytest.raises(MeasurementError, match=r"shape \(1, 3\), those of what came in \(1, 2\)"):
        drift(np.zeros((1, 2), np.float32), np.zeros((1, 3), np.float32))


# Language models


def test_two_runtimes_of_one_model_agree(
    tiny_phi3: Path, tiny_genai: Path, tones: DataSpec
) -> None:
    found = compare(Artifact("hf", tiny_phi3), Artifact("genai", tiny_genai), tones)
    assert found.drift.kl < 1e-8
    assert found.drift.top1 == 1
    assert found.drift.positions == SEQUENCES * TOKENS
    assert found.conditions[0]["runtime"] == "torch"


def test_there_are_texts_where_a_space_has_none(tiny_phi3: Path, tiny_genai: Path) -> None:
    found = compare(Artifact("hf", tiny_phi3), Artifact("genai", tiny_genai), None)
    assert found.drift.kl < 1e-8
    assert found.drift.positions == SEQUENCES * TOKENS


def test_fewer_bits_lie_further_away_and_another_model_furthest(
    tiny_llama: Path, tmp_path: Path, tones: DataSpec
) -> None:
    def flipped(tensors: dict[str, Any]) -> None:
        for name, tensor in tensors.items():
            tensors[name] = tensor.flip(0).contiguous() if tensor.ndim == 2 else tensor

    before = Artifact("hf", tiny_llama)
    changes = {"8": rounded(8), "6": rounded(6), "4": rounded(4), "flipped": flipped}
    made = {name: changed(tiny_llama, tmp_path / name, c) for name, c in changes.items()}
    found = {name: compare(before, after, tones).drift.kl for name, after in made.items()}
    assert 1e-6 < found["8"] < found["6"] / 2
    assert found["6"] < found["4"] / 2
    assert found["4"] < found["flipped"]


def test_a_result_that_is_no_number_is_dead(tiny_llama: Path, tmp_path: Path) -> None:
    def spoilt(tensors: dict[str, Any]) -> None:
        tensors["model.norm.weight"][0] = float("nan")

    good, bad = Artifact("hf", tiny_llama), changed(tiny_llama, tmp_path / "bad", spoilt)
    with pytest.raises(DeadModel, match="not finite"):
        compare(good, bad, None)
    assert job(good, bad) == {"dead": "the model's logits are not finite"}
    assert "came in" in job(bad, bad)["skipped"], "then it was not this pass"


def test_what_has_no_runtime_or_another_vocabulary_is_skipped_with_the_reason(
    tiny_llama: Path, tmp_path: Path
) -> None:
    good = Artifact("hf", tiny_llama)
    assert "genai_config.json" in job(good, Artifact("genai", tiny_llama))["skipped"]
    other = Artifact("hf", tiny_models.save_llama(tmp_path / "other", vocab_size=1000))
    assert "shape" in job(good, other)["skipped"]


def test_data_that_is_not_there_any_more_is_a_reason_to_skip(tiny_llama: Path) -> None:
    good = Artifact("hf", tiny_llama)
    gone = DataSpec((("all", Path("/nowhere.jsonl")),), tiny_models.TEMPLATE, "tone")
    assert "nowhere.jsonl" in job(good, good, gone)["skipped"]


def test_a_model_with_little_room_is_compared_on_what_it_can_take(tmp_path: Path) -> None:
    short = Artifact("hf", tiny_models.save_llama(tmp_path / "m", max_position_embeddings=16))
    assert compare(short, short, None).drift.positions == SEQUENCES * 16


# Classifiers


@pytest.fixture(scope="session")
def head(torch_classifier: Any, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """The classifier as a checkpoint."""
    folder = tmp_path_factory.mktemp("head") / "model"
    torch_classifier.save_pretrained(folder)
    tiny_models.encoder_tokenizer().save_pretrained(folder)
    return Artifact("hf", folder)


def test_an_exported_classifier_computes_the_same_and_a_rounded_one_nearly(
    head: Artifact, tiny_onnx: Path, int8_onnx: Path, tones: DataSpec
) -> None:
    exported, quantised = Artifact("onnx", tiny_onnx), Artifact("onnx", int8_onnx)
    same, near = compare(head, exported, tones).drift, compare(exported, quantised, tones).drift
    assert same.kl < 1e-8
    assert same.positions == len(SENTENCES)
    assert same.kl * 100 < near.kl < 0.1


def test_labels_in_another_order_are_the_same_labels(
    head: Artifact, tmp_path: Path, tones: DataSpec
) -> None:
    def turned(tensors: dict[str, Any]) -> None:
        for name in ("classifier.weight", "classifier.bias"):
            tensors[name] = tensors[name].flip(0).contiguous()

    other = changed(head.path, tmp_path / "turned", turned)
    assert compare(head, other, tones).drift.kl > 0.01
    relabel(other, reverse=True)
    assert compare(head, other, tones).drift.kl < 1e-10


def test_other_labels_cannot_be_compared(head: Artifact, tmp_path: Path) -> None:
    other = changed(head.path, tmp_path / "other", lambda tensors: None)
    relabel(other, reverse=False, suffix="!")
    assert "labels" in job(head, other)["skipped"]


def relabel(model: Artifact, *, reverse: bool, suffix: str = "") -> None:
    """Name the labels anew."""
    file = model.path / "config.json"
    config = json.loads(file.read_text())
    names = [name + suffix for name in config["id2label"].values()]
    config["id2label"] = dict(enumerate(reversed(names) if reverse else names))
    config["label2id"] = {name: i for i, name in config["id2label"].items()}
    file.write_text(json.dumps(config))


def test_an_encoder_without_a_head_says_nothing_that_could_be_compared(
    tiny_bert: Path, tiny_onnx: Path
) -> None:
    found = job(Artifact("hf", tiny_bert), Artifact("onnx", tiny_onnx))
    assert "no classification head" in found["skipped"]
