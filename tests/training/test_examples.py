"""Which tokens are learned, and how long texts are cut."""

from __future__ import annotations

import re
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import tiny_models

from search_spaces.data import DataSpec, read_split
from tuner.passes import PassError
from tuner.training.examples import longest_text, read_examples, read_labelled

WORDS = tiny_models.tokenizer()
NUMBERS = {tone: i for i, tone in enumerate(tiny_models.PHRASES)}


def learned(tokens: Any, start: int) -> str:
    return str(WORDS.decode(tokens[start:]))


def test_label_loss_learns_the_label_and_that_the_text_ends(tones: DataSpec, settings: Any) -> None:
    first = read_examples(WORDS, tones, settings())[0]
    assert learned(first.ids, first.start) == "joy</s>"


def test_end_is_not_learned_where_it_is_not_wanted(tones: DataSpec, settings: Any) -> None:
    first = read_examples(WORDS, tones, settings(learn_end=False))[0]
    assert learned(first.ids, first.start) == "joy"


def test_full_loss_learns_all_but_the_first_token(tones: DataSpec, settings: Any) -> None:
    first = read_examples(WORDS, tones, settings(loss="full"))[0]
    assert first.start == 1
    assert learned(first.ids, 0).endswith("joy</s>")


def test_long_texts_lose_their_start_and_keep_the_label(
    tones: DataSpec, settings: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    examples = read_examples(WORDS, tones, settings(max_length=24))
    assert max(len(e.ids) for e in examples) == 24
    assert {learned(e.ids, e.start) for e in examples} == {
        f"{tone}</s>" for tone in tiny_models.PHRASES
    }
    assert re.search(r"64 texts of 2\d\.\d tokens .*, [1-9]\d* of them cut to 24\n", _log(capsys))


def _log(capsys: pytest.CaptureFixture[str]) -> str:
    return str(capsys.readouterr().out)


def test_label_that_leaves_no_room_for_a_prompt_is_refused(tones: DataSpec, settings: Any) -> None:
    data = replace(tones, template="{phrase}\n{tone}, and much is said after it")
    with pytest.raises(PassError, match=r"max_length 4 leaves no room.* has 1[0-9] tokens"):
        read_examples(WORDS, data, settings(max_length=4))


def test_missing_data_is_refused(settings: Any) -> None:
    with pytest.raises(PassError, match="no `data`"):
        read_examples(WORDS, None, settings())


def test_label_loss_without_a_label_is_refused(tones: DataSpec, settings: Any) -> None:
    with pytest.raises(PassError, match="use loss: full"):
        read_examples(WORDS, replace(tones, label=None), settings())


def test_encoder_reads_what_stands_before_the_label(tones: DataSpec) -> None:
    words = tiny_models.encoder_tokenizer()
    rows = read_split(tones, "train")[:4]
    examples = read_labelled(words, tones, rows, NUMBERS, 64)
    text = f"### Text: {rows[0]['phrase']}\n### The tone is:"
    assert examples[0].ids == words(text).input_ids
    assert [example.label for example in examples] == [0, 1, 2, 3]


def test_encoder_s_long_texts_are_cut_with_their_last_special_token(
    tones: DataSpec, capsys: pytest.CaptureFixture[str]
) -> None:
    words = tiny_models.encoder_tokenizer()
    examples = read_labelled(words, tones, read_split(tones, "train"), NUMBERS, 12)
    assert {len(example.ids) for example in examples} == {12}
    assert {example.ids[-1] for example in examples} == {words.sep_token_id}
    assert "64 of them cut to 12" in capsys.readouterr().out


def test_template_that_begins_with_the_label_says_nothing_to_an_encoder(tones: DataSpec) -> None:
    data = replace(tones, template="{tone}: {phrase}")
    words = tiny_models.encoder_tokenizer()
    with pytest.raises(PassError, match="begins with the label"):
        read_labelled(words, data, read_split(data, "train"), NUMBERS, 64)


@pytest.mark.parametrize(("kind", "room"), [("bert", 100), ("roberta", 98)])
def test_texts_are_no_longer_than_an_encoder_has_positions(kind: str, room: int) -> None:
    config = SimpleNamespace(model_type=kind, max_position_embeddings=100, pad_token_id=1)
    words = SimpleNamespace(model_max_length=10**30)
    assert longest_text(words, config, 512) == room
    assert longest_text(words, config, 20) == 20
    assert longest_text(SimpleNamespace(model_max_length=40), config, 512) == 40
