"""NSGA-II, a genetic algorithm for several objectives, through Optuna."""

from __future__ import annotations

from typing import ClassVar

from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, NSGAIISampler
from optuna.trial import FrozenTrial, TrialState

from tuner.search.strategies.base import Setting
from tuner.search.strategies.optuna_strategy import FlatStrategy

_SMALLEST, _LARGEST = 4, 50  # individuals in a generation; 50 is Optuna's default
_GENERATIONS = 5


class Nsga2Strategy(FlatStrategy):
    """Random candidates, then children of the best: crossover and mutation of their decisions.

    Individuals are the trials with values, in the order told; every `population` of them are a
    generation. Trials that failed or ended early are none. The budget holds five generations or
    more: of 30 trials there are 6 in each, from 250 on 50.
    """

    name: ClassVar[str] = "nsga2"

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        wanted = _LARGEST if self.trials is None else self.trials // _GENERATIONS
        self.population = max(_SMALLEST, min(_LARGEST, wanted))

    def sampler(self, seed: int) -> BaseSampler:
        """Optuna's `NSGAIISampler`, with generations by the order in which trials were told."""
        return _Sampler(self.open_distributions, self.population, seed)


class _Sampler(NSGAIISampler):
    """Optuna notes the generation in the trial that it was asked for, which we do not keep."""

    def __init__(self, space: dict[str, BaseDistribution], population: int, seed: int) -> None:
        super().__init__(population_size=population, seed=seed)
        self._size = population
        self._open = space

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Every decision of the space."""
        return self._open

    def get_trial_generation(self, study: Study, trial: FrozenTrial) -> int:
        """The generation that the next individual belongs to."""
        return len(_individuals(study)) // self._size

    def get_population(self, study: Study, generation: int) -> list[FrozenTrial]:
        """The individuals of a generation."""
        first = generation * self._size
        return _individuals(study)[first : first + self._size]


def _individuals(study: Study) -> list[FrozenTrial]:
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
