"""What a study has stored, as numbers that can be judged against whatever is asked of them.

Reads a `Study`; runs nothing, and needs no store. Knows nothing of how the answer is shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from evaluators.base import (
    Estimate,
    Evaluator,
    Interval,
    Measurement,
    MeasurementError,
    NotEnoughSamples,
)
from evaluators.timed import TimedEvaluator
from evaluators.timing import Logarithm, Spread, Timeline
from search_spaces.constraints import Constraint, Objective
from search_spaces.expressions import ExpressionError, parse_constraint, parse_objective
from search_spaces.references import Reference
from search_spaces.space import Space
from search_spaces.vocabulary import Aspect, MetricSpec, Vocabulary
from tuner.review.stored_space import StoredSpace, stored_space
from tuner.search.judging import Judge, Numbers
from tuner.study.api import Study, Trial
from tuner.study.events import BASELINE
from tuner.study.rows import ConfirmedRow, MeasurementRow, MetricRow

Ask = Constraint | Objective
Name = tuple[str, str | None]


class CannotJudge(Exception):
    """What was asked cannot be judged from what is stored; one sentence that says why."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of the trials of a study."""

    objectives: tuple[Objective, ...]
    constraints: tuple[Constraint, ...]

    @property
    def asks(self) -> tuple[Ask, ...]:
        """Everything that needs a number."""
        return (*self.objectives, *self.constraints)

    @property
    def relative(self) -> bool:
        """Whether a limit is relative to the baseline."""
        return any(c.limit.relative for c in self.constraints)


class Evidence:
    """The numbers of a study's trials."""

    def __init__(self, study: Study) -> None:
        self.study = study
        self._timelines: dict[tuple[str, str], Timeline] = {}
        self._measured: dict[tuple[int, str], dict[str, list[Measurement]]] = {}
        self._worked_out: dict[tuple[int, str, Name], Estimate | None] = {}

    # The words: metrics, evaluators, the study's own question

    @cached_property
    def _reading(self) -> StoredSpace:
        """The space as it was, or why it cannot be read any more."""
        return stored_space(self.study)

    @property
    def space(self) -> Space | None:
        """The space without what a command line changed in it; None where it cannot be read."""
        return self._reading.space

    @property
    def problem(self) -> str | None:
        """Why the space cannot be read any more; None where it can."""
        return self._reading.problem

    @property
    def lacking(self) -> Sequence[str]:
        """The passes and evaluators of the study that are not installed here."""
        return self._reading.lacking

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """What may be asked: what is installed, the space's own, and what the study measured."""
        return self._reading.words

    @cached_property
    def evaluators(self) -> Mapping[str, Evaluator]:
        """Every evaluator, the space's own too."""
        return self._reading.evaluators

    @cached_property
    def question(self) -> Question:
        """What the study asked. CannotJudge where a metric of it is no longer installed."""
        info = self.study.info
        try:
            objectives = [parse_objective(o["text"], self.vocabulary) for o in info.objectives]
            return Question(tuple(objectives), tuple(self.own_constraints))
        except ExpressionError as error:
            raise CannotJudge(f"the study's own question cannot be read: {error}") from error

    @cached_property
    def own_constraints(self) -> Sequence[Constraint]:
        """The study's constraints, with their tolerances where the space can still be read."""
        found = () if self.space is None else self.space.constraints
        tolerances = {c.text: c.tolerance for c in found}
        texts = [str(c["text"]) for c in self.study.info.constraints]
        parsed = [parse_constraint(text, self.vocabulary) for text in texts]
        return [replace(c, tolerance=tolerances.get(c.text)) for c in parsed]

    def spec(self, ask: Ask) -> MetricSpec:
        """The declaration of what is asked for."""
        found = self.vocabulary.metric(ask.metric)
        assert found is not None, "it was read"
        return found[1]

    def sure(self, trial: Trial, ask: Ask) -> bool:
        """Whether a number of a trial is of the model as it would be in the end.

        Of a trial that was cut short, only what does not depend on what training puts into the
        weights.
        """
        return not trial.cut_short or Aspect.WEIGHTS not in self.spec(ask).depends_on

    # The numbers

    def judge(self, question: Question) -> Judge:
        """Judges numbers of the search against a question."""
        found = self._judge(question)
        baseline = self.study.baseline
        if baseline is not None:
            found.baseline = self.numbers(baseline, question)
        return found

    def _judge(self, question: Question) -> Judge:
        space = self.space or _NO_SPACE
        asked = replace(space, objectives=question.objectives, constraints=question.constraints)
        return Judge(asked, self.vocabulary, self.evaluators)

    @cached_property
    def _namer(self) -> Judge:
        return self._judge(Question((), ()))

    def name(self, ask: Ask) -> Name:
        """The metric and the statistic that are meant."""
        return self._namer.name(ask)

    def numbers(self, trial: Trial, question: Question) -> Numbers:
        """What the search measured of a trial, as far as the question needs it.

        A statistic that was not reported is worked out from the raw measurements where it can be.
        """
        metrics = trial.metrics.values()
        stored = {(m.metric, m.statistic): e for m in metrics if (e := _estimate(m)) is not None}
        return self._numbers(trial.number, "dev", stored, question)

    def confirmed(self, row: ConfirmedRow, question: Question) -> tuple[Judge, Numbers]:
        """What was confirmed of a trial on held-out data, and who judges it."""
        judge = self._judge(question)
        ours, theirs = _estimates(row.estimates), _estimates(row.baseline)
        judge.baseline = self._numbers(BASELINE, "test", theirs, question)
        return judge, self._numbers(row.number, "test", ours, question)

    def _numbers(
        self, number: int, split: str, stored: Mapping[Name, Estimate], question: Question
    ) -> Numbers:
        measured = {metric for metric, _ in stored}
        found = {}
        for name in map(self.name, question.asks):
            # Of a metric that was not measured there is nothing to work out.
            known = name in stored or name[0] not in measured
            estimate = stored.get(name) if known else self._from_raw(number, split, name)
            if estimate is not None:
                found[name] = estimate
        return Numbers(found, self._raw(number, split) if question.relative else {})

    def why_not(self, ask: Ask) -> str | None:
        """Why a statistic cannot be had of any trial, where that is for lack of samples."""
        name = self.name(ask)
        trials = [*self.study.trials, *filter(None, [self.study.baseline])]
        trials.sort(key=lambda t: _samples(t, ask.metric), reverse=True)
        for trial in trials:
            try:
                self._summary(trial.number, "dev", name)
            except (MeasurementError, NotEnoughSamples) as error:
                return str(error)
        return None

    def sessions(self, trial: Trial, evaluator: str) -> int:
        """In how many processes an evaluator has measured a trial in the search."""
        return len(self._raw(trial.number, "dev").get(evaluator, ()))

    def _from_raw(self, number: int, split: str, name: Name) -> Estimate | None:
        key = (number, split, name)
        if key not in self._worked_out:
            try:
                self._worked_out[key] = self._summary(*key)
            except (MeasurementError, NotEnoughSamples):
                self._worked_out[key] = None
        return self._worked_out[key]

    def _summary(self, number: int, split: str, name: Name) -> Estimate | None:
        found = self.vocabulary.metric(name[0])
        assert found is not None, "it was read"
        evaluator = found[0].name
        engine, measurements = self.evaluators[evaluator], self._raw(number, split).get(evaluator)
        if not isinstance(engine, TimedEvaluator):
            options = self._options(evaluator)
            return engine.summarise(measurements, options, *name) if measurements else None
        timeline = self._timeline(evaluator, split)
        if number == BASELINE and split == "test":
            return _anchor(timeline, found[1], name)  # it was measured beside the candidates
        if not measurements or name[0] not in measurements[0].samples:
            return None
        return engine.estimate(measurements, *name, timeline)

    def _options(self, evaluator: str) -> Mapping[str, Any]:
        known = {} if self.space is None else self.space.evaluators
        spec = self.vocabulary.evaluators[evaluator]
        return known.get(evaluator) or {p.name: p.default for p in spec.parameters}

    def _timeline(self, evaluator: str, split: str) -> Timeline:
        """Every session that was held on a split: what one statistic borrows from the others."""
        if (evaluator, split) not in self._timelines:
            timeline = self._timelines[evaluator, split] = _Closed()
            for row in self._rows(evaluator, split):
                sessions = self._raw(row.number, split)[evaluator]
                for number, session in enumerate(sessions):
                    timeline.add(row.key, f"{row.key}/{number}", session)
        return self._timelines[evaluator, split]

    def _rows(self, evaluator: str, split: str) -> Iterable[MeasurementRow]:
        rows = (row for rows in self.study.measurements.values() for row in rows)
        return (row for row in rows if (row.evaluator, row.split) == (evaluator, split))

    def _raw(self, number: int, split: str) -> dict[str, list[Measurement]]:
        if (number, split) not in self._measured:
            self._measured[number, split] = {
                row.evaluator: [Measurement.from_json(data) for data in row.detail]
                for row in self.study.measurements.get(number, ())
                if row.split == split
            }
        return self._measured[number, split]


