"""Under which keys a space would make and measure a candidate, without making or measuring it.

Two studies whose keys are the same for a candidate would have found the same numbers: the keys
cover model, data, passes, parameters, libraries, options and, of times, the machine. Knows nothing
of studies.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from evaluators.base import Evaluator
from evaluators.timed import TimedEvaluator
from search_spaces.candidates import Candidate, baseline_candidate
from search_spaces.space import Space
from tuner.passes.base import Pass
from tuner.pipeline.plan import MeasurementPlan, Source, Stage, measurement_plan, plan


@dataclass(frozen=True)
class Keys:
    """The keys of one space's candidates, of models and data as they are now on this machine."""

    space: Space
    source: Source
    passes: Mapping[str, Pass]
    evaluators: Mapping[str, Evaluator]
    machine: Mapping[str, str]
    _baseline: tuple[Stage, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_baseline", self.stages(baseline_candidate(self.space)))

    def stages(
        self, candidate: Candidate, shares: Mapping[str, float] | None = None
    ) -> tuple[Stage, ...]:
        """The candidate's stages. `shares`: step -> how much of its training it has had."""
        return plan(candidate, self.source, self.passes, shares)

    def measurements(self, stages: tuple[Stage, ...], evaluator: str) -> frozenset[str]:
        """The keys under which an evaluator's numbers of such a model are known.

        There is one that models share which nothing relevant tells apart, and one of its own.
        """
        return frozenset(self._plan(stages, evaluator, own).key(0) for own in (False, True))

    def _plan(self, stages: tuple[Stage, ...], evaluator: str, own: bool) -> MeasurementPlan:
        engine = self.evaluators[evaluator]
        alone = self._measurement(engine, stages, None, own)
        beside = isinstance(engine, TimedEvaluator)
        if not beside and not engine.spec.reference:
            return alone
        anchor = self._measurement(engine, self._baseline, None, False)
        if beside and anchor.description["model"] == alone.description["model"]:
            return alone  # it is the anchor itself
        return self._measurement(engine, stages, anchor, own)

    def _measurement(
        self,
        engine: Evaluator,
        stages: tuple[Stage, ...],
        anchor: MeasurementPlan | None,
        own: bool,
    ) -> MeasurementPlan:
        options = self.space.evaluators[engine.spec.name]
        parts = (engine, options, stages, self.passes, self.source, "dev", self.machine)
        return measurement_plan(*parts, anchor, own=own)
