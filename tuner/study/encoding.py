"""Text and JSON as every database takes them. Knows nothing of tables or events.

PostgreSQL refuses NUL and lone surrogates in text, and JSON has no NaN or infinity; all of these
come up in what crashed programs print and in scores of impossible answers.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any


def to_json(value: Any) -> str:
    """The value as strict JSON text; tuples become lists, NaN and infinities null.

    TypeError for what JSON cannot hold (paths, sets, objects).
    """
    try:
        text = _dump(value)
    except ValueError:
        text = _dump(_finite(value))
    return clean(text)


def clean(text: str) -> str:
    """The text with NUL and lone surrogates replaced by the replacement characters."""
    if text.isascii():
        return text.replace("\0", "\ufffd")
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")


def clean_or_none(text: str | None) -> str | None:
    """`clean`, and None for None."""
    return None if text is None else clean(text)


def number_or_none(number: float | None) -> float | None:
    """The number, infinities too, and None for NaN, which SQLite would turn into NULL anyway."""
    return None if number is None or math.isnan(number) else float(number)


def plain_text(value: Any) -> str | None:
    """A parameter's value as one reads it: text bare, true and false, numbers, lists as JSON."""
    if value is None:
        return None
    return clean(value) if isinstance(value, str) else to_json(value)


def as_number(value: Any) -> float | None:
    """The value when it is a number (true and false are not), else None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return number_or_none(value)


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, default=_plain_mapping)


def _plain_mapping(value: Any) -> dict[str, Any]:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"an event holds a {type(value).__name__}, which JSON cannot hold: {value!r}")


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
