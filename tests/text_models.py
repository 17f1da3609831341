"""Language models for tests: one in memory whose logits are known, and copies of a checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np


def changed(source: Path, folder: Path, change: Callable[[Any], object]) -> Path:
    """Write a copy of a causal checkpoint on which `change` has been called."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(source)
    with torch.no_grad():
        change(model)
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(source).save_pretrained(folder)
    return folder


def noisy(source: Path, folder: Path, size: float) -> Path:
    """Write a copy with normal noise in it, of so many standard deviations of each tensor.

    The noise of a larger size points the same way.
    """
    import torch

    def add(model: Any) -> None:
        generator = torch.Generator().manual_seed(1)
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter += size * parameter.std() * noise

    return changed(source, folder, add)


class Chain:
    """Logits that follow from the last token alone: rows of a table (vocabulary, vocabulary)."""

    context_length = None
    tokenizer: Any = None

    def __init__(self, table: Any) -> None:
        self.table = np.asarray(table, np.float32)
        self.fed = 0

    def logits(self, ids: Any) -> Any:
        """Logits (batch, tokens, vocabulary)."""
        self.fed += int(ids.size)
        return self.table[ids]

    def step(self, ids: Any, past: Any, keep: bool) -> Any:
        """Logits (batch, vocabulary) at the last token."""
        return self.table[ids[:, -1]], {}

    def generate(self, prompt: Sequence[int], most: int) -> list[int]:
        """The most probable tokens in a row."""
        ids = list(prompt)
        for _ in range(most):
            ids.append(int(self.table[ids[-1]].argmax()))
        return ids[len(prompt) :]

    def conditions(self) -> dict[str, Any]:
        """Nothing."""
        return {}
