"""How rows are probably meant to be read, where nobody says. Knows nothing of files or models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from search_spaces.chat import Chat
from tuner.data_view.columns import Column, Rows
from tuner.init.dataset import guess_labels, guess_template, guess_texts, is_class

_ASKED = ("prompt", "instruction", "question", "input", "query", "user", "context")
_ANSWERED = ("response", "output", "completion", "answer", "assistant", "target", "chosen")


@dataclass(frozen=True, slots=True)
class Guess:
    """How a row is read: one of `template` and `chat`. `answers`: the label is free text."""

    template: str = ""
    chat: Chat | None = None
    label: str | None = None
    answers: bool = False


def guess(rows: Rows, columns: Sequence[Column], label: str | None = None) -> Guess | None:
    """What looks right; None where nothing does. `label`: the column that is known to be it."""
    chats = [column.name for column in columns if column.type == "conversation"]
    if chats and label is None:
        chat = Chat(chats[0])
        return Guess(chat=chat, label=chat.answer, answers=True)
    names = [column.name for column in columns if not set("{}!:[") & set(column.name)]
    full = [c.name for c in columns if c.name in names and c.filled == c.rows]
    asked = _first(full, _ASKED)
    answered = label or _first(full, _ANSWERED)
    if asked and answered and answered != asked:
        classes = is_class(rows, answered)
        before = [name for name in full if name.casefold() in _ASKED and name != answered]
        return Guess(guess_template(before, answered, named=True), None, answered, not classes)
    found = [name for name in guess_labels(rows, full) if name in full]
    label = label or (found[0] if len(found) == 1 else None)
    texts = guess_texts(rows, [name for name in full if name != label])
    if not texts:
        return None
    answers = label is not None and not is_class(rows, label)
    return Guess(guess_template(texts, label, named=True), None, label, answers)


def _first(names: Sequence[str], known: Sequence[str]) -> str | None:
    return next((n for word in known for n in names if n.casefold() == word), None)
