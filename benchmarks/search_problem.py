"""What a problem of the search benchmarks is: a space, and what every candidate of it costs and is.

A problem knows the truth: the metrics without noise, the stages' seconds, what fails. Knows nothing
of strategies and of what a run has made so far (see `search_drivers`).
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from search_volume import hypervolume

from search_spaces import Overrides, Space, Vocabulary, parse_space
from search_spaces.candidates import CandidateStep
from search_spaces.space import SearchSettings

Steps = Sequence[CandidateStep]
Metrics = Mapping[str, float]


class Problem(ABC):
    """A space with known truth.

    `budget`: the simulated seconds of a run. `reference`: per objective, as a loss (to be
    minimised), the worst that counts; what is beyond it adds nothing to the hypervolume. `best`:
    the hypervolume of the true feasible front. `units`: metric -> what a user who writes an
    objective function by hand would multiply the canonical value with (seconds as milliseconds).
    `rungs`: whether it knows what a part of the training gives.
    """

    name: str
    title: str
    text: str
    vocabulary: Vocabulary
    budget: float
    reference: tuple[float, ...]
    best: float
    units: Mapping[str, float] = {}
    rungs: bool = True

    @abstractmethod
    def stage(self, steps: Steps, share: float = 1.0) -> tuple[float, bool]:
        """The seconds of the last of these steps on what those before it gave; whether it fails.

        `share`: of a step that trains, how much of its training is done from the start.
        """

    @abstractmethod
    def truth(self, steps: Steps, share: float = 1.0) -> Metrics:
        """Every metric of a model built by these steps, in canonical units, without noise."""

    def noisy(self, metric: str, value: float, rng: random.Random) -> float:
        """What one measurement of the metric shows."""
        return value + rng.gauss(0, self.error(metric, value))

    def error(self, metric: str, value: float) -> float:
        """The standard deviation of `noisy`."""
        return 0.0

    def measuring(self, evaluator: str) -> float:
        """The seconds that one measurement takes."""
        return 0.0

    def space(self, strategy: str, seed: int) -> Space:
        """The space, to be searched by this strategy within the budget."""
        space = parse_space(
            self.text, Path(f"{self.name}.yaml"), self.vocabulary, Overrides()
        ).space
        if space is None:
            raise ValueError(f"the space of {self.name} has mistakes")
        return replace(space, search=SearchSettings(strategy, None, self.budget, seed))

    def losses(self, space: Space, metrics: Metrics) -> tuple[float, ...]:
        """The objectives, to be minimised."""
        return tuple(metrics[o.metric] * (1 if o.minimize else -1) for o in space.objectives)

    def hopes(self, space: Space, metrics: Metrics) -> tuple[float, ...]:
        """The objectives, to be minimised, as good as the 95 % intervals let them be."""
        names = [o.metric for o in space.objectives]
        widths = [1.96 * self.error(name, metrics[name]) for name in names]
        pairs = zip(self.losses(space, metrics), widths, strict=True)
        return tuple(loss - width for loss, width in pairs)

    def feasible(self, space: Space, metrics: Metrics) -> bool:
        """Whether these metrics keep every constraint."""
        return all(v <= 0 for v in violations(space, metrics).values())

    def share_of_best(self, losses: Sequence[Sequence[float]]) -> float:
        """The hypervolume of these losses, of the true front's."""
        return hypervolume(losses, self.reference) / self.best


def violations(
    space: Space, metrics: Metrics, only: Sequence[str] | None = None
) -> dict[str, float]:
    """Scaled violations by the constraint's text, as the program scales them.

    `only`: the metrics that were measured; the constraints on others are left out.
    """
    found: dict[str, float] = {}
    for constraint in space.constraints:
        if only is None or constraint.metric in only:
            limit = constraint.limit.value(None)
            over = metrics[constraint.metric] - limit
            scale = constraint.tolerance or 0.1 * abs(limit) or 1.0
            found[constraint.text] = (over if constraint.operator.is_upper else -over) / scale
    return found
