"""Reads what a night found out of the study database, into the night's record.

Knows nothing of how a night is run, and judges nothing.
"""

from __future__ import annotations

import hashlib
import json
import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from evaluators import all_evaluators
from evaluators.base import Measurement
from evaluators.statistics import BLOCK_STATISTICS
from evaluators.timed import TimedEvaluator
from evaluators.timing import log_ratios
from search_spaces.units import format_quantity
from search_spaces.vocabulary import EvaluatorSpec, MetricSpec, Vocabulary
from tuner.registry import vocabulary_of
from tuner.report.output import trial_json
from tuner.report.recipe import recipe_text
from tuner.report.words import duration, metric_name
from tuner.review.evidence import CannotJudge
from tuner.review.reranking import Change, rerank
from tuner.study.api import Study, Trial
from tuner.study.events import TWIN
from tuner.study.reader import StudyReader
from tuner.study.rows import MeasurementRow, MetricRow
from tuner.sweep.plan_entries import PlanEntry
from tuner.sweep.records import Anchored, Answer, EntryResult, Kind, Measured, Watched

_CENTRE = "p50"
_SPLITS = ("dev", "test")


@dataclass(frozen=True, slots=True)
class Subject:
    """A candidate that is watched: the answer of a night. `label`: TONIGHT or REFERENCE."""

    answer: Answer
    label: str
    of_night: str


def searched(entry: PlanEntry, study: Study, seconds: float, folder: Path) -> EntryResult:
    """What the search of an entry found. `folder`: where the night's record will lie."""
    info, best = study.info, study.best
    taken = sum(trial.row.origin is not None for trial in study.trials)
    result = EntryResult(
        name=entry.name,
        space=entry.space.name,
        model=entry.space.model.text,
        device=entry.device,
        study=study.name,
        state="done",
        seconds=seconds,
        trials=len(study.trials),
        taken_over=taken,
        objectives=tuple(o["text"] for o in info.objectives),
        constraints=tuple(c["text"] for c in info.constraints),
        front=tuple(trial_json(trial) for trial in study.front),
        settings=info.space.get("question") or {},
        environment=dict(info.environment),
    )
    if best is not None:
        return replace(result, answer=_answer(entry, study.name, best, folder))
    state, message = _no_answer(study)
    return replace(result, state=state, message=message)


def _answer(entry: PlanEntry, study: str, best: Trial, folder: Path) -> Answer:
    comment = f"trial {best.number} of the study {study}"
    recipe = recipe_text(entry.space, best.row.steps, comment, folder)
    parameters = dict(best.parameters)
    return Answer(best.row.candidate, best.number, parameters, tuple(best.row.steps), recipe)


def _no_answer(study: Study) -> tuple[Any, str]:
    if study.nearest:
        nearest = study.nearest[0]
        missed = [c for c in nearest.constraints if c.verdict != "feasible"]
        misses = ", ".join(f"{c.text} ({_value(nearest, c)})" for c in missed)
        return "nothing_fits", f"nothing fits; #{nearest.number} is nearest and misses {misses}"
    if study.failures:
        last = study.failures[-1]
        return "failed", f"every trial failed; #{last.number}: {_why(last)}"
    spent = duration(study.seconds)
    return "failed", f"no trial came to an end in {spent}: max_time has to be longer"


def _value(trial: Trial, constraint: Any) -> str:
    metric = trial.metrics.get(metric_name(constraint.metric, constraint.statistic))
    if constraint.value is None or metric is None:
        return "not known"
    return format_quantity(constraint.value, metric.unit)


def _why(trial: Trial) -> str:
    return f"{trial.row.where}: {trial.row.message}"


def watched(entry: PlanEntry, subject: Subject, study: Study, reader: StudyReader) -> Watched:
    """What was measured of a watched candidate in its study of this night."""
    answer = subject.answer
    trial = study.trials[-1] if study.trials else None
    found = Watched(
        key=answer.key,
        label=subject.label,
        of_night=subject.of_night,
        state="failed",
        message="it was not tried",
        study=study.name,
        number=0 if trial is None else trial.number,
        parameters=answer.parameters,
        steps=answer.steps if trial is None else tuple(trial.row.steps),
    )
    if trial is None:
        return found
    stages = [s for s in study.stages(trial.number) if s.position < TWIN]
    found = replace(
        found,
        stages={s.step: s.key for s in stages},
        made=tuple(s.step for s in stages if not s.cached and s.outcome == "done"),
    )
    if trial.row.state != "complete":
        return replace(found, message=_why(trial) if trial.row.message else trial.row.state)
    rows = reader.measurements(study.name, trial.number)
    words = vocabulary_of(entry.space)
    keys = (study.info.space.get("question") or {}).get("data_keys", {})
    metrics = _Metrics(words, rows, keys)
    return replace(
        found,
        state="done",
        message=None,
        metrics=tuple(metrics.measured(reader.metrics(study.name, trial.number))),
        anchor=tuple(metrics.anchors()),
        verdict=_verdict(entry, study, reader, trial.number),
    )


def failed_to_watch(subject: Subject, study: str, message: str) -> Watched:
    """A watched candidate of which there is not even a trial."""
    answer = subject.answer
    what = (answer.key, subject.label, subject.of_night, "failed", message, study, 0)
    return Watched(*what, answer.parameters, answer.steps)  # type: ignore[arg-type]


def _verdict(entry: PlanEntry, study: Study, reader: StudyReader, number: int) -> str | None:
    """By the constraints of the entry: it is measured without any, so as to be measured in full."""
    texts = [c.text for c in entry.space.constraints]
    if not texts:
        return "feasible"
    try:
        judged = rerank(study, reader, Change(constraints=texts)).judged[number]
    except (CannotJudge, KeyError):
        return None
    return None if judged.verdict is None else str(judged.verdict)


