"""What each event changes in the study's tables, inside a transaction that `writer` opened.

Knows nothing of when events come or what sends them.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, cast, get_args

from sqlalchemy import Connection, Executable

from tuner.study.encoding import (
    as_number,
    clean,
    clean_or_none,
    number_or_none,
    plain_text,
    to_json,
)
from tuner.study.events import (
    BASELINE,
    Confirmed,
    Event,
    Failed,
    Json,
    Judged,
    Measured,
    StageFinished,
    StageStarted,
    StudyStarted,
    StudyStopped,
    Told,
    TrialAsked,
)
from tuner.study.presence import Presence
from tuner.study.statements import Statements

Row = dict[str, Any]


def event_kind(event: Event) -> str:
    """The event's name in the log and in streams: "trial_asked" for TrialAsked."""
    return _KINDS[type(event)]


def event_body(event: Event) -> Row:
    """The event's fields as they are; nothing inside them is copied."""
    return {field.name: getattr(event, field.name) for field in fields(event)}


@dataclass(frozen=True, slots=True)
class Run:
    """A command's work on a study: its row."""

    study_id: int
    run_id: int


@dataclass(frozen=True, slots=True)
class Transaction:
    """An open transaction, the statements to run in it, and the time of the event."""

    connection: Connection
    sql: Statements
    at: float

    def run(self, statement: Executable, parameters: Row | Sequence[Row]) -> Any:
        """Run the statement once, or for every one of several rows; no rows: nothing happens."""
        if isinstance(parameters, Mapping) or parameters:
            return self.connection.execute(statement, parameters)
        return None


def start(
    transaction: Transaction,
    event: StudyStarted,
    owner: str,
    presence: Presence,
    former: Run | None,
) -> Run:
    """Make the study, or go on with it, and open a run of `owner`; its `former` one is over."""
    sql, at = transaction.sql, transaction.at
    study_id = _put_study(transaction, event)
    if former is not None:
        _close_what_runs(transaction, former)
    reap(transaction, study_id, presence)
    opened = {"study_id": study_id, "started_at": at, "last_event_at": at}
    added = transaction.run(sql.add_run, opened | {"owner": owner, "beat": 0})
    _append(transaction, study_id, event)
    return Run(study_id, added.inserted_primary_key[0])


def reap(transaction: Transaction, study_id: int, presence: Presence) -> None:
    """Close what commands that died have left running."""
    for row in transaction.run(transaction.sql.open_runs, {"b_study_id": study_id}).all():
        if presence.is_dead(row.id, row.owner, row.beat):
            _close_what_runs(transaction, Run(study_id, row.id))
            ended = {"b_id": row.id, "stopped_at": row.last_event_at, "reason": "killed"}
            transaction.run(transaction.sql.change_run, ended)


def record(transaction: Transaction, run: Run, event: Event) -> None:
    """Append the event and change the tables."""
    _append(transaction, run.study_id, event)
    beat(transaction, run)
    handler = _HANDLERS.get(type(event))
    if handler is not None and not _is_anothers(transaction, run, event):
        handler(transaction, run, event)


def beat(transaction: Transaction, run: Run) -> None:
    """Note that the run's command lives."""
    transaction.run(
        transaction.sql.change_run, {"b_id": run.run_id, "last_event_at": transaction.at}
    )


def _is_anothers(transaction: Transaction, run: Run, event: Event) -> bool:
    """Whether the trial was taken over by another command, as this one was thought dead."""
    if not isinstance(event, Judged | Failed | Told):
        return False
    where = _where(_key(run, event.number))
    tried_by: int | None = transaction.run(transaction.sql.tried_by, where).scalar()
    return tried_by != run.run_id


def _append(transaction: Transaction, study_id: int, event: Event) -> None:
    body = event_body(event)
    if isinstance(event, Measured):
        del body["detail"]  # large, and kept by content in its own table
    row = {
        "study_id": study_id,
        "at": transaction.at,
        "kind": event_kind(event),
        "number": body.get("number"),
        "body": to_json(body),
    }
    transaction.run(transaction.sql.add_event, row)


def _put_study(transaction: Transaction, event: StudyStarted) -> int:
    sql, row = transaction.sql, _study_row(event)
    study_id = transaction.run(sql.find_study, {"b_name": row["name"]}).scalar()
    if study_id is None:
        added = transaction.run(sql.add_study, row | {"created_at": transaction.at})
        study_id = added.inserted_primary_key[0]
    else:
        transaction.run(sql.change_study, row | {"b_id": study_id})
    transaction.run(sql.drop_objectives, {"b_study_id": study_id})
    transaction.run(sql.add_objectives, _objective_rows(study_id, event.objectives))
    return int(study_id)


def _study_row(event: StudyStarted) -> Row:
    space = event.space
    return {
        "name": clean(event.study),
        "space_name": plain_text(space.get("name")),
        "model": plain_text(space.get("model")),
        "fingerprint": plain_text(space.get("fingerprint")),
        "space": to_json(space),
        "objectives": to_json(event.objectives),
        "constraints": to_json(event.constraints),
        "settings": to_json(event.settings),
        "environment": to_json(event.environment),
    }


