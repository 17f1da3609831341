"""Where a warm start's trials come from: a study of this database or of another one, read whole.

Knows nothing of the study that begins.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from tuner.study.database import DatabaseError, open_engine
from tuner.study.reader import StudyNotFoundError, StudyReader
from tuner.study.rows import Json, MetricRow, StageRow, StudyRow, TrialRow

_SUFFIXES = (".db", ".sqlite", ".sqlite3")


class WarmStartError(Exception):
    """A study to start from cannot be had; the message says why, in one sentence."""


@dataclass(frozen=True, slots=True)
class Origin:
    """A study to start from. `label`: how it was named, "STUDY" or "DB#STUDY".

    `continues`: it was not asked for, but asked nearly the same; `edits` says what differs.
    """

    label: str
    study: str
    reader: StudyReader
    continues: bool = False
    edits: tuple[str, ...] = ()


def find_origins(
    addresses: Sequence[str], db: str, reader: StudyReader, target: str, stack: ExitStack
) -> list[Origin]:
    """The studies that these addresses name; WarmStartError where one cannot be had.

    An address is a study of the database at hand (`db`, read by `reader`), "DB#STUDY" for one of
    another database (a path or URL), or a database that holds a single study. `target`: the study
    that begins. Other databases are closed with `stack`. What a study has begun with already is
    not looked for again.
    """
    done = set(taken_over(reader, target))
    names = [a for a in dict.fromkeys(addresses) if a not in done]
    return [_find(address, db, reader, target, stack) for address in names]


def taken_over(reader: StudyReader, study: str) -> list[str]:
    """The labels of the studies that a study has begun with; none where there is no such study."""
    try:
        found = reader.events_of_kind(study, "warm_started")
    except StudyNotFoundError:
        return []
    return [event.body["study"] for event in found]


def _find(address: str, db: str, reader: StudyReader, target: str, stack: ExitStack) -> Origin:
    other, study = _parse(address)
    try:
        if other is not None:
            reader = _open(other, stack)
        if study is None:
            study = _only_study(reader, address)
        reader.study(study)
    except (DatabaseError, StudyNotFoundError) as error:
        raise WarmStartError(f"cannot start from {address!r}: {error}") from error
    if study == target and (other is None or _same_place(other, db)):
        raise WarmStartError(f"the study {target!r} cannot start from itself")
    return Origin(address, study, reader)


def _parse(address: str) -> tuple[str | None, str | None]:
    """The database, None for the one at hand, and the study, None for the only one."""
    db, mark, study = address.rpartition("#")
    if mark:
        if not db or not study:
            raise WarmStartError(f"cannot start from {address!r}: expected STUDY or DB#STUDY")
        return db, study
    if "://" in address or address.endswith(_SUFFIXES):
        return address, None
    return None, address


def _open(db: str, stack: ExitStack) -> StudyReader:
    if "://" not in db and not Path(db).expanduser().exists():
        raise DatabaseError(f"there is no study database at {db}")
    engine = open_engine(db, read_only=True)
    stack.callback(engine.dispose)
    return StudyReader(engine)


def _only_study(reader: StudyReader, address: str) -> str:
    names = [summary.name for summary in reader.studies()]
    if len(names) == 1:
        return names[0]
    if not names:
        raise WarmStartError(f"cannot start from {address!r}: it holds no studies")
    raise WarmStartError(
        f"cannot start from {address!r}: it holds {len(names)} studies; say which: "
        f"{address}#{names[0]}"
    )


def _same_place(a: str, b: str) -> bool:
    return a == b or ("://" not in a + b and os.path.realpath(a) == os.path.realpath(b))


class _OfATrial(Protocol):
    @property
    def number(self) -> int: ...


_Row = TypeVar("_Row", bound=_OfATrial)


@dataclass(frozen=True, slots=True)
class SourceStudy:
    """All that was stored of a study but raw measurements; everything by the trial's number.

    `keys`: evaluator -> the key of what was measured last on the data of the search. `rungs`: the
    fields of `events.RungReached`.
    """

    origin: Origin
    info: StudyRow
    trials: Sequence[TrialRow]
    stages: Mapping[int, Sequence[StageRow]]
    metrics: Mapping[int, Sequence[MetricRow]]
    keys: Mapping[int, Mapping[str, str]]
    rungs: Mapping[int, Sequence[Json]]


def read_source(origin: Origin) -> SourceStudy:
    """Read a study in a handful of queries."""
    reader, name = origin.reader, origin.study
    keys: dict[int, dict[str, str]] = defaultdict(dict)
    for found in reader.measurement_keys(name):
        if found.split == "dev":
            keys[found.number][found.evaluator] = found.key
    rungs: dict[int, list[Json]] = defaultdict(list)
    for event in reader.events_of_kind(name, "rung_reached"):
        rungs[event.body["number"]].append(event.body)
    metrics = [m for m in reader.metrics(name) if m.split == "dev"]
    return SourceStudy(
        origin,
        reader.study(name),
        reader.trials(name),
        _by_number(reader.stages(name)),
        _by_number(metrics),
        keys,
        rungs,
    )


def _by_number(rows: Iterable[_Row]) -> dict[int, list[_Row]]:
    found: dict[int, list[_Row]] = defaultdict(list)
    for row in rows:
        found[row.number].append(row)
    return found
