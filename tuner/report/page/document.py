"""What a report says, as plain data: one `Document` per study, section by section.

Every number that is shown is a `Figure` (or, in a table or a series, a `Cell` or `Point` whose
source stands once above it): its value, its text, and the SQL over the public views that gives it.
Knows nothing of how it is collected or shown.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from tuner.report.page.answer_parts import (
    Answer,
    AnswerMetric,
    Cause,
    Limit,
    Nearest,
    Parameter,
    PipelineStep,
    Price,
    PriceList,
    Use,
)
from tuner.report.page.evidence_parts import (
    Block,
    Command,
    Comparison,
    DataCheck,
    Difference,
    Environment,
    Fact,
    FailureGroup,
    Failures,
    Finding,
    Measured,
    Quality,
    Recipe,
    SelfCheck,
    Session,
    Split,
    StageNode,
    Stages,
    StageTotal,
)
from tuner.report.page.figure_parts import (
    Cell,
    Column,
    Count,
    Figure,
    Number,
    Point,
    Series,
    Value,
)

__all__ = [
    "Answer",
    "AnswerMetric",
    "Axis",
    "AxisLimit",
    "Block",
    "Cause",
    "Cell",
    "Column",
    "Command",
    "Comparison",
    "Count",
    "DataCheck",
    "Difference",
    "Document",
    "EffectLine",
    "Environment",
    "Fact",
    "FailureGroup",
    "Failures",
    "Figure",
    "Finding",
    "Front",
    "FrontPoint",
    "Head",
    "ImportanceLine",
    "Limit",
    "Measured",
    "MetricEffects",
    "Nearest",
    "Number",
    "Parameter",
    "PipelineStep",
    "Point",
    "Price",
    "PriceList",
    "Progress",
    "Quality",
    "Recipe",
    "SelfCheck",
    "Series",
    "Session",
    "Split",
    "StageNode",
    "StageTotal",
    "Stages",
    "Trials",
    "Use",
    "Value",
    "to_json",
]


@dataclass(frozen=True, slots=True)
class Head:
    """Which study this is, how it stands, and what it has cost.

    `state`: "finished", "running", "interrupted", "killed" (a command ended without saying so),
    "failed" (a command ended in an error) or "empty" (no trial yet); `state_text` is a sentence.
    `sweep`, `night`, `entry`: of a nightly sweep's study, which is named SWEEP/NIGHT/ENTRY.
    `question`: the objectives, then the constraints, as they are written. `last_event`: the number
    of the newest event, for who follows the study; None: no event.
    """

    study: str
    space: str
    model: str
    sweep: str | None
    night: str | None
    entry: str | None
    state: str
    state_text: str
    created: Figure
    last_event_at: Figure
    seconds: Figure
    trials: Figure
    states: tuple[Count, ...]
    objectives: tuple[str, ...]
    constraints: tuple[str, ...]
    program: str | None
    schema_version: int
    last_event: Figure | None


@dataclass(frozen=True, slots=True)
class Axis:
    """An objective as an axis. `source`: SQL with `:number` that gives `value, low, high`."""

    name: str
    label: str
    unit: str
    form: str
    direction: str
    source: str


@dataclass(frozen=True, slots=True)
class AxisLimit:
    """A constraint on an axis's metric: its line. `upper`: what is above is not allowed."""

    axis: int
    text: str
    limit: Figure
    upper: bool


@dataclass(frozen=True, slots=True)
class FrontPoint:
    """A trial as a point: a `Cell` per axis (None: not measured). `verdict` None: not judged.

    `decisions`: its choices in words, those that differ between the points.
    """

    number: int
    state: str
    verdict: str | None
    on_front: bool
    chosen: bool
    values: tuple[Cell | None, ...]
    decisions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Front:
    """The trials in the space of the objectives, one to three or more.

    `points` are those of the trials table that have a number on every axis or on some; `sentence`
    says what the plot shows.
    """

    axes: tuple[Axis, ...]
    points: tuple[FrontPoint, ...]
    limits: tuple[AxisLimit, ...]
    baseline: FrontPoint | None
    size: Figure
    sentence: str


@dataclass(frozen=True, slots=True)
class Trials:
    """The trials' table: a `Cell` per column; None where a trial has nothing there.

    `shown` of `total` are in it; `sentence` says which, "" where all are.
    """

    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell | None, ...], ...]
    shown: int
    total: Figure
    sentence: str


@dataclass(frozen=True, slots=True)
class ImportanceLine:
    """The share (0-1) of a metric's variation that a decision explains; None: see `note`."""

    decision: str
    label: str
    share: Figure | None
    note: str


@dataclass(frozen=True, slots=True)
class EffectLine:
    """What `value` in place of `reference` does to a metric.

    `label`: both in words. `change`: a ratio (`form` "ratio") or a difference; None: `note` says
    why. `clear`: its interval leaves out that there is none. `trials`: how many have the reference,
    and how many the value; `pairs`: how many of them differ in nothing else.
    """

    decision: str
    label: str
    reference: str
    value: str
    change: Figure | None
    clear: bool
    trials: tuple[int, int]
    pairs: int
    note: str


@dataclass(frozen=True, slots=True)
class MetricEffects:
    """Why a metric varies. `ratio`: changes are factors (none is 1), else differences (none is 0).

    `results`: how many different results tell it; `note`: why nothing is told, "" where something
    is. `rest`: the share that nothing explains. `ruled_out`: decisions that cannot change it.
    """

    metric: str
    unit: str
    ratio: bool
    results: Figure
    note: str
    importances: tuple[ImportanceLine, ...]
    rest: Figure | None
    effects: tuple[EffectLine, ...]
    ruled_out: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Progress:
    """How the study went: the best so far of each objective, and the front's size."""

    best: tuple[Series, ...]
    front_size: Series


@dataclass(frozen=True, slots=True)
class Document:
    """A study's report. `collected_at`: when, in seconds since 1970-01-01 UTC."""

    head: Head
    answer: Answer
    front: Front
    effects: tuple[MetricEffects, ...]
    trials: Trials
    progress: Progress
    quality: Quality
    stages: Stages
    failures: Failures
    environment: Environment
    recipe: Recipe
    data: DataCheck | None
    collected_at: float


def to_json(document: Document) -> dict[str, Any]:
    """The document as JSON data. Numbers that JSON has not (NaN, infinities) become None."""
    found: dict[str, Any] = _plain(document)
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, Cell):
        ends = [] if value.low is None and value.high is None else [value.low, value.high]
        return [_plain(x) for x in (value.value, value.text, *ends)]
    if is_dataclass(value):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
