"""The `chat:` of a space's data, and whether its model can have one. Knows nothing of the rows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from search_spaces.chat import Chat, template_of
from search_spaces.data import DataError, template_columns
from search_spaces.kinds import ENCODER
from search_spaces.node_values import mapping, text
from search_spaces.problems import Problems, hint
from search_spaces.yaml_nodes import Entry

_KEYS = ("messages", "user", "assistant", "system")
_SPEAKERS = ("user", "assistant")
_MEANINGS = {
    "messages": "the name of a column",
    "user": "a column, or text with {column} placeholders",
    "assistant": "a column, or text with {column} placeholders",
    "system": "text",
}


def read_chat(entry: Entry, template: bool, problems: Problems) -> Chat | None:
    """The chat that a block describes; None when something is wrong with it.

    `template`: the data has one besides, which is one too many.
    """
    place = entry.node.place
    if template:
        problems.add(place, "data: template and chat both say how a row is read; leave one out")
    entries = mapping(entry.node, "data.chat", _KEYS, problems)
    if entries is None:
        return None
    said = {
        name: text(part.node, f"data.chat.{name}", _MEANINGS[name], problems)
        for name, part in entries.items()
    }
    if any(value is None for value in said.values()):
        return None
    fault = _fault(said)
    if fault is not None:
        problems.add(place, f"data.chat: {fault}")
        return None
    found = {name: str(value) for name, value in said.items()}
    return make_chat(**found) if _sound(found, entries, problems) else None


def make_chat(
    messages: str | None = None, user: str = "", assistant: str = "", system: str = ""
) -> Chat:
    """The chat of what a person wrote, in which a bare name is that column's placeholder."""
    if messages is not None:
        return Chat(messages)
    return Chat(None, template_of(user), template_of(assistant), system)


def _fault(said: Mapping[str, object]) -> str | None:
    """What is missing, or one too many."""
    if "messages" in said:
        others = [name for name in said if name != "messages"]
        alone = f"messages holds whole conversations, and stands without {' and '.join(others)}"
        return alone if others else None
    missing = [name for name in _SPEAKERS if name not in said]
    if not missing:
        return None
    return f"{' and '.join(missing)} missing: expected messages, or user and assistant"


def _sound(said: Mapping[str, str], entries: Mapping[str, Entry], problems: Problems) -> bool:
    """Whether the placeholders can be read, and there is one in what each side says."""
    before = len(problems.found)
    for name, value in said.items():
        what, place = f"data.chat.{name}", entries[name].node.place
        try:
            columns = template_columns(template_of(value) if name in _SPEAKERS else value)
        except DataError as error:
            problems.add(place, str(error).replace("template", what, 1))
            continue
        if not columns and name in _SPEAKERS:
            problems.add(place, f"{what}: has no {{column}} placeholder, expected one or more")
    return len(problems.found) == before


def chat_label(
    chat: Chat,
    label: str | None,
    task: str | None,
    entries: Mapping[str, Entry],
    problems: Problems,
) -> str | None:
    """The column that is answered: the only one of `assistant`, or its last; of messages, theirs.

    `label`: the one that the space names, which has to be that one.
    """
    if chat.messages is not None:
        if "label" in entries:
            message = "data.label: the last answer of a conversation is its label; leave it out"
            problems.add(entries["label"].node.place, message)
        return chat.answer
    columns = template_columns(chat.assistant)
    said = [*template_columns(chat.system), *template_columns(chat.user)]
    if label is None:
        label = answer_column(chat)
        if label is None and task == "text-classification":
            message = "label is missing: which column of the assistant's is the label?"
            problems.add(entries["chat"].node.place, f"data: {message}")
        return label
    if columns[-1] != label or label in said or columns.count(label) > 1:
        message = f"data.label: expected the last placeholder of chat.assistant, {columns[-1]!r}"
        near = hint(label, columns) if label not in columns else ""
        problems.add(entries["label"].node.place, f"{message}, which no other turn has{near}")
        return None
    return label


def answer_column(chat: Chat) -> str | None:
    """The only column that the assistant says, where nobody else says it; None where it has more.

    Of `messages` the one that reading adds.
    """
    if chat.messages is not None:
        return chat.answer
    columns = template_columns(chat.assistant)
    said = [*template_columns(chat.system), *template_columns(chat.user)]
    return columns[0] if len(columns) == 1 and columns[0] not in said else None


def check_chat(entry: Entry, folder: Path, kind: str | None, problems: Problems) -> None:
    """Note where the model in a local folder cannot have conversations."""
    if kind == ENCODER:
        message = "an encoder reads no conversations; say by template what it reads"
    elif not _has_template(folder):
        message = "the model's tokenizer has no chat template; say by template how it reads a row"
    else:
        return
    problems.add(entry.place, f"data.chat: {message}")


def _has_template(folder: Path) -> bool:
    """Whether there is a chat template; a folder without a readable tokenizer is none's affair."""
    files = ("chat_template.jinja", "chat_template.json", "additional_chat_templates")
    if any((folder / name).exists() for name in files):
        return True
    try:
        found = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return True
    return not isinstance(found, dict) or bool(found.get("chat_template"))