def _objective_rows(study_id: int, objectives: Iterable[Json]) -> list[Row]:
    return [
        {
            "study_id": study_id,
            "position": position,
            "objective": clean(objective["text"]),
            "metric": clean(objective["metric"]),
            "statistic": clean_or_none(objective["statistic"]),
            "minimize": objective["minimize"],
        }
        for position, objective in enumerate(objectives, start=1)
    ]


def _close_what_runs(transaction: Transaction, run: Run) -> None:
    """The run's trials that are not over, and their stages, are interrupted."""
    of_run = {"b_study_id": run.study_id, "b_run_id": run.run_id}
    for number in transaction.run(transaction.sql.trials_of_run, of_run).scalars().all():
        where = _where(_key(run, number))
        transaction.run(transaction.sql.close_trial, where)
        transaction.run(transaction.sql.close_stages, where | {"finished_at": transaction.at})


def _trial_asked(transaction: Transaction, run: Run, event: TrialAsked) -> None:
    sql, key = transaction.sql, _key(run, event.number)
    at = {"started_at": transaction.at}
    row = at | {"role": event.role, "state": "running", "on_front": False}
    row |= {"run_id": run.run_id, "origin": clean_or_none(event.origin)}
    if transaction.run(sql.find_trial, _where(key)).first() is None:
        transaction.run(sql.add_trial, key | row)
    else:
        for statement in sql.empty_trial:
            transaction.run(statement, _where(key))
        transaction.run(sql.change_trial, _where(key) | _FORGOTTEN | row)
    recipe = {"parameters": to_json(event.parameters), "steps": to_json(event.steps)}
    transaction.run(sql.put_candidate, key | recipe | {"candidate": clean(event.candidate)})
    transaction.run(sql.add_parameters, [key | p for p in _parameter_rows(event.parameters)])


def _parameter_rows(parameters: Mapping[str, Any]) -> Iterable[Row]:
    for name, value in parameters.items():
        yield {"name": clean(name), "value": plain_text(value), "value_number": as_number(value)}


def _stage_started(transaction: Transaction, run: Run, event: StageStarted) -> None:
    row = _stage_row(run, event) | _UNKNOWN_COST | {"outcome": "running", "cached": False}
    transaction.run(transaction.sql.put_stage, row | {"started_at": transaction.at})


def _stage_finished(transaction: Transaction, run: Run, event: StageFinished) -> None:
    row = _stage_row(run, event) | {
        "outcome": "done",
        "cached": event.cached,
        "seconds": event.seconds,
        "bytes": event.bytes,
        "peak_memory": event.peak_memory,
        "log": clean_or_none(event.log),
        "started_at": transaction.at - event.seconds,  # where no start was sent
        "finished_at": transaction.at,
    }
    transaction.run(transaction.sql.put_finished_stage, row)


def _stage_row(run: Run, event: StageStarted | StageFinished) -> Row:
    return _key(run, event.number) | {
        "position": event.position,
        "step": clean(event.step),
        "pass": clean(event.pass_name),
        "key": event.key,
        "share": event.share,
    }


def _measured(transaction: Transaction, run: Run, event: Measured) -> None:
    sql, key = transaction.sql, _key(run, event.number)
    detail = to_json(event.detail)
    content = hashlib.sha256(detail.encode()).hexdigest()
    measurement = {
        "evaluator": event.evaluator,
        "split": event.split,
        "key": event.key,
        "cached": event.cached,
        "seconds": event.seconds,
        "measured_at": transaction.at,
        "detail_hash": content,
    }
    transaction.run(sql.add_detail, {"b_hash": content, "b_detail": detail})
    transaction.run(sql.put_measurement, key | measurement)
    source = {"split": event.split, "evaluator": event.evaluator}
    transaction.run(sql.put_metrics, [key | source | _metric_row(m) for m in event.estimates])


def _metric_row(estimate: Json) -> Row:
    return {
        "metric": clean(estimate["metric"]),
        "statistic": clean(estimate["statistic"] or ""),
        "value": number_or_none(estimate["value"]),
        "low": number_or_none(estimate["low"]),
        "high": number_or_none(estimate["high"]),
        "unit": estimate["unit"],
        "samples": estimate["samples"],
        **_ratio_columns(estimate.get("ratio")),
    }


def _ratio_columns(ratio: Sequence[float] | None) -> Row:
    values = (None, None, None) if ratio is None else tuple(map(number_or_none, ratio))
    return dict(zip(("ratio", "ratio_low", "ratio_high"), values, strict=True))


