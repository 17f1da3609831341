"""YAML text as nodes that know their file and line, read with every trap of YAML in mind.

Only true and false in their spellings, whole numbers and decimal numbers (also 1e-4, which
PyYAML takes for text) are anything else than text. Knows nothing of what a space may hold.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import yaml
from yaml import events as ev

from search_spaces.problems import Place, Problems, hint, short

try:
    from yaml import CSafeLoader as _Loader  # ten times as fast
except ImportError:  # PyYAML without libyaml
    from yaml import SafeLoader as _Loader  # type: ignore[assignment]

MAX_DEPTH = 40
MAX_VALUES = 20_000
"""How many values a file may hold, each alias counted as what it stands for."""

Plain = None | bool | int | float | str


@dataclass(frozen=True, slots=True)
class ScalarNode:
    """One value. `raw` is its text in the file; `quoted`: it can only be text."""

    value: Plain
    raw: str
    quoted: bool
    place: Place


@dataclass(frozen=True, slots=True)
class ListNode:
    """A list; `size` counts every value in it."""

    items: tuple[Node, ...]
    place: Place
    size: int = 1


@dataclass(frozen=True, slots=True)
class Entry:
    """A key's place and value."""

    place: Place
    node: Node


@dataclass(frozen=True, slots=True)
class MappingNode:
    """A mapping, in the order of the file; `size` counts every value in it."""

    entries: Mapping[str, Entry]
    place: Place
    size: int = 1


Node = ScalarNode | ListNode | MappingNode


def text_node(text: str, place: Place) -> ScalarNode:
    """A node for text that is not YAML, such as an argument of the command line."""
    return ScalarNode(text, text, True, place)


def describe(node: Node) -> str:
    """What a node is, for a message: `a list`, `nothing`, `the number 3`, `the text 'x'`."""
    if isinstance(node, ListNode):
        return "a list"
    if isinstance(node, MappingNode):
        return "a mapping"
    if node.value is None:
        return "nothing"
    if isinstance(node.value, bool):
        meaning = str(node.value).lower()
        return meaning if node.raw == meaning else f"{node.raw} (which YAML reads as {meaning})"
    if isinstance(node.value, str):
        return f"the text {short(node.value)}"
    return f"the number {node.raw}"


class _Refused(Exception):
    """The text cannot be read any further."""

    def __init__(self, place: Place, message: str) -> None:
        super().__init__(message)
        self.place = place
        self.message = message


def compose(text: str, file: str, problems: Problems) -> Node | None:
    """The one document in `text`; None when it is empty or cannot be read (see `problems`).

    Duplicate keys, keys that are no text, and tags are noted, and reading goes on.
    """
    try:
        _refuse_control_characters(text, file)
        return _Composer(text, file, problems).compose()
    except _Refused as refused:
        problems.add(refused.place, refused.message)
    except yaml.MarkedYAMLError as error:
        problems.add(*_syntax_problem(error, text, file))
    return None


# What YAML calls printable, with the line feed and the tab.
_CONTROL = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def _refuse_control_characters(text: str, file: str) -> None:
    match = _CONTROL.search(text)
    if match is not None:
        line = text.count("\n", 0, match.start()) + 1
        code = f"U+{ord(match[0]):04X}"
        raise _Refused(Place(file, line), f"a control character ({code}); expected plain text")


@dataclass(slots=True)
class _Open:
    """A list or mapping whose end has not come; a mapping's keys and values alternate."""

    is_list: bool
    place: Place
    anchor: str | None
    children: list[Node] = field(default_factory=list)


