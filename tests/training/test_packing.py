"""Texts strung together and cut into pieces."""

from __future__ import annotations

import re
from typing import Any

import pytest
import tiny_models

from search_spaces.data import DataSpec
from tuner.training.examples import Example, packed, read_examples

WORDS = tiny_models.tokenizer()


def test_every_token_is_in_one_piece_in_the_texts_order(tones: DataSpec, settings: Any) -> None:
    texts = read_examples(WORDS, tones, settings(loss="full"))
    pieces = read_examples(WORDS, tones, settings(loss="full", packing=True, max_length=64))
    whole = [token for text in texts for token in text.ids]
    assert [token for piece in pieces for token in piece.ids] == whole
    assert {len(piece.ids) for piece in pieces[:-1]} == {64}


def test_every_text_has_its_end(tones: DataSpec, settings: Any) -> None:
    pieces = read_examples(WORDS, tones, settings(loss="full", packing=True, max_length=64))
    ends = sum(piece.ids.count(WORDS.eos_token_id) for piece in pieces)
    assert ends == len(tiny_models.tone_rows())


def test_all_but_the_first_token_of_a_piece_are_learned() -> None:
    pieces = packed([Example([1, 2, 3], 1), Example([4, 5], 1)], 2)
    assert [(piece.ids, piece.places) for piece in pieces] == [
        ([1, 2], (1,)),
        ([3, 4], (1,)),
    ]  # and of the 5 nothing could be learned


def test_few_tokens_are_one_piece() -> None:
    assert [piece.ids for piece in packed([Example([1, 2], 1)], 64)] == [[1, 2]]


def test_nothing_is_packed_where_labels_are_learned(tones: DataSpec, settings: Any) -> None:
    with_, without = (read_examples(WORDS, tones, settings(packing=p)) for p in (True, False))
    assert with_ == without


def test_log_says_what_was_packed(
    tones: DataSpec, settings: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    read_examples(WORDS, tones, settings(loss="full", packing=True, max_length=64))
    said = capsys.readouterr().out
    assert re.search(r"64 texts of \d+ tokens in all, packed into \d+ pieces of 64\n", said)