def _judged(transaction: Transaction, run: Run, event: Judged) -> None:
    sql, key = transaction.sql, _key(run, event.number)
    transaction.run(sql.empty_constraints, _where(key))
    rows = [key | row for row in _constraint_rows(event.constraints)]
    transaction.run(sql.add_constraints, rows)
    transaction.run(sql.change_trial, _where(key) | {"verdict": event.verdict})


def _constraint_rows(constraints: Iterable[Json]) -> Iterable[Row]:
    for position, constraint in enumerate(constraints, start=1):
        yield {
            "position": position,
            "text": clean(constraint["text"]),
            "metric": clean(constraint["metric"]),
            "statistic": clean_or_none(constraint["statistic"]),
            "limit_value": number_or_none(constraint["limit"]),
            "value": number_or_none(constraint["value"]),
            "verdict": constraint["verdict"],
            "violation": number_or_none(constraint["violation"]),
        }


def _failed(transaction: Transaction, run: Run, event: Failed) -> None:
    sql, where, log = transaction.sql, _where(_key(run, event.number)), clean_or_none(event.log)
    cause = {
        "reason": event.reason,
        "message": clean(event.message),
        "failed_where": clean(event.where),
        "deterministic": event.deterministic,
        "log": log,
    }
    transaction.run(sql.change_trial, where | cause)
    ended = {"b_at": transaction.at, "finished_at": transaction.at, "log": log}
    transaction.run(sql.fail_stages, where | ended)


def _told(transaction: Transaction, run: Run, event: Told) -> None:
    sql, key = transaction.sql, _key(run, event.number)
    over = {"state": event.state, "finished_at": transaction.at, "seconds": event.seconds}
    transaction.run(sql.change_trial, _where(key) | over)
    values = enumerate(event.objectives or (), start=1)
    rows = [
        key | {"position": p, "value": None if value is None else number_or_none(value)}
        for p, value in values
    ]
    transaction.run(sql.put_values, rows)
    if event.number == BASELINE:
        return  # it competes with nobody, so it says nothing about the front
    before = transaction.run(sql.front, {"b_study_id": run.study_id}).scalars().all()
    front = frozenset(event.front)
    _change_front(transaction, run, entered=front - set(before), left=set(before) - front)


def _change_front(
    transaction: Transaction, run: Run, entered: Iterable[int], left: Iterable[int]
) -> None:
    at, change = transaction.at, transaction.sql.change_trial
    enter = {"on_front": True, "front_since": at, "front_until": None}
    leave = {"on_front": False, "front_until": at}
    transaction.run(change, [_where(_key(run, n)) | enter for n in sorted(entered)])
    transaction.run(change, [_where(_key(run, n)) | leave for n in sorted(left)])


def _confirmed(transaction: Transaction, run: Run, event: Confirmed) -> None:
    sql = transaction.sql
    row = {
        "study_id": run.study_id,
        "number": event.number,
        "estimates": to_json(event.estimates),
        "baseline": to_json(event.baseline),
        "confirmed_at": transaction.at,
        "verdict": event.verdict,
        "constraints": to_json(event.constraints),
    }
    transaction.run(sql.add_confirmation, row)
    for number, estimates in ((event.number, event.estimates), (BASELINE, event.baseline)):
        key = _key(run, number) | {"split": "test"}
        transaction.run(sql.put_confirmed, [key | _metric_row(m) for m in estimates])


def _study_stopped(transaction: Transaction, run: Run, event: StudyStopped) -> None:
    sql, at = transaction.sql, transaction.at
    _close_what_runs(transaction, run)
    stopped = {"b_id": run.run_id, "stopped_at": at, "reason": event.reason}
    transaction.run(sql.change_run, stopped)
    if event.chosen is not None or event.reason not in _CUT_SHORT:
        transaction.run(sql.change_study, {"b_id": run.study_id, "chosen": event.chosen})


# Such a command did not come to an answer: another one's stays.
_CUT_SHORT = ("interrupted", "error")


def _key(run: Run, number: int) -> Row:
    return {"study_id": run.study_id, "number": number}


def _where(key: Row) -> Row:
    return {f"b_{name}": value for name, value in key.items()}


# What a trial that is tried again no longer has.
_FORGOTTEN: Row = dict.fromkeys(
    (
        "verdict",
        "reason",
        "message",
        "failed_where",
        "deterministic",
        "log",
        "seconds",
        "front_since",
        "front_until",
        "finished_at",
    )
)

_UNKNOWN_COST: Row = dict.fromkeys(("seconds", "bytes", "peak_memory", "log", "finished_at"))

_Handler = Callable[[Transaction, Run, Any], None]

_HANDLERS: dict[type, _Handler] = {
    TrialAsked: _trial_asked,
    StageStarted: _stage_started,
    StageFinished: _stage_finished,
    Measured: _measured,
    Judged: _judged,
    Failed: _failed,
    Told: _told,
    Confirmed: _confirmed,
    StudyStopped: _study_stopped,
}

_KINDS: dict[type, str] = {
    kind: re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).lower()
    for kind in cast("tuple[type, ...]", get_args(Event))
}
