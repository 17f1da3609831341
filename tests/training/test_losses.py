"""Losses of padded batches are those of their texts alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tiny_models
import torch

from evaluators.base import Artifact
from tuner.models.checkpoint import load_causal, load_classifier
from tuner.training.examples import END_SHARE, Example, LabelledText
from tuner.training.losses import label_loss, padded, token_loss

TONES = sorted(tiny_models.PHRASES)


def token_costs(model: Any, ids: list[int]) -> list[float]:
    """Of every token but the first, given those before it; one plain forward."""
    with torch.no_grad():
        scores = model(input_ids=torch.tensor([ids])).logits[0, :-1].log_softmax(-1)
    return [-float(scores[i, token]) for i, token in enumerate(ids[1:])]


def test_loss_of_tokens_is_that_of_each_text_alone(tiny_phi3: Path) -> None:
    model = load_causal(Artifact("hf", tiny_phi3))
    batch = [
        Example([5, 6, 7, 8, 9], 3),
        Example([10, 11], 1),
        Example([12, 13, 14, 15, 16, 17, 18, 19], 6),
    ]
    alone = sum(sum(token_costs(model, e.ids)[e.start - 1 :]) for e in batch)
    assert float(token_loss(model, batch).detach()) == pytest.approx(alone, rel=1e-5)


def test_answers_in_the_midst_of_a_text_are_learned_too(tiny_phi3: Path) -> None:
    model = load_causal(Artifact("hf", tiny_phi3))
    text = Example([5, 6, 7, 8, 9, 10], 4, earlier=(1, 2))
    assert text.learned == 4
    costs = token_costs(model, text.ids)
    together = float(token_loss(model, [text, Example([11, 12], 1)]).detach())
    expected = costs[0] + costs[1] + costs[3] + costs[4] + token_costs(model, [11, 12])[0]
    assert together == pytest.approx(expected, rel=1e-5)


def test_an_end_aside_counts_for_a_part(tiny_phi3: Path) -> None:
    model = load_causal(Artifact("hf", tiny_phi3))
    costs = token_costs(model, [5, 6, 7, 8])
    text = Example([5, 6, 7, 8], 2, end_aside=True)
    assert text.learned == 1
    together = float(token_loss(model, [text, Example([5, 6, 7, 8], 2)]).detach())
    expected = costs[1] + END_SHARE * costs[2] + costs[1] + costs[2]
    assert together == pytest.approx(expected, rel=1e-5)


def test_loss_of_labels_is_that_of_each_text_alone(tiny_bert: Path) -> None:
    model = load_classifier(tiny_bert, TONES).eval()
    batch = [LabelledText([1, 40, 41, 42, 43, 44, 45, 2], 3), LabelledText([1, 50, 2], 0)]
    alone = 0.0
    for text in batch:
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([text.ids])).logits[0]
        alone -= float(logits.log_softmax(-1)[text.label])
    together = float(label_loss(model.config.pad_token_id)(model, batch).detach())
    assert together == pytest.approx(alone, rel=1e-5)


def test_padding_stands_behind_a_text_and_is_masked() -> None:
    ids, mask = padded([[4, 5, 6], [7]], 9, "cpu")
    assert ids.tolist() == [[4, 5, 6], [7, 9, 9]]
    assert mask.tolist() == [[1, 1, 1], [1, 0, 0]]
