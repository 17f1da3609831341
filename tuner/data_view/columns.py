"""What the columns of a data set hold. Knows nothing of templates, labels or models."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from search_spaces.chat import conversation_text

Rows = Sequence[Mapping[str, object]]

_MANY = 1000  # rows in which a conversation is looked for


@dataclass(frozen=True, slots=True)
class Column:
    """`type` in words, of several the most frequent first; `filled`: rows with anything in it.

    `distinct`: different values among those. `example`: the first of them, as text.
    """

    name: str
    type: str
    filled: int
    rows: int
    distinct: int
    example: str


def columns_of(rows: Rows) -> list[Column]:
    """Every column that some row has, in order of appearance."""
    names = dict.fromkeys(name for row in rows for name in row)
    return [_column(str(name), [row.get(name) for row in rows]) for name in names]


def _column(name: str, values: Sequence[object]) -> Column:
    filled = [value for value in values if value is not None and value != ""]
    texts = [as_text(value) for value in filled]
    types = Counter(map(_type, filled))
    words = ", ".join(kind for kind, _ in types.most_common()) or "nothing"
    if filled and _is_chat(filled):
        words = "conversation"
    return Column(name, words, len(filled), len(values), len(set(texts)), next(iter(texts), ""))


def as_text(value: object) -> str:
    """A cell as text: lists and objects as JSON."""
    plain = value.tolist() if hasattr(value, "tolist") else value
    if isinstance(plain, (list, dict, tuple)):
        return json.dumps(plain, ensure_ascii=False, default=str)
    return str(plain)


def _type(value: object) -> str:
    if isinstance(value, bool):
        return "true/false"
    if type(value) is str:
        return "text"
    if isinstance(value, (int, float, str)):  # of JSON, numbers are as they are written
        return "number"
    if isinstance(value, Mapping):
        return "object"
    return "list" if isinstance(value, (list, tuple)) or hasattr(value, "tolist") else "other"


def _is_chat(values: Sequence[object]) -> bool:
    """Whether all values, of many the first, are conversations."""
    if type(values[0]) is str and not values[0].lstrip().startswith("["):
        return False
    try:
        for value in values[:_MANY]:
            conversation_text(value)
    except ValueError:
        return False
    return True
