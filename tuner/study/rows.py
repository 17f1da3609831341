"""What the study's database answers with: plain frozen rows.

Times are seconds since 1970-01-01 UTC, metric values in the metric's canonical unit. Knows nothing
of SQL.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class StudySummary:
    """One line in a list of studies. `failures`: trials that ended without numbers."""

    name: str
    space: str | None
    model: str | None
    trials: int
    complete: int
    feasible: int
    failures: int
    front: int
    chosen: int | None
    seconds: float
    created_at: float
    last_event_at: float


@dataclass(frozen=True, slots=True)
class RunRow:
    """One command's work on a study. Not stopped and no reason: it runs, or it was killed.

    `owner`: the process that works; `beat`: a number that grows while it lives.
    """

    started_at: float
    last_event_at: float
    stopped_at: float | None
    reason: str | None
    id: int = 0
    owner: str | None = None
    beat: int | None = None


@dataclass(frozen=True, slots=True)
class StudyRow:
    """A study as its last command declared it; the objects are those of `events.StudyStarted`."""

    name: str
    space: Json
    objectives: tuple[Json, ...]
    constraints: tuple[Json, ...]
    settings: Json
    environment: Json
    created_at: float
    chosen: int | None
    runs: tuple[RunRow, ...]


@dataclass(frozen=True, slots=True)
class TrialRow:
    """A trial, or the baseline.

    `role`: baseline or trial. `state`: running, complete, built, failed, infeasible, screened,
    stopped, baseline or interrupted. `objectives`: canonical units, in the space's order; None in
    it stands for one that was not measured, or is no number. `run_id`: the command that tries it,
    or tried it last. `origin`: "STUDY#NUMBER" where it was taken over from another study.
    `seconds` and `finished_at` None: not over. From `reason` to `log`: why it failed.
    """

    number: int
    role: str
    state: str
    candidate: str
    parameters: Mapping[str, Any]
    steps: tuple[Json, ...]
    objectives: tuple[float | None, ...] | None
    verdict: str | None
    reason: str | None
    message: str | None
    where: str | None
    deterministic: bool | None
    log: str | None
    seconds: float | None
    on_front: bool
    started_at: float
    finished_at: float | None
    run_id: int | None = None
    origin: str | None = None


@dataclass(frozen=True, slots=True)
class MetricRow:
    """A metric of a trial with its 95 % interval. `split`: "dev" or "test".

    `ratio`: to the baseline's value, with its interval, where both were measured in turn.
    """

    number: int
    evaluator: str | None
    split: str
    metric: str
    statistic: str | None
    value: float | None
    low: float | None
    high: float | None
    unit: str
    samples: int
    ratio: tuple[float, float, float] | None = None


@dataclass(frozen=True, slots=True)
class ConstraintRow:
    """A constraint's verdict for a trial. `violation`: scaled, at most 0 where it holds."""

    number: int
    text: str
    metric: str
    statistic: str | None
    limit: float | None
    value: float | None
    verdict: str
    violation: float | None


@dataclass(frozen=True, slots=True)
class StageRow:
    """A stage of a trial. `outcome`: running, done, failed or interrupted. Memory in bytes.

    `position` from `events.TWIN` on: of its un-tuned twin. `share`: how much of its training.
    """

    number: int
    position: int
    step: str
    pass_name: str
    key: str
    outcome: str
    cached: bool
    seconds: float | None
    bytes: int | None
    peak_memory: int | None
    log: str | None
    started_at: float | None
    finished_at: float | None
    share: float = 1.0


@dataclass(frozen=True, slots=True)
class MeasurementKey:
    """Under which key an evaluator's measurement of a trial is known; `MeasurementRow` has more."""

    number: int
    evaluator: str
    split: str
    key: str
    cached: bool
    seconds: float


@dataclass(frozen=True, slots=True)
class MeasurementRow:
    """What an evaluator measured, raw: one object of `detail` per process."""

    number: int
    evaluator: str
    split: str
    key: str
    cached: bool
    seconds: float
    measured_at: float
    detail: tuple[Json, ...]


@dataclass(frozen=True, slots=True)
class ConfirmedRow:
    """One of the front's best and the baseline, measured on held-out data."""

    number: int
    estimates: tuple[Json, ...]
    baseline: tuple[Json, ...]
    confirmed_at: float
    verdict: str | None
    constraints: tuple[Json, ...]


@dataclass(frozen=True, slots=True)
class RungRow:
    """A trial after a share of its training: the fields of `events.RungReached`."""

    number: int
    share: float
    objectives: tuple[float | None, ...]
    violation: float
    promoted: bool


@dataclass(frozen=True, slots=True)
class EventRow:
    """An event as it was appended. `kind`: "trial_asked"; `body`: the event's fields."""

    id: int
    at: float
    kind: str
    number: int | None
    body: Json
