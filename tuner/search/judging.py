"""From estimates to what the search needs: verdicts, violations and objective values.

Knows nothing of how the estimates were measured.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from evaluators.base import Estimate, Evaluator, Interval, Measurement
from evaluators.parts import parts_of
from evaluators.statistics import QUANTILES
from evaluators.timed import TimedEvaluator
from evaluators.verdicts import Judgement, Verdict, distance, judge, overall
from search_spaces.constraints import Constraint, Objective
from search_spaces.space import Space
from search_spaces.vocabulary import Vocabulary

MOST_ROUNDS = 3
"""What is undecided is measured in up to so many times the usual processes."""


@dataclass(frozen=True, slots=True)
class Numbers:
    """A candidate's estimates by (metric, statistic), and its measurements by evaluator."""

    estimates: Mapping[tuple[str, str | None], Estimate] = field(default_factory=dict)
    measurements: Mapping[str, Sequence[Measurement]] = field(default_factory=dict)

    def with_reading(self, evaluator: str, reading: Reading) -> Numbers:
        """These, and what an evaluator found."""
        found = {(e.metric, e.statistic): e for e in reading.estimates}
        return Numbers(
            {**self.estimates, **found}, {**self.measurements, evaluator: reading.measurements}
        )


class Reading(Protocol):
    """What an evaluator found: estimates, and the measurement of every process."""

    @property
    def estimates(self) -> Sequence[Estimate]:
        """Metric by metric."""
        ...

    @property
    def measurements(self) -> Sequence[Measurement]:
        """Process by process."""
        ...


