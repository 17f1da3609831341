"""Mappings of a config whose keys are taken one by one; what nobody takes is a problem.

Knows nothing of Olive's keys.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any, Self

from search_spaces.problems import Place, Problems, hint, listed, short
from search_spaces.yaml_nodes import (
    Entry,
    ListNode,
    MappingNode,
    Node,
    describe,
)
from tuner.olive.config import Setting

_MANY = 12
"""As many known keys are listed where none is near."""


_LONGEST = 60
"""Characters of a key that are shown."""


def plain(node: Node) -> Any:
    """A node's value: plain dicts, lists, texts, numbers, truth values, None."""
    if isinstance(node, MappingNode):
        return {key: plain(entry.node) for key, entry in node.entries.items()}
    if isinstance(node, ListNode):
        return [plain(item) for item in node.items]
    return node.value


def line_of(place: Place) -> int:
    """A place's line, from 1."""
    return place.line or 1


class Table:
    """A mapping at `where`, a dotted path (empty for the whole file).

    A nested mapping such as `config` may be dissolved: its keys stand beside the others then, each
    with the path that it has in the file.
    """

    def __init__(self, node: MappingNode, where: str, problems: Problems) -> None:
        self.where = where
        self.place = node.place
        self.problems = problems
        self._entries: dict[str, tuple[Entry, str]] = {}
        self._add(node, where)

    @property
    def line(self) -> int:
        """The line it begins on, from 1."""
        return line_of(self.place)

    def _add(self, node: MappingNode, where: str) -> None:
        for key, entry in node.entries.items():
            name = key if len(key) <= _LONGEST else f"{key[:_LONGEST]}..."
            at = f"{where}.{name}" if where else name
            if key in self._entries:
                other = self._entries[key][1]
                self.problems.add(entry.place, f"{at} stands beside {other}; only one can count")
            else:
                self._entries[key] = (entry, at)

    def dissolve(self, *keys: str) -> None:
        """Let the keys of nested mappings stand in this one."""
        for key in keys:
            inner = self.table(key)
            if inner is not None:
                for name, found in inner._entries.items():
                    if name in self._entries:
                        other = self._entries[name][1]
                        message = f"{found[1]} stands beside {other}; only one can count"
                        self.problems.add(found[0].place, message)
                    else:
                        self._entries[name] = found

    def __contains__(self, key: str) -> bool:
        return key in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._entries))

    def peek(self, key: str) -> Node | None:
        """A key's node, which stays; None where it is absent."""
        found = self._entries.get(key)
        return None if found is None else found[0].node

    def at(self, key: str) -> str:
        """The dotted path of a key that is there."""
        return self._entries[key][1]

    def place_of(self, key: str) -> Place:
        """The place of a key that is there."""
        return self._entries[key][0].place

    def take(self, key: str) -> tuple[Node, Setting] | None:
        """A key's node and value, which is no longer here then; None where it is null or absent."""
        found = self._entries.pop(key, None)
        if found is None:
            return None
        entry, at = found
        value = plain(entry.node)
        return None if value is None else (entry.node, Setting(value, at, line_of(entry.place)))

    def wrong(self, setting: Setting, node: Node, expected: str) -> None:
        """Note that a value is of another type than expected."""
        self.bad(setting, f"found {describe(node)}, expected {expected}")

    def missing(self, key: str, expected: str) -> None:
        """Note that a key is not there, with the nearest of those that are."""
        at = f"{self.where}.{key}" if self.where else key
        near = hint(key, self)
        asked = near.replace("; did you mean", "; is it").rstrip("?") + "?" if near else ""
        self.problems.add(self.place, f"{at} is missing: {expected}{asked}")

    def text(self, key: str, expected: str = "a text", *, required: bool = False) -> Setting | None:
        """A text that is not empty; None, and noted where it matters, else."""
        found = self.checked(key, (str,), expected, required=required)
        if found is None or found.value.strip():
            return found
        self.bad(found, f"found an empty text, expected {expected}")
        return None

    def choice(self, key: str, known: Sequence[str], *, required: bool = False) -> Setting | None:
        """One of some names, in any case; the value is as `known` spells it."""
        found = self.text(key, listed(known), required=required)
        if found is None:
            return None
        for name in known:
            if name.casefold() == found.value.casefold():
                return Setting(name, found.where, found.line)
        near = hint(found.value, known) or f", expected {listed(known)}"
        self.bad(found, f"unknown {key} {short(found.value)}{near}")
        return None

    def bad(self, setting: Setting, message: str) -> None:
        """Note what is wrong with a value."""
        place = Place(self.place.file, setting.line)
        self.problems.add(place, f"{setting.where}: {message}")

    def checked(
        self, key: str, types: tuple[type, ...], expected: str, *, required: bool = False
    ) -> Setting | None:
        """A value of one of these types; a truth value is no number."""
        found = self.take(key)
        if found is None:
            if required:
                self.missing(key, f"expected {expected}")
            return None
        node, setting = found
        value = setting.value
        if isinstance(value, types) and (bool in types or not isinstance(value, bool)):
            return setting
        self.wrong(setting, node, expected)
        return None

    def table(self, key: str) -> Table | None:
        """A nested mapping; None where there is none, noted where something else stands there."""
        found = self.take(key)
        if found is None:
            return None
        node, setting = found
        if isinstance(node, MappingNode):
            return type(self)(node, setting.where, self.problems)
        self.wrong(setting, node, "a mapping")
        return None

    def tables(self, key: str) -> list[tuple[str, Self]]:
        """The mappings of a nested mapping, by name; others are noted."""
        outer = self.table(key)
        if outer is None:
            return []
        found = [(name, outer.table(name)) for name in outer]
        return [(name, table) for name, table in found if isinstance(table, type(self))]

    def items(self, key: str, expected: str) -> list[Self] | None:
        """The mappings of a list; None where the key is absent, others are noted."""
        found = self.take(key)
        if found is None:
            return None
        node, setting = found
        if not isinstance(node, ListNode):
            self.wrong(setting, node, f"a list of {expected}")
            return []
        return list(self._mappings(node, setting, expected))

    def _mappings(self, node: ListNode, setting: Setting, expected: str) -> Iterator[Self]:
        for index, item in enumerate(node.items):
            at = f"{setting.where}[{index}]"
            if isinstance(item, MappingNode):
                yield type(self)(item, at, self.problems)
            else:
                line = line_of(item.place)
                self.wrong(Setting(plain(item), at, line), item, expected)

    def rest(self, *, nulls: bool = False) -> dict[str, Setting]:
        """Everything that was not taken. `nulls`: also what is null."""
        settings = {
            key: Setting(plain(entry.node), at, line_of(entry.place))
            for key, (entry, at) in self._entries.items()
        }
        self._entries.clear()
        return {k: s for k, s in settings.items() if nulls or s.value is not None}

    def known(self, keys: Collection[str], what: str) -> None:
        """Note every key that is none of these, and drop it. `what`: whose keys they are."""
        for key in self:
            if key not in keys:
                entry, at = self._entries.pop(key)
                near = hint(key, keys)
                few = f"; known are {listed(sorted(keys), 'and')}" if len(keys) <= _MANY else ""
                message = f"{at}: {what} has no key {short(key)}{near or few}"
                self.problems.add(entry.place, message)
