"""Conversations: what a space says of them, and rows of them in files."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from sample_space import SPACE, read, write_data

from search_spaces.chat import Chat, conversation_text
from search_spaces.data import (
    DataError,
    DataSpec,
    content_key,
    labels,
    read_split,
    text_key,
    text_of,
)
from search_spaces.data_report import report
from search_spaces.problems import SpaceError

TEMPLATE = '  template: "Text: {phrase}\\nTone: {tone}"\n'
GENERATE = SPACE.replace("task: text-classification", "task: text-generation")


def space(chat: str, label: str = "  label: tone\n") -> str:
    assert TEMPLATE in SPACE
    return SPACE.replace(TEMPLATE, f"  chat: {chat}\n").replace("  label: tone\n", label)


def read_chat(text: str, folder: Path) -> DataSpec:
    data = read(text, write_data(folder)).space.data
    assert data is not None
    return data


def test_a_bare_name_is_a_column(tmp_path: Path) -> None:
    data = read_chat(space("{user: phrase, assistant: tone, system: Be kind.}"), tmp_path)
    assert data.chat == Chat(None, "{phrase}", "{tone}", "Be kind.")
    assert (data.template, data.label, data.answers) == ("", "tone", False)


def test_the_label_is_the_assistant_s_only_column(tmp_path: Path) -> None:
    data = read_chat(space("{user: phrase, assistant: 'It is {tone}.'}", ""), tmp_path)
    assert data.label == "tone"


def test_a_chat_survives_json(tmp_path: Path) -> None:
    data = read_chat(space("{user: phrase, assistant: tone}"), tmp_path)
    assert DataSpec.from_json(json.loads(json.dumps(data.to_json()))) == data


@pytest.mark.parametrize(
    ("chat", "part"),
    [
        ("{user: phrase}", "assistant missing: expected messages, or user and assistant"),
        ("{}", "user and assistant missing"),
        ("{usr: phrase, assistant: tone}", "did you mean 'user'?"),
        ("{messages: m, user: phrase}", "stands without user"),
        ("{user: 'a {', assistant: tone}", "data.chat.user: "),
        ("{user: '{{x}}', assistant: tone}", "data.chat.user: has no {column} placeholder"),
        ("{user: '{phrase!r}', assistant: tone}", "cannot have a format"),
        ("{user: phrase, assistant: '{tone} {x}'}", "the last placeholder of chat.assistant, 'x'"),
        ("{user: '{phrase} {tone}', assistant: tone}", "which no other turn has"),
        ("{user: [phrase], assistant: tone}", "found a list"),
        ("{messages: m}", "the last answer of a conversation is its label; leave it out"),
        ("phrase", "data.chat"),
        ("{user: phrase, assistant: tone}\n  template: '{phrase}{tone}'", "leave one out"),
    ],
)
def test_what_is_wrong_with_a_chat_is_told(chat: str, part: str, tmp_path: Path) -> None:
    with pytest.raises(SpaceError) as caught:
        read(space(chat), write_data(tmp_path))
    assert part in str(caught.value)
    assert all(problem.line for problem in caught.value.problems)


def test_which_of_two_columns_is_the_label_has_to_be_said(tmp_path: Path) -> None:
    two = "{user: phrase, assistant: '{why} {tone}'}"
    with pytest.raises(SpaceError, match="which column of the assistant's is the label"):
        read(space(two, ""), write_data(tmp_path))
    assert read_chat(space(two), tmp_path).label == "tone"


@pytest.mark.parametrize(
    ("config", "tokens", "part"),
    [
        ({"model_type": "bert"}, {}, "an encoder reads no conversations"),
        ({"architectures": ["LlamaForCausalLM"]}, {}, "has no chat template; say by template"),
    ],
)
def test_a_model_that_cannot_chat_is_refused_before_anything_runs(
    config: dict[str, Any], tokens: dict[str, Any], part: str, tmp_path: Path
) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (tmp_path / "model" / "tokenizer_config.json").write_text(json.dumps(tokens), encoding="utf-8")
    text = space("{user: phrase, assistant: tone}").replace("org/tiny", "./model")
    with pytest.raises(SpaceError) as caught:
        read(text, write_data(tmp_path))
    assert part in str(caught.value)


# Conversations of a column


def turn(role: str, content: object) -> dict[str, object]:
    return {"role": role, "content": content}


def test_conversations_are_read_whatever_their_spelling() -> None:
    expected = '[{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Oh"}]'
    plain: list[dict[str, object]] = [turn("user", "Hi"), turn("assistant", "Oh")]
    share = [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Oh"}]
    parts = [turn("User", [{"type": "text", "text": "H"}, {"text": "i"}]), turn("model", "Oh")]
    for given in (plain, share, parts, json.dumps(plain)):
        assert conversation_text(given) == expected


@pytest.mark.parametrize(
    ("value", "part"),
    [
        ("hello", "found 'hello', expected a list of turns"),
        (3, "found '3', expected a list"),
        ([], "it has no turns"),
        (["x"], "turn 1 is 'x', expected {role"),
        ([turn("user", "Hi")], "its last turn is the user's"),
        ([turn("asistant", "Hi")], "did you mean 'assistant'?"),
        ([turn("assistant", None)], "turn 1 says 'None', expected text"),
        ([turn("assistant", [{"type": "image"}])], "expected text"),
        ([{"role": "user"}], "turn 1 has 'role'; expected role and content"),
    ],
)
def test_what_is_no_conversation_is_told(value: object, part: str) -> None:
    with pytest.raises(ValueError, match=re.escape(part)):
        conversation_text(value)


def talks(folder: Path, *, name: str = "talks.jsonl", count: int = 12) -> DataSpec:
    rows = [
        {"said": [turn("user", f"What is {i}?"), turn("assistant", f"It is {i}.")], "id": i}
        for i in range(count)
    ]
    file = folder / name
    if name.endswith(".parquet"):
        pandas = pytest.importorskip("pandas")
        pytest.importorskip("pyarrow")
        pandas.DataFrame(rows).to_parquet(file)
    else:
        file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    chat = Chat("said")
    return DataSpec((("all", file),), "", chat.answer, answers=True, chat=chat)


def test_rows_hold_the_last_answer_beside_the_conversation(tmp_path: Path) -> None:
    data = talks(tmp_path)
    rows = [row for split in ("train", "dev", "test") for row in read_split(data, split)]
    assert len(rows) == 12
    assert {row["said: answer"] for row in rows} == {f"It is {i}." for i in range(12)}
    assert text_of(data, rows[0]) == f"What is {rows[0]['said: answer'][6:-1]}?"
    assert len({text_key(data, row) for row in rows}) == 12
    assert len(labels(data)) == 12
    assert report(data).warnings == ()


def test_conversations_of_parquet_are_those_of_json(tmp_path: Path) -> None:
    other = talks(tmp_path, name="talks.parquet")
    assert content_key(other, "train") == content_key(talks(tmp_path), "train")


def test_other_words_of_a_chat_are_other_content(tmp_path: Path) -> None:
    rows = tmp_path / "tones.jsonl"
    rows.write_text('{"phrase": "a", "tone": "joy"}\n{"phrase": "b", "tone": "fear"}\n')
    file = (("train", rows),)
    chats = [Chat(None, "{phrase}", "{tone}"), Chat(None, "Hm: {phrase}", "{tone}")]
    specs = [DataSpec(file, "", "tone", (), chat=chat) for chat in chats]
    specs.append(DataSpec(file, "{phrase}{tone}", "tone", ()))
    assert len({content_key(spec, "train") for spec in specs}) == 3


def test_a_row_that_is_no_conversation_is_named(tmp_path: Path) -> None:
    file = tmp_path / "talks.jsonl"
    good, bad = [turn("assistant", "x")], [turn("user", "x")]
    file.write_text(f"{json.dumps({'said': good})}\n{json.dumps({'said': bad})}\n")
    chat = Chat("said")
    data = DataSpec((("train", file),), "", chat.answer, (), answers=True, chat=chat)
    with pytest.raises(DataError, match=r"row 2: column 'said': its last turn is the user's"):
        read_split(data, "train")
