"""What keeps everything out where nothing fits, and what relaxing it would let in.

Reads a `Study`; decides nothing. Knows nothing of how it is shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from evaluators.base import Interval
from evaluators.verdicts import tolerance_of
from search_spaces.constraints import Constraint
from search_spaces.expressions import parse_constraint
from tuner.review.evidence import CannotJudge, Evidence, Question
from tuner.search.judging import Judge, Numbers
from tuner.search.prices import Need, binding, excess, nearest_front, relaxed, staircase
from tuner.study.api import Study, Trial

_LEAST = 1e-6  # of a tolerance: a limit that is missed by nothing at all is missed


@dataclass(frozen=True, slots=True)
class Price:
    """Limits at which a trial fits for certain.

    `limits`: each constraint that keeps it out, as it is and as it would have to be; None: no such
    limit can be written, it would have to go. `state`: "" where all of it was measured, else how
    the trial ended ("screened": it was never trained). `undecided`: it may fit as it is.
    `held_out`: by what was measured on held-out data; in the search it did fit.
    """

    trial: Trial
    limits: tuple[tuple[str, str | None], ...]
    relaxation: float
    state: str = ""
    undecided: bool = False
    held_out: bool = False


@dataclass(frozen=True, slots=True)
class Binding:
    """Constraints that keep everything out, and the price list of relaxing them.

    `constraints`: one that would be enough alone, or several that would be only together.
    """

    constraints: tuple[str, ...]
    prices: tuple[Price, ...]


@dataclass(frozen=True, slots=True)
class Shortfall:
    """The answer where nothing fits. `problem`: why there is no price list, if there is none.

    `nearest`: the trials that no other beats in what they miss and what they give, nearest first.
    `bindings`: the cheapest first.
    """

    nearest: tuple[Trial, ...] = ()
    bindings: tuple[Binding, ...] = ()
    problem: str | None = None


def shortfall_of(study: Study, question: Question | None = None) -> Shortfall:
    """What keeps the trials of a study out. `question`: the study's own unless told."""
    evidence = Evidence(study)
    try:
        asked = question or evidence.question
    except CannotJudge as error:
        return Shortfall(tuple(study.nearest[:3]), (), str(error))
    return _Pricing(study, evidence, asked).shortfall()