class Judge:
    """Judges candidates of one space against its constraints and the baseline.

    `rows`: of each split; they decide whether items are measured in parts.
    """

    def __init__(
        self,
        space: Space,
        vocabulary: Vocabulary,
        evaluators: Mapping[str, Evaluator],
        rows: Mapping[str, int] | None = None,
    ) -> None:
        self._rows = rows or {}
        self._space = space
        self._vocabulary = vocabulary
        self._evaluators = evaluators
        self.baseline = Numbers()

    def statistics(self) -> dict[str, list[str | None]]:
        """Metric -> the statistics to report: its default, and what the space asks for."""
        wanted: dict[str, list[str | None]] = {}
        for evaluator in self._space.evaluators:
            for metric in self._vocabulary.evaluators[evaluator].metrics:
                wanted[metric.name] = [metric.statistics[0] if metric.statistics else None]
        asks: list[Constraint | Objective] = [*self._space.objectives, *self._space.constraints]
        for ask in asks:
            name, statistic = self.name(ask)
            if statistic not in wanted[name]:
                wanted[name].append(statistic)
        return wanted

    def is_timed(self, evaluator: str) -> bool:
        """Whether an evaluator measures times, in sessions beside the baseline."""
        return isinstance(self._evaluators[evaluator], TimedEvaluator)

    def usual(self, evaluator: str) -> int:
        """The processes in which an evaluator measures in full."""
        processes = self._evaluators[evaluator].processes(self._space.evaluators[evaluator])
        return max(processes, self.parts(evaluator))

    def parts(self, evaluator: str, split: str = "dev") -> int:
        """In how many parts an evaluator measures a split; 1: as a whole."""
        options, rows = self._space.evaluators[evaluator], self._rows.get(split, 0)
        return parts_of(self._evaluators[evaluator], options, rows)

    def first_look(self, evaluator: str) -> int:
        """The processes of a first look: one for times, unless a percentile needs the samples.

        And one where an evaluator measures the items in parts.
        """
        if self.parts(evaluator) > 1:
            return 1
        metrics = self._evaluators[evaluator].spec.metrics
        statistics = self.statistics()
        asked = {statistic for metric in metrics for statistic in statistics[metric.name]}
        needs_samples = not asked.isdisjoint(QUANTILES)
        return 1 if self.is_timed(evaluator) and not needs_samples else self.usual(evaluator)

    def judge(self, numbers: Numbers) -> list[Judgement]:
        """One judgement per constraint, in the space's order."""
        return [self._judge(constraint, numbers) for constraint in self._space.constraints]

    def judge_known(self, numbers: Numbers) -> list[Judgement]:
        """Judgements of the constraints whose metric, and baseline where it matters, is known."""
        return [
            self._judge(constraint, numbers)
            for constraint in self._space.constraints
            if self.name(constraint) in numbers.estimates
            and (not constraint.limit.relative or self.name(constraint) in self.baseline.estimates)
        ]

    def distance(self, constraint: Constraint, numbers: Numbers) -> Interval | None:
        """How far above a constraint's limit a candidate is; None where that is not known.

        The constraint may be another than the space's, on a metric that was measured.
        """
        name = self.name(constraint)
        estimate, baseline = numbers.estimates.get(name), self.baseline.estimates.get(name)
        if estimate is None or (constraint.limit.relative and baseline is None):
            return None
        return distance(
            constraint,
            estimate,
            baseline,
            paired=lambda factor: self._paired(constraint.metric, numbers, factor),
        )

    def known_losses(self, numbers: Numbers) -> list[float | None]:
        """The objectives' values, to be minimised; None where one was not measured."""
        pairs = zip(self.known_objectives(numbers), self._space.objectives, strict=True)
        return [None if v is None else v if o.minimize else -v for v, o in pairs]

    def known_objectives(self, numbers: Numbers) -> tuple[float | None, ...]:
        """The objectives' values in canonical units; None where one was not measured."""
        known = (self.name(o) in numbers.estimates for o in self._space.objectives)
        pairs = zip(known, self._space.objectives, strict=True)
        return tuple(self._interval(o, numbers).value if there else None for there, o in pairs)

    def hopes(self, numbers: Numbers, evaluators: Collection[str]) -> tuple[float, ...]:
        """The objectives' values, to be minimised, as good as they may be.

        Of these evaluators' metrics the better end of the interval counts, of others the value.
        """
        hopes = []
        for objective in self._space.objectives:
            value = self._interval(objective, numbers)
            found = self._vocabulary.metric(objective.metric)
            uncertain = found is not None and found[0].name in evaluators
            low, high = (value.low, value.high) if uncertain else (value.value,) * 2
            hopes.append(low if objective.minimize else -high)
        return tuple(hopes)

    def objectives(self, numbers: Numbers) -> tuple[float, ...]:
        """The objectives' values in canonical units, in the space's order."""
        return tuple(self._interval(o, numbers).value for o in self._space.objectives)

    def _interval(self, objective: Objective, numbers: Numbers) -> Interval:
        """An objective's value. A time is the ratio to the baseline's, times what that first took.

        So candidates are compared by their ratios. Their times are of the machine as it was: where
        an earlier night was slower, what was measured then looks slower than what is measured now.
        """
        name = self.name(objective)
        found, baseline = numbers.estimates[name], self.baseline.estimates.get(name)
        if found.ratio is None or baseline is None:
            return Interval(found.value, found.low, found.high)
        ratio, once = found.ratio, baseline.value
        return Interval(ratio.value * once, ratio.low * once, ratio.high * once)

    def losses(self, values: Sequence[float]) -> tuple[float, ...]:
        """Objective values as numbers to be minimised."""
        pairs = zip(values, self._space.objectives, strict=True)
        return tuple(v if o.minimize else -v for v, o in pairs)

    def evaluator_of(self, constraint: Constraint) -> str:
        """The name of the evaluator that measures a constraint's metric."""
        found = self._vocabulary.metric(constraint.metric)
        assert found is not None, "the reader admits only known metrics"
        return found[0].name

    def _judge(self, constraint: Constraint, numbers: Numbers) -> Judgement:
        name = self.name(constraint)
        return judge(
            constraint,
            numbers.estimates[name],
            self.baseline.estimates.get(name),
            paired=lambda factor: self._paired(constraint.metric, numbers, factor),
        )

    def _paired(self, metric: str, numbers: Numbers, factor: float) -> Interval | None:
        found = self._vocabulary.metric(metric)
        assert found is not None, "the reader admits only known metrics"
        name = found[0].name
        ours, theirs = numbers.measurements.get(name), self.baseline.measurements.get(name)
        if not ours or not theirs:
            return None
        return self._evaluators[name].paired(ours, theirs, metric, factor)

    def name(self, ask: Constraint | Objective) -> tuple[str, str | None]:
        """The metric and the statistic that are meant: its default where none is named."""
        found = self._vocabulary.metric(ask.metric)
        assert found is not None, "the reader admits only known metrics"
        statistics = found[1].statistics
        return ask.metric, ask.statistic or (statistics[0] if statistics else None)


def verdict_of(judgements: Sequence[Judgement]) -> Verdict:
    """The worst verdict; feasible where there are no constraints."""
    return overall(judgements) if judgements else Verdict.FEASIBLE


def next_look(
    done: int, usual: int, *, undecided: bool, near_front: bool, most: int | None = None
) -> int:
    """How many processes to measure in, in all, where it was done in `done` of them; 0: enough.

    A first look is one process. What is undecided or may reach the front is measured in the usual
    number; what is undecided still, in up to `MOST_ROUNDS` times as many. Where a process makes no
    difference (`usual` 1) more of them tell nothing. `most`: where there is an end before.
    """
    if done < usual:
        return usual if undecided or near_front else 0
    most = usual * MOST_ROUNDS if most is None else most
    return min(most, done + usual) if undecided and usual > 1 and done < most else 0


def judgement_json(judgement: Judgement) -> dict[str, Any]:
    """A judgement as plain data."""
    constraint = judgement.constraint
    return {
        "text": constraint.text,
        "metric": constraint.metric,
        "statistic": constraint.statistic,
        "limit": judgement.limit,
        "value": judgement.value,
        "verdict": judgement.verdict,
        "violation": judgement.violation,
    }
