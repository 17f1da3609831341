"""The study's own tables, beside Optuna's in one database; the views over them are in `views`.

The tables are private and may change with the schema version; the views are public. Times are
seconds since 1970-01-01 UTC. Knows nothing of events, files or engines.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.types import TypeEngine

SCHEMA_VERSION = 4

metadata = MetaData()

# SQLite gives numbers by itself only to INTEGER keys.
row_id: TypeEngine[int] = BigInteger().with_variant(Integer(), "sqlite")


def _study_column(*, primary_key: bool = False) -> Column[int]:
    return Column(
        "study_id",
        row_id,
        ForeignKey("tune_studies.id", ondelete="CASCADE"),
        primary_key=primary_key,
        nullable=False,
    )


def _of_a_trial(name: str, *columns: Column[Any]) -> Table:
    """A table whose rows belong to a trial: its key begins with the study and the number."""
    return Table(
        name,
        metadata,
        Column("study_id", row_id, primary_key=True),
        Column("number", Integer, primary_key=True, autoincrement=False),
        *columns,
        ForeignKeyConstraint(
            ["study_id", "number"],
            ["tune_trials.study_id", "tune_trials.number"],
            ondelete="CASCADE",
        ),
        sqlite_with_rowid=False,
    )


versions = Table(
    "tuner_schema",
    metadata,
    Column("version", Integer, primary_key=True, autoincrement=False),
)

studies = Table(
    "tune_studies",
    metadata,
    Column("id", row_id, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("space_name", Text),
    Column("model", Text),
    Column("fingerprint", Text),
    Column("space", Text, nullable=False),  # JSON, as are the next four
    Column("objectives", Text, nullable=False),
    Column("constraints", Text, nullable=False),
    Column("settings", Text, nullable=False),
    Column("environment", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("chosen", Integer),
)

objectives = Table(
    "tune_objectives",
    metadata,
    _study_column(primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),  # from 1
    Column("objective", Text, nullable=False),
    Column("metric", Text, nullable=False),
    Column("statistic", Text),
    Column("minimize", Boolean, nullable=False),
    sqlite_with_rowid=False,
)

runs = Table(
    "tune_runs",
    metadata,
    Column("id", row_id, primary_key=True),
    _study_column(),
    Column("started_at", Double, nullable=False),
    Column("last_event_at", Double, nullable=False),
    Column("stopped_at", Double),
    Column("reason", Text),
    Column("owner", Text),  # who works: machine, process and its start, as `tuner.owner` names it
    Column("beat", BigInteger),  # counts while the owner lives
    Index("tune_runs_study", "study_id"),
)

_RUNNING = text("state = 'running'")  # few of many

trials = Table(
    "tune_trials",
    metadata,
    _study_column(primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),  # -1: the baseline
    Column("role", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("verdict", Text),
    Column("reason", Text),
    Column("message", Text),
    Column("failed_where", Text),
    Column("deterministic", Boolean),
    Column("log", Text),
    Column("seconds", Double),
    Column("on_front", Boolean, nullable=False),
    Column("front_since", Double),
    Column("front_until", Double),
    Column("started_at", Double, nullable=False),
    Column("finished_at", Double),
    Column("run_id", row_id),  # the command that tries it, or tried it last
    Column("origin", Text),  # "STUDY#NUMBER": taken over from another study
    Index("tune_trials_states", "study_id", "role", "state", "verdict", "reason"),
    Index("tune_trials_front", "study_id", "on_front", "front_since"),
    Index("tune_trials_running", "study_id", sqlite_where=_RUNNING, postgresql_where=_RUNNING),
    sqlite_with_rowid=False,
)

# Apart from the trials, so that a scan over 100,000 trials does not read their recipes.
candidates = _of_a_trial(
    "tune_candidates",
    Column("candidate", Text, nullable=False),
    Column("parameters", Text, nullable=False),  # JSON
    Column("steps", Text, nullable=False),  # JSON
)

parameters = _of_a_trial(
    "tune_parameters",
    Column("name", Text, primary_key=True),
    Column("value", Text),
    Column("value_number", Double),
)

values = _of_a_trial(
    "tune_values",
    Column("position", Integer, primary_key=True, autoincrement=False),  # from 1
    Column("value", Double),
)

stages = _of_a_trial(
    "tune_stages",
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("step", Text, nullable=False),
    Column("pass", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("outcome", Text, nullable=False),  # running, done, failed, interrupted
    Column("cached", Boolean, nullable=False),
    Column("seconds", Double),
    Column("bytes", BigInteger),
    Column("peak_memory", BigInteger),
    Column("log", Text),
    Column("started_at", Double),
    Column("finished_at", Double),
    Column("share", Double),  # of its training
)
# What a dashboard sums up by pass, without reading keys and logs.
Index(
    "tune_stages_cost",
    *(stages.c[name] for name in ("study_id", "pass", "outcome", "cached", "seconds", "bytes")),
    stages.c.peak_memory,
)

measurements = _of_a_trial(
    "tune_measurements",
    Column("evaluator", Text, primary_key=True),
    Column("split", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("cached", Boolean, nullable=False),
    Column("seconds", Double, nullable=False),
    Column("measured_at", Double, nullable=False),
    Column("detail_hash", Text, nullable=False),
)

Index(
    "tune_measurements_cost",
    *(measurements.c[name] for name in ("study_id", "evaluator", "split", "cached", "seconds")),
)

# Raw measurements by content: what is answered from the store is the same text for many trials.
details = Table(
    "tune_details",
    metadata,
    Column("hash", Text, primary_key=True),
    Column("detail", Text, nullable=False),  # JSON
)

metrics = _of_a_trial(
    "tune_metrics",
    Column("split", Text, primary_key=True),
    Column("metric", Text, primary_key=True),
    Column("statistic", Text, primary_key=True),  # "" for none: keys hold no NULL
    Column("evaluator", Text),
    Column("value", Double),
    Column("low", Double),
    Column("high", Double),
    Column("unit", Text, nullable=False),
    Column("samples", Integer, nullable=False),
    *(Column(name, Double) for name in ("ratio", "ratio_low", "ratio_high")),  # to the baseline's
)

constraints = _of_a_trial(
    "tune_constraints",
    Column("position", Integer, primary_key=True, autoincrement=False),  # from 1
    Column("text", Text, nullable=False),
    Column("metric", Text, nullable=False),
    Column("statistic", Text),
    Column("limit_value", Double),
    Column("value", Double),
    Column("verdict", Text, nullable=False),
    Column("violation", Double),
)

confirmations = Table(
    "tune_confirmations",
    metadata,
    Column("id", row_id, primary_key=True),
    _study_column(),
    Column("number", Integer, nullable=False),
    Column("estimates", Text, nullable=False),  # JSON
    Column("baseline", Text, nullable=False),  # JSON
    Column("confirmed_at", Double, nullable=False),
    Column("verdict", Text),
    Column("constraints", Text),  # JSON
    Index("tune_confirmations_study", "study_id"),
)

events = Table(
    "tune_events",
    metadata,
    Column("id", row_id, primary_key=True),
    _study_column(),
    Column("at", Double, nullable=False),
    Column("kind", Text, nullable=False),
    Column("number", Integer),
    Column("body", Text, nullable=False),  # JSON
    UniqueConstraint("study_id", "id", name="tune_events_study"),
    Index("tune_events_kinds", "study_id", "kind", "id"),  # few of many: lessons, rungs, ...
)

# Emptied when a trial is tried again.
attempt_tables = (parameters, values, stages, measurements, metrics, constraints)
