"""What is kept of a night: plain data, written as `night.json` into the night's folder.

All that judges, explains or shows nights reads this and needs no database. Knows nothing of how a
night is run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Self

Json = dict[str, Any]

RECORD = "night.json"
"""The name of a night's record in its folder."""

FORMAT = 1
"""The version of the record's form; a program refuses those of a newer one."""

State = Literal["done", "failed", "nothing_fits", "skipped", "unfinished"]
"""How an entry of a night ended. skipped: the device that it is for is not there."""

Kind = Literal["timed", "items", "exact", "level"]
"""What a metric's number is made of.

timed: requests beside the anchor, so that there is a ratio. items: right or wrong per row of the
data. exact: the same for the same bytes (size, parameters). level: any other, with an interval.
"""

Triple = tuple[float, float, float]
"""A value and the ends of its 95 % interval."""

TONIGHT, REFERENCE = "tonight", "reference"
"""Whose answer a watched candidate is; one that is both is the reference's."""


class RecordError(Exception):
    """A night's record cannot be read; the message names the file and what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What counts as a regression: a change of at least `least`, as sure as `confidence`."""

    least: float = 0.05
    confidence: float = 0.99


@dataclass(frozen=True, slots=True)
class Measured:
    """A metric of a watched candidate, measured on a night; canonical unit, 95 % interval.

    `name`: "latency" or "latency.p95". `split`: "dev", or "test" of the confirmation. A timed
    metric does not depend on the split; its two rows are made of different sessions.
    `ratio`: to the anchor, the unoptimised model, measured in turn. `sessions`: of a timed metric,
    the logarithm of that ratio in each session. `outcomes`: of items, 1 for right and 0 for wrong
    per row, in the data's order, and `items_key` a digest of the rows (equal: the same rows).
    """

    name: str
    split: str
    kind: Kind
    value: float | None
    low: float | None
    high: float | None
    unit: str
    lower_is_better: bool
    samples: int
    ratio: Triple | None = None
    sessions: tuple[float, ...] = ()
    outcomes: tuple[int, ...] = ()
    items_key: str | None = None

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """What `asdict` made of it."""
        values = dict(data)
        ratio = values.get("ratio")
        values["ratio"] = None if ratio is None else (ratio[0], ratio[1], ratio[2])
        for name in ("sessions", "outcomes"):
            values[name] = tuple(values.get(name, ()))
        return cls(**values)


@dataclass(frozen=True, slots=True)
class Anchored:
    """The anchor itself on a night: a timed metric of the unoptimised model.

    `value`: in the metric's unit, the median over sessions. `kernels`: for each session, the
    logarithm of the anchor's time over that of the calibration kernel, a fixed computation: what
    changes it is not the machine's speed. Empty where the kernel was not recorded.
    """

    name: str
    value: float
    unit: str
    kernels: tuple[float, ...] = ()

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """What `asdict` made of it."""
        return cls(**{**data, "kernels": tuple(data.get("kernels", ()))})


@dataclass(frozen=True, slots=True)
class Answer:
    """A candidate that a night's search chose.

    `key`: the candidate's; equal keys are equal pipelines. `recipe`: the space with every value
    fixed, as YAML whose paths are relative to the folder of the night's record.
    """

    key: str
    number: int
    parameters: Json
    steps: tuple[Json, ...]
    recipe: str

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """What `asdict` made of it."""
        return cls(**{**data, "steps": tuple(data["steps"])})


@dataclass(frozen=True, slots=True)
class Watched:
    """A candidate that was measured afresh on a night, in turn with the anchor.

    `label`: TONIGHT or REFERENCE, whose answer it is; `of_night`: the night that chose it. `state`:
    "done", or "failed" with the `message`: it can no longer be made or measured. `study`,
    `number`: where its trial is in the database. `stages`: the keys of its stages in the store, by
    step; equal keys: the same bytes. `made`: the steps that were made anew tonight. `verdict`:
    "feasible", "infeasible" or "undecided", by the entry's constraints; None: not judged.
    """

    key: str
    label: str
    of_night: str
    state: Literal["done", "failed"]
    message: str | None
    study: str
    number: int
    parameters: Json
    steps: tuple[Json, ...]
    metrics: tuple[Measured, ...] = ()
    anchor: tuple[Anchored, ...] = ()
    stages: Mapping[str, str] = field(default_factory=dict)
    made: tuple[str, ...] = ()
    verdict: str | None = None

    def sessions(self, metric: str) -> tuple[float, ...]:
        """The log ratios of every session of a timed metric, whatever its split."""
        return tuple(s for m in self.metrics if m.name == metric for s in m.sessions)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """What `asdict` made of it."""
        values = dict(data)
        values["metrics"] = tuple(Measured.from_json(m) for m in values["metrics"])
        values["anchor"] = tuple(Anchored.from_json(a) for a in values["anchor"])
        values["steps"], values["made"] = tuple(values["steps"]), tuple(values["made"])
        return cls(**values)


