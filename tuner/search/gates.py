"""Which decisions are only open under which others, read off rows of choices.

Knows nothing of the conditions that a space writes down: they may name what is not a choice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any, Protocol

Row = Mapping[str, Any]


class Named(Protocol):
    """What has the name of a decision."""

    @property
    def name(self) -> str:
        """The decision's name."""
        ...


def descendants(decisions: Sequence[Named], rows: Sequence[Row]) -> dict[str, frozenset[str]]:
    """For each decision, those that are open or not depending on it, directly or through others."""
    names = [d.name for d in decisions]
    parents = {name: _parents(name, names, rows) for name in names}
    found: dict[str, set[str]] = {name: set() for name in names}
    for name in names:
        for ancestor in _ancestors(name, parents):
            found[ancestor].add(name)
    return {name: frozenset(heirs) for name, heirs in found.items()}


def _parents(name: str, names: Sequence[str], rows: Sequence[Row]) -> tuple[str, ...]:
    """The first decision, or pair of decisions, whose values say whether this one is open."""
    present = [row for row in rows if name in row]
    absent = [row for row in rows if name not in row]
    if not present or not absent:
        return ()
    for group in _groups([n for n in names if n != name]):
        values = ({_values(row, group) for row in side} for side in (present, absent))
        if set.isdisjoint(*values):
            return group
    return ()


def _groups(names: Sequence[str]) -> Iterator[tuple[str, ...]]:
    yield from ((name,) for name in names)
    yield from combinations(names, 2)


def _values(row: Row, names: Sequence[str]) -> tuple[str, ...]:
    return tuple(repr(row.get(name)) for name in names)


def _ancestors(name: str, parents: Mapping[str, tuple[str, ...]]) -> set[str]:
    found: set[str] = set()
    ahead = list(parents[name])
    while ahead:
        parent = ahead.pop()
        if parent != name and parent not in found:
            found.add(parent)
            ahead.extend(parents[parent])
    return found
