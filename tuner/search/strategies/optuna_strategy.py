"""What the strategies that ask a sampler of Optuna have in common.

The sampler works on a study in memory that holds what the trials became; the database only
mirrors it. Asking therefore costs no transactions, and a proposal that repeats a known candidate
leaves no trace. Every proposal has a sampler of its own, seeded by the trial's number, so that
nothing of it has to outlive a command. Knows nothing of any one sampler.
"""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import ClassVar

import optuna
from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState, create_trial

from search_spaces.candidates import (
    Candidate,
    Decision,
    build,
    one_of_decision,
    parameter_decision,
)
from search_spaces.space import Choices, Fixed, OneOf, Space, Step, steps_of
from search_spaces.vocabulary import Value
from tuner.search.distributions import (
    candidate_distributions,
    directions,
    distribution,
    external,
    label,
)
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
from tuner.search.strategies.hints import Hints

RAN = "ran"
"""The constraint that stands for a certain failure where the space has none of its own."""


class OptunaStrategy(Strategy):
    """The defaults first, then a sampler's proposals; what is known is never proposed again.

    Hints of similar studies: their best candidates take up to half of the places that chance
    would have at the start. Their values stay out of the sampler, since another model's cannot be
    compared with this one's.
    """

    attempts: ClassVar[int] = 4
    """Proposals per trial before an unseen candidate is drawn instead."""

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.study = self.new_study()
        self.startup = 10 if self.trials is None else max(4, min(10, self.trials // 3))
        self._hints = Hints(self.space)

    @abstractmethod
    def sampler(self, seed: int) -> BaseSampler:
        """A sampler for one proposal."""

    def propose(self, number: int, known: Known) -> Candidate | None:
        """The defaults, a hint, the sampler's proposal, or a draw where those are all excluded."""
        first = default_first(self.space, known) or self._hints.next(known, self.startup // 2)
        if first is not None:
            return first
        with self._running(known.pending):
            for attempt in range(self.attempts):
                candidate = self._sample(derived_seed(self.seed, number, attempt))
                if not known.excludes(candidate):
                    return candidate
        return first_unseen(self.space, self.seed, number, known)

    def tell(self, candidate: Candidate, result: Result) -> None:
        """Add the result; what has no values is a pruned trial with the violations known of it."""
        if result.transient:
            return
        self.study.add_trial(
            create_trial(
                state=TrialState.PRUNED if result.objectives is None else TrialState.COMPLETE,
                values=result.objectives,
                params=self.parameters(candidate),
                distributions=self.distributions(candidate),
                constraints=dict(result.violations)
                or ({RAN: FAILED_VIOLATION} if result.failed else {}),
            )
        )

    def recall(self, candidate: Candidate, result: Result, origin: str) -> None:
        """Keep the candidate as one to begin with, by its place among those of its origin."""
        self._hints.add(candidate, result, origin)

    def new_study(self) -> optuna.Study:
        """An empty study in memory."""
        return optuna.create_study(directions=directions(self.space.objectives))

    def parameters(self, candidate: Candidate) -> dict[str, bool | int | float | str | None]:
        """A candidate as the sampler sees it: the decisions that it took."""
        return external(candidate.decisions)

    def distributions(self, candidate: Candidate) -> dict[str, BaseDistribution]:
        """The distributions of `parameters`."""
        return candidate_distributions(self.space, candidate)

    def running(self, candidate: Candidate) -> FrozenTrial:
        """A candidate that is being tried, as a trial."""
        return create_trial(
            state=TrialState.RUNNING,
            params=self.parameters(candidate),
            distributions=self.distributions(candidate),
        )

    @contextmanager
    def _running(self, pending: Sequence[Candidate]) -> Iterator[None]:
        """Meanwhile the sampler knows what is under way, and stays away from it."""
        numbers = []
        for candidate in pending:
            numbers.append(len(self.study.get_trials(deepcopy=False)))
            self.study.add_trial(self.running(candidate))
        try:
            yield
        finally:
            for number in numbers:
                self.study.tell(number, state=TrialState.FAIL)

    def _sample(self, seed: int) -> Candidate:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            self.study.sampler = self.sampler(seed)
        trial = self.study.ask()

        def choose(decision: Decision) -> Value:
            return _suggest(trial, decision)

        candidate = build(self.space, choose)
        # Told as failed, it does not exist for the sampler; the outcome comes through `tell`.
        self.study.tell(trial, state=TrialState.FAIL)
        return candidate


class FlatStrategy(OptunaStrategy):
    """For samplers that know no conditions: every candidate has a value for every decision.

    A decision that is not open under the others has its default there, which changes nothing.
    """

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        decisions = list(every_decision(self.space))
        self._defaults = external({d.name: d.default for d in decisions})
        self._distributions = {d.name: distribution(d) for d in decisions}

    @property
    def open_distributions(self) -> dict[str, BaseDistribution]:
        """Those of decisions with more than one value."""
        return {name: d for name, d in self._distributions.items() if not d.single()}

    def parameters(self, candidate: Candidate) -> dict[str, bool | int | float | str | None]:
        """Every decision of the space: the candidate's own, the default of others."""
        return {**self._defaults, **super().parameters(candidate)}

    def distributions(self, candidate: Candidate) -> dict[str, BaseDistribution]:
        """Those of every decision of the space."""
        return self._distributions


def every_decision(space: Space) -> Iterator[Decision]:
    """Every decision that any candidate of a space may take, in the pipeline's order."""
    for item in space.pipeline:
        if isinstance(item, OneOf):
            yield one_of_decision(item)
        for step in steps_of(item):
            if step.optional:
                yield Decision(step.id, Choices((True, False)), True)
            yield from _parameter_decisions(step)


def _parameter_decisions(step: Step) -> Iterator[Decision]:
    for name, domain in step.parameters.items():
        if not isinstance(domain, Fixed):
            yield parameter_decision(step, name, domain)


def _suggest(trial: optuna.Trial, decision: Decision) -> Value:
    domain = decision.domain
    if isinstance(domain, Choices):
        by_label: Mapping[bool | int | float | str | None, Value] = {
            label(v): v for v in domain.values
        }
        return by_label[trial.suggest_categorical(decision.name, list(by_label))]
    if domain.integer:
        step = 1 if domain.log else round(domain.step or 1)
        low, high = round(domain.low), round(domain.high)
        return trial.suggest_int(decision.name, low, high, step=step, log=domain.log)
    return trial.suggest_float(
        decision.name, domain.low, domain.high, step=domain.step, log=domain.log
    )