@dataclass(frozen=True, slots=True)
class EntryResult:
    """What became of an entry: a space for a model on a device.

    `study`: its search in the database, `watch_studies` where its watched candidates are.
    `trials`: of the search, `taken_over` of them from the night before. `front`: trials as
    `report.output.trial_json` makes them. `settings`: the question as plain data (pipeline,
    metrics, constraints, the keys of the model's and the data's content), to be compared between
    nights. `environment`: what the study recorded of machine and versions.
    """

    name: str
    space: str
    model: str
    device: str | None
    study: str
    state: State
    message: str | None = None
    seconds: float = 0.0
    trials: int = 0
    taken_over: int = 0
    objectives: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()
    front: tuple[Json, ...] = ()
    answer: Answer | None = None
    watched: tuple[Watched, ...] = ()
    settings: Json = field(default_factory=dict)
    environment: Json = field(default_factory=dict)

    @property
    def watch_studies(self) -> tuple[str, ...]:
        """The studies of its watched candidates."""
        return tuple(w.study for w in self.watched)

    def watched_of(self, key: str) -> Watched | None:
        """The watched candidate of a key, if there is one."""
        return next((w for w in self.watched if w.key == key), None)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """What `asdict` made of it."""
        values = dict(data)
        answer = values.get("answer")
        values["answer"] = None if answer is None else Answer.from_json(answer)
        values["watched"] = tuple(Watched.from_json(w) for w in values.get("watched", ()))
        for name in ("objectives", "constraints", "front"):
            values[name] = tuple(values.get(name, ()))
        return cls(**values)


@dataclass(frozen=True, slots=True)
class Night:
    """A night of a sweep. Times are seconds since the epoch; `finished` None: it goes on.

    `program`: this program's version, `commit` of the folder in which the command ran (None: no
    git) and whether it had changes that were not committed. `machine`, `versions`: of the machine
    and of every library that matters. `plan`: the plan as it was read. `reference`: the night that
    this one is compared with. `verdict`: "ok", "regression" or "failed"; None: not judged yet.
    """

    name: str
    sweep: str
    started: float
    finished: float | None
    program: str
    commit: str | None
    dirty: bool
    machine: Mapping[str, str]
    versions: Mapping[str, str | None]
    plan: Json
    reference: str | None = None
    verdict: str | None = None
    entries: tuple[EntryResult, ...] = ()

    def entry(self, name: str) -> EntryResult | None:
        """The entry of a name, if there is one."""
        return next((e for e in self.entries if e.name == name), None)

    def with_entry(self, entry: EntryResult) -> Self:
        """The night with what became of an entry, in the place of what had been known of it."""
        if self.entry(entry.name) is None:
            return replace(self, entries=(*self.entries, entry))
        same = (entry if e.name == entry.name else e for e in self.entries)
        return replace(self, entries=tuple(same))

    def to_json(self) -> Json:
        """A JSON form that `from_json` reads."""
        return {"format": FORMAT} | asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The night that `to_json` wrote."""
        values = {name: value for name, value in data.items() if name != "format"}
        values["entries"] = tuple(EntryResult.from_json(e) for e in values["entries"])
        return cls(**values)


def read_night(folder: Path) -> Night:
    """The night whose record lies in a folder. RecordError."""
    path = folder / RECORD
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(data, dict):
            raise RecordError(f"{path} is no record of a night: expected a JSON object")
        if data.get("format", 0) > FORMAT:
            found = data["format"]
            raise RecordError(f"{path} is of a newer version ({found}; this program: {FORMAT})")
        return Night.from_json(data)
    except OSError as error:
        raise RecordError(f"{path} cannot be read: {error.strerror or error}") from error
    except (ValueError, TypeError, KeyError, IndexError) as error:
        raise RecordError(f"{path} is no record of a night: {error}") from error


def write_night(folder: Path, night: Night) -> None:
    """Write a night's record into a folder, whole or not at all. OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    fresh = folder / f".{RECORD}.new"
    fresh.write_text(json.dumps(night.to_json(), indent=1, ensure_ascii=False), encoding="utf-8")
    fresh.replace(folder / RECORD)


def nights_in(results: Path) -> list[Path]:
    """The folders of nights in a folder of results, the earliest first by what their names say."""
    found = (path.parent for path in results.glob(f"*/{RECORD}"))
    return sorted(found, key=lambda folder: folder.name)


def read_nights(results: Path) -> Sequence[Night]:
    """Every night of a folder of results, in the order in which they began. RecordError."""
    return sorted((read_night(f) for f in nights_in(results)), key=lambda n: n.started)
