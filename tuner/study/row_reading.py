"""Makes the plain rows of `rows` out of what the database gives, row by row.

Raises DatabaseUnavailable where text that should be JSON is none. Asks nothing itself.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast

from sqlalchemy import Row

from tuner.study.database_errors import damaged
from tuner.study.rows import (
    ConfirmedRow,
    ConstraintRow,
    EventRow,
    Json,
    MeasurementRow,
    MetricRow,
    RunRow,
    StageRow,
    StudyRow,
    StudySummary,
    TrialRow,
)


def decoded(text: str) -> Any:
    """What JSON text says; DatabaseUnavailable where it is no JSON."""
    try:
        return json.loads(text)
    except (TypeError, ValueError) as error:
        raise damaged(f"text that is not JSON ({error})") from error


def objects(text: str) -> tuple[Json, ...]:
    """What a JSON list of objects says."""
    return tuple(decoded(text))


def summary(study: Row[Any], run: Row[Any], counts: Row[Any] | None) -> StudySummary:
    """A line of the list of studies. `counts` None: no trials yet."""
    names = ("trials", "complete", "feasible", "failures", "front")
    numbers = {name: 0 if counts is None else int(getattr(counts, name)) for name in names}
    return StudySummary(
        name=study.name,
        space=study.space_name,
        model=study.model,
        chosen=study.chosen,
        seconds=run.seconds,
        created_at=study.created_at,
        last_event_at=run.last_event_at,
        **numbers,
    )


def study_row(row: Row[Any], runs: list[RunRow]) -> StudyRow:
    """A study and its commands."""
    return StudyRow(
        name=row.name,
        space=decoded(row.space),
        objectives=objects(row.objectives),
        constraints=objects(row.constraints),
        settings=decoded(row.settings),
        environment=decoded(row.environment),
        created_at=row.created_at,
        chosen=row.chosen,
        runs=tuple(runs),
    )


def run_row(row: Row[Any]) -> RunRow:
    """A command."""
    times = (row.started_at, row.last_event_at, row.stopped_at)
    return RunRow(*times, row.reason, row.id, row.owner, row.beat)


def trial_row(row: Row[Any], objectives: list[float | None] | None) -> TrialRow:
    """A trial with its candidate. `objectives` None: no numbers."""
    return TrialRow(
        number=row.number,
        role=row.role,
        state=row.state,
        candidate=row.candidate,
        parameters=decoded(row.parameters),
        steps=objects(row.steps),
        objectives=None if objectives is None else tuple(objectives),
        verdict=row.verdict,
        reason=row.reason,
        message=row.message,
        where=row.failed_where,
        deterministic=row.deterministic,
        log=row.log,
        seconds=row.seconds,
        on_front=row.on_front,
        started_at=row.started_at,
        finished_at=row.finished_at,
        run_id=row.run_id,
        origin=row.origin,
    )


def metric_row(row: Row[Any]) -> MetricRow:
    """A metric."""
    return MetricRow(
        number=row.number,
        evaluator=row.evaluator,
        split=row.split,
        metric=row.metric,
        statistic=row.statistic or None,
        value=row.value,
        low=row.low,
        high=row.high,
        unit=row.unit,
        samples=row.samples,
        ratio=None if row.ratio is None else (row.ratio, row.ratio_low, row.ratio_high),
    )


def confirmed_row(row: Row[Any]) -> ConfirmedRow:
    """What was measured again on held-out data."""
    return ConfirmedRow(
        number=row.number,
        estimates=objects(row.estimates),
        baseline=objects(row.baseline),
        confirmed_at=row.confirmed_at,
        verdict=row.verdict,
        constraints=objects(row.constraints or "[]"),
    )


def constraint_row(row: Row[Any]) -> ConstraintRow:
    """A judged constraint."""
    return ConstraintRow(
        number=row.number,
        text=row.text,
        metric=row.metric,
        statistic=row.statistic,
        limit=row.limit_value,
        value=row.value,
        verdict=row.verdict,
        violation=row.violation,
    )


def stage_row(row: Row[Any]) -> StageRow:
    """A stage."""
    columns = cast("Mapping[str, Any]", row._mapping)
    return StageRow(
        number=row.number,
        position=row.position,
        step=row.step,
        pass_name=columns["pass"],  # a keyword of Python
        key=row.key,
        outcome=row.outcome,
        cached=row.cached,
        seconds=row.seconds,
        bytes=row.bytes,
        peak_memory=row.peak_memory,
        log=row.log,
        started_at=row.started_at,
        finished_at=row.finished_at,
        share=1.0 if row.share is None else row.share,
    )


def measurement_row(row: Row[Any]) -> MeasurementRow:
    """A measurement with its raw detail."""
    return MeasurementRow(
        number=row.number,
        evaluator=row.evaluator,
        split=row.split,
        key=row.key,
        cached=row.cached,
        seconds=row.seconds,
        measured_at=row.measured_at,
        detail=objects(row.detail),
    )


def event_row(row: Row[Any]) -> EventRow:
    """An event."""
    return EventRow(row.id, row.at, row.kind, row.number, decoded(row.body))
