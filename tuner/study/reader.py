"""Reads studies back as plain rows, with a fixed number of queries per call.

May read while another process writes. Knows nothing of the events that wrote the rows.
"""

from __future__ import annotations

import difflib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, Row, Select, Table, case, func, select, text

from tuner.study import row_reading as rows_of
from tuner.study import schema
from tuner.study.database import explained, place
from tuner.study.database_errors import readable_text
from tuner.study.rows import (
    ConfirmedRow,
    ConstraintRow,
    EventRow,
    MeasurementKey,
    MeasurementRow,
    MetricRow,
    RungRow,
    StageRow,
    StudyRow,
    StudySummary,
    TrialRow,
)

ViewPart = tuple[Sequence[str], Sequence[Row[Any]]]
"""Names of columns, and rows."""


class StudyNotFoundError(Exception):
    """No study of that name; the message names the nearest one, or says that there are none."""


class StudyReader:
    """The questions that the command line, the API and the report ask.

    Every method that takes a study's name raises StudyNotFoundError where there is none, and
    DatabaseError where the database cannot be read. Trials come in the order of their numbers,
    the baseline (-1) first.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @property
    def engine(self) -> Engine:
        """The database that is read, for who asks its public views."""
        return self._engine

    def studies(self) -> list[StudySummary]:
        """Every study with its counts, the one worked on last first."""
        with self._connect() as connection:
            rows = connection.execute(select(schema.studies)).all()
            runs = {r.study_id: r for r in connection.execute(_runs_by_study())}
            counts = {r.study_id: r for r in connection.execute(_counts_by_study())}
        summaries = [rows_of.summary(row, runs[row.id], counts.get(row.id)) for row in rows]
        return sorted(summaries, key=lambda s: s.last_event_at, reverse=True)

    def study(self, name: str) -> StudyRow:
        """What the study's last command declared, and every command's work."""
        with self._study(name) as (connection, study_id):
            table = schema.studies
            row = connection.execute(select(table).where(table.c.id == study_id)).one()
            runs = connection.execute(_rows(schema.runs, study_id).order_by(schema.runs.c.id))
            return rows_of.study_row(row, [rows_of.run_row(run) for run in runs])

    def trials(self, study: str, numbers: range | None = None) -> list[TrialRow]:
        """Every trial, or those within `numbers`, with their recipes and objectives."""
        with self._study(study) as (connection, study_id):
            objectives: dict[int, list[float | None]] = defaultdict(list)
            query = _in_order(schema.values, study_id, "position")
            for row in connection.execute(_within(query, schema.values, numbers)):
                objectives[row.number].append(row.value)
            trials = _within(_trials_with_recipes(study_id), schema.trials, numbers)
            rows = connection.execute(trials).all()
        return [rows_of.trial_row(row, objectives.get(row.number)) for row in rows]

    def metrics(
        self, study: str, number: int | None = None, numbers: range | None = None
    ) -> list[MetricRow]:
        """The estimates of one trial, of those within `numbers`, or of all."""
        order = ("split", "metric", "statistic")
        with self._study(study) as (connection, study_id):
            query = _in_order(schema.metrics, study_id, *order, number=number)
            query = _within(query, schema.metrics, numbers)
            return [rows_of.metric_row(row) for row in connection.execute(query)]

    def constraints(
        self, study: str, number: int | None = None, numbers: range | None = None
    ) -> list[ConstraintRow]:
        """The constraints' verdicts of one trial, of those within `numbers`, or of all.

        In the order of the space.
        """
        with self._study(study) as (connection, study_id):
            query = _in_order(schema.constraints, study_id, "position", number=number)
            query = _within(query, schema.constraints, numbers)
            return [rows_of.constraint_row(row) for row in connection.execute(query)]

    def stages(self, study: str, number: int | None = None) -> list[StageRow]:
        """The stages of one trial, or of all, in the order of the pipeline."""
        with self._study(study) as (connection, study_id):
            query = _in_order(schema.stages, study_id, "position", number=number)
            return [rows_of.stage_row(row) for row in connection.execute(query)]

    def measurements(self, study: str, number: int | None = None) -> list[MeasurementRow]:
        """What was measured in one trial, or in all, raw, in the order of measuring."""
        table, details = schema.measurements, schema.details
        with self._study(study) as (connection, study_id):
            query = (
                select(table, details.c.detail)
                .join(details, details.c.hash == table.c.detail_hash)
                .where(_of(table, study_id))
                .order_by(table.c.measured_at, table.c.evaluator)
            )
            query = query if number is None else query.where(table.c.number == number)
            return [rows_of.measurement_row(row) for row in connection.execute(query)]

    def measurement_keys(self, study: str) -> list[MeasurementKey]:
        """Under which keys everything was measured, in the order of trials, then of measuring."""
        table = schema.measurements
        names = ("number", "evaluator", "split", "key", "cached", "seconds")
        columns = (table.c[name] for name in names)
        query = select(*columns).order_by(table.c.number, table.c.measured_at, table.c.evaluator)
        with self._study(study) as (connection, study_id):
            rows = connection.execute(query.where(_of(table, study_id))).all()
        return [MeasurementKey(*row) for row in rows]

    def confirmations(self, study: str) -> list[ConfirmedRow]:
        """Every trial that was confirmed on held-out data: its last time, the latest at the end."""
        table = schema.confirmations
        with self._study(study) as (connection, study_id):
            query = _rows(table, study_id).order_by(table.c.id)
            rows = connection.execute(query).all()
        found: dict[int, ConfirmedRow] = {}
        for row in rows:
            found.pop(row.number, None)
            found[row.number] = rows_of.confirmed_row(row)
        return list(found.values())

    def events(self, study: str, after: int = 0, limit: int | None = None) -> list[EventRow]:
        """The log in order: events whose id is above `after`, at most `limit`."""
        table = schema.events
        with self._study(study) as (connection, study_id):
            query = _rows(table, study_id).where(table.c.id > after).order_by(table.c.id)
            rows = connection.execute(query.limit(limit)).all()
        return [rows_of.event_row(r) for r in rows]

    def events_of_kind(self, study: str, kind: str, number: int | None = None) -> list[EventRow]:
        """The log's events of one kind, such as "warm_started", in order; of all trials or one."""
        table = schema.events
        with self._study(study) as (connection, study_id):
            query = _rows(table, study_id).where(table.c.kind == kind).order_by(table.c.id)
            query = query if number is None else query.where(table.c.number == number)
            rows = connection.execute(query).all()
        return [rows_of.event_row(r) for r in rows]

    def rungs(self, study: str) -> list[RungRow]:
        """What trials had reached after shares of their training, in order."""
        found = []
        for event in self.events_of_kind(study, "rung_reached"):
            body, number = event.body, event.number
            assert number is not None, "a rung is of a trial"
            values = (body["share"], tuple(body["objectives"]), body["violation"], body["promoted"])
            found.append(RungRow(number, *values))
        return found

    def states_of_others(self, study: str, run_id: int) -> dict[int, str]:
        """Trial -> state, of those that another command than `run_id` tries, or tried last.

        And of those that were taken over from another study, by whichever command.
        """
        table = schema.trials
        others = table.c.run_id.is_(None) | (table.c.run_id != run_id)
        others |= table.c.origin.is_not(None)
        with self._study(study) as (connection, study_id):
            query = select(table.c.number, table.c.state).where(_of(table, study_id), others)
            return {row.number: row.state for row in connection.execute(query)}

    def last_event(self, study: str, kind: str) -> EventRow | None:
        """The newest event of a kind, such as "data_checked"; None where there is none."""
        table = schema.events
        with self._study(study) as (connection, study_id):
            query = _rows(table, study_id).where(table.c.kind == kind).order_by(table.c.id.desc())
            r = connection.execute(query.limit(1)).first()
        return None if r is None else rows_of.event_row(r)

    def seconds_spent(self, study: str) -> float:
        """How long commands worked on the study, summed up: from a start to its last event."""
        table = schema.runs
        spent = func.coalesce(func.sum(table.c.last_event_at - table.c.started_at), 0.0)
        with self._study(study) as (connection, study_id):
            return float(connection.execute(select(spent).where(_of(table, study_id))).scalar_one())

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """What a SELECT over the public views gives; it has no parameters, its literals are in it.

        DatabaseError where the database refuses it.
        """
        with self._connect() as connection:
            plain = connection.execution_options(no_parameters=True)  # "%" and ":" are themselves
            return [tuple(row) for row in plain.exec_driver_sql(sql)]

    def last_number(self, study: str) -> int:
        """The highest number of a trial; -1 where there is none but the baseline."""
        table = schema.trials
        highest = func.coalesce(func.max(table.c.number), -1)
        with self._study(study) as (connection, study_id):
            return int(connection.execute(select(highest).where(_of(table, study_id))).scalar_one())

    def view(self, study: str, view: str, order: str, size: int) -> Iterator[ViewPart]:
        """A public view's rows of a study in the order of some columns, at most `size` at a time.

        There is a part without rows where the study has none, so that the columns are known.
        """
        query = text(f"SELECT * FROM {view} WHERE study = :study ORDER BY {order}")
        with self._study(study) as (connection, _):
            streaming = connection.execution_options(yield_per=size)
            result = streaming.execute(query, {"study": study})
            names = tuple(result.keys())
            yield names, ()
            for rows in result.partitions(size):
                yield names, rows

    @contextmanager
    def _connect(self) -> Iterator[Connection]:
        with explained(self._engine), readable_text(), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def _study(self, name: str) -> Iterator[tuple[Connection, int]]:
        with self._connect() as connection:
            yield connection, self._study_id(connection, name)

    def _study_id(self, connection: Connection, name: str) -> int:
        table = schema.studies
        found = connection.execute(select(table.c.id).where(table.c.name == name)).scalar()
        if found is not None:
            return int(found)
        names = connection.execute(select(table.c.name)).scalars().all()
        raise StudyNotFoundError(_not_found(name, names, place(self._engine)))


