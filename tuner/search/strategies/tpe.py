"""Tree-structured Parzen estimator, grouped and multivariate, through Optuna.

The sampler works on a study in memory that holds what the trials became; the database only
mirrors it. Asking therefore costs no transactions, and a proposal that repeats a known candidate
leaves no trace.
"""

from __future__ import annotations

import warnings
from typing import ClassVar

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import TPESampler
from optuna.trial import TrialState, create_trial

from search_spaces.candidates import Candidate, Decision, build
from search_spaces.space import Choices
from search_spaces.vocabulary import Value
from tuner.search.distributions import candidate_distributions, directions, external, label
from tuner.search.strategies.base import (
    FAILED_VIOLATION,
    Known,
    Result,
    Setting,
    Strategy,
    default_first,
    derived_seed,
    first_unseen,
)

_ATTEMPTS = 4  # proposals per trial before an unseen candidate is drawn instead; each refits


class TpeStrategy(Strategy):
    """The defaults first, then TPE; what is known already is never proposed again."""

    name: ClassVar[str] = "tpe"

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._study = optuna.create_study(directions=directions(self.space.objectives))
        self._startup = 10 if self.trials is None else max(4, min(10, self.trials // 3))

    def propose(self, number: int, known: Known) -> Candidate | None:
        """The defaults, or TPE's proposal, or a draw where TPE proposes only what is known."""
        first = default_first(self.space, known)
        if first is not None:
            return first
        for attempt in range(_ATTEMPTS):
            candidate = self._sample(derived_seed(self.seed, number, attempt))
            if not known.excludes(candidate):
                return candidate
        return first_unseen(self.space, self.seed, number, known)

    def tell(self, candidate: Candidate, result: Result) -> None:
        """Add the result; a certain failure is a pruned trial that violates every constraint."""
        if result.transient:
            return
        failed = result.objectives is None
        self._study.add_trial(
            create_trial(
                state=TrialState.PRUNED if failed else TrialState.COMPLETE,
                values=result.objectives,
                params=external(candidate.decisions),
                distributions=candidate_distributions(self.space, candidate),
                constraints=dict(result.violations)
                or ({"ran": FAILED_VIOLATION} if failed else {}),
            )
        )

    def _sample(self, seed: int) -> Candidate:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            self._study.sampler = TPESampler(
                seed=seed, multivariate=True, group=True, n_startup_trials=self._startup
            )
        trial = self._study.ask()

        def choose(decision: Decision) -> Value:
            return _suggest(trial, decision)

        candidate = build(self.space, choose)
        # Told as failed, it does not exist for the sampler; the outcome comes through `tell`.
        self._study.tell(trial, state=TrialState.FAIL)
        return candidate


def _suggest(trial: optuna.Trial, decision: Decision) -> Value:
    domain = decision.domain
    if isinstance(domain, Choices):
        by_label = {label(v): v for v in domain.values}
        return by_label[trial.suggest_categorical(decision.name, list(by_label))]
    if domain.integer:
        step = 1 if domain.log else round(domain.step or 1)
        low, high = round(domain.low), round(domain.high)
        return trial.suggest_int(decision.name, low, high, step=step, log=domain.log)
    return trial.suggest_float(
        decision.name, domain.low, domain.high, step=domain.step, log=domain.log
    )
