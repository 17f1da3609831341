"""The entries of a sweep's plan: each a space for a model on a device, checked as `tune` checks it.

Several models and devices multiply. Knows nothing of how a night is run.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

from evaluators.runtimes.providers import PROVIDERS, unavailable
from search_spaces.catalog import find_space, read_text
from search_spaces.node_values import items, mapping, one_word, parsed, require, text, whole, wrong
from search_spaces.overrides import Overrides
from search_spaces.problems import Place, Problems, SpaceError, short
from search_spaces.reader import parse_space
from search_spaces.settings_reader import MAX_SEED, NAME, STRATEGIES
from search_spaces.space import Space, steps_of
from search_spaces.units import parse_duration
from search_spaces.yaml_nodes import Entry, ListNode, MappingNode, Node, ScalarNode
from tuner.passes import all_passes
from tuner.pipeline.refusals import hopeless
from tuner.registry import vocabulary

_BUDGET = ("trials", "max_time", "strategy", "seed", "workers")
_KEYS = ("space", "name", "models", "devices", "set", "constraints", *_BUDGET)
_MAX_WORKERS = 64
_DEVICE = "execution_provider"
"""The parameter of passes that says where a model runs: what `devices` sets."""


@dataclass(frozen=True, slots=True)
class PlanEntry:
    """A space for a model on a device, checked, with its budget.

    `text`: of the space's file. `changes`: what the plan changes in it. `unavailable`: why it
    cannot run on this machine (its device is not there), or None.
    """

    name: str
    space: Space
    text: str
    changes: Overrides
    device: str | None = None
    workers: int = 1
    unavailable: str | None = None

    def to_json(self) -> dict[str, Any]:
        """What a night keeps of it."""
        search = self.space.search
        return {
            "name": self.name,
            "space": self.space.name,
            "model": self.space.model.text,
            "device": self.device,
            "set": list(self.changes.settings),
            "constraints": [c.text for c in self.space.constraints],
            "objectives": [o.text for o in self.space.objectives],
            "trials": search.trials,
            "max_time": search.max_time,
            "strategy": search.strategy,
            "seed": search.seed,
            "workers": self.workers,
        }


@dataclass(frozen=True, slots=True)
class _Budget:
    """As the options of the command line spell it; None: as the space says."""

    trials: int | None = None
    max_time: str | None = None
    strategy: str | None = None
    seed: int | None = None
    workers: int = 1


class EntriesReader:
    """Reads `entries:` with its `defaults:`; what is wrong is noted in `problems`.

    Files that the plan names are looked for in `base`, its folder.
    """

    def __init__(self, base: Path, problems: Problems) -> None:
        self._base = base
        self._problems = problems
        self._words = vocabulary()

    def read(self, entries: Entry | None, defaults: Entry | None) -> list[PlanEntry]:
        """Every entry, in the order of the plan; models before devices."""
        block = {} if defaults is None else self._mapping(defaults.node, "defaults", _BUDGET)
        budget = self._budget(block, _Budget())
        if entries is None:
            return []
        if not isinstance(entries.node, ListNode) or not entries.node.items:
            wrong(entries.node, "entries", "a list of mappings with a space each", self._problems)
            return []
        found: list[PlanEntry] = []
        for node in entries.node.items:
            for made in self._entry(node, budget):
                self._note_clash(made.name, [other.name for other in found], node.place)
                found.append(made)
        return found

    def _mapping(self, node: Node, what: str, keys: Sequence[str]) -> dict[str, Entry]:
        return mapping(node, what, keys, self._problems) or {}

    def _budget(self, found: Mapping[str, Entry], default: _Budget) -> _Budget:
        limits = {"trials": (1, None), "seed": (0, MAX_SEED), "workers": (1, _MAX_WORKERS)}
        values: dict[str, Any] = {}
        for key in filter(found.__contains__, _BUDGET):
            node = found[key].node
            if key == "strategy":
                values[key] = one_word(node, key, STRATEGIES, self._problems)
            elif key == "max_time":
                expected = "a duration such as 10m"
                values[key] = parsed(node, key, expected, _duration, self._problems)
            else:
                values[key] = whole(node, key, *limits[key], self._problems)
        return replace(default, **{k: v for k, v in values.items() if v is not None})

    def _note_clash(self, name: str, others: Sequence[str], place: Place) -> None:
        """Names must differ, and none may read as a later revision of the study of another."""
        for other in others:
            if name == other:
                message = f"a second entry {name!r}; give one of them another name"
                self._problems.add(place, message)
            elif _is_revision(name, other) or _is_revision(other, name):
                message = f"the names {other!r} and {name!r} differ by a number after a dash, "
                message += "which tells revisions of a study apart; give one another name"
                self._problems.add(place, message)

    def _entry(self, node: Node, default: _Budget) -> Iterator[PlanEntry]:
        require(node, node.place, "of an entry, ", ("space",), self._problems)
        found = self._mapping(node, "an entry", _KEYS)
        budget = self._budget(found, default)
        models: list[str | None] = [*self._models(found)] or [None]
        devices: list[str | None] = [*self._devices(found)] or [None]
        changes = Overrides(
            constraints=tuple(self._texts(found, "constraints")),
            settings=tuple(self._settings(found)),
            strategy=budget.strategy,
            trials=budget.trials,
            max_time=budget.max_time,
            seed=budget.seed,
        )
        named = self._name(found)
        loaded = self._load(found)
        if loaded is None:
            return
        for model, device in product(models, devices):
            parts = (model if len(models) > 1 else None, device if len(devices) > 1 else None)
            own = replace(changes, model=None if model is None else self._model(model))
            made = self._made(*loaded, own, device, node.place)
            if made is not None:
                name = _joined(named or made.name, parts)
                yield replace(made, name=name, workers=budget.workers)

    def _name(self, found: Mapping[str, Entry]) -> str | None:
        entry = found.get("name")
        if entry is None:
            return None
        return parsed(entry.node, "name", "a name", checked_name, self._problems)

    def _load(self, found: Mapping[str, Entry]) -> tuple[Path, str] | None:
        """The space's file and its text; the file of a plan's is looked for beside it first."""
        if "space" not in found:
            return None
        node = found["space"].node
        source = text(node, "space", "a space file, or a shipped space", self._problems)
        if source is None:
            return None
        beside = self._base / Path(source).expanduser()
        try:
            path = beside if beside.is_file() else find_space(source)
            return path, read_text(path)
        except SpaceError as error:
            for problem in error.problems:
                self._problems.add(node.place, f"space {source!r}: {problem.message}")
            return None

    def _models(self, found: Mapping[str, Entry]) -> list[str]:
        return list(dict.fromkeys(self._texts(found, "models")))

    def _model(self, named: str) -> str:
        """A folder beside the plan by its full path; any other reference as it is."""
        folder = self._base / Path(named).expanduser()
        return str(folder.resolve()) if folder.is_dir() else named

    def _texts(self, found: Mapping[str, Entry], key: str) -> list[str]:
        if key not in found:
            return []
        nodes = items(found[key].node, key, "texts", self._problems)
        return [t for node in nodes if (t := text(node, key, "a text", self._problems))]

    def _devices(self, found: Mapping[str, Entry]) -> list[str]:
        if "devices" not in found:
            return []
        nodes = items(found["devices"].node, "devices", "execution providers", self._problems)
        words = [one_word(node, "devices", PROVIDERS, self._problems) for node in nodes]
        return list(dict.fromkeys(word for word in words if word is not None))

    def _settings(self, found: Mapping[str, Entry]) -> list[str]:
        """As `--set` takes them; a value in JSON is the same value in YAML."""
        if "set" not in found:
            return []
        node = found["set"].node
        if not isinstance(node, MappingNode):
            wrong(node, "set", "a mapping of KEY.PATH to a value", self._problems)
            return []
        pairs = node.entries.items()
        return [f"{k}={json.dumps(_plain(v.node), ensure_ascii=False)}" for k, v in pairs]

    def _made(
        self, path: Path, content: str, changes: Overrides, device: str | None, place: Place
    ) -> PlanEntry | None:
        """The entry of a space, under the space's name; None where it is wrong, which is noted.

        For a device that is not here the space is checked as it is: no device would pass.
        """
        lacking = None if device is None else unavailable(device)
        try:
            reading = parse_space(content, path, self._words, changes)
            if device is not None and lacking is None:
                changes = self._on_device(reading.space, changes, device, place)
                reading = parse_space(content, path, self._words, changes)
        except SpaceError as error:
            for problem in error.problems:
                self._problems.add(place, f"in its space: {problem}")
            return None
        for notice in reading.notices:
            self._problems.notice(place, notice)
        space = reading.space
        refusal = None if lacking else hopeless(space, all_passes())
        if refusal is not None:
            self._problems.add(place, f"no candidate of {space.name} can run: {refusal}")
        return PlanEntry(space.name, space, content, changes, device, unavailable=lacking)

    def _on_device(self, space: Space, changes: Overrides, device: str, place: Place) -> Overrides:
        """The changes, with the device set in every step that says where a model runs."""
        steps = [s for item in space.pipeline for s in steps_of(item)]
        named = [s.id for s in steps if any(p.name == _DEVICE for p in s.spec.parameters)]
        if not named:
            message = f"devices: no step of {space.name} has {_DEVICE}, which says where a model "
            self._problems.add(place, message + "runs; leave devices out")
        settings = (f"pipeline.{step}.{_DEVICE}={device}" for step in named)
        return replace(changes, settings=(*changes.settings, *settings))


def checked_name(found: str) -> str:
    """The text, if a plan, a night or an entry may be called so; else ValueError."""
    if NAME.fullmatch(found) is None or found.endswith((".", " ")):
        expected = "letters, digits, spaces and ._-, a letter or digit first"
        raise ValueError(f"found {short(found)}, expected {expected}")
    return found


def _plain(node: Node) -> Any:
    """A node's value as JSON can hold it."""
    if isinstance(node, ScalarNode):
        return node.value
    if isinstance(node, ListNode):
        return [_plain(item) for item in node.items]
    return {key: _plain(entry.node) for key, entry in node.entries.items()}


def _joined(name: str, parts: Sequence[str | None]) -> str:
    """An entry's name out of its space's and what tells it from others of that space."""
    last = (part.partition("#")[0].rstrip("/").rpartition("/")[2] for part in parts if part)
    return "-".join([name, *(re.sub(r"[^A-Za-z0-9._-]", "_", part) for part in last)])[:100]


def _is_revision(name: str, of: str) -> bool:
    number = name.removeprefix(f"{of}-")
    return number != name and number.isdecimal()


def _duration(found: str) -> str:
    parse_duration(found)
    return found
