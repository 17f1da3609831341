"""JSON text as nodes that know their line; everything that JSON forbids is told in words.

Knows nothing of what a config may hold.
"""

from __future__ import annotations

import json
import math
import re
from json.decoder import scanstring  # type: ignore[attr-defined]  # the stubs lack it

from search_spaces.problems import Place, Problems, short
from search_spaces.yaml_nodes import (
    MAX_DEPTH,
    MAX_VALUES,
    Entry,
    ListNode,
    MappingNode,
    Node,
    Plain,
    ScalarNode,
)

_SPACE = re.compile(r"[ \t\r\n]*")
_WORD = re.compile(r"[^\s,:{}\[\]\"]+")
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?")
_WORDS: dict[str, Plain] = {"true": True, "false": False, "null": None}
_MEANT = {"True": "true", "False": "false", "None": "null"}
_MAX_DIGITS = 40
# Also halves of surrogate pairs: neither a terminal nor a file takes them.
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


class _Refused(Exception):
    """The text cannot be read any further."""

    def __init__(self, position: int, message: str) -> None:
        super().__init__(message)
        self.position = position
        self.message = message


def compose_json(text: str, file: str, problems: Problems) -> Node | None:
    """The value in `text`; None when it is empty or no JSON (see `problems`).

    A key that comes twice is noted, and reading goes on.
    """
    composer = _Composer(text, file, problems)
    try:
        return composer.compose()
    except _Refused as refused:
        problems.add(composer.place(refused.position), refused.message)
    return None


class _Composer:
    """Reads one value, from left to right."""

    def __init__(self, text: str, file: str, problems: Problems) -> None:
        self._text = text
        self._file = file
        self._problems = problems
        self._at = 0
        self._line = (0, 1)
        self._count = 0

    def place(self, position: int) -> Place:
        """The line of a position; asked for in the text's order, save for a last time."""
        before, line = self._line if position >= self._line[0] else (0, 1)
        line += self._text.count("\n", before, position)
        self._line = (position, line)
        return Place(self._file, line)

    def compose(self) -> Node | None:
        """The whole text's value; None of an empty one."""
        if not self._peek():
            return None
        node = self._value(0)
        if self._peek():
            raise _Refused(self._at, f"not JSON: after the end stands {self._seen()}")
        return node

    def _peek(self) -> str:
        """The next character that counts; empty at the end."""
        match = _SPACE.match(self._text, self._at)
        self._at = self._at if match is None else match.end()
        found = self._text[self._at : self._at + 1]
        if found == "/" or found == "#":
            raise _Refused(self._at, f"not JSON: a comment, {self._seen()}; JSON has none")
        return found

    def _seen(self) -> str:
        rest = self._text[self._at : self._at + 200].splitlines()
        return short(rest[0].strip()) if rest else "the end"

    def _value(self, depth: int) -> Node:
        self._count += 1
        first, start = self._peek(), self._at
        if self._count > MAX_VALUES:
            raise _Refused(start, f"more than {MAX_VALUES} values; a config has a few hundred")
        if depth >= MAX_DEPTH:
            raise _Refused(start, f"nested more than {MAX_DEPTH} deep")
        if first == "{":
            return self._mapping(depth)
        if first == "[":
            return self._list(depth)
        place = self.place(start)
        if first == '"':
            text = self._string()
            return ScalarNode(text, text, True, place)
        return self._word(place)

    def _mapping(self, depth: int) -> MappingNode:
        start, place = self._at, self.place(self._at)
        self._at += 1
        entries: dict[str, Entry] = {}
        size = 1
        while self._more("}", start, first=not entries):
            if self._peek() != '"':
                raise _Refused(
                    self._at, f"not JSON: found {self._seen()}, expected a key in quotes"
                )
            key_place = self.place(self._at)
            key = self._string()
            if self._peek() != ":":
                raise _Refused(self._at, f"not JSON: no colon after the key {short(key)}")
            self._at += 1
            node = self._value(depth + 1)
            size += 1 if isinstance(node, ScalarNode) else node.size
            if key in entries:
                first_line = entries[key].place.line
                message = f"the key {short(key)} comes twice; the first is on line {first_line}"
                self._problems.add(key_place, message)
            entries.setdefault(key, Entry(key_place, node))
        return MappingNode(entries, place, size)

    def _list(self, depth: int) -> ListNode:
        start, place = self._at, self.place(self._at)
        self._at += 1
        items: list[Node] = []
        while self._more("]", start, first=not items):
            items.append(self._value(depth + 1))
        size = sum(1 if isinstance(item, ScalarNode) else item.size for item in items)
        return ListNode(tuple(items), place, 1 + size)

    def _more(self, end: str, start: int, *, first: bool) -> bool:
        """Whether another item comes; takes the comma before it, or the end."""
        found = self._peek()
        if found == end:
            self._at += 1
            return False
        if not found:
            raise _Refused(start, f"not JSON: no {end!r} closes what begins here")
        if first:
            return True
        if found != ",":
            raise _Refused(self._at, f"not JSON: a missing comma before {self._seen()}")
        comma = self._at
        self._at += 1
        if self._peek() == end:
            raise _Refused(comma, f"not JSON: a comma too many, before {end!r}")
        return True

    def _string(self) -> str:
        start = self._at
        try:
            found, self._at = scanstring(self._text, start + 1, True)
        except json.JSONDecodeError as error:
            raise _Refused(*_string_problem(error, start)) from error
        text = str(found)
        match = _CONTROL.search(text)
        if match is not None:
            code = f"U+{ord(match[0]):04X}"
            raise _Refused(start, f"a control character ({code}) in a text; expected plain text")
        return text

    def _word(self, place: Place) -> ScalarNode:
        match = _WORD.match(self._text, self._at)
        word = "" if match is None else match[0]
        if word not in _WORDS and not _NUMBER.fullmatch(word):
            raise _Refused(self._at, f"not JSON: {self._no_value(word)}")
        self._at += len(word)
        value = _WORDS[word] if word in _WORDS else self._number(word)
        return ScalarNode(value, word, False, place)

    def _no_value(self, word: str) -> str:
        if word in _MEANT:
            return f"found {word}, did you mean {_MEANT[word]}?"
        if word.startswith("'"):
            return f"found {short(word)}; texts stand in double quotes"
        if not word:
            return f"found {self._seen()}, expected a value"
        return f"found {short(word)}, expected a number, true, false, null or a text in quotes"

    def _number(self, word: str) -> int | float:
        if not any(mark in word for mark in ".eE"):
            if len(word) <= _MAX_DIGITS:
                return int(word)
        elif math.isfinite(value := float(word)):
            return value
        raise _Refused(self._at - len(word), f"the number {short(word)[1:-1]} is too large")


def _string_problem(error: json.JSONDecodeError, start: int) -> tuple[int, str]:
    """Where a text goes wrong, and how."""
    if "Unterminated" in error.msg:
        return start, "not JSON: a quote that is not closed"
    if "control" in error.msg:
        return error.pos, "not JSON: a line break or tab inside a text; write \\n or \\t"
    return error.pos, "not JSON: a backslash escape that JSON does not know; write \\\\"
