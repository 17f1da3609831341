"""Runs calibration sequences through a decoder layer by layer, and measures what flows in.

Layers may be changed between steps: what follows sees their changed outputs. Knows nothing of
rounding.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tuner.quantization.decoder import Block


class _Enough(Exception):
    """What was to be seen has been seen."""


@dataclass(slots=True)
class Inputs:
    """What flows into a matrix, over all calibration tokens.

    `gram`: mean of x x^T, float32 [in, in]; `size`: mean of |x|, float32 [in].
    """

    gram: Any
    size: Any

    def scaled(self, factors: Any) -> Inputs:
        """The same for inputs that are divided by `factors` [in]."""
        return Inputs(self.gram / factors[:, None] / factors[None, :], self.size / factors)


class Flow:
    """The calibration sequences on their way through the layers, one sequence at a time."""

    def __init__(self, model: Any, found: Sequence[Block], sequences: Any) -> None:
        self._blocks = found
        self._arguments: list[dict[str, Any]] = []
        self._states: list[Any] = []
        self._tokens = sequences.numel()
        self._begin(model, sequences)

    def _begin(self, model: Any, sequences: Any) -> None:
        """Note each layer's arguments (once: they depend on the length only) and first inputs."""
        import torch

        notes = [
            block.module.register_forward_pre_hook(self._note, with_kwargs=True)
            for block in self._blocks
        ]
        with torch.no_grad():
            model(sequences[:1], use_cache=False)
            for note in notes:
                note.remove()
            stop = self._blocks[0].module.register_forward_pre_hook(self._stop, with_kwargs=True)
            for sequence in sequences:
                with contextlib.suppress(_Enough):
                    model(sequence[None], use_cache=False)
            stop.remove()

    def _note(self, _: Any, inputs: tuple[Any, ...], arguments: dict[str, Any]) -> None:
        self._arguments.append({k: v for k, v in arguments.items() if k != "hidden_states"})

    def _stop(self, _: Any, inputs: tuple[Any, ...], arguments: dict[str, Any]) -> None:
        self._states.append(inputs[0] if inputs else arguments["hidden_states"])
        raise _Enough

    def inputs(self, index: int, stages: Sequence[Sequence[str]]) -> dict[str, Inputs]:
        """What flows into matrices of a layer, given by name; the sequences stay before it.

        Stages come in the order in which data flows. The matrices of one read the same input:
        the first is measured for all.
        """
        linears = self._blocks[index].linears
        measured = [_empty(linears[names[0]].in_features) for names in stages]
        hooks = [
            linears[names[0]].register_forward_pre_hook(
                _measure(into, self._tokens, enough=names is stages[-1])
            )
            for names, into in zip(stages, measured, strict=True)
        ]
        for state in self._states:
            with contextlib.suppress(_Enough):
                self._run(index, state)
        for hook in hooks:
            hook.remove()
        return {name: into for names, into in zip(stages, measured, strict=True) for name in names}

    def advance(self, index: int) -> None:
        """Run the sequences through a layer as it is now."""
        self._states = [self._run(index, state) for state in self._states]

    def _run(self, index: int, state: Any) -> Any:
        import torch

        with torch.no_grad():
            made = self._blocks[index].module(state, **self._arguments[index])
        return made[0] if isinstance(made, tuple) else made


def _empty(width: int) -> Inputs:
    import torch

    return Inputs(torch.zeros(width, width), torch.zeros(width))


def _measure(into: Inputs, tokens: int, *, enough: bool) -> Any:
    """A hook that adds what it sees to `into`, and ends the forward pass where that is enough."""

    def hook(_: Any, inputs: tuple[Any, ...]) -> None:
        flat = inputs[0].reshape(-1, inputs[0].shape[-1]).float()
        into.gram.addmm_(flat.T, flat, alpha=1 / tokens)
        into.size += flat.abs().sum(0) / tokens
        if enough:
            raise _Enough

    return hook
