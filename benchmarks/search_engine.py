"""The program in simulated time: a strategy, with one worker, on the program's own rules.

A stage that exists costs nothing, nor does a measurement of what agrees in all that matters. For a
strategy that lets it (`thrifty`), structure and runtime are measured on the un-tuned twin before
any training, and training stops at rungs. What failures teach is not tried again. The twin, the
rungs and the lessons are the program's; how they are put together is that of `tuner.engine.trying`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from search_bench import Bench
from search_problem import Problem, Steps, violations
from search_store import SimulatedOutlook, Store, measurement_key, units

from search_spaces.candidates import Candidate, CandidateStep, baseline_candidate
from search_spaces.vocabulary import Aspect, EvaluatorSpec
from tuner.engine.screening import twin_of
from tuner.search.halving import Rungs, shares
from tuner.search.lessons import Lessons
from tuner.search.strategies import make_strategy
from tuner.search.strategies.base import FAILED_VIOLATION, Known, Result
from tuner.study.events import Failed


class _StageFailed(Exception):
    """A stage fails for certain; its argument is the step."""


class EngineRun(Bench):
    """Runs at once; `trace` is what came of it."""

    def __init__(self, problem: Problem, strategy: str, seed: int, budget: float) -> None:
        super().__init__(problem, problem.space(strategy, seed), seed, budget)
        self._store = Store()
        vocabulary = problem.vocabulary
        self._evaluators = [vocabulary.evaluators[name] for name in self.space.evaluators]
        self._telling = [e for e in self._evaluators if self._is_telling(e)]
        self._outlook = SimulatedOutlook(self._store, self._evaluators)
        self._strategy = make_strategy(self.space, vocabulary, self._outlook)
        self._baseline = baseline_candidate(self.space)
        self._rungs, self._lessons = Rungs(), Lessons(self.space)
        self._shares: set[float] = set()
        self._go()

    def _is_telling(self, evaluator: EvaluatorSpec) -> bool:
        """Whether it has a constraint, and training changes none of its metrics."""
        asked = {c.metric for c in self.space.constraints}
        metrics = evaluator.metrics
        return any(m.name in asked for m in metrics) and not any(
            Aspect.WEIGHTS in m.depends_on for m in metrics
        )

    def _go(self) -> None:
        keys: set[str] = set()
        while not self.over:
            start = time.perf_counter()
            candidate = self._strategy.propose(len(keys), Known(keys, self._lessons.bars))
            self.trace.asking.append(time.perf_counter() - start)
            if candidate is None:
                return
            result = self._tried(candidate, len(keys))
            keys.add(candidate.key)
            self._strategy.tell(candidate, result)

    def _tried(self, candidate: Candidate, number: int) -> Result:
        try:
            early = self._early(candidate, number) if self._strategy.thrifty else None
            return early or self._whole(candidate)
        except _StageFailed as failed:
            self.trace.became["failed"] += 1
            event = Failed(number, failed.args[0], "error", "unsupported", True, None)
            self._lessons.learn(candidate, event)
            return Result(None, {c.text: FAILED_VIOLATION for c in self.space.constraints})

    def _whole(self, candidate: Candidate) -> Result:
        self._build(candidate.steps)
        metrics = self._measure(candidate.steps, self._evaluators)
        held = self.keep(candidate.steps, metrics)
        self.trace.became["complete" if held else "infeasible"] += 1
        self._lessons.learn(candidate)
        objectives = tuple(metrics[o.metric] for o in self.space.objectives)
        return Result(objectives, violations(self.space, metrics))

    def _early(self, candidate: Candidate, number: int) -> Result | None:
        """What ends the candidate before it was trained whole; None: nothing does."""
        made = zip(candidate.steps, self._store.prefixes(candidate.steps), strict=True)
        untrained = [s for s, prefix in made if _trains(s) and prefix not in self._store.made]
        if not untrained:
            return None
        return self._screened(candidate) or self._stopped(candidate, untrained, number)

    def _screened(self, candidate: Candidate) -> Result | None:
        """The verdict of the un-tuned twin, where structure or runtime break a constraint."""
        twin = twin_of(candidate, self._baseline, self.space.model.flow)
        if twin is None or not self._telling or twin.candidate.key == candidate.key:
            return None
        steps, share = twin.candidate.steps, min(twin.shares.values(), default=1.0)
        if any(measurement_key(e, steps, 1.0) not in self._store.measured for e in self._telling):
            self._build(steps, share)
        metrics = self._measure(steps, self._telling)
        found = violations(self.space, metrics, list(metrics))
        if all(v <= 0 for v in found.values()):
            return None
        self.trace.became["screened"] += 1
        self._lessons.learn(candidate, passed={s.id for s in steps})
        return Result(
            None, found, known=tuple(metrics.get(o.metric) for o in self.space.objectives)
        )

    def _stopped(
        self, candidate: Candidate, untrained: Sequence[CandidateStep], number: int
    ) -> Result | None:
        """The result at the first rung that the candidate does not pass."""
        if not self.problem.rungs or not any(s.spec.budget for s in untrained):
            return None
        for share in shares(*self._expected(candidate)):
            self._build(candidate.steps, share)
            metrics = self._measure(candidate.steps, self._evaluators, share)
            found = violations(self.space, metrics)
            over = sum(max(0.0, v) for v in found.values())
            losses = self.problem.losses(self.space, metrics)
            hopes = self.problem.hopes(self.space, metrics)
            if not self._rungs.report(share, losses, over, number, hopes).promoted:
                self.trace.became["stopped"] += 1
                self._lessons.learn(candidate)
                known = tuple(metrics[o.metric] for o in self.space.objectives)
                return Result(None, found, known=known, share=share)
        return None

    def _expected(self, candidate: Candidate) -> tuple[float, float]:
        """The usual seconds of its training, and of building and measuring what comes out."""
        usual = self._store.usual
        steps = candidate.steps
        training = sum(units(s) * usual(s.spec.name) for s in steps if s.spec.budget)
        others = [s.spec.name for s in steps if not _trains(s)]
        others += [e.name for e in self._evaluators]
        return training, sum(map(usual, others))

    def _build(self, steps: Steps, share: float = 1.0) -> None:
        """Make the stages that are not there; _StageFailed where one fails."""
        for end, prefix in enumerate(self._store.prefixes(steps, share), start=1):
            if prefix not in self._store.made:
                self._make(steps[:end], prefix, share)
            if self._store.made[prefix]:
                raise _StageFailed(steps[end - 1].id)

    def _make(self, steps: Steps, prefix: int, share: float) -> None:
        own = share if steps[-1].spec.budget else 1.0
        seconds, failed = self.problem.stage(steps, own)
        if steps[-1].spec.budget and not failed:
            seconds -= self._earlier(steps, share)
        self._store.made[prefix] = failed
        self.pay(seconds)
        if not failed:
            self._store.learn(steps[-1].spec.name, own * units(steps[-1]), seconds)

    def _earlier(self, steps: Steps, share: float) -> float:
        """The seconds of the largest smaller share of the same training that is there."""
        there = (s for s in self._shares if s < share)
        made = [s for s in there if self._store.prefixes(steps, s)[-1] in self._store.made]
        self._shares.add(share)
        return self.problem.stage(steps, max(made))[0] if made else 0.0

    def _measure(
        self, steps: Steps, evaluators: Sequence[EvaluatorSpec], share: float = 1.0
    ) -> dict[str, float]:
        truth = self.problem.truth(steps, share)
        metrics: dict[str, float] = {}
        for evaluator in evaluators:
            key = measurement_key(evaluator, steps, share)
            if key not in self._store.measured:
                self._store.measured[key] = self._measured(evaluator, key, truth)
            metrics |= self._store.measured[key]
        return metrics

    def _measured(
        self, evaluator: EvaluatorSpec, key: tuple[Any, ...], truth: Mapping[str, float]
    ) -> dict[str, float]:
        seconds = self.problem.measuring(evaluator.name)
        self.pay(seconds)
        self._store.learn(evaluator.name, 1, seconds)
        rng = self.rng(*key)
        names = [m.name for m in evaluator.metrics if m.name in truth]
        return {name: self.problem.noisy(name, truth[name], rng) for name in names}


def _trains(step: CandidateStep) -> bool:
    """Whether a step changes nothing but weights."""
    return step.spec.changes == {Aspect.WEIGHTS}
