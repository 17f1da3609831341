"""Whether two trials of a study really differ: by what is stored, or by measuring them again.

Reads the database and the store, and runs sessions where it is asked to. Changes nothing of the
study. Knows nothing of how it is shown.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluators import all_evaluators, machine
from evaluators.base import Artifact, Interval, Measurement
from evaluators.comparison import CONFIDENCE, compare
from evaluators.measure import MEASURE_JOB
from evaluators.statistics import LEVEL
from evaluators.timed import TimedEvaluator
from evaluators.verdicts import difference
from search_spaces.candidates import digest
from search_spaces.references import Reference
from search_spaces.vocabulary import ADAPTER
from tuner.execution.job import Job
from tuner.execution.making import Maker
from tuner.execution.workers import Workers
from tuner.passes import all_passes
from tuner.pipeline.plan import library_versions
from tuner.pipeline.store import Draft, Store
from tuner.review.stored_space import stored_space
from tuner.study.api import Study, Trial
from tuner.study.reader import StudyReader
from tuner.study.rows import MeasurementRow, MetricRow, StageRow

Json = dict[str, Any]


class CannotCompare(Exception):
    """The trials cannot be measured again, for a reason that a person understands."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A metric of trial A beside that of trial B.

    `change`: A less B in the metric's unit, or, where `relative`, A over B; with its interval at
    `confidence`. `differ`: whether that leaves out that they are the same. `how`: what it rests on.
    """

    metric: str
    statistic: str | None
    unit: str
    a: float
    b: float
    change: Interval
    relative: bool
    confidence: float
    differ: bool
    how: str


def from_study(study: Study, reader: StudyReader, a: Trial, b: Trial) -> list[Finding]:
    """Every metric that both have, by what the search measured."""
    ours, theirs = (_measurements(reader, study.name, trial) for trial in (a, b))
    pairs = [(m, b.metrics[n]) for n, m in a.metrics.items() if n in b.metrics]
    found = {}
    for metric, other in pairs:
        rows = ours.get(metric.evaluator or ""), theirs.get(metric.evaluator or "")
        if metric.value is not None and other.value is not None:
            found[metric.metric, metric.statistic] = _finding(metric, other, *rows)
    return list(found.values())


def _measurements(reader: StudyReader, study: str, trial: Trial) -> dict[str, MeasurementRow]:
    rows = reader.measurements(study, trial.number)
    return {row.evaluator: row for row in rows if row.split == "dev"}


def _finding(
    a: MetricRow, b: MetricRow, ours: MeasurementRow | None, theirs: MeasurementRow | None
) -> Finding:
    change, relative, how = _change(a, b, ours, theirs)
    same = 1.0 if relative else 0.0
    differ = not change.low <= same <= change.high
    values = (a.value or 0.0, b.value or 0.0)
    return Finding(a.metric, a.statistic, a.unit, *values, change, relative, LEVEL, differ, how)


def _change(
    a: MetricRow, b: MetricRow, ours: MeasurementRow | None, theirs: MeasurementRow | None
) -> tuple[Interval, bool, str]:
    """The difference or ratio, which of the two, and what it rests on."""
    if ours is not None and theirs is not None and ours.key == theirs.key:
        return Interval(0.0, 0.0, 0.0), False, "one measurement for both"
    if a.ratio is not None and b.ratio is not None:
        return _quotient(a.ratio, b.ratio), True, "each measured in turn with the baseline"
    if ours is not None and theirs is not None:
        engine = all_evaluators().get(a.evaluator or "")
        items, others = ([Measurement.from_json(d) for d in row.detail] for row in (ours, theirs))
        paired = None if engine is None else engine.paired(items, others, a.metric, 1.0)
        if paired is not None:
            return paired, False, "item by item"
    return difference(_interval(a), _interval(b), 1.0), False, "two intervals"


def _quotient(a: tuple[float, float, float], b: tuple[float, float, float]) -> Interval:
    """A ratio of two independent ratios, by `difference` of their logarithms."""
    ours, theirs = (Interval(*(math.log(x) for x in ratio)) for ratio in (a, b))
    found = difference(ours, theirs, 1.0)
    return Interval(*(math.exp(x) for x in (found.value, found.low, found.high)))


def _interval(row: MetricRow) -> Interval:
    return Interval(*(x or 0.0 for x in (row.value, row.low, row.high)))


def by_measuring(
    study: Study, reader: StudyReader, a: Trial, b: Trial, metric: str, store: Store
) -> Finding:
    """A time of the two, measured in turn until it is clear or enough; see `compare`.

    `metric`: its name, with a statistic or without. What was measured is stored: asked again, the
    same sessions answer. CannotCompare where it is no time, or a model is not in the store.
    """
    row, other = a.metrics.get(metric), b.metrics.get(metric)
    engine = None if row is None else all_evaluators().get(row.evaluator or "")
    if row is None or other is None:
        both = sorted(a.metrics.keys() & b.metrics.keys())
        raise CannotCompare(f"{metric!r} was not measured of both; found {', '.join(both)}")
    if not isinstance(engine, TimedEvaluator):
        raise CannotCompare(f"{metric} is not timed: measured again it would be the same")
    models = [artifact_of(study, trial, store) for trial in (a, b)]
    options = _options(reader, study.name, a, engine, store)
    modules = [name.replace("-", "_") for name in engine.spec.libraries]
    with Workers([*modules, "evaluators.measure"]) as workers:
        sessions = _Sessions(engine, models, options, Maker(store, workers))
        found = compare(sessions.hold, row.metric, row.statistic or "p50")
    how = f"{found.sessions} sessions of the two in turn"
    values = (row.value or 0.0, other.value or 0.0)
    return Finding(
        row.metric, row.statistic, row.unit, *values, found.ratio, True, CONFIDENCE,
        found.differ, how,
    )  # fmt: skip


@dataclass(frozen=True)
class _Sessions:
    """Sessions of one model beside another, each taken from the store if it is there."""

    engine: TimedEvaluator
    models: Sequence[Artifact]
    options: Mapping[str, Any]
    maker: Maker

    def hold(self, number: int) -> Measurement:
        description = {
            "kind": "comparison",
            "evaluator": self.engine.spec.name,
            "version": self.engine.spec.version,
            "options": dict(self.options),
            "models": [str(model.path.parent.name) for model in self.models],
            "libraries": library_versions(self.engine.spec.libraries),
            "machine": machine.fingerprint(),
            "process": number,
        }
        key = digest(description)
        entry = self.maker.store.get(key)
        if entry is None:
            meta = {"description": description, "pass": f"compare {self.engine.spec.name}"}
            entry, _ = self.maker.make(self.engine.spec.name, key, meta, self._job)
        return Measurement.from_json(entry.meta["value"])

    def _job(self, draft: Draft) -> Job:
        model, beside = (model.to_json() for model in self.models)
        payload = {
            "evaluator": self.engine.spec.name,
            "model": model,
            "options": dict(self.options),
            "data": None,
            "split": "dev",
            "reference": beside,
        }
        return Job(MEASURE_JOB, payload, draft.log, exclusive=True)


def artifact_of(study: Study, trial: Trial, store: Store) -> Artifact:
    """A trial's model. CannotCompare where it is no longer in the store."""
    passes, fetched = all_passes(), None
    made: list[tuple[StageRow, Path]] = []
    for stage in sorted(study.stages(trial.number), key=lambda s: s.position):
        entry = store.get(stage.key)
        if entry is None:
            raise CannotCompare(
                f"the model of trial {trial.number} is not in the store {store.root} (its stage "
                f"{stage.step} is missing); say where it is with --store, or run the space again"
            )
        if stage.position < 0:
            fetched = entry.output
        else:
            made.append((stage, entry.output))
    model = _source(study, fetched)
    for stage, folder in made:
        came_in = "hf" if model is None else model.format
        model_format = passes[stage.pass_name].spec.gives or came_in
        model = Artifact(model_format, folder, model if model_format == ADAPTER else None)
    if model is None:
        raise CannotCompare(f"trial {trial.number} has no model that can be found")
    return model


def _source(study: Study, fetched: Path | None) -> Artifact | None:
    """The model that came in, where it is a local folder or was fetched into the store."""
    space = stored_space(study).space
    return None if space is None else _whole(space.model, fetched)


def _whole(reference: Reference, fetched: Path | None) -> Artifact | None:
    """A model with the base of an adapter; None where a part of it is not here."""
    base = None if reference.base is None else _whole(reference.base, fetched)
    path = reference.path or fetched
    if path is None or not path.is_dir() or (base is None) != (reference.base is None):
        return None
    return Artifact(reference.format, path, base)


def _options(
    reader: StudyReader, study: str, trial: Trial, engine: TimedEvaluator, store: Store
) -> Mapping[str, Any]:
    """The options with which the evaluator measured the trial."""
    row = _measurements(reader, study, trial).get(engine.spec.name)
    entry = None if row is None else store.get(row.key)
    if entry is None:
        raise CannotCompare(
            f"how trial {trial.number} was measured is not in the store {store.root}; say where it "
            "is with --store"
        )
    options: Mapping[str, Any] = entry.meta["description"]["options"]
    return options
