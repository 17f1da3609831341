"""The training loop: seeded, so that on a CPU the same inputs give the same bytes.

Knows nothing of adapters, labels or files.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from tuner.passes.base import PassError
from tuner.training.batching import batches
from tuner.training.examples import AnyExample
from tuner.training.losses import BatchLoss
from tuner.training.resuming import WHOLE, Part, Span
from tuner.training.settings import Training


@dataclass(frozen=True, slots=True)
class Faster:
    """Parameters whose learning rate is `factor` times that of the others."""

    parameters: Sequence[Any]
    factor: float


def train(
    model: Any,
    examples: Sequence[AnyExample],
    settings: Training,
    batch_loss: BatchLoss,
    faster: Faster | None = None,
    fused: bool = False,
    part: Part = WHOLE,
) -> list[float]:
    """Train what requires a gradient, in place; the loss of every step that was done.

    `fused`: AdamW in one kernel, which is quicker for many parameters and rounds otherwise.
    `part`: which of the training's steps are done now; each is what it is in a whole training.
    PassError where the loss is not finite.
    """
    import torch

    model.train()
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    print(f"{sum(p.numel() for p in parameters)} parameters are trained", flush=True)
    optimizer = torch.optim.AdamW(
        _groups(parameters, settings.learning_rate, faster),
        lr=settings.learning_rate,
        weight_decay=settings.weight_decay,
        fused=fused or None,
    )
    steps, each = settings.steps(len(examples)), settings.gradient_accumulation
    span = Span(part, optimizer, steps)
    done = span.resume()
    order = batches([len(e.ids) for e in examples], settings.batch_size, settings.seed)
    source = islice(order, done * each, None)
    losses: list[float] = []
    progress = Progress(steps)
    for step in range(done, span.last):
        group = [[examples[i] for i in b] for b in islice(source, each)]
        for options in optimizer.param_groups:
            options["lr"] = options["peak"] * rate_factor(step, steps, settings)
        losses.append(_accumulate(model, group, batch_loss))
        if not math.isfinite(losses[-1]):
            raise PassError(f"the loss is {losses[-1]} at step {step + 1}: lower learning_rate")
        torch.nn.utils.clip_grad_norm_(parameters, settings.max_grad_norm)
        optimizer.step()
        optimizer.zero_grad()
        progress.report(step, losses, sum(len(e.ids) for batch in group for e in batch))
    span.keep()
    return losses


def _groups(parameters: Sequence[Any], rate: float, faster: Faster | None) -> list[dict[str, Any]]:
    """The optimizer's groups of parameters, each with its peak learning rate."""
    if faster is None:
        return [{"params": list(parameters), "peak": rate}]
    chosen = {id(parameter) for parameter in faster.parameters}
    return [
        {"params": [p for p in parameters if id(p) not in chosen], "peak": rate},
        {"params": [p for p in parameters if id(p) in chosen], "peak": rate * faster.factor},
    ]


def rate_factor(step: int, steps: int, settings: Training) -> float:
    """What the learning rate is multiplied with at a step of `steps`, counted from 0."""
    warmup = round(settings.warmup_ratio * steps)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    done = (step - warmup) / max(1, steps - warmup)
    falls = {"constant": 1.0, "linear": 1.0 - done, "cosine": 0.5 + 0.5 * math.cos(math.pi * done)}
    return falls[settings.scheduler]


def _accumulate(model: Any, group: Sequence[Sequence[AnyExample]], batch_loss: BatchLoss) -> float:
    """Add the gradients of the mean loss over all that is learned of the batches; that loss."""
    learned = sum(example.learned for batch in group for example in batch)
    loss = 0.0
    for batch in group:
        part = batch_loss(model, batch) / learned
        part.backward()
        loss += float(part.detach())
    return loss


class Progress:
    """Prints about twenty lines: step, mean loss since the last line, tokens per second."""

    def __init__(self, steps: int) -> None:
        self._steps = steps
        self._every = max(1, steps // 20)
        self._since, self._tokens, self._lines = time.monotonic(), 0, 0

    def report(self, step: int, losses: Sequence[float], tokens: int) -> None:
        """Count a step, numbered from 0, and print where a line is due."""
        self._tokens += tokens
        if (step + 1) % self._every and step + 1 < self._steps:
            return
        recent = losses[self._lines :]
        speed = self._tokens / max(time.monotonic() - self._since, 1e-9)
        print(
            f"step {step + 1}/{self._steps}  loss {sum(recent) / len(recent):.4f}  "
            f"{speed:.0f} tokens/s",
            flush=True,
        )
        self._since, self._tokens, self._lines = time.monotonic(), 0, len(losses)
