"""What tests of quantisers share: a model with large inputs, and how far two models are apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tiny_models

from evaluators.base import Artifact
from tuner.models.checkpoint import load_causal, load_tokenizer

_PHRASES = (
    ("The ferry was late again, and the gulls had the pier to themselves.", "sadness"),
    ("Nobody told the baker that the wedding was a week away.", "surprise"),
    ("I counted the steps twice and found one more each time.", "fear"),
    ("Our neighbour paints every door on the street the same green.", "joy"),
)
HELD_OUT = tuple(tiny_models.TEMPLATE.format(phrase=phrase, tone=tone) for phrase, tone in _PHRASES)
"""Texts like those of the tone data, which are not among them."""


def save_with_outliers(folder: Path) -> Path:
    """Write a tiny Llama, a few channels of whose norms are far larger than the rest."""
    import torch
    from transformers import LlamaForCausalLM

    tiny_models.save_llama(folder, initializer_range=0.05)
    model = LlamaForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        for layer in model.model.layers:
            for norm in (layer.input_layernorm, layer.post_attention_layernorm):
                norm.weight[::16] = 40.0
    model.save_pretrained(folder)
    return folder


def log_probabilities(model: Any, folder: Path) -> Any:
    """The distributions of the next token over HELD_OUT, [tokens, words]."""
    import torch

    words = load_tokenizer(folder)
    with torch.no_grad():
        made = [model(words(t, return_tensors="pt").input_ids).logits[0] for t in HELD_OUT]
    return torch.cat(made).float().log_softmax(-1)


def divergence(made: Artifact, original: Artifact) -> float:
    """Mean Kullback-Leibler divergence of a token's distribution from the original's."""
    told = log_probabilities(load_causal(original), original.path)
    ours = log_probabilities(load_causal(made), original.path)
    return float((told.exp() * (told - ours)).sum(-1).mean())


def weights(model: Artifact) -> dict[str, Any]:
    """Every matrix of the decoder by name, float32 [out, in]."""
    import torch

    loaded = load_causal(model, torch.float32)
    return {
        name: module.weight.detach()
        for name, module in loaded.named_modules()
        if type(module).__name__ == "Linear" and "layers" in name
    }
