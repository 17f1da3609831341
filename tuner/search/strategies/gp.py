"""Gaussian processes over all decisions, through Optuna. Imports torch once it fits them."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from typing import ClassVar

from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, GPSampler
from optuna.trial import FrozenTrial, TrialState, create_trial

from search_spaces.candidates import Candidate
from tuner.search.strategies.base import Known, Result, Setting
from tuner.search.strategies.optuna_strategy import RAN, FlatStrategy

_RAN, _FAILED = -1.0, 1.0  # values of the constraint that learns what runs


class GpStrategy(FlatStrategy):
    """One process per objective and constraint, and one for what runs; expected hypervolume gain.

    Optuna's sampler wants all values of every trial. What is not known of one, of a certain
    failure nothing at all, is the mean of those that are, which draws the model nowhere. Fitted
    anew for every proposal, so that it depends on the trials alone: the time per proposal grows
    faster than their number, and takes seconds from some hundred trials on.
    """

    name: ClassVar[str] = "gp"
    attempts: ClassVar[int] = 1  # another seed finds the same best point, at the same price

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self._told: list[tuple[Candidate, Result]] = []

    def sampler(self, seed: int) -> BaseSampler:
        """Optuna's `GPSampler`."""
        return _Sampler(self.open_distributions, self.startup, seed)

    def propose(self, number: int, known: Known) -> Candidate | None:
        """As every strategy of Optuna's; the means change with the trials, and so the study."""
        self.study = self.new_study()
        self.study.add_trials(self._trials())
        return super().propose(number, known)

    def tell(self, candidate: Candidate, result: Result) -> None:
        """Keep the result."""
        if not result.transient:
            self._told.append((candidate, result))

    def _trials(self) -> list[FrozenTrial]:
        """All that was told, with nothing left open; empty while an objective has no value."""
        known = [_objectives(result, len(self.space.objectives)) for _, result in self._told]
        columns = [_mean(column) for column in zip(*known, strict=True)]
        means = [mean for mean in columns if mean is not None]
        if not columns or len(means) < len(columns):
            return []
        limits = self._limits()
        return [
            create_trial(
                state=TrialState.COMPLETE,
                values=[m if v is None else v for v, m in zip(values, means, strict=True)],
                params=self.parameters(candidate),
                distributions=self.distributions(candidate),
                constraints=_constraints(result, limits),
            )
            for (candidate, result), values in zip(self._told, known, strict=True)
        ]

    def _limits(self) -> dict[str, float]:
        """The constraints that are modelled, with the mean of what is known of each."""
        measured = [result.violations for _, result in self._told if not result.failed]
        texts = [c.text for c in self.space.constraints]
        means = {text: _mean(v.get(text) for v in measured) for text in texts}
        limits = {text: mean for text, mean in means.items() if mean is not None}
        failures = any(result.failed for _, result in self._told)
        return limits | ({RAN: _RAN} if failures else {})


class _Sampler(GPSampler):
    """The space is known beforehand, not what the trials so far have in common."""

    def __init__(self, space: dict[str, BaseDistribution], startup: int, seed: int) -> None:
        super().__init__(seed=seed, n_startup_trials=startup, warn_independent_sampling=False)
        self._open = space

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Every decision of the space."""
        return self._open


def _objectives(result: Result, count: int) -> list[float | None]:
    values = result.known if result.objectives is None else result.objectives
    return list(values) or [None] * count


def _constraints(result: Result, limits: dict[str, float]) -> dict[str, float]:
    if result.failed:
        return {**limits, RAN: _FAILED}
    return {text: result.violations.get(text, value) for text, value in limits.items()}


def _mean(values: Iterable[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return statistics.fmean(known) if known else None
