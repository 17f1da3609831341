"""Conversations: how a row becomes turns of a user and an assistant.

What a turn looks like to a model is its own chat template's affair. Knows nothing of models,
tokens or files.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

from search_spaces.problems import hint, short

Turn = dict[str, str]
"""`role` ("system", "user", "assistant", "tool") and `content`."""

_ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "model": "assistant",
    "bot": "assistant",
    "tool": "tool",
}
"""How data sets call who speaks, and what chat templates call it."""

_NAMES = (("role", "content"), ("from", "value"))


@dataclass(frozen=True, slots=True)
class Chat:
    """What a space says under `data.chat`.

    Either `messages`, the column that holds whole conversations, or `user` and `assistant` (and
    `system`, where there is one): text with {column} placeholders.
    """

    messages: str | None = None
    user: str = ""
    assistant: str = ""
    system: str = ""

    def to_json(self) -> dict[str, Any]:
        """What was said, and nothing else: `from_json` reads it, and so does a space."""
        return {name: value for name, value in asdict(self).items() if value}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The chat that `to_json` wrote."""
        return cls(**data)

    @property
    def answer(self) -> str | None:
        """The column of the last answer, which reading adds to a row of `messages`."""
        return None if self.messages is None else f"{self.messages}: answer"

    @property
    def templates(self) -> tuple[str, ...]:
        """The texts with placeholders, in the order in which they are read."""
        return tuple(t for t in (self.system, self.user, self.assistant) if t)


def template_of(text: str) -> str:
    """What stands for a column in a chat: a bare name is that column's placeholder."""
    return text if "{" in text else f"{{{text}}}"


def conversation_text(value: object) -> str:
    """A conversation in one spelling, as JSON; ValueError in words for what is none.

    `value`: a list of {role, content}, or {from, value}; or JSON of that.
    """
    return json.dumps(_conversation(_parsed(value)), ensure_ascii=False)


def stored_turns(text: str) -> list[Turn]:
    """The turns of `conversation_text`."""
    turns: list[Turn] = json.loads(text)
    return turns


def _parsed(value: object) -> object:
    if not isinstance(value, str):
        return value.tolist() if hasattr(value, "tolist") else value  # of Parquet, arrays
    try:
        parsed: object = json.loads(value)
    except (ValueError, RecursionError):
        raise ValueError(f"found {short(value)}, expected {_EXPECTED}") from None
    return parsed


_EXPECTED = "a list of turns such as {role: user, content: ...}"


def _conversation(value: object) -> list[Turn]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise ValueError(f"found {short(str(value))}, expected {_EXPECTED}")
    turns = [_turn(number, turn) for number, turn in enumerate(value, 1)]
    if not turns or turns[-1]["role"] != "assistant":
        last = f"its last turn is the {turns[-1]['role']}'s" if turns else "it has no turns"
        raise ValueError(f"{last}; expected an answer of the assistant at the end")
    return turns


def _turn(number: int, turn: object) -> Turn:
    if not isinstance(turn, Mapping):
        raise ValueError(
            f"turn {number} is {short(str(turn))}, expected {{role: ..., content: ...}}"
        )
    for who, what in _NAMES:
        if who in turn and what in turn:
            return {"role": _role(number, turn[who]), "content": _content(number, turn[what])}
    found = ", ".join(short(str(name)) for name in turn) or "nothing"
    raise ValueError(f"turn {number} has {found}; expected role and content, or from and value")


def _role(number: int, value: object) -> str:
    name = str(value).strip().casefold()
    if name not in _ROLES:
        near = hint(name, list(_ROLES))
        raise ValueError(
            f"turn {number} is of {short(str(value))}; expected system, user or assistant{near}"
        )
    return _ROLES[name]


def _content(number: int, value: object) -> str:
    """Text, or parts of it; ValueError for what is no text, such as an image."""
    if isinstance(value, str):
        return str(value)
    parts = value.tolist() if hasattr(value, "tolist") else value
    if isinstance(parts, list):
        texts = [p.get("text") if isinstance(p, Mapping) else p for p in parts]
        if texts and all(isinstance(text, str) for text in texts):
            return "".join(map(str, texts))
    raise ValueError(f"turn {number} says {short(str(value))}, expected text")
