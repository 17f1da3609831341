"""What fine-tuning all weights gives."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import tiny_models
import torch
from pass_support import Runner, hashes
from safetensors.torch import load_file
from training_support import TONES, classified_right, easy_data, load, run_on

from evaluators.base import Artifact
from tuner.models.checkpoint import load_classifier
from tuner.passes import PassError

Row = dict[str, str]


def weights(model: Artifact) -> dict[str, torch.Tensor]:
    tensors: dict[str, torch.Tensor] = load_file(model.path / "model.safetensors")
    return tensors


def changed(before: Artifact, after: Artifact) -> set[str]:
    """The tensors of the first, by its names, that the second has otherwise."""
    old, new = weights(before), weights(after)
    names = {name: name if name in new else f"bert.{name}" for name in old}
    return {name for name, again in names.items() if not torch.equal(old[name], new[again])}


def test_a_language_model_learns_the_labels_and_where_a_text_ends(
    llama: Artifact, run_pass: Runner, tone_rows: list[Row]
) -> None:
    words = tiny_models.tokenizer()
    ids = [*words(tiny_models.TEMPLATE.format(**tone_rows[0])).input_ids, words.eos_token_id]
    trained = run_pass("full_finetune", llama, max_steps=40, learning_rate=3e-3)
    with torch.no_grad():
        logits = load(trained)(input_ids=torch.tensor([ids])).logits
    scores = logits[0, :-1].log_softmax(-1)
    assert float(scores[-1, words.eos_token_id]) > math.log(0.5)
    assert changed(llama, trained) == set(weights(llama))


def test_an_encoder_learns_the_labels(bert: Artifact, tmp_path: Path) -> None:
    data = easy_data(tmp_path)
    trained = run_on(
        data,
        "full_finetune",
        bert,
        tmp_path / "model",
        max_steps=60,
        learning_rate=2e-3,
        batch_size=8,
    )
    assert classified_right(bert, data) <= 0.5
    assert classified_right(trained, data) >= 0.9


def test_a_language_model_differs_from_its_base_in_its_weights_only(
    llama: Artifact, run_pass: Runner
) -> None:
    trained, base = hashes(run_pass("full_finetune", llama).path), hashes(llama.path)
    assert {name for name in base if trained[name] != base[name]} == {"model.safetensors"}
    assert trained.keys() == base.keys()


def test_an_encoder_becomes_a_classifier_that_names_its_labels(
    bert: Artifact, run_pass: Runner
) -> None:
    made = run_pass("full_finetune", bert)
    config = json.loads((made.path / "config.json").read_text())
    assert config["architectures"] == ["BertForSequenceClassification"]
    assert list(config["id2label"].values()) == TONES
    assert str(bert.path) not in (made.path / "config.json").read_text()
    assert changed(bert, made) == set(weights(bert))


def test_a_head_is_trained_on_in_its_own_order(bert: Artifact, tmp_path: Path) -> None:
    data, order = easy_data(tmp_path), ["surprise", "joy", "fear", "sadness"]
    load_classifier(bert.path, order).save_pretrained(tmp_path / "headed")
    tiny_models.encoder_tokenizer().save_pretrained(tmp_path / "headed")
    headed = Artifact("hf", tmp_path / "headed")
    options = {"max_steps": 60, "learning_rate": 2e-3, "batch_size": 8}
    trained = run_on(data, "full_finetune", headed, tmp_path / "model", **options)
    config = json.loads((trained.path / "config.json").read_text())
    assert list(config["id2label"].values()) == order
    assert classified_right(trained, data) >= 0.9


def test_a_checkpoint_in_16_bits_stays_in_16_bits(tmp_path: Path, run_pass: Runner) -> None:
    folder = tiny_models.save_llama(tmp_path)
    load(Artifact("hf", folder)).to(torch.bfloat16).save_pretrained(folder)
    made = run_pass("full_finetune", Artifact("hf", folder))
    assert {tensor.dtype for tensor in weights(made).values()} == {torch.bfloat16}
    assert "bfloat16" in (made.path / "config.json").read_text()


def test_frozen_embeddings_and_layers_stay_as_they_were(bert: Artifact, run_pass: Runner) -> None:
    made = run_pass("full_finetune", bert, freeze_embeddings=True, freeze_layers=3)
    moved = changed(bert, made)
    assert not any("_embeddings" in name for name in moved)
    layers = {name.split(".")[2] for name in moved if name.startswith("encoder.layer.")}
    assert layers == {"3"}
    assert "pooler.dense.weight" in moved


def test_an_encoder_s_head_learns_faster(bert: Artifact, run_pass: Runner) -> None:
    begun = load_classifier(bert.path, TONES).classifier.weight
    ways = []
    for factor in (1.0, 10.0):
        options = {"head_factor": factor, "max_steps": 1, "warmup_ratio": 0.0}
        made = run_pass("full_finetune", bert, learning_rate=1e-4, **options)
        ways.append(float((weights(made)["classifier.weight"] - begun).abs().mean().detach()))
    assert ways[1] == pytest.approx(10 * ways[0], rel=0.01)


def test_more_frozen_layers_than_there_are_is_refused(bert: Artifact, run_pass: Runner) -> None:
    with pytest.raises(PassError, match="freeze_layers is 5, but the model has 4 layers"):
        run_pass("full_finetune", bert, freeze_layers=5)


def test_another_seed_gives_other_weights(llama: Artifact, run_pass: Runner) -> None:
    first = run_pass("full_finetune", llama, seed=1)
    assert changed(first, run_pass("full_finetune", llama, seed=2))
