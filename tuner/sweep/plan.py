"""A sweep's plan: which spaces, on which devices, with which budget; read and checked.

All that is wrong with it and with its spaces is reported at once, before anything runs. Knows
nothing of how a night is run.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from search_spaces.catalog import read_text
from search_spaces.node_values import mapping, parsed, require, wrong
from search_spaces.problems import Place, Problems
from search_spaces.settings_reader import name_of_file
from search_spaces.units import parse_duration, parse_quantity, parse_size, to_canonical
from search_spaces.yaml_nodes import Entry, MappingNode, compose
from tuner.sweep.plan_entries import EntriesReader, PlanEntry, checked_name
from tuner.sweep.records import Rules

T = TypeVar("T")

_KEYS = ("name", "results", "db", "defaults", "entries", "retention", "regressions")
_RETENTION = ("max_age", "max_size")
_REGRESSIONS = ("least", "confidence")


@dataclass(frozen=True, slots=True)
class Retention:
    """What may stay in the store after a night. Seconds since a result was used, and bytes."""

    max_age: float | None = None
    max_size: int | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """A whole plan. `db`: a path or an SQLAlchemy URL. `notices`: what is no problem."""

    name: str
    path: Path
    results: Path
    db: str
    entries: tuple[PlanEntry, ...]
    retention: Retention = field(default_factory=Retention)
    rules: Rules = field(default_factory=Rules)
    notices: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """What a night keeps of it."""
        retention, rules = self.retention, self.rules
        return {
            "file": self.path.name,
            "entries": [entry.to_json() for entry in self.entries],
            "retention": {"max_age": retention.max_age, "max_size": retention.max_size},
            "regressions": {"least": rules.least, "confidence": rules.confidence},
        }


def read_plan(path: Path) -> Plan:
    """Read and check a plan and its spaces; SpaceError with everything that is wrong."""
    problems = Problems()
    plan = _Reader(path, problems).read(read_text(path))
    problems.raise_if_any()
    assert plan is not None, "a plan without problems is complete"
    return plan


class _Reader:
    def __init__(self, path: Path, problems: Problems) -> None:
        self._path = path
        self._base = path.absolute().parent
        self._problems = problems

    def read(self, content: str) -> Plan | None:
        root = self._root(content)
        if root is None:
            return None
        found = mapping(root, "", _KEYS, self._problems) or {}
        name = self._value(found, "name", "a name", checked_name) or name_of_file(self._path)
        results = self._value(found, "results", "a folder", Path) or Path("results") / name
        db = self._value(found, "db", "a file or an SQLAlchemy URL", str)
        reader = EntriesReader(self._base, self._problems)
        entries = reader.read(found.get("entries"), found.get("defaults"))
        return Plan(
            name=name,
            path=self._path.absolute(),
            results=self._beside(results),
            db=self._database(db, results / f"{name}.db"),
            entries=tuple(entries),
            retention=self._retention(found.get("retention")),
            rules=self._rules(found.get("regressions")),
            notices=tuple(self._problems.notices),
        )

    def _root(self, content: str) -> MappingNode | None:
        file = str(self._path)
        node = compose(content, file, self._problems)
        if node is None:
            if not self._problems.found:
                self._problems.add(Place(file), "the file is empty, expected a plan with entries")
            return None
        if not isinstance(node, MappingNode):
            wrong(node, "", "a mapping with entries: a plan", self._problems)
            return None
        require(node, Place(file), "", ("entries",), self._problems)
        return node

    def _beside(self, path: Path) -> Path:
        """A path of the plan's, which starts from the plan's folder."""
        return (self._base / path.expanduser()).resolve()

    def _database(self, db: str | None, otherwise: Path) -> str:
        if db is not None and "://" in db:
            return db
        return str(self._beside(otherwise if db is None else Path(db)))

    def _value(
        self, found: Mapping[str, Entry], key: str, expected: str, parse: Callable[[str], T]
    ) -> T | None:
        entry = found.get(key)
        return None if entry is None else parsed(entry.node, key, expected, parse, self._problems)

    def _block(self, entry: Entry | None, what: str, keys: Sequence[str]) -> dict[str, Entry]:
        return {} if entry is None else mapping(entry.node, what, keys, self._problems) or {}

    def _retention(self, entry: Entry | None) -> Retention:
        found = self._block(entry, "retention", _RETENTION)
        age = self._value(found, "max_age", "a duration such as 14d", parse_duration)
        return Retention(age, self._value(found, "max_size", "a size such as 20GB", parse_size))

    def _rules(self, entry: Entry | None) -> Rules:
        found, default = self._block(entry, "regressions", _REGRESSIONS), Rules()
        least = self._value(found, "least", "a share such as 5%", _share)
        confidence = self._value(found, "confidence", "a share such as 99%", _confidence)
        return Rules(least or default.least, confidence or default.confidence)


def _share(found: str) -> float:
    number, unit = parse_quantity(found)
    value = to_canonical(number, unit, "fraction", "it")
    if not 0 < value < 1:
        raise ValueError(f"found {found}, expected more than 0 and less than 1, such as 5%")
    return value


def _confidence(found: str) -> float:
    value = _share(found)
    if value < 0.5 or math.isclose(value, 1):
        raise ValueError(f"found {found}, expected from 50% to below 100%")
    return value
