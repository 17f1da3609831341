"""What a strategy is: it proposes the next candidate from the seed and the results so far.

A strategy keeps no state of its own between commands: the n-th proposal follows from the seed, n,
the results told, in order, and what is under way. A command with one worker that was killed goes
on with the very candidate that an undisturbed one would have tried. Knows nothing of how
candidates run.
"""

from __future__ import annotations

import hashlib
import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import ClassVar, Protocol

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
from search_spaces.vocabulary import Aspect, Value

FAILED_VIOLATION = 10.0
"""The scaled violation told for every constraint of a candidate that failed for certain."""


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a candidate, as a strategy needs to know it.

    `objectives`: canonical values in the space's order; None when not all of them are known.
    `violations`: constraint text -> scaled violation, at most 0 where it holds. Of a candidate
    that failed for certain every one is `FAILED_VIOLATION`; of one that was screened or stopped
    early only those that were measured are there.
    `transient`: it failed for a reason that says nothing about the candidate.
    `known`: where `objectives` is None, those that were measured all the same, None for the others.
    `share`: how much of its training it had had when it was measured (1: all).
    """

    objectives: Sequence[float] | None
    violations: Mapping[str, float]
    transient: bool = False
    known: Sequence[float | None] = ()
    share: float = 1.0

    @property
    def failed(self) -> bool:
        """Whether it failed for certain: nothing of it was measured."""
        measured = self.objectives is not None or any(value is not None for value in self.known)
        return not measured and not self.transient


class Outlook(Protocol):
    """What the engine knows of a candidate before it is tried."""

    def seconds(self, candidate: Candidate) -> float:
        """How long trying it is expected to take: the stages and measurements still to be made."""
        ...


class _EvenOutlook:
    """Every candidate takes as long as any other."""

    def seconds(self, candidate: Candidate) -> float:
        return 1.0


def _nothing_barred(_candidate: Candidate) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Known:
    """What a proposal must not be, and what is under way.

    `keys`: of candidates that were asked for. `barred`: whether failures say that a candidate is
    not worth trying. `pending`: candidates that are being tried now, whose results will come.
    """

    keys: Collection[str] = ()
    barred: Callable[[Candidate], bool] = _nothing_barred
    pending: Sequence[Candidate] = ()

    def excludes(self, candidate: Candidate) -> bool:
        """Whether this candidate is not to be proposed."""
        return candidate.key in self.keys or self.barred(candidate)


@dataclass(frozen=True, slots=True)
class Setting:
    """What a strategy works in.

    `trials`: how many the whole study may try, for strategies that plan ahead; None: unknown.
    `depends`: metric -> what of a model it depends on; a metric that is not here, on everything.
    """

    space: Space
    seed: int
    trials: int | None
    outlook: Outlook = field(default_factory=_EvenOutlook)
    depends: Mapping[str, frozenset[Aspect]] = field(default_factory=dict)


class Strategy(ABC):
    """Proposes candidates."""

    name: ClassVar[str]
    thrifty: ClassVar[bool] = False
    """Whether the engine may end a candidate early: by what its un-tuned twin shows, or by how it
    does after a part of its training. `Result.known` and `Result.share` then say how far it came.
    """

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.space = setting.space
        self.seed = setting.seed
        self.trials = setting.trials

    @abstractmethod
    def propose(self, number: int, known: Known) -> Candidate | None:
        """The candidate for trial `number`, not excluded by `known`; None: none is left."""

    def tell(self, candidate: Candidate, result: Result) -> None:
        """Learn from a result. Called once per trial; in the order of numbers with one worker."""
        return

    def recall(self, candidate: Candidate, result: Result, origin: str) -> None:
        """Take into account what a similar study (`origin`) found: a hint, no result of this one.

        Only what the origin says of its candidates beside each other can be trusted.
        """
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


_DRAWS = 200  # before the list is gone through
_LISTED = 100_000  # of a space where nearly everything is excluded


def first_unseen(space: Space, seed: int, number: int, known: Known) -> Candidate | None:
    """A random candidate that is not excluded, else the first of the list that is not.

    None when every candidate of the space is; of a very large one, when none was found.
    """
    rng = random.Random(derived_seed(seed, number, "unseen"))
    for _ in range(_DRAWS):
        candidate = build(space, uniform(rng))
        if not known.excludes(candidate):
            return candidate
    try:
        listed = islice(enumerate_candidates(space), _LISTED)
        return next((c for c in listed if not known.excludes(c)), None)
    except ValueError:  # continuous, and yet nothing new: the range is too narrow to matter
        return None


def default_first(space: Space, known: Known) -> Candidate | None:
    """The candidate of defaults, unless it is excluded."""
    candidate = default_candidate(space)
    return None if known.excludes(candidate) else candidate
