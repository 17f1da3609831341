"""Feasibility first: whether a candidate can fit is asked of its un-tuned twin, before it trains.

The twin is the model put through the same passes without those that only train weights. What
depends on structure and runtime alone (latency, size, memory) the two have in common. Knows
nothing of strategies.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from evaluators.base import Evaluator
from evaluators.verdicts import Judgement, Verdict
from search_spaces.candidates import (
    Candidate,
    CandidateStep,
    baseline_candidate,
)
from search_spaces.space import Space
from search_spaces.vocabulary import Aspect
from tuner.execution.measuring import Measurer, Run
from tuner.execution.trial import TrialRunner
from tuner.pipeline.plan import Stage
from tuner.search.judging import Judge, Numbers
from tuner.search.strategies import Outlook
from tuner.study.events import TWIN

_TRAINS = frozenset({Aspect.WEIGHTS})
_BARELY = 0.01  # of its training, where a model needs some to have the shape that it will have


@dataclass(frozen=True, slots=True)
class Twin:
    """A candidate without its training. `shares`: step -> how much of its training it keeps."""

    candidate: Candidate
    shares: Mapping[str, float]


def twin_of(candidate: Candidate, baseline: Candidate, model_format: str) -> Twin | None:
    """The un-tuned twin; None where the later passes need what the training gives.

    `model_format`: of the model that comes in (`Reference.flow`).
    A step that the baseline has too (the fine-tuning that gives an encoder its head) is the
    baseline's, for a moment only.
    """
    kept = {step.id: step for step in baseline.steps}
    steps: list[CandidateStep] = []
    shares: dict[str, float] = {}
    for step in candidate.steps:
        if step.spec.changes == _TRAINS and not step.spec.passes_through and step.id in kept:
            shares[step.id] = _BARELY
            step = kept[step.id]  # it stands for the candidate's own
        elif step.spec.changes == _TRAINS:
            continue
        if not step.spec.takes(model_format):
            return None
        steps.append(step)
        model_format = step.spec.after(model_format)
    return Twin(Candidate({}, tuple(steps)), shares)


def trains(stage: Stage) -> bool:
    """Whether a stage changes nothing but weights."""
    return stage.spec.changes == _TRAINS


@dataclass
class Screen:
    """Screens candidates of one space. `judge`: shared with who tries them."""

    space: Space
    evaluators: Mapping[str, Evaluator]
    judge: Judge
    runner: TrialRunner
    measurer: Measurer
    outlook: Outlook

    def look(
        self, number: int, candidate: Candidate, stages: Sequence[Stage]
    ) -> tuple[list[Judgement], Numbers] | None:
        """What the twin shows, where by that the candidate cannot fit; None where it may.

        A candidate without training is its own twin: of that only what is known counts.
        TrialFailed where a later pass cannot be done: the candidate would fail there as well.
        """
        names = self._telling()
        flow = self.space.model.flow
        twin = twin_of(candidate, baseline_candidate(self.space), flow) if names else None
        if twin is None:
            return None
        untrained = any(trains(s) and not self.runner.store.has(s.key) for s in stages)
        worth_building = untrained and self._is_cheaper(twin.candidate, candidate)
        numbers = self._measure(number, twin, names, build=worth_building)
        judgements = self.judge.judge_known(numbers)
        missed = any(j.verdict is Verdict.INFEASIBLE for j in judgements)
        return (judgements, numbers) if missed else None

    def _telling(self) -> list[str]:
        """Evaluators with a constraint, whose metrics training does not change."""
        asked = {self.judge.evaluator_of(c) for c in self.space.constraints}
        return self.of_structure(name for name in self.space.evaluators if name in asked)

    def of_structure(self, names: Iterable[str]) -> list[str]:
        """Evaluators whose metrics training does not change, as far as is known."""
        return [
            name
            for name in names
            if name not in self.measurer.shared.own
            and not any(Aspect.WEIGHTS in m.depends_on for m in self.evaluators[name].spec.metrics)
        ]

    def _measure(self, number: int, twin: Twin, names: Sequence[str], *, build: bool) -> Numbers:
        """What is known of the twin; all of it where it is worth building."""
        stages = self._stages(twin)
        looks = {n: range(self.judge.first_look(n)) for n in names}
        run = Run(number, stages, ())
        unknown = [n for n in names if not self.measurer.is_known(run, n, looks[n])]
        if unknown and build:
            run = self.runner.build(number, stages, first=TWIN)
            unknown = []
        numbers = Numbers()
        for name in names:
            if name not in unknown:
                numbers = self._settled(run, name, numbers)
        return numbers

    def _settled(self, run: Run, name: str, numbers: Numbers) -> Numbers:
        """With an evaluator's numbers: a first look, and a full one where that leaves doubt."""
        for processes in (self.judge.first_look(name), self.judge.usual(name)):
            numbers = numbers.with_reading(name, self.measurer.measure(run, name, range(processes)))
            verdicts = {
                j.verdict
                for j in self.judge.judge_known(numbers)
                if self.judge.evaluator_of(j.constraint) == name
            }
            if Verdict.UNDECIDED not in verdicts or not run.artifacts:
                break
        return numbers

    def _stages(self, twin: Twin) -> tuple[Stage, ...]:
        """The twin's stages; a training that is stored whole is taken as it is."""
        shares = dict(twin.shares)
        for stage in self.runner.stages(twin.candidate):
            if stage.step in shares and self.runner.store.has(stage.key):
                del shares[stage.step]
        return self.runner.stages(twin.candidate, shares)

    def _is_cheaper(self, twin: Candidate, candidate: Candidate) -> bool:
        without = replace(twin, steps=tuple(s for s in twin.steps if s.spec.changes != _TRAINS))
        return self.outlook.seconds(without) < self.outlook.seconds(candidate)