@dataclass
class _Pricing:
    study: Study
    evidence: Evidence
    question: Question
    _judges: dict[int, tuple[Judge, Numbers]] = field(default_factory=dict)

    def shortfall(self) -> Shortfall:
        trials = {t.number: t for t in self.study.nearest}
        needs = [n for t in trials.values() if (n := self._need(t)) is not None]
        nearest = tuple(trials[n.number] for n in nearest_front(needs))
        bindings = []
        for indices in binding(needs):
            prices = tuple(self._price(trials[n.number], n) for n in staircase(needs, indices))
            texts = tuple(self.question.constraints[i].text for i in sorted(indices))
            bindings.append(Binding(texts, prices))
        return Shortfall(nearest, tuple(bindings))

    def _need(self, trial: Trial) -> Need | None:
        """What a trial misses; None where nothing is known of it."""
        missed: dict[int, float] = {}
        violations: list[float | None] = []
        for index, constraint in enumerate(self.question.constraints):
            found = self._excess(trial, constraint)
            if found is None:
                violations.append(None)
                continue
            value, high, tolerance, fits = found
            violations.append(max(0.0, value / tolerance))
            if not fits:
                missed[index] = max(high / tolerance, _LEAST)
        if not missed:
            return None
        return Need(trial.number, missed, tuple(violations), self._losses(trial))

    def _excess(
        self, trial: Trial, constraint: Constraint
    ) -> tuple[float, float, float, bool] | None:
        """The value's and the interval's excess over the limit, the tolerance, whether it fits."""
        distance = self._distance(trial, constraint)
        if distance is None or not self.evidence.sure(trial, constraint):
            return None
        judge, _ = self._numbers(trial)
        beyond = excess(constraint.operator, distance)
        baseline = judge.baseline.estimates.get(judge.name(constraint))
        limit = constraint.limit.value(None if baseline is None else baseline.value)
        strict = constraint.operator in ("<", ">")
        fits = beyond.high < 0 or (beyond.high == 0 and not strict)
        return beyond.value, beyond.high, tolerance_of(constraint, limit), fits

    def _distance(self, trial: Trial, constraint: Constraint) -> Interval | None:
        """How far a trial is above a limit, out to where neither search nor held-out data object.

        What was confirmed too must not be refuted by it at a limit that the search calls certain.
        """
        judge, numbers = self._numbers(trial)
        found = judge.distance(constraint, numbers)
        row = self.study.confirmations.get(trial.number)
        if found is None or row is None or self._held_out(trial):
            return found
        again, confirmed = self.evidence.confirmed(row, self.question)
        other = again.distance(constraint, confirmed)
        if other is None:
            return found
        if constraint.operator.is_upper:
            return Interval(found.value, found.low, max(found.high, other.low))
        return Interval(found.value, min(found.low, other.high), found.high)

    def _losses(self, trial: Trial) -> tuple[float | None, ...]:
        judge, numbers = self._numbers(trial)
        known = judge.known_losses(numbers)
        pairs = zip(known, self.question.objectives, strict=True)
        return tuple(v if self.evidence.sure(trial, o) else None for v, o in pairs)

    def _numbers(self, trial: Trial) -> tuple[Judge, Numbers]:
        """By the search, or by what refuted it afterwards."""
        if trial.number not in self._judges:
            row = self.study.confirmations.get(trial.number)
            if self._held_out(trial) and row is not None:
                self._judges[trial.number] = self.evidence.confirmed(row, self.question)
            else:
                numbers = self.evidence.numbers(trial, self.question)
                self._judges[trial.number] = (self._judge, numbers)
        return self._judges[trial.number]

    @cached_property
    def _judge(self) -> Judge:
        return self.evidence.judge(self.question)

    def _held_out(self, trial: Trial) -> bool:
        return trial.feasible and trial.number in self.study.confirmations

    def _price(self, trial: Trial, need: Need) -> Price:
        constraints = [self.question.constraints[index] for index in sorted(need.missed)]
        limits = tuple((c.text, self._relaxed(trial, c)) for c in constraints)
        whole = need.known and not trial.cut_short
        state = "" if whole else trial.row.state
        undecided = all(need.violations[index] == 0 for index in need.missed)
        held_out = self._held_out(trial)
        return Price(trial, limits, need.relaxation, state, undecided, held_out)

    def _relaxed(self, trial: Trial, constraint: Constraint) -> str | None:
        def distance(other: Constraint) -> Interval:
            found = self._distance(trial, other)
            assert found is not None, "it is missed, so it was measured"
            return found

        def parse(text: str) -> Constraint:
            return parse_constraint(text, self.evidence.vocabulary)

        return relaxed(constraint, self.evidence.spec(constraint).unit, distance, parse)


def prices_json(shortfall: Shortfall, study: Study) -> dict[str, Any]:
    """The binding constraints and their prices as JSON data, in canonical units."""
    return {
        "binding": [list(b.constraints) for b in shortfall.bindings],
        "prices": [_price_json(p, study) for b in shortfall.bindings for p in b.prices],
        "no_prices": shortfall.problem,
    }


def _price_json(price: Price, study: Study) -> dict[str, Any]:
    return {
        "number": price.trial.number,
        "limits": dict(price.limits),
        "relaxation": price.relaxation,
        "objectives": known_values(price.trial, study.info.objectives),
        "state": price.trial.row.state,
        "trained": not price.trial.cut_short,
        "undecided": price.undecided,
        "held_out": price.held_out,
    }


def known_values(trial: Trial, objectives: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
    """A trial's objectives by their text; None where one was not measured of the whole model."""
    values = () if trial.cut_short else trial.known_objectives
    padded = [*values, *[None] * (len(objectives) - len(values))]
    return {o["text"]: value for o, value in zip(objectives, padded, strict=True)}
