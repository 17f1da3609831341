"""What a simulated run has made: stages, measurements, and what each kind of them has cost.

Keys are as the program's: a stage's covers the stages before it, a measurement's only the stages
that change what its metrics depend on.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from search_problem import Steps

from search_spaces.candidates import Candidate, CandidateStep
from search_spaces.vocabulary import Aspect, EvaluatorSpec


class Store:
    """What a run has made: prefixes of pipelines, and measurements by what they depend on."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[Any, ...], int] = {}
        self.made: dict[int, bool] = {}  # prefix -> whether it failed
        self.measured: dict[tuple[Any, ...], dict[str, float]] = {}
        self.taken: dict[str, tuple[float, float]] = defaultdict(lambda: (0.0, 0.0))

    def prefixes(self, steps: Steps, share: float = 1.0) -> list[int]:
        """A number for each prefix of the steps: equal prefixes have equal numbers."""
        found, last = [], -1
        for step in steps:
            own = share if step.spec.budget is not None else 1.0
            key = (last, step.id, own, *step.parameters.values())
            last = self._numbers.setdefault(key, len(self._numbers))
            found.append(last)
        return found

    def learn(self, name: str, units: float, seconds: float) -> None:
        """Remember what `units` of this cost."""
        total, count = self.taken[name]
        self.taken[name] = (total + seconds, count + units)

    def usual(self, name: str) -> float:
        """The mean seconds of one unit; of what was never seen, the mean of all."""
        total, count = self.taken.get(name, (0.0, 0.0))
        if count:
            return total / count
        known = [t / c for t, c in self.taken.values() if c == int(c)]
        return sum(known) / len(known) if known else 1.0


def measurement_key(evaluator: EvaluatorSpec, steps: Steps, share: float) -> tuple[Any, ...]:
    """What an evaluator's measurement depends on: steps that change an aspect of its metrics."""
    aspects = frozenset[Aspect]().union(*(m.depends_on for m in evaluator.metrics))
    relevant = [s for s in steps if s.spec.changes & aspects]
    tuned = share if any(s.spec.budget is not None for s in relevant) else 1.0
    return (evaluator.name, tuned, *((s.id, *s.parameters.values()) for s in relevant))


def units(step: CandidateStep) -> float:
    """How much of a step there is: what its budget parameter says, else one."""
    value = 1 if step.spec.budget is None else step.parameters[step.spec.budget]
    return float(value) if isinstance(value, (int, float)) else 1.0


class SimulatedOutlook:
    """The seconds that a candidate would take now: mean seconds of what does not exist yet."""

    def __init__(self, store: Store, evaluators: Sequence[EvaluatorSpec]) -> None:
        self._store, self._evaluators = store, evaluators

    def seconds(self, candidate: Candidate) -> float:
        """Of the stages and measurements that are still to be made; at least a second."""
        store, total = self._store, 1.0
        for step, prefix in zip(candidate.steps, store.prefixes(candidate.steps), strict=True):
            if prefix not in store.made:
                total += units(step) * store.usual(step.spec.name)
        for evaluator in self._evaluators:
            if measurement_key(evaluator, candidate.steps, 1.0) not in store.measured:
                total += store.usual(evaluator.name)
        return total
