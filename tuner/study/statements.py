"""The statements with which `writer` changes the study's tables, each made once.

SQLAlchemy caches a statement's SQL with the statement, so that running it costs little. An update
sets the columns whose names are among its parameters; parameters named `b_...` are of the WHERE
clause. Knows nothing of events.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    ColumnElement,
    Delete,
    Insert,
    Table,
    Text,
    Update,
    and_,
    bindparam,
    case,
    delete,
    insert,
    literal,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from tuner.study import schema


def _this(table: Table, *names: str) -> ColumnElement[bool]:
    """The rows whose columns equal the parameters `b_study_id`, `b_number` and so on."""
    return and_(*(table.c[name] == bindparam(f"b_{name}") for name in names))


def upsert(dialect: str, table: Table, *columns: str) -> Insert:
    """Insert, or change the columns of the row with the same primary key."""
    make: Any = sqlite.insert if dialect == "sqlite" else postgresql.insert
    statement = make(table)
    changes = {name: statement.excluded[name] for name in columns}
    keys = [column.name for column in table.primary_key]
    upserted: Insert = statement.on_conflict_do_update(index_elements=keys, set_=changes)
    return upserted


def _empty(table: Table) -> Delete:
    return delete(table).where(_this(table, "study_id", "number"))


class Statements:
    """Every statement of the writer, for one SQL dialect ("sqlite" or "postgresql")."""

    def __init__(self, dialect: str) -> None:
        trials, stages = schema.trials, schema.stages
        self.add_event = insert(schema.events)
        self.change_run = update(schema.runs).where(_this(schema.runs, "id"))

        self.find_study = select(schema.studies.c.id).where(_this(schema.studies, "name"))
        self.add_study = insert(schema.studies)
        self.change_study = update(schema.studies).where(_this(schema.studies, "id"))
        self.drop_objectives = delete(schema.objectives).where(_this(schema.objectives, "study_id"))
        self.add_objectives = insert(schema.objectives)
        self.add_run = insert(schema.runs)
        self.front = select(trials.c.number).where(_this(trials, "study_id"), trials.c.on_front)
        self.open_runs = select(schema.runs).where(
            _this(schema.runs, "study_id"), schema.runs.c.stopped_at.is_(None)
        )
        self.trials_of_run = select(trials.c.number).where(
            _this(trials, "study_id"), _of_run(), trials.c.state == "running"
        )
        self.close_trial = _close_trial()
        self.close_stages = _end_stages("study_id", "number").values(outcome="interrupted")
        self.tried_by = select(trials.c.run_id).where(_this(trials, "study_id", "number"))

        self.find_trial = select(trials.c.state).where(_this(trials, "study_id", "number"))
        self.add_trial = insert(trials)
        self.change_trial = update(trials).where(_this(trials, "study_id", "number"))
        self.empty_trial = [_empty(table) for table in schema.attempt_tables]
        self.put_candidate = upsert(dialect, schema.candidates, "candidate", "parameters", "steps")
        self.add_parameters = insert(schema.parameters)

        self.put_stage = upsert(dialect, stages, *_but_keys(stages))
        finished = (name for name in _but_keys(stages) if name != "started_at")
        self.put_finished_stage = upsert(dialect, stages, *finished)
        self.fail_stages = _end_stages("study_id", "number").values(
            outcome="failed", seconds=bindparam("b_at") - stages.c.started_at
        )
        self.put_measurement = upsert(dialect, schema.measurements, *_but_keys(schema.measurements))
        self.add_detail = _add_detail()
        self.put_metrics = upsert(dialect, schema.metrics, *_but_keys(schema.metrics))
        # The evaluator stays: a confirmation does not name it.
        self.put_confirmed = upsert(
            dialect, schema.metrics, *(set(_but_keys(schema.metrics)) - {"evaluator"})
        )
        self.add_confirmation = insert(schema.confirmations)
        self.empty_constraints = _empty(schema.constraints)
        self.add_constraints = insert(schema.constraints)
        self.put_values = upsert(dialect, schema.values, "value")


def _but_keys(table: Table) -> list[str]:
    return [column.name for column in table.c if not column.primary_key]


def _of_run() -> ColumnElement[bool]:
    """Trials of the run `b_run_id`; those of no run are everybody's."""
    run = schema.trials.c.run_id
    return run.is_(None) | (run == bindparam("b_run_id"))


def _close_trial() -> Update:
    """A trial that runs although nobody works on it: failed where a reason is known."""
    trials = schema.trials
    state = case((trials.c.reason.is_not(None), "failed"), else_="interrupted")
    return update(trials).where(_this(trials, "study_id", "number")).values(state=state)


def _end_stages(*keys: str) -> Update:
    stages = schema.stages
    running = stages.c.outcome == "running"
    return update(stages).where(_this(stages, *keys), running)


def _add_detail() -> Insert:
    """Insert a detail unless its text is there; `b_hash` and `b_detail` are the parameters."""
    details = schema.details
    known = select(literal(1)).where(details.c.hash == bindparam("b_hash")).exists()
    row = select(bindparam("b_hash", type_=Text), bindparam("b_detail", type_=Text)).where(~known)
    return insert(details).from_select(["hash", "detail"], row)
