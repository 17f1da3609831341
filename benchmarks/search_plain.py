"""Optuna's TPE as a user would write it: one study, one objective function, every trial anew.

Each trial runs its whole pipeline. Constraints are set in the units that the user thinks in; a
combination that fails is pruned.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import optuna
from optuna.exceptions import ExperimentalWarning
from search_bench import Bench
from search_problem import Problem, Steps

from search_spaces.candidates import Decision, build
from search_spaces.space import Choices
from search_spaces.vocabulary import Value
from tuner.search.distributions import directions, label


class PlainRun(Bench):
    """Runs at once; `trace` is what came of it."""

    def __init__(self, problem: Problem, seed: int, budget: float) -> None:
        super().__init__(problem, problem.space("tpe", seed), seed, budget)
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        study = optuna.create_study(
            directions=directions(self.space.objectives),
            sampler=optuna.samplers.TPESampler(seed=seed),
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            while not self.over:
                study.optimize(self._objective, n_trials=1)

    def _objective(self, trial: optuna.Trial) -> tuple[float, ...]:
        candidate = build(self.space, lambda decision: suggest(trial, decision))
        for end in range(1, len(candidate.steps) + 1):
            seconds, failed = self.problem.stage(candidate.steps[:end])
            self.pay(seconds)
            if failed:
                self.trace.became["failed"] += 1
                raise optuna.TrialPruned
        metrics = self._measured(candidate.steps, trial.number)
        for text, excess in self._excesses(metrics).items():
            trial.set_constraint(text, excess)
        held = self.keep(candidate.steps, metrics)
        self.trace.became["complete" if held else "infeasible"] += 1
        return tuple(metrics[o.metric] for o in self.space.objectives)

    def _measured(self, steps: Steps, number: int) -> dict[str, float]:
        self.pay(sum(self.problem.measuring(name) for name in self.space.evaluators))
        rng = self.rng("plain", number)
        truth = self.problem.truth(steps)
        return {name: self.problem.noisy(name, value, rng) for name, value in truth.items()}

    def _excesses(self, metrics: Mapping[str, float]) -> dict[str, float]:
        """By how much each constraint is missed, in the user's units; at most 0 where it holds."""
        found = {}
        for constraint in self.space.constraints:
            over = metrics[constraint.metric] - constraint.limit.value(None)
            unit = self.problem.units.get(constraint.metric, 1.0)
            found[constraint.text] = unit * (over if constraint.operator.is_upper else -over)
        return found


def suggest(trial: optuna.Trial, decision: Decision) -> Value:
    """The trial's value for a decision."""
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
