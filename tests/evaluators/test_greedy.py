"""Greedy text, cut where a stop text begins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from evaluators.greedy import generate_text


class Speller:
    """A model that goes on with a text, a character a token, whatever was asked."""

    def __init__(self, text: str, prompt: str = "ask") -> None:
        self._text = prompt + text
        self.made = 0

    @property
    def tokenizer(self) -> Any:
        return self

    def decode(self, ids: Sequence[int], **_: object) -> str:
        return "".join(map(chr, ids))

    def generate(self, prompt: Sequence[int], most: int) -> list[int]:
        so_far = self.decode(prompt)
        assert self._text.startswith(so_far)
        more = self._text[len(so_far) :][:most]
        self.made += len(more)
        return list(map(ord, more))


ASK = list(map(ord, "ask"))


def test_without_a_stop_text_all_that_the_model_says_is_taken() -> None:
    assert generate_text(Speller("Paris."), ASK, 32) == ("Paris.", 6)
    assert generate_text(Speller("Paris."), ASK, 3) == ("Par", 3)


@pytest.mark.parametrize("at", [0, 1, 14, 15, 16, 17, 31, 32, 33, 99])
def test_the_text_ends_before_the_first_stop_text_wherever_it_is(at: int) -> None:
    said = "x" * at + "\n\nQ:" + "y" * 200
    assert generate_text(Speller(said), ASK, 150, ["Q:", "\n\n"]) == ("x" * at, at + 2)


def test_a_stop_text_beyond_the_limit_is_not_seen() -> None:
    assert generate_text(Speller("x" * 40 + "\n"), ASK, 40, ["\n"]) == ("x" * 40, 40)


def test_a_text_that_ends_by_itself_needs_no_stop_text() -> None:
    for length in (0, 15, 16, 17, 32):
        assert generate_text(Speller("x" * length), ASK, 99, ["\n"]) == ("x" * length, length)


def test_few_tokens_are_made_beyond_a_stop_text() -> None:
    model = Speller("Paris\n" + "y" * 500)
    generate_text(model, ASK, 400, ["\n"])
    assert model.made <= 16
