"""Text that comes from a study, in Markdown that shows it and nothing else.

Knows nothing of studies.
"""

from __future__ import annotations

import html
import re
from typing import Any


def text(value: Any) -> str:
    """Text from a study as Markdown shows it: on one line, no markup, no HTML."""
    escaped = html.escape(one_line(value), quote=False)
    return re.sub(r"([\\`*_{}\[\]|~$])", r"\\\1", escaped)


def code(value: Any) -> str:
    """Text from a study as inline code; a table's bars and backticks do not end it."""
    found = one_line(value).replace("|", "\\|")
    ticks = "`" * (max((len(run) for run in re.findall("`+", found)), default=0) + 1)
    pad = " " if ticks != "`" else ""
    return f"{ticks}{pad}{found or ' '}{pad}{ticks}"


def fenced(block: str, language: str) -> str:
    """A block of code whose fence is longer than any in it."""
    longest = max((len(run) for run in re.findall("`{3,}", block)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}{language}\n{block.rstrip()}\n{fence}"


def plain(found: str) -> str:
    """The text without characters that turn the direction of text around, or steer a terminal."""
    return "".join(c for c in found if c.isprintable() or c.isspace())


def one_line(value: Any) -> str:
    """The text on one line, with no more than one space in a row."""
    return " ".join(plain(str(value)).split())
