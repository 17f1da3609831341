"""Fills a study database with many trials, quickly, and as the program itself would.

A template study goes through the real writer; the others are copies of its rows, made inside the
database: each block of a copy is one command of later days, with numbers, times, keys and texts of
its own. Optuna's tables stay empty: no view and no command that reads looks at them.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from database_study import MadeUpStudy
from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Table,
    Text,
    case,
    cast,
    func,
    insert,
    literal,
    null,
    select,
    text,
)

from tuner.study import schema
from tuner.study.writer import StudyWriter

TEMPLATE = "template"
_PACE = 30.0  # seconds per trial, so that a block of 500 is a command of four hours
_TIMES = {"started_at", "finished_at", "front_since", "front_until", "measured_at", "at"}
_TIMES |= {"last_event_at", "stopped_at", "confirmed_at"}
_KEYS = {"key", "candidate", "detail_hash", "hash"}


def fill(engine: Engine, sizes: Mapping[str, int], template: int = 500) -> None:
    """Write the studies (name -> trials, multiples of `template`) and the template itself.

    On the first of them a command seems to be at work.
    """
    events = MadeUpStudy(TEMPLATE, template).events()
    with StudyWriter(engine, TEMPLATE) as writer:
        writer(next(events))
        with writer.batch():
            for event in events:
                writer(event)
    for name, trials in sizes.items():
        with engine.begin() as connection:
            _copy_study(connection, name, trials, template)
    for name, trials in list(sizes.items())[:1]:
        with StudyWriter(engine, name) as writer:
            for event in MadeUpStudy(name, trials).running(trials):
                writer(event)
    _settle(engine)


def _settle(engine: Engine) -> None:
    """What a server does by itself after a while. SQLite gets no statistics: nobody makes them."""
    command = "PRAGMA wal_checkpoint(TRUNCATE)"
    if engine.dialect.name == "postgresql":
        command = "VACUUM ANALYZE"
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(command))


def _copy_study(connection: Connection, name: str, trials: int, template: int) -> None:
    if trials % template:
        raise ValueError(f"a study of {trials} trials: expected a multiple of {template}")
    blocks = trials // template
    found = connection.execute(select(schema.studies).where(schema.studies.c.name == TEMPLATE))
    row = dict(found.one()._mapping)
    source = row.pop("id")
    changed = {"name": name, "chosen": row["chosen"] + (blocks - 1) * template}
    made = connection.execute(insert(schema.studies).values(row | changed))
    key = made.inserted_primary_key
    assert key is not None, "the row was just added"
    for block in range(blocks):
        _Copy(connection, source, key[0], block, blocks, template).write()
    _copy_objectives(connection, source, key[0])


def _copy_objectives(connection: Connection, source: int, target: int) -> None:
    table = schema.objectives
    columns = [literal(target) if c.name == "study_id" else c for c in table.c]
    rows = select(*columns).where(table.c.study_id == source)
    connection.execute(insert(table).from_select(list(table.c.keys()), rows))


class _Copy:
    """One block of a copied study: the template's trials once more, later."""

    def __init__(
        self,
        connection: Connection,
        source: int,
        target: int,
        block: int,
        blocks: int,
        template: int,
    ) -> None:
        self._connection = connection
        self._source = source
        self._target = target
        self._first = block * template
        self._last = block == blocks - 1
        self._suffix = f"{target:04x}{block:04x}"
        began, ended = self._span()
        self._began = began
        self._stretch = _PACE * template / max(ended - began, 1e-3)
        self._shift = time.time() - (blocks - block) * _PACE * template
        self._end = self._shift + _PACE * template

    def write(self) -> None:
        """Copy the run, the trials with all that is theirs, and the events."""
        self._run_id = self._run()
        self._rows(schema.trials)
        for table in (schema.candidates, *schema.attempt_tables):
            self._rows(table)
        for table in (schema.confirmations, schema.events):
            self._rows(table)
        self._details()

    def _span(self) -> tuple[float, float]:
        runs = schema.runs.c
        query = select(runs.started_at, runs.last_event_at).where(runs.study_id == self._source)
        row = self._connection.execute(query).one()
        return row.started_at, row.last_event_at

    def _run(self) -> int:
        times = {"started_at": self._shift, "last_event_at": self._end, "stopped_at": self._end}
        row = {"study_id": self._target, "reason": "trials", "owner": "m/1/2", "beat": 1}
        key = self._connection.execute(insert(schema.runs).values(row | times)).inserted_primary_key
        assert key is not None, "the row was just added"
        return int(key[0])

    def _rows(self, table: Table) -> None:
        names = [c.name for c in table.c if c.name != "id"]
        query = select(*(self._column(table, name) for name in names))
        query = query.where(table.c.study_id == self._source)
        if self._first:  # the baseline and what was said of the data are of the first block
            query = query.where((table.c.number >= 0) | table.c.number.is_(None))
        order = table.c.id if "id" in table.c else table.c.number
        self._connection.execute(insert(table).from_select(names, query.order_by(order)))

    def _column(self, table: Table, name: str) -> ColumnElement[Any]:
        column = table.c[name]
        if name == "study_id":
            return literal(self._target)
        if name == "run_id":
            return literal(self._run_id)
        if name == "number":
            return self._number(column)
        if name == "body":
            return self._body(table)
        if not self._last and name in ("on_front", "front_until"):
            return self._off_front(name)
        if name in _TIMES:
            return self._later(column)
        return self._own(column) if name in _KEYS else column

    def _number(self, number: ColumnElement[int]) -> ColumnElement[Any]:
        return case((number >= 0, number + self._first), else_=number)

    def _later(self, at: ColumnElement[float]) -> ColumnElement[Any]:
        return self._shift + (at - self._began) * self._stretch

    def _own(self, key: ColumnElement[str]) -> ColumnElement[Any]:
        return func.substr(key, 1, 56) + literal(self._suffix, Text)

    def _off_front(self, name: str) -> ColumnElement[Any]:
        """Who was on the front at the block's end leaves it to the next block."""
        trials = schema.trials.c
        if name == "on_front":
            return literal(False)
        ends = case((trials.front_since.is_(None), null()), else_=self._end)
        return func.coalesce(self._later(trials.front_until), ends)

    def _body(self, table: Table) -> ColumnElement[Any]:
        """The event's fields, of which the first is the trial's number."""
        number, body = table.c.number, table.c.body
        old = literal('{"number": ', Text) + cast(number, Text) + literal(",", Text)
        new = literal('{"number": ', Text) + cast(self._number(number), Text) + literal(",", Text)
        return case((number.is_(None), body), else_=func.replace(body, old, new))

    def _details(self) -> None:
        details, used = schema.details.c, schema.measurements.c
        of_study = select(used.detail_hash).where(used.study_id == self._source)
        rows = select(self._own(details.hash), details.detail).where(details.hash.in_(of_study))
        self._connection.execute(insert(schema.details).from_select(["hash", "detail"], rows))
