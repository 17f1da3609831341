"""Loading an encoder with a classification head: which head it gets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tuner.models.checkpoint import load_classifier

MOODS = ["bad", "good", "so so"]


def head(model: Any) -> Any:
    return model.classifier.weight.detach()


@pytest.fixture
def headed(tiny_bert: Path, tmp_path: Path) -> Path:
    """A checkpoint with a head for MOODS, in another order."""
    model = load_classifier(tiny_bert, ["good", "so so", "bad"])
    torch.nn.init.ones_(model.classifier.weight)
    model.save_pretrained(tmp_path)
    return tmp_path


def test_a_fresh_head_is_the_same_on_every_call(tiny_bert: Path) -> None:
    torch.manual_seed(1)
    first = load_classifier(tiny_bert, MOODS)
    state = torch.get_rng_state()
    second = load_classifier(tiny_bert, MOODS)
    assert torch.equal(head(first), head(second))
    assert torch.equal(state, torch.get_rng_state())
    assert first.config.id2label == dict(enumerate(MOODS))
    assert head(first).std() > 0


def test_a_head_with_these_labels_is_kept_in_its_own_order(headed: Path) -> None:
    model = load_classifier(headed, MOODS)
    assert model.config.id2label == {0: "good", 1: "so so", 2: "bad"}
    assert torch.equal(head(model), torch.ones(3, 64))


@pytest.mark.parametrize("labels", [["no", "perhaps", "yes"], ["good", "bad"]])
def test_a_head_with_other_labels_gives_way_to_a_fresh_one(
    headed: Path, tiny_bert: Path, labels: list[str]
) -> None:
    model = load_classifier(headed, labels)
    assert model.config.id2label == dict(enumerate(labels))
    assert head(model).shape == (len(labels), 64)
    assert 0 < head(model).abs().max() < 1
    base = load_classifier(tiny_bert, labels)
    inner = base.bert.encoder.layer[1].output.dense.weight
    assert torch.equal(model.bert.encoder.layer[1].output.dense.weight, inner)


def test_the_head_s_coming_and_going_is_not_reported(
    headed: Path, tiny_bert: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    load_classifier(tiny_bert, MOODS)
    load_classifier(headed, ["good", "bad"])
    out, error = capfd.readouterr()
    assert "LOAD REPORT" not in out + error


def test_an_encoder_with_gaps_is_refused(headed: Path) -> None:
    path = headed / "model.safetensors"
    tensors = load_file(path)
    del tensors["bert.encoder.layer.2.output.dense.weight"]
    save_file(tensors, path, metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"lacks 1 tensors, such as bert.encoder.layer.2.output"):
        load_classifier(headed, MOODS)
