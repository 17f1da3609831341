"""The candidates among which the next one is chosen: a small space whole, of others a few hundred.

Most of them are variations of good candidates: with their early decisions and other late ones, so
that what is made already serves again. Knows nothing of what candidates are worth or cost.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import cached_property
from itertools import islice

from search_spaces.candidates import Candidate, Choose, Decision, Memo, build, enumerate_candidates
from search_spaces.space import Choices, Range, Space
from search_spaces.vocabulary import Value
from tuner.search.features import Features, number, place, value_at
from tuner.search.strategies.base import uniform

LISTED = 2000
"""A space of at most so many candidates is listed."""

_LEVELS = 5  # of numbers that are decided before other steps, in draws over the whole space
_SCALES = (0.25, 0.08, 0.02)  # of steps away from a number, as shares of its range


class Pool:
    """Gives candidates of one space."""

    def __init__(self, space: Space) -> None:
        self._space = space
        self._early = _early_steps(space)
        self._memo = Memo()

    def _build(self, choose: Choose) -> Candidate:
        return build(self._space, choose, self._memo)

    @cached_property
    def whole(self) -> tuple[Candidate, ...] | None:
        """Every candidate, where there are few enough."""
        try:
            found = tuple(islice(enumerate_candidates(self._space), LISTED + 1))
        except ValueError:  # continuous
            return None
        return found if len(found) <= LISTED else None

    def drawn(self, rng: random.Random, count: int) -> list[Candidate]:
        """Draws over the whole space; numbers of early steps at few levels, so that they match."""
        plain = uniform(rng)

        def choose(decision: Decision) -> Value:
            domain = decision.domain
            if isinstance(domain, Choices) or decision.name.partition(".")[0] not in self._early:
                return plain(decision)
            return value_at(domain, rng.randrange(_LEVELS) / (_LEVELS - 1))

        return [self._build(choose) for _ in range(count)]

    def varied(
        self,
        rng: random.Random,
        parents: Sequence[Candidate],
        prefixes: Sequence[Candidate],
        count: int,
    ) -> list[Candidate]:
        """Variations of `parents`, the first most; some after the early decisions of `prefixes`."""
        found: list[Candidate] = []
        while len(found) < count:
            parent = _one_of_the_first(rng, parents)
            kind = rng.random()
            if kind < 0.3:
                choose = _late(rng, parent)
            elif kind < 0.65:
                choose = _changed(rng, parent, rng.choice((1, 1, 2)))
            elif kind < 0.85:
                choose = _crossed(rng, rng.choice(prefixes), parent)
            else:
                choose = _mixed(rng, parent, _one_of_the_first(rng, parents))
            found.append(self._build(choose))
        return found

    def near(self, rng: random.Random, centres: Sequence[Candidate], count: int) -> list[Candidate]:
        """Small steps away from each of the centres in turn."""
        return [
            self._build(_moved(rng, centres[i % len(centres)], rng.choice((0.1, 0.03, 0.01))))
            for i in range(count)
        ]


def _early_steps(space: Space) -> frozenset[str]:
    """The steps that others with decisions of their own come after."""
    steps = [name.partition(".")[0] for name in Features(space).names]
    return frozenset(s for s in steps if s != steps[-1])


def _one_of_the_first(rng: random.Random, candidates: Sequence[Candidate]) -> Candidate:
    return candidates[int(len(candidates) * rng.random() ** 2)]


def _has(domain: Choices | Range, value: Value) -> bool:
    if isinstance(domain, Choices):
        return value in domain.values
    return isinstance(value, (int, float)) and domain.low <= value <= domain.high


def _kept(decision: Decision, parent: Candidate) -> bool:
    found = parent.decisions
    return decision.name in found and _has(decision.domain, found[decision.name])


def _late(rng: random.Random, parent: Candidate) -> Choose:
    """The early decisions as they are; of the later ones, from some point on, half drawn anew."""
    names = list(parent.decisions)
    first = names[rng.randrange(len(names))] if names else ""
    draw, cut = uniform(rng), False

    def choose(decision: Decision) -> Value:
        nonlocal cut
        here = decision.name == first
        cut = cut or here
        if _kept(decision, parent) and not here and (not cut or rng.random() < 0.5):
            return parent.decisions[decision.name]
        return draw(decision)

    return choose


def _changed(rng: random.Random, parent: Candidate, count: int) -> Choose:
    """As the parent, but for a few decisions: another choice, a number near or far."""
    names = list(parent.decisions)
    changed = set(rng.sample(names, min(count, len(names))))
    draw = uniform(rng)

    def choose(decision: Decision) -> Value:
        if not _kept(decision, parent):
            return draw(decision)
        value = parent.decisions[decision.name]
        return (
            _step(rng, decision, value, rng.choice(_SCALES)) if decision.name in changed else value
        )

    return choose


def _crossed(rng: random.Random, early: Candidate, late: Candidate) -> Choose:
    """The decisions of one candidate up to some step, and of another from there on."""
    steps = list(dict.fromkeys(name.partition(".")[0] for name in early.decisions))
    head = set(steps[: rng.randrange(len(steps)) + 1]) if steps else set()
    draw = uniform(rng)

    def choose(decision: Decision) -> Value:
        first, second = (early, late) if decision.name.partition(".")[0] in head else (late, early)
        for parent in (first, second):
            if _kept(decision, parent):
                return parent.decisions[decision.name]
        return draw(decision)

    return choose


def _mixed(rng: random.Random, one: Candidate, other: Candidate) -> Choose:
    """Each decision from one of two; numbers in between."""
    draw = uniform(rng)

    def choose(decision: Decision) -> Value:
        parents = [p for p in (one, other) if _kept(decision, p)]
        if not parents:
            return draw(decision)
        domain, values = decision.domain, [p.decisions[decision.name] for p in parents]
        if isinstance(domain, Choices) or len(values) == 1 or rng.random() < 0.5:
            return rng.choice(values)
        a, b = (place(domain, number(v)) for v in values)
        return value_at(domain, a + (b - a) * rng.random())

    return choose


def _moved(rng: random.Random, centre: Candidate, scale: float) -> Choose:
    """Every number a small step away, or a half of them; now and then another choice."""
    draw = uniform(rng)
    share = rng.choice((0.3, 1.0))

    def choose(decision: Decision) -> Value:
        if not _kept(decision, centre):
            return draw(decision)
        value = centre.decisions[decision.name]
        likely = 0.1 if isinstance(decision.domain, Choices) else share
        return _step(rng, decision, value, scale) if rng.random() < likely else value

    return choose


def _step(rng: random.Random, decision: Decision, value: Value, scale: float) -> Value:
    domain = decision.domain
    if isinstance(domain, Choices):
        others = [v for v in domain.values if v != value]
        return rng.choice(others) if others else value
    return value_at(domain, place(domain, number(value)) + rng.gauss(0, scale))
