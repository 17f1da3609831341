"""Tries one candidate: screens it, trains and builds it, measures it as far as it is worth, judges.

One `Trier` works for one worker. Emits an event for everything that it finds, but not that a trial
is over: that is the coordinator's. Knows nothing of strategies and of what is tried next.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial

from evaluators.base import Estimate, Interval
from evaluators.verdicts import Judgement, Verdict
from search_spaces.candidates import Candidate
from search_spaces.space import Space
from tuner.engine.ladder import Ladder
from tuner.engine.screening import Screen, trains
from tuner.execution.making import TrialFailed
from tuner.execution.measuring import Measurer, Run
from tuner.execution.trial import TrialRunner, insist
from tuner.pipeline.plan import Stage
from tuner.search.front import dominates
from tuner.search.judging import Judge, Numbers, judgement_json, next_look, verdict_of
from tuner.search.strategies import FAILED_VIOLATION, Result
from tuner.study.events import (
    BASELINE,
    RUNG,
    Event,
    Failed,
    Judged,
    Mismatched,
    RungReached,
    Screened,
)

Front = Callable[[], Mapping[int, Sequence[float]]]


@dataclass(frozen=True, slots=True)
class Ending:
    """How a trial ended. `failed`: of one that gave no numbers."""

    state: str
    result: Result
    feasible: bool = False
    failed: Failed | None = None


@dataclass
class Trier:
    """Tries candidates of one space.

    `front`: trial -> losses, of the front as it is now. `thrifty`: a candidate may be ended before
    it is trained whole, by `screen` and `ladder`.
    """

    space: Space
    judge: Judge
    runner: TrialRunner
    measurer: Measurer
    screen: Screen
    ladder: Ladder
    front: Front
    emit: Callable[[Event], None]
    thrifty: bool = False
    number: int = field(default=BASELINE, init=False)  # of what is being tried
    _built: bool = field(default=False, init=False)  # whether the model of the candidate is there

    def build(self, number: int, candidate: Candidate, *, again: bool = False) -> Run:
        """A candidate's model. `again`: its trial is over; see `TrialRunner.build`."""
        return self.runner.build(number, self.runner.stages(candidate), again=again)

    def measure(self, run: Run) -> Numbers:
        """Every evaluator's estimates, in full: of the baseline, which limits and gauges all."""
        return self._measure(run, in_full=True)

    def attempt(self, number: int, candidate: Candidate, *, whole: bool = False) -> Ending:
        """Try a candidate. `whole`: to the end, whatever can be seen before."""
        self.number = number
        thrifty = self.thrifty and not whole
        work = partial(self._attempt, number, candidate, thrifty=thrifty)
        try:
            return insist(self.runner.store, work)
        except TrialFailed as failed:
            event = failed.event(number)
            self.emit(event)
            return self._failed(event)

    def _attempt(self, number: int, candidate: Candidate, *, thrifty: bool) -> Ending:
        self._built = False
        stages = self.runner.stages(candidate)
        if thrifty:
            seen = self.screen.look(number, candidate, stages)
            if seen is not None:
                return self._screened(number, *seen)
            stopped = self._climb(number, candidate, stages)
            if stopped is not None:
                return stopped
        run = self.runner.build(number, stages)
        self._built = True
        judgements, numbers = self._settle(run, self._measure(run))
        judgements, numbers = self._verify(run, judgements, numbers)
        verdict = verdict_of(judgements)
        self._judged(number, verdict, judgements)
        result = Result(self.judge.objectives(numbers), _violations(judgements))
        return Ending(self._end("complete"), result, verdict is Verdict.FEASIBLE)

    def _judged(self, number: int, verdict: Verdict, judgements: Sequence[Judgement]) -> None:
        self.emit(Judged(number, verdict, tuple(judgement_json(j) for j in judgements)))

    def _end(self, usual: str) -> str:
        """How a trial ended: of a model that is not to be run, that it was built is enough."""
        return "built" if self._built and self.space.build_only else usual

    def _failed(self, failed: Failed) -> Ending:
        if not failed.deterministic:
            return Ending("failed", Result(None, {}, transient=True), failed=failed)
        violations = {c.text: FAILED_VIOLATION for c in self.space.constraints}
        return Ending(self._end("infeasible"), Result(None, violations), failed=failed)

    # Before a candidate is trained whole

    def _screened(self, number: int, judgements: Sequence[Judgement], numbers: Numbers) -> Ending:
        missed = [j.constraint.text for j in judgements if j.verdict is Verdict.INFEASIBLE]
        self.emit(Screened(number, tuple(missed)))
        self._judged(number, Verdict.INFEASIBLE, judgements)
        known = self.judge.known_objectives(numbers)
        return Ending("screened", Result(None, _violations(judgements), known=known))

    def _climb(self, number: int, candidate: Candidate, stages: Sequence[Stage]) -> Ending | None:
        """Train in shares where training is what costs; an ending where one is not promising."""
        untrained = [s for s in stages if s.spec.budget and not self.runner.store.has(s.key)]
        if not untrained:
            return None
        for rung, share in enumerate(self.ladder.shares(stages)):
            shares = {stage.step: share for stage in untrained}
            part = self.runner.stages(candidate, shares)
            run = self.runner.build(number, part, first=RUNG * (rung + 1))
            numbers = self._measure(run)
            ending = self._rung(number, share, numbers)
            if ending is not None:
                return ending
        return None

    def _rung(self, number: int, share: float, numbers: Numbers) -> Ending | None:
        judgements = self.judge.judge(numbers)
        violations = _violations(judgements)
        sure = [j.violation for j in judgements if j.verdict is Verdict.INFEASIBLE]
        violation = sum(max(0.0, v) for v in sure)
        values = self.judge.objectives(numbers)
        hopes = self.judge.hopes(numbers, list(self.space.evaluators))
        losses = self.judge.losses(values)
        standing = self.ladder.report(number, share, losses, violation, hopes)
        told = (standing.better, standing.peers, standing.promoted)
        self.emit(RungReached(number, share, values, violation, *told))
        if standing.promoted:
            return None
        self._judged(number, verdict_of(judgements), judgements)
        return Ending("stopped", Result(None, violations, known=values, share=share))

    # Measuring

    def _measure(self, run: Run, *, in_full: bool = False) -> Numbers:
        """Every evaluator's estimates; times by a first look of one session, unless `in_full`.

        The first that fails is the trial's failure; of a model that is only built, the others are
        measured all the same.
        """
        numbers = Numbers()
        failures: list[TrialFailed] = []
        for name in self.space.evaluators:
            look = self.judge.usual(name) if in_full else self.judge.first_look(name)
            try:
                numbers = self._measure_one(run, name, look, numbers)
            except TrialFailed as failed:
                failures.append(failed)
                if self.space.build_only:
                    continue
                raise
        if failures:
            raise failures[0]
        return numbers

    def _measure_one(self, run: Run, name: str, processes: int, known: Numbers) -> Numbers:
        """What is known, with an evaluator's numbers from so many processes."""
        return known.with_reading(name, self.measurer.measure(run, name, range(processes)))

    def _settle(self, run: Run, numbers: Numbers) -> tuple[list[Judgement], Numbers]:
        """Judge; measure more where a constraint is undecided, or the front may be reached."""
        while True:
            judgements = self.judge.judge(numbers)
            wanted = self._worth_measuring(judgements, numbers)
            if not wanted:
                return judgements, numbers
            for name, processes in wanted.items():
                numbers = self._measure_one(run, name, processes, numbers)

    def _worth_measuring(self, judgements: Sequence[Judgement], numbers: Numbers) -> dict[str, int]:
        """Evaluator -> the processes that it should measure in, where those are more than it did.

        A clear loser stays with a first look; see `next_look`.
        """
        undecided = {
            self.judge.evaluator_of(j.constraint)
            for j in judgements
            if j.verdict is Verdict.UNDECIDED
        }
        names = set(undecided)
        if verdict_of(judgements) is not Verdict.INFEASIBLE and self._may_reach_front(numbers):
            names |= set(self._looked_at(numbers))
        looks = {
            name: next_look(
                len(numbers.measurements[name]),
                self.judge.usual(name),
                undecided=name in undecided,
                near_front=name in names,
                most=self.judge.usual(name) if self.judge.parts(name) > 1 else None,
            )
            for name in sorted(names)
        }
        return {name: processes for name, processes in looks.items() if processes}

    def _may_reach_front(self, numbers: Numbers) -> bool:
        hopes = self.judge.hopes(numbers, self._looked_at(numbers))
        return not any(dominates(losses, hopes) for losses in self.front().values())

    def _looked_at(self, numbers: Numbers) -> list[str]:
        """Evaluators whose numbers more processes would sharpen: times, and parts of the items."""
        return [
            name
            for name in self.space.evaluators
            if self.judge.is_timed(name) or len(numbers.measurements[name]) < self.judge.usual(name)
        ]

    # What was measured on another model of the same structure

    def _verify(
        self, run: Run, judgements: list[Judgement], numbers: Numbers
    ) -> tuple[list[Judgement], Numbers]:
        """Where a trained model would be on the front: whether it has the numbers it is given."""
        trained = any(trains(stage) for stage in run.stages)
        if not trained or verdict_of(judgements) is Verdict.INFEASIBLE:
            return judgements, numbers
        if not self._may_reach_front(numbers):
            return judgements, numbers
        names = self.screen.of_structure(self.space.evaluators)
        found = [name for name in names if self._is_wrong(run, name, numbers)]
        if not found:
            return judgements, numbers
        with self.measurer.shared.lock:
            self.measurer.shared.own |= set(found)
        for name in found:
            numbers = self._measure_one(run, name, self.judge.first_look(name), numbers)
        return self._settle(run, numbers)

    def _is_wrong(self, run: Run, name: str, numbers: Numbers) -> bool:
        """Whether an evaluator finds another number on this very model; it is told then."""
        if not self.measurer.is_of_another(run, name):
            return False
        own = self.measurer.verify(run, name)
        for estimate in own.estimates:
            shared = numbers.estimates.get((estimate.metric, estimate.statistic))
            if shared is not None and _are_apart(shared, estimate):
                which = (run.number, name, estimate.metric, estimate.statistic)
                self.emit(Mismatched(*which, _ends(shared), _ends(estimate), estimate.unit))
                return True
        return False


def _violations(judgements: Sequence[Judgement]) -> dict[str, float]:
    return {j.constraint.text: j.violation for j in judgements}


_SAME = 0.01
"""Numbers this near are the same: files of one structure differ by a few bytes."""


def _are_apart(a: Estimate, b: Estimate) -> bool:
    """Whether the intervals have nothing in common; of the ratios, where both have those."""
    one: Estimate | Interval = a
    two: Estimate | Interval = b
    if a.ratio is not None and b.ratio is not None:
        one, two = a.ratio, b.ratio
    margin = _SAME * max(abs(one.value), abs(two.value))
    return one.high + margin < two.low or two.high + margin < one.low


def _ends(estimate: Estimate) -> dict[str, float]:
    return asdict(Interval(estimate.value, estimate.low, estimate.high))
