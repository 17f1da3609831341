"""What a study has become so far, as a tuning needs it to go on.

Knows nothing of strategies; it turns the database's rows into results.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from evaluators.base import Estimate, Measurement
from tuner.search.judging import Numbers
from tuner.search.strategies.base import Result
from tuner.study.events import BASELINE
from tuner.study.reader import StudyReader
from tuner.study.rows import ConstraintRow, MetricRow, TrialRow

_FINISHED = frozenset({"complete", "built", "failed", "infeasible", "screened", "stopped"})


@dataclass(frozen=True, slots=True)
class PastTrial:
    """A trial of an earlier command. `finished` False: it was cut off and is to be run again.

    `built`: its model was made, and is not to be run. `imported`: taken over from another study.
    """

    number: int
    decisions: Mapping[str, Any]
    finished: bool
    result: Result
    feasible: bool
    built: bool = False
    imported: bool = False


@dataclass(frozen=True, slots=True)
class History:
    """Earlier commands' work. `confirmed`: trials that were confirmed; `chosen`: the answer."""

    baseline: Numbers | None = None
    trials: Sequence[PastTrial] = ()
    confirmed: frozenset[int] = frozenset()
    chosen: int | None = None
    seconds: float = 0.0


def load_history(reader: StudyReader, study: str) -> History:
    """The history of a study; an empty one when the database does not have it."""
    if study not in {s.name for s in reader.studies()}:
        return History()
    violations: dict[int, dict[str, float]] = {}
    for row in reader.constraints(study):
        violations.setdefault(row.number, {})[row.text] = _violation(row)
    rows = reader.trials(study)
    return History(
        baseline=_baseline(reader, study, rows),
        trials=[_past(r, violations.get(r.number, {})) for r in rows if r.number != BASELINE],
        confirmed=frozenset(c.number for c in reader.confirmations(study)),
        chosen=reader.study(study).chosen,
        seconds=reader.seconds_spent(study),
    )


def _violation(row: ConstraintRow) -> float:
    assert row.violation is not None, "a judged constraint has a violation"
    return row.violation


def _past(row: TrialRow, violations: Mapping[str, float]) -> PastTrial:
    result = Result(None, violations, transient=row.state == "failed")
    if row.state in ("complete", "built") and row.objectives is not None:
        values = [v for v in row.objectives if v is not None] or None
        result = replace(result, objectives=values)
    elif row.state in ("screened", "stopped"):
        result = replace(result, known=row.objectives or ())
    finished = row.state in _FINISHED
    feasible = row.verdict == "feasible"
    built = row.state == "built"
    ends = (finished, result, feasible, built)
    return PastTrial(row.number, row.parameters, *ends, imported=row.origin is not None)


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