@dataclass
class _Closed(Timeline):
    """A timeline to which nothing is added once it was asked: what it says is worked out once."""

    levels: dict[Name, Logarithm | None] = field(default_factory=dict)
    spreads: dict[Name, Spread] = field(default_factory=dict)

    def level(self, metric: str, statistic: str) -> Logarithm | None:
        """The logarithm of the anchor's value."""
        if (metric, statistic) not in self.levels:
            self.levels[metric, statistic] = super().level(metric, statistic)
        return self.levels[metric, statistic]

    def spread(self, metric: str, statistic: str) -> Spread:
        """How ratios to the anchor differ between sessions."""
        if (metric, statistic) not in self.spreads:
            self.spreads[metric, statistic] = super().spread(metric, statistic)
        return self.spreads[metric, statistic]


_NO_SPACE = Space(
    name="",
    path=None,
    model=Reference("hub", ""),
    task="",
    data=None,
    pipeline=(),
    evaluators={},
    objectives=(),
    constraints=(),
)
"""Stands for a space that cannot be read: judging needs its question only."""


def _estimate(row: MetricRow) -> Estimate | None:
    if row.value is None:
        return None
    low = row.value if row.low is None else row.low
    high = row.value if row.high is None else row.high
    ratio = None if row.ratio is None else Interval(*row.ratio)
    return Estimate(row.metric, row.statistic, row.value, low, high, row.unit, row.samples, ratio)


def _samples(trial: Trial, metric: str) -> int:
    return max((m.samples for m in trial.metrics.values() if m.metric == metric), default=0)


def _anchor(timeline: Timeline, spec: MetricSpec, name: Name) -> Estimate | None:
    value = None if name[1] is None else timeline.anchor(name[0], name[1])
    if value is None:
        return None
    ends, count = (value.value, value.low, value.high), timeline.samples(name[0])
    return Estimate(*name, *ends, spec.unit, count)


def _estimates(found: Sequence[Mapping[str, Any]]) -> dict[Name, Estimate]:
    estimates = {}
    for e in found:
        if e["value"] is None:
            continue
        ratio = None if e.get("ratio") is None else Interval(*e["ratio"])
        ends = (e["value"], e["low"], e["high"], e["unit"], e["samples"], ratio)
        estimates[e["metric"], e["statistic"]] = Estimate(e["metric"], e["statistic"], *ends)
    return estimates
