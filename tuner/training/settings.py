"""The parameters of fine-tuning, typed; the names are those of the declarations."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

from search_spaces.vocabulary import Value


@dataclass(frozen=True, slots=True)
class FromParameters:
    """Filled from a pass's parameters; those that a subclass has no field for are left."""

    @classmethod
    def of(cls, parameters: Mapping[str, Value]) -> Self:
        """The settings among the parameters."""
        chosen: dict[str, Any] = {f.name: parameters[f.name] for f in fields(cls)}
        return cls(**chosen)


@dataclass(frozen=True, slots=True)
class Training(FromParameters):
    """How to train."""

    learning_rate: float
    epochs: float | None
    max_steps: int
    batch_size: int
    gradient_accumulation: int
    scheduler: str
    warmup_ratio: float
    weight_decay: float
    max_grad_norm: float
    loss: str
    learn_end: bool
    packing: bool
    max_length: int
    seed: int

    def steps(self, texts: int) -> int:
        """How many updates there are with so many texts; a part of one is a whole one."""
        if self.epochs is None:
            return self.max_steps
        each = min(self.batch_size, texts) * self.gradient_accumulation
        return max(1, math.ceil(self.epochs * texts / each - 1e-9))


@dataclass(frozen=True, slots=True)
class Adapters(FromParameters):
    """What adapters look like, and how they begin."""

    r: int
    alpha: float
    dropout: float
    target_modules: str | tuple[str, ...]
    rslora: bool
    dora: bool
    initialisation: str

    @property
    def targets(self) -> tuple[str, ...]:
        """The target modules, each a name."""
        value = self.target_modules
        return (value,) if isinstance(value, str) else tuple(value)
