"""What a study has become so far, as a tuning needs it to go on.

Knows nothing of strategies; it turns the database's rows into results.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from evaluators.base import Estimate, Measurement
from tuner.execution.job import Failure, Reason
from tuner.search.judging import Numbers
from tuner.search.strategies.base import Result
from tuner.study.events import BASELINE, Failed
from tuner.study.reader import StudyReader
from tuner.study.rows import (
    ConstraintRow,
    Json,
    MeasurementKey,
    MetricRow,
    RungRow,
    StageRow,
    TrialRow,
)

_FINISHED = frozenset({"complete", "built", "failed", "infeasible", "screened", "stopped"})

_OF_LIMITS = frozenset({Reason.TIMEOUT, Reason.OUT_OF_MEMORY})
"""Reasons that a command with other limits might not meet."""


@dataclass(frozen=True, slots=True)
class PastTrial:
    """A trial of an earlier command, or of one that works at the same time.

    `state` as in `rows.TrialRow`. `failed`: of one that gave no numbers. `imported`: taken over
    from another study. `rungs`: what it had reached after shares of its training.
    """

    number: int
    decisions: Mapping[str, Any]
    state: str
    result: Result
    feasible: bool
    failed: Failed | None = None
    imported: bool = False
    rungs: Sequence[RungRow] = ()

    @property
    def finished(self) -> bool:
        """Whether it is over; else it runs, or was cut off and is to be tried again."""
        return self.state in _FINISHED

    @property
    def built(self) -> bool:
        """Whether its model was made, and is not to be run."""
        return self.state == "built"


@dataclass(frozen=True, slots=True)
class History:
    """Earlier commands' work.

    `confirmed`: trials that were confirmed; `chosen`: the answer. `failed_stages`: key -> the trial
    that met it, and why every other would. `own`: evaluators that measure every model itself.
    """

    baseline: Numbers | None = None
    trials: Sequence[PastTrial] = ()
    confirmed: frozenset[int] = frozenset()
    chosen: int | None = None
    seconds: float = 0.0
    stages: Sequence[StageRow] = ()
    measured: Sequence[MeasurementKey] = ()
    steps: Mapping[int, tuple[Json, ...]] = field(default_factory=dict)  # of every trial
    failed_stages: Mapping[str, tuple[int, Failure]] = field(default_factory=dict)
    own: frozenset[str] = frozenset()


def load_history(reader: StudyReader, study: str) -> History:
    """The history of a study; an empty one when the database does not have it."""
    if study not in {s.name for s in reader.studies()}:
        return History()
    violations: dict[int, dict[str, float]] = {}
    for row in reader.constraints(study):
        violations.setdefault(row.number, {})[row.text] = _violation(row)
    rungs: dict[int, list[RungRow]] = {}
    for rung in reader.rungs(study):
        rungs.setdefault(rung.number, []).append(rung)
    rows, stages = reader.trials(study), reader.stages(study)
    return History(
        baseline=_baseline(reader, study, rows),
        trials=[
            _past(r, violations.get(r.number, {}), rungs.get(r.number, ()))
            for r in rows
            if r.number != BASELINE
        ],
        confirmed=frozenset(c.number for c in reader.confirmations(study)),
        chosen=reader.study(study).chosen,
        seconds=reader.seconds_spent(study),
        stages=stages,
        measured=reader.measurement_keys(study),
        steps={row.number: row.steps for row in rows},
        failed_stages=_failed_stages(rows, stages),
        own=frozenset(e.body["evaluator"] for e in reader.events_of_kind(study, "mismatched")),
    )


def _violation(row: ConstraintRow) -> float:
    assert row.violation is not None, "a judged constraint has a violation"
    return row.violation


def _past(row: TrialRow, violations: Mapping[str, float], rungs: Sequence[RungRow]) -> PastTrial:
    result = Result(None, violations, transient=row.state == "failed")
    if row.state in ("complete", "built") and row.objectives is not None:
        values = [v for v in row.objectives if v is not None] or None
        result = replace(result, objectives=values)
    elif row.state in ("screened", "stopped"):
        share = rungs[-1].share if row.state == "stopped" and rungs else 1.0
        result = replace(result, known=row.objectives or (), share=share)
    feasible, imported = row.verdict == "feasible", row.origin is not None
    of = (row.number, row.parameters, row.state, result, feasible, _failed(row))
    return PastTrial(*of, imported, rungs)


def _failed(row: TrialRow) -> Failed | None:
    if row.reason is None:
        return None
    why = (row.reason, row.message or "", bool(row.deterministic))
    return Failed(row.number, row.where or "", *why, row.log)


def _failed_stages(
    trials: Sequence[TrialRow], stages: Sequence[StageRow]
) -> dict[str, tuple[int, Failure]]:
    failures = {row.number: _failed(row) for row in trials}
    found: dict[str, tuple[int, Failure]] = {}
    for stage in stages:
        failed = failures.get(stage.number) if stage.outcome == "failed" else None
        if failed is not None and failed.deterministic and failed.reason not in _OF_LIMITS:
            failure = Failure(Reason(failed.reason), failed.message, deterministic=True)
            found.setdefault(stage.key, (stage.number, failure))
    return found


def _baseline(reader: StudyReader, study: str, rows: Sequence[TrialRow]) -> Numbers | None:
    if not any(r.number == BASELINE and r.state == "baseline" for r in rows):
        return None
    metrics = [m for m in reader.metrics(study, BASELINE) if m.split == "dev"]
    measured = [m for m in reader.measurements(study, BASELINE) if m.split == "dev"]
    return Numbers(
        {(m.metric, m.statistic): _estimate(m) for m in metrics},
        {m.evaluator: [Measurement.from_json(d) for d in m.detail] for m in measured},
    )


def _estimate(row: MetricRow) -> Estimate:
    values = [v for v in (row.value, row.low, row.high) if v is not None]
    value, low, high = values
    return Estimate(row.metric, row.statistic, value, low, high, row.unit, row.samples)