class _Metrics:
    """Makes the rows of a record out of a trial's metrics and its raw measurements."""

    def __init__(
        self, words: Vocabulary, rows: Sequence[MeasurementRow], data_keys: Mapping[str, str]
    ) -> None:
        self._words = words
        self._data_keys = data_keys
        self._raw = {
            (row.evaluator, row.split): [Measurement.from_json(d) for d in row.detail]
            for row in rows
        }
        engines = all_evaluators()
        self._timed = {
            name: engine for name, engine in engines.items() if isinstance(engine, TimedEvaluator)
        }

    def measured(self, metrics: Sequence[MetricRow]) -> Iterator[Measured]:
        """A row per metric and split that was measured in full."""
        seen = set()
        for row in metrics:
            if row.split in _SPLITS:
                seen.add((row.split, row.metric, row.statistic or _CENTRE))
                yield self._row(row)
        for (evaluator, split), sessions in self._raw.items():
            for metric in self._own(evaluator, sessions):
                if split in _SPLITS and (split, metric, _CENTRE) not in seen:
                    yield self._centre(evaluator, split, metric, sessions)

    def anchors(self) -> Iterator[Anchored]:
        """The unoptimised model in every timed metric, over the sessions of all splits."""
        for evaluator in dict.fromkeys(name for name, _ in self._raw):
            sessions = [s for (e, _), found in self._raw.items() if e == evaluator for s in found]
            beside = [s for s in sessions if s.anchor]
            for metric in self._own(evaluator, beside):
                values = [_middle(s.anchor[metric]) for s in beside]
                unit = self._spec(metric)[0]
                kernels = tuple(
                    math.log(value / kernel)
                    for value, session in zip(values, beside, strict=True)
                    if (kernel := _kernel(session)) is not None
                )
                yield Anchored(metric, statistics.median(values), unit, kernels)

    def _row(self, row: MetricRow) -> Measured:
        evaluator = self._evaluator(row.metric)
        sessions = self._raw.get((evaluator, row.split), [])
        kind = self._kind(row, evaluator, sessions)
        items = [item for s in sessions for item in s.items] if kind == "items" else []
        return Measured(
            name=metric_name(row.metric, row.statistic),
            split=row.split,
            kind=kind,
            value=row.value,
            low=row.low,
            high=row.high,
            unit=row.unit,
            lower_is_better=self._spec(row.metric)[1],
            samples=row.samples,
            ratio=row.ratio,
            sessions=_session_ratios(sessions, row.metric, row.statistic or _CENTRE),
            outcomes=tuple(int(item["label"] == item["predicted"]) for item in items),
            items_key=self._items_key(row.split, items),
        )

    def _kind(self, row: MetricRow, evaluator: str, sessions: Sequence[Measurement]) -> Kind:
        if evaluator in self._timed:
            return "timed"
        if row.metric == "accuracy" and any("predicted" in i for s in sessions for i in s.items):
            return "items"
        return "exact" if row.low == row.value == row.high else "level"

    def _items_key(self, split: str, items: Sequence[Mapping[str, Any]]) -> str | None:
        """Of the rows in their order: the data's content and the labels of those that counted."""
        if not items:
            return None
        what = [self._data_keys.get(split), [item["label"] for item in items]]
        return hashlib.sha256(json.dumps(what).encode()).hexdigest()

    def _own(self, evaluator: str, sessions: Sequence[Measurement]) -> list[str]:
        """The metrics of a timed evaluator that every one of these sessions has."""
        if evaluator not in self._timed or not sessions:
            return []
        return [m for m in sessions[0].samples if all(m in s.samples for s in sessions)]

    def _centre(
        self, evaluator: str, split: str, metric: str, sessions: Sequence[Measurement]
    ) -> Measured:
        """The median of a time of which only a percentile was asked for: that has no ratio."""
        found = self._timed[evaluator].summarise(sessions, {}, metric, _CENTRE)
        ratio = found.ratio
        return Measured(
            name=metric_name(metric, _CENTRE),
            split=split,
            kind="timed",
            value=found.value,
            low=found.low,
            high=found.high,
            unit=found.unit,
            lower_is_better=self._spec(metric)[1],
            samples=found.samples,
            ratio=None if ratio is None else (ratio.value, ratio.low, ratio.high),
            sessions=_session_ratios(sessions, metric, _CENTRE),
        )

    def _evaluator(self, metric: str) -> str:
        return self._found(metric)[0].name

    def _spec(self, metric: str) -> tuple[str, bool]:
        """A metric's unit, and whether less of it is better."""
        spec = self._found(metric)[1]
        return spec.unit, spec.lower_is_better

    def _found(self, metric: str) -> tuple[EvaluatorSpec, MetricSpec]:
        found = self._words.metric(metric)
        assert found is not None, "what was measured is a metric of the space"
        return found


def _session_ratios(
    sessions: Sequence[Measurement], metric: str, statistic: str
) -> tuple[float, ...]:
    """The logarithm of the ratio to the anchor in each session; none of percentiles."""
    if statistic not in BLOCK_STATISTICS:
        return ()
    beside = (s for s in sessions if metric in s.anchor and metric in s.samples)
    return tuple(statistics.median(log_ratios(s, metric, statistic)) for s in beside)


def _middle(blocks: Sequence[Sequence[float]]) -> float:
    return statistics.median(statistics.median(block) for block in blocks)


def _kernel(session: Measurement) -> float | None:
    """What the calibration kernel took beside the blocks that count, in seconds."""
    blocks = session.conditions.get("blocks", ())
    found = [b["kernel"] for b in blocks if b.get("kept") and b.get("kernel")]
    return statistics.median(found) if found else None