def _not_found(name: str, names: Sequence[str], where: str) -> str:
    if not names:
        return f"there is no study {name!r} in {where}; it holds no studies yet"
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.0)[0]
    return f"there is no study {name!r} in {where}; the nearest name is {near!r}"


def _of(table: Table, study_id: int) -> Any:
    return table.c.study_id == study_id


def _rows(table: Table, study_id: int) -> Select[Any]:
    return select(table).where(_of(table, study_id))


def _in_order(table: Table, study_id: int, *order: str, number: int | None = None) -> Select[Any]:
    query = _rows(table, study_id).order_by(table.c.number, *(table.c[name] for name in order))
    return query if number is None else query.where(table.c.number == number)


def _within(query: Select[Any], table: Table, numbers: range | None) -> Select[Any]:
    if numbers is None:
        return query
    return query.where(table.c.number >= numbers.start, table.c.number < numbers.stop)


def _runs_by_study() -> Select[Any]:
    table = schema.runs
    return select(
        table.c.study_id,
        func.sum(table.c.last_event_at - table.c.started_at).label("seconds"),
        func.max(table.c.last_event_at).label("last_event_at"),
    ).group_by(table.c.study_id)


def _counts_by_study() -> Select[Any]:
    t = schema.trials.c
    complete = t.state.in_(("complete", "built"))
    return (
        select(
            t.study_id,
            func.count().label("trials"),
            func.sum(case((complete, 1), else_=0)).label("complete"),
            func.sum(case((complete & (t.verdict == "feasible"), 1), else_=0)).label("feasible"),
            func.sum(case((t.reason.is_not(None), 1), else_=0)).label("failures"),
            func.sum(case((t.on_front, 1), else_=0)).label("front"),
        )
        .where(t.role == "trial")
        .group_by(t.study_id)
    )


def _trials_with_recipes(study_id: int) -> Select[Any]:
    trials, recipes = schema.trials, schema.candidates
    same = (recipes.c.study_id == trials.c.study_id) & (recipes.c.number == trials.c.number)
    return (
        select(trials, recipes.c.candidate, recipes.c.parameters, recipes.c.steps)
        .join(recipes, same)
        .where(_of(trials, study_id))
        .order_by(trials.c.number)
    )