class _Composer:
    """Builds nodes out of PyYAML's events, without recursion."""

    def __init__(self, text: str, file: str, problems: Problems) -> None:
        self._events = yaml.parse(text, Loader=_Loader)
        self._file = file
        self._problems = problems
        self._stack: list[_Open] = []
        self._anchors: dict[str, Node] = {}
        self._root: Node | None = None
        self._count = 0

    def compose(self) -> Node | None:
        documents = 0
        for event in self._events:
            if isinstance(event, ev.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise _Refused(self._place(event), "a second document; a space is one document")
            elif isinstance(event, ev.NodeEvent):
                self._take(event)
            elif isinstance(event, ev.CollectionEndEvent):
                self._close(self._stack.pop())
        return self._root

    def _place(self, event: ev.Event) -> Place:
        mark = event.start_mark
        return Place(self._file, None if mark is None else mark.line + 1)

    def _take(self, event: ev.NodeEvent) -> None:
        place = self._place(event)
        self._count += 1
        if self._count > MAX_VALUES:
            raise _Refused(place, f"more than {MAX_VALUES} values; a space has a few hundred")
        if isinstance(event, ev.AliasEvent):
            self._add(self._aliased(event.anchor or "", place), None)
        elif isinstance(event, ev.ScalarEvent):
            quoted = event.style not in (None, "")  # libyaml says "", PyYAML None
            self._note_tag(event.tag, place)
            value = event.value if quoted else resolve(event.value)
            self._add(ScalarNode(value, event.value, quoted, place), event.anchor)
        elif isinstance(event, ev.CollectionStartEvent):
            self._note_tag(event.tag, place)
            if len(self._stack) >= MAX_DEPTH:
                raise _Refused(place, f"nested more than {MAX_DEPTH} deep")
            is_list = isinstance(event, ev.SequenceStartEvent)
            self._stack.append(_Open(is_list, place, event.anchor))

    def _note_tag(self, tag: str | None, place: Place) -> None:
        if tag is not None:
            shown = short(tag.replace("tag:yaml.org,2002:", "!!"))
            self._problems.add(place, f"the tag {shown} has no meaning here; write plain values")

    def _aliased(self, name: str, place: Place) -> Node:
        if any(name == opened.anchor for opened in self._stack):
            raise _Refused(place, f"the alias *{name} stands inside of what it repeats")
        if name not in self._anchors:
            near = hint(name, self._anchors)
            raise _Refused(place, f"the alias *{name} repeats nothing: no &{name} before it{near}")
        return self._anchors[name]

    def _close(self, opened: _Open) -> None:
        size = 1 + sum(size_of(child) for child in opened.children)
        if size > MAX_VALUES:
            raise _Refused(opened.place, f"aliases make more than {MAX_VALUES} values of this")
        if opened.is_list:
            node: Node = ListNode(tuple(opened.children), opened.place, size)
        else:
            node = MappingNode(self._entries(opened.children), opened.place, size)
        self._add(node, opened.anchor)

    def _add(self, node: Node, anchor: str | None) -> None:
        if anchor is not None:
            self._anchors[anchor] = node
        if self._stack:
            self._stack[-1].children.append(node)
        else:
            self._root = node

    def _entries(self, children: list[Node]) -> dict[str, Entry]:
        entries: dict[str, Entry] = {}
        merged: dict[str, Entry] = {}
        for key, node in zip(children[::2], children[1::2], strict=True):
            name = self._key(key)
            if name is None:
                continue
            if name == "<<" and isinstance(key, ScalarNode) and not key.quoted:
                merged = self._merged(node) | merged
            elif name in entries:
                first = entries[name].place.line
                message = f"the key {short(name)} comes twice; the first is on line {first}"
                self._problems.add(key.place, message)
            else:
                entries[name] = Entry(key.place, node)
        return entries | {name: e for name, e in merged.items() if name not in entries}

    def _key(self, key: Node) -> str | None:
        """The key's text; None for a key that is none, which is noted."""
        if isinstance(key, ScalarNode) and isinstance(key.value, (str, bool)):
            return key.raw
        self._problems.add(key.place, f"a key is text; found {describe(key)}")
        return None

    def _merged(self, node: Node) -> dict[str, Entry]:
        """What `<<` brings in: of several mappings, the first that has a key counts."""
        parts = node.items if isinstance(node, ListNode) else (node,)
        merged: dict[str, Entry] = {}
        for part in parts:
            if isinstance(part, MappingNode):
                merged = dict(part.entries) | merged
            else:
                found = describe(part)
                self._problems.add(node.place, f"<< takes a mapping or several; found {found}")
        return merged


def size_of(node: Node) -> int:
    """How many values a node holds, itself counted."""
    return 1 if isinstance(node, ScalarNode) else node.size


_NULLS = ("", "~", "null", "Null", "NULL")
_TRUE = re.compile(r"true|True|TRUE|yes|Yes|YES|on|On|ON")
_FALSE = re.compile(r"false|False|FALSE|no|No|NO|off|Off|OFF")
_INTEGER = re.compile(r"[-+]?(?:0|[1-9]\d*)")
_FLOAT = re.compile(r"[-+]?(?:\d+\.\d*|\.\d+|\d+(?=[eE]))(?:[eE][-+]?\d+)?")
_MAX_DIGITS = 40  # longer whole numbers may not fit a float, and nobody means them


def resolve(raw: str) -> Plain:
    """The value of a plain scalar. Octal and sexagesimal numbers, dates and infinity are text."""
    if raw in _NULLS:
        return None
    if _TRUE.fullmatch(raw):
        return True
    if _FALSE.fullmatch(raw):
        return False
    if len(raw) > _MAX_DIGITS:
        return raw
    if _INTEGER.fullmatch(raw):
        return int(raw)
    if _FLOAT.fullmatch(raw) and math.isfinite(float(raw)):
        return float(raw)
    return raw


_MEANINGS = (
    ("could not find expected ':'", "a key without a colon, or text that should be quoted"),
    ("mapping values are not allowed", "a colon where none fits; check the indentation, or quote"),
    ("did not find expected key", "the indentation does not fit the lines above"),
    ("expected <block end>", "the indentation does not fit the lines above"),
    ("did not find expected '-' indicator", "the indentation does not fit the list above"),
    ("cannot start any token", "a character that text cannot begin with; quote the text"),
    (
        "did not find expected ',' or",
        "a list or mapping in brackets that is not closed, or a missing comma",
    ),
    ("expected ',' or", "a list or mapping in brackets that is not closed, or a missing comma"),
    ("unexpected end of stream", "a quote that is not closed"),
    ("unknown escape character", "an escape that YAML does not know; use single quotes"),
    ("undefined tag handle", "a text that starts with an exclamation mark; quote it"),
)


def _syntax_problem(error: yaml.MarkedYAMLError, text: str, file: str) -> tuple[Place, str]:
    mark = error.problem_mark or error.context_mark
    line = None if mark is None else mark.line + 1
    if line is not None and (tab := _tab_line(text, line)):
        return Place(file, tab), "a tab; YAML indents with spaces only"
    problem = error.problem or "cannot be read"
    meaning = next((words for part, words in _MEANINGS if part in problem), None)
    message = f"not YAML: {meaning or problem}"
    began = error.context_mark
    if began is not None and began.line + 1 != line:
        message += f" (of what begins on line {began.line + 1})"
    return Place(file, line), message


def _tab_line(text: str, line: int) -> int | None:
    """The line at fault, or the one before it, where a tab indents it."""
    lines = text.splitlines()[:line]
    for number in (line, line - 1):
        if 0 < number <= len(lines) and re.match(r" *(?:- *)*\t", lines[number - 1]):
            return number
    return None
