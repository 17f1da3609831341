"""What evaluators and calibration make of conversations: what the model's template gives."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tiny_models

from evaluators import evaluator_specs
from evaluators.accuracy import Accuracy
from evaluators.base import Artifact, Evaluator
from evaluators.fidelity import _passages
from evaluators.generation import Generation
from evaluators.perplexity import Perplexity
from evaluators.rows import Rows
from evaluators.text import classifier_text, encode_texts
from evaluators.windows import encode, read_texts
from search_spaces.chat import Chat
from search_spaces.data import DataError, DataSpec, read_split
from tuner.quantization.calibration import _tokens

WORDS = tiny_models.tokenizer()


@pytest.fixture(scope="module")
def tones(tone_file: Path) -> DataSpec:
    """Tones as answers of a conversation over columns."""
    chat = Chat(None, "Tell: {phrase}", "{tone}")
    return DataSpec((("train", tone_file),), "", "tone", (), chat=chat)


@pytest.fixture
def talks(tmp_path: Path) -> DataSpec:
    rows = [
        {
            "said": [
                {"role": "user", "content": row["phrase"]},
                {"role": "assistant", "content": "Hm."},
                {"role": "user", "content": "And?"},
                {"role": "assistant", "content": row["tone"]},
            ]
        }
        for row in tiny_models.tone_rows()[:8]
    ]
    file = tmp_path / "talks.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    chat = Chat("said")
    return DataSpec((("train", file),), "", chat.answer, (), answers=True, chat=chat)


def measured(evaluator: Evaluator, model: Path, data: DataSpec, **changes: Any) -> Any:
    specs = evaluator_specs()[evaluator.spec.name].parameters
    options = {p.name: p.default for p in specs} | changes
    return evaluator.measure(Artifact("hf", model), options, data, "train")


def test_pair_is_the_prompt_of_the_chat_template_and_the_answer(tones: DataSpec) -> None:
    row = {"phrase": "A red day", "tone": "joy"}
    asked = [{"role": "user", "content": "Tell: A red day"}]
    prompt = WORDS.apply_chat_template(asked, tokenize=False, add_generation_prompt=True)
    reading = Rows(WORDS, tones)
    assert reading.pair(row) == (prompt, "joy</s>\n")
    assert reading.question(row) == prompt


def test_label_behind_other_words_of_the_answer_is_cut_there(tones: DataSpec) -> None:
    chat = Chat(None, "{phrase}", "It is {tone}!")
    data = DataSpec(tones.files, "", "tone", (), chat=chat)
    prompt, rest = Rows(WORDS, data).pair({"phrase": "A red day", "tone": "joy"})
    assert prompt.endswith("<|assistant|>\nIt is ")
    assert rest == "joy!</s>\n"


def test_accuracy_scores_the_labels_as_answers(tones: DataSpec, tiny_llama: Path) -> None:
    found = measured(Accuracy(), tiny_llama, tones, max_items=6)
    assert len(found.items) == 6
    assert set(found.items[0]["scores"]) == set(tiny_models.PHRASES)


def test_generation_answers_the_last_turn(talks: DataSpec, tiny_llama: Path) -> None:
    found = measured(Generation(), tiny_llama, talks, max_items=4, max_new_tokens=2)
    assert [item["reference"] for item in found.items] == [
        row["said: answer"] for row in read_split(talks, "train")[::2]
    ]
    for item in found.items:
        assert item["prompt"].endswith("And?</s>\n<|assistant|>\n")


def test_perplexity_is_of_the_rendered_conversations(talks: DataSpec, tiny_llama: Path) -> None:
    found = measured(Perplexity(), tiny_llama, talks)
    texts = read_texts(None, talks, "train", WORDS)
    assert texts[0].startswith("<|user|>\nMy sister rang")
    bytes_ = sum(item["bytes"] for item in found.items)
    first = sum(encode(WORDS, text).bytes(0, 1) for text in texts)  # which nothing foretells
    assert bytes_ == sum(len(text.encode()) for text in texts) - first


def test_calibration_and_comparisons_read_conversations(talks: DataSpec) -> None:
    tokens = _tokens(WORDS, talks, seed=0)
    assert WORDS.decode(tokens).count("<|assistant|>") == 16
    assert _passages(talks)[0].startswith("My sister rang")


def test_an_encoder_is_refused_conversations(tones: DataSpec) -> None:
    row = {"phrase": "A red day", "tone": "joy"}
    with pytest.raises(DataError, match="an encoder reads no conversations"):
        classifier_text(tones.template, "tone", row)


def test_a_start_that_a_text_says_itself_is_not_doubled() -> None:
    words = tiny_models.encoder_tokenizer()  # it puts <s> before every text
    words.bos_token = "<s>"
    [once], [said] = encode_texts(words, ["red"]), encode_texts(words, ["<s>red"])
    assert once == said
    assert encode(words, "<s>red").prefix == ()
    assert encode(words, "red").prefix == (words.bos_token_id,)


def test_read_rows_are_those_of_the_split(talks: DataSpec) -> None:
    rows = read_split(talks, "train")
    texts = Rows(WORDS, talks).texts(rows)
    assert [text.count("</s>") for text in texts] == [4] * 8
