"""What a strategy is: it proposes the next candidate from the seed and the results so far.

A strategy keeps no state of its own between commands: the n-th proposal follows from the seed, n
and the results told, in order. A command that was killed goes on with the very candidate that an
undisturbed one would have tried. Knows nothing of how candidates run.
"""

from __future__ import annotations

import hashlib
import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from search_spaces.candidates import (
    Candidate,
    Decision,
    build,
    default_candidate,
    enumerate_candidates,
    is_continuous,
    option,
    option_count,
)
from search_spaces.space import Choices, Space
from search_spaces.vocabulary import Value

FAILED_VIOLATION = 10.0
"""The scaled violation told for every constraint of a candidate that failed for certain."""


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a candidate, as a strategy needs to know it.

    `objectives`: canonical values in the space's order; None when the candidate gave no numbers.
    `violations`: constraint text -> scaled violation, at most 0 where it holds.
    `transient`: it failed for a reason that says nothing about the candidate.
    """

    objectives: Sequence[float] | None
    violations: Mapping[str, float]
    transient: bool = False


class Strategy(ABC):
    """Proposes candidates.

    `trials`: how many the whole study may try, for strategies that plan ahead; None: unknown.
    """

    name: ClassVar[str]

    def __init__(self, space: Space, seed: int, trials: int | None) -> None:
        self.space = space
        self.seed = seed
        self.trials = trials

    @abstractmethod
    def propose(self, number: int, seen: Collection[str]) -> Candidate | None:
        """The candidate for trial `number`, its key not in `seen`; None: none is left."""

    def tell(self, candidate: Candidate, result: Result) -> None:
        """Learn from a result. Called once per trial, in the order of the trials' numbers."""
        return


def derived_seed(*parts: object) -> int:
    """A 32-bit seed from the parts, the same on every machine."""
    text = "/".join(str(p) for p in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


Draw = Callable[[Decision], Value]


def uniform(rng: random.Random) -> Draw:
    """A `choose` function that draws each decision independently, uniformly (log: in the log)."""

    def draw(decision: Decision) -> Value:
        domain = decision.domain
        if isinstance(domain, Choices):
            return rng.choice(domain.values)
        if domain.log:
            return _log_uniform(rng, domain.low, domain.high, domain.integer)
        if is_continuous(domain):
            return rng.uniform(domain.low, domain.high)
        return option(domain, rng.randrange(option_count(domain)))

    return draw


def _log_uniform(rng: random.Random, low: float, high: float, integer: bool) -> float | int:
    margin = 0.5 if integer else 0.0
    value: float = (low - margin) * ((high + margin) / (low - margin)) ** rng.random()
    return min(max(round(value), round(low)), round(high)) if integer else min(value, high)


def first_unseen(space: Space, seed: int, number: int, seen: Collection[str]) -> Candidate | None:
    """A random candidate that was not seen, else the first of the whole list that was not.

    None when every candidate of the space has been seen.
    """
    rng = random.Random(derived_seed(seed, number, "unseen"))
    for _ in range(50 + 2 * len(seen)):
        candidate = build(space, uniform(rng))
        if candidate.key not in seen:
            return candidate
    try:
        return next((c for c in enumerate_candidates(space) if c.key not in seen), None)
    except ValueError:  # continuous, and yet nothing new: the range is too narrow to matter
        return None


def default_first(space: Space, seen: Collection[str]) -> Candidate | None:
    """The candidate of defaults, unless it was tried."""
    candidate = default_candidate(space)
    return None if candidate.key in seen else candidate
