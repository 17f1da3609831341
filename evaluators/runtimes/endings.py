"""Where a text that a model generates ends: at a token that says so, or with the model's context.

Knows nothing of any one runtime.
"""

from __future__ import annotations

from collections.abc import Sequence

from evaluators.base import Json, MeasurementError


def end_tokens(config: Json) -> frozenset[int]:
    """The tokens that end a text, as a configuration names them: one, several or none."""
    found = config.get("eos_token_id")
    named = found if isinstance(found, list) else [found]
    return frozenset(int(token) for token in named if token is not None)


def room(prompt: Sequence[int], most: int, limit: int | None) -> int:
    """How many tokens a model can generate after a prompt: `most`, or what its context leaves.

    MeasurementError where that is none.
    """
    if not prompt:
        raise MeasurementError("the prompt has no tokens, so nothing can come after it")
    if limit is None:
        return most
    if len(prompt) >= limit:
        raise MeasurementError(
            f"a prompt of {len(prompt)} tokens leaves no room in the model's context of {limit}"
        )
    return min(most, limit - len(prompt))
