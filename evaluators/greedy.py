"""Greedy text after a prompt, up to a text that ends it.

Knows nothing of data or metrics, nor in which runtime the model is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol


class Generating(Protocol):
    """What of a `LanguageModel` is needed here."""

    @property
    def tokenizer(self) -> Any:
        """The model's own tokenizer."""
        ...

    def generate(self, prompt: Sequence[int], most: int) -> list[int]:
        """Greedy tokens after a prompt: `most`, or fewer where the text ends."""
        ...


_FIRST_TOKENS = 16  # made before looking for a stop text; then as many again as there are


def generate_text(
    model: Generating, prompt: Sequence[int], most: int, stops: Sequence[str] = ()
) -> tuple[str, int]:
    """(the text after a prompt, how many tokens it took), at most so many.

    It ends before the first of the stop texts, whose tokens count, or where the model ends it.
    Tokens beyond a stop text may be made, but are not seen: a runtime knows of no such texts.
    """
    ids: list[int] = []
    while len(ids) < most:
        asked = most - len(ids) if not stops else min(most - len(ids), max(_FIRST_TOKENS, len(ids)))
        more = model.generate([*prompt, *ids], asked)
        ids += more
        if _stop(decode(model.tokenizer, ids), stops) is not None:
            return _shortest(model.tokenizer, ids, stops)
        if len(more) < asked:
            break
    return decode(model.tokenizer, ids), len(ids)


def _shortest(tokenizer: Any, ids: Sequence[int], stops: Sequence[str]) -> tuple[str, int]:
    """The text before a stop text that is in there, and the fewest tokens with one."""
    for count in range(1, len(ids) + 1):
        text = decode(tokenizer, ids[:count])
        if (at := _stop(text, stops)) is not None:
            return text[:at], count
    raise AssertionError("there is a stop text in it")


def _stop(text: str, stops: Sequence[str]) -> int | None:
    """Where the first stop text begins, or None."""
    places = [at for stop in stops if (at := text.find(stop)) >= 0]
    return min(places, default=None)


def decode(tokenizer: Any, ids: Sequence[int]) -> str:
    """The tokens as text, without special ones, spaces as the model wrote them."""
    found: str = tokenizer.decode(
        list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False
    )
    return found
