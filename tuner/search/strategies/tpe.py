"""Tree-structured Parzen estimator, grouped and multivariate, through Optuna."""

from __future__ import annotations

from typing import ClassVar

from optuna.samplers import BaseSampler, TPESampler

from tuner.search.strategies.optuna_strategy import OptunaStrategy


class TpeStrategy(OptunaStrategy):
    """TPE after some random draws; conditional decisions are modelled in groups.

    A certain failure is a trial that violates every constraint; what is under way counts as bad.
    """

    name: ClassVar[str] = "tpe"

    def sampler(self, seed: int) -> BaseSampler:
        """Optuna's `TPESampler`."""
        return TPESampler(seed=seed, multivariate=True, group=True, n_startup_trials=self.startup)
