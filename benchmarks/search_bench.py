"""Simulated time: what a run has paid, and what it found for that. Knows nothing of strategies."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from search_problem import Problem, Steps
from search_volume import add

from search_spaces import Space
from tuner.search.strategies.base import derived_seed


@dataclass
class Trace:
    """What a run found when: (seconds, share of the true front's hypervolume), rising in both.

    `asking`: the real seconds that each ask took. `became`: how many trials became what. `found`:
    what joined the front of what it holds feasible and is, without noise: (seconds, losses).
    """

    points: list[tuple[float, float]] = field(default_factory=list)
    asking: list[float] = field(default_factory=list)
    became: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    found: list[tuple[float, Sequence[float]]] = field(default_factory=list)
    seconds: float = 0.0

    def at(self, seconds: float) -> float:
        """The share of the hypervolume that was there by then."""
        return next((v for s, v in reversed(self.points) if s <= seconds), 0.0)

    def reached(self, volume: float) -> float | None:
        """The seconds at which this share was first there; None: never."""
        return next((s for s, v in self.points if v >= volume), None)


class Bench:
    """A problem in simulated time: what is paid, and what a run holds feasible."""

    def __init__(self, problem: Problem, space: Space, seed: int, budget: float) -> None:
        self.problem, self.space, self.budget = problem, space, budget
        self.trace = Trace()
        self._seed = seed
        self._front: list[Sequence[float]] = []

    @property
    def over(self) -> bool:
        """Whether the budget is spent."""
        return self.trace.seconds >= self.budget

    def pay(self, seconds: float) -> None:
        """Let time pass."""
        self.trace.seconds += seconds

    def rng(self, *key: object) -> random.Random:
        """The noise of what has this key, the same in every run of this seed."""
        return random.Random(derived_seed(self._seed, self.problem.name, *key))

    def keep(self, steps: Steps, measured: Mapping[str, float]) -> bool:
        """Count a finished candidate, where the budget held. Whether it is held feasible."""
        if not self.problem.feasible(self.space, measured):
            return False
        truth = self.problem.truth(steps)
        if self.trace.seconds <= self.budget and self.problem.feasible(self.space, truth):
            losses = self.problem.losses(self.space, truth)
            front = add(self._front, losses)
            if front != self._front:
                self._front = front
                self.trace.found.append((self.trace.seconds, losses))
                self.trace.points.append((self.trace.seconds, self.problem.share_of_best(front)))
        return True
