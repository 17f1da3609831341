"""What failures have in common that trials without a failure lack.

Knows nothing of what is made of it, nor of where trials come from.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import comb

from search_spaces.candidates import is_continuous, option_count
from search_spaces.space import Choices, Domain, Fixed, OneOf, Space, Step, steps_of
from search_spaces.vocabulary import Value

FEWEST = 3
"""Failures that have a cause in common, at least."""

MOST = 3
"""Decisions of a cause; what takes more to say is too special to be worth saying."""

CHANCE = 0.05
"""The most likely coincidence that is taken for a cause."""

_WIDEST = 40  # pairs that sets are made of: 9,880 of three

Pair = tuple[str, Value]
"""A decision's name and its value."""

Pairs = frozenset[Pair]


@dataclass
class Route:
    """The way of a candidate through a space: its steps, then the evaluators, by position.

    `decided`: decision -> the position from which on it has an effect. `telling`: the decisions
    that may be a cause: not those with one value, nor those of a continuous range, of which no
    value comes twice. `implied`: decision -> those without which it would not be asked for.
    """

    positions: dict[str, int] = field(default_factory=dict)
    evaluators: frozenset[str] = frozenset()
    decided: dict[str, int] = field(default_factory=dict)
    telling: set[str] = field(default_factory=set)
    implied: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, space: Space) -> Route:
        """The route of a space."""
        route = cls(evaluators=frozenset(space.evaluators))
        for item in space.pipeline:
            parents: tuple[str, ...] = ()
            if isinstance(item, OneOf):
                parents = (item.id,)
                route._decide(item.id, Choices(item.labels), ())
            for step in steps_of(item):
                route._add(step, parents)
        for name in space.evaluators:
            route.positions[name] = len(route.positions)
        return route

    def until(self, pairs: Iterable[Pair], where: str) -> Pairs:
        """Those of a candidate's decisions that have an effect at `where` or before."""
        end = self.positions[where]
        return frozenset(pair for pair in pairs if self.decided[pair[0]] <= end)

    def stated(self, pairs: Pairs) -> Pairs:
        """The pairs without those that go without saying beside the others."""
        implied = {parent for name, _ in pairs for parent in self.implied[name]}
        return frozenset(pair for pair in pairs if pair[0] not in implied)

    def in_order(self, pairs: Pairs) -> list[Pair]:
        """The pairs in the order of the pipeline."""
        names = list(self.decided)
        return sorted(pairs, key=lambda pair: names.index(pair[0]))

    def _add(self, step: Step, parents: tuple[str, ...]) -> None:
        if step.optional:
            self._decide(step.id, Choices((True, False)), parents)
            parents = (*parents, step.id)
        for name, domain in step.parameters.items():
            self._decide(f"{step.id}.{name}", domain, parents)
        self.positions[step.id] = len(self.positions)

    def _decide(self, name: str, domain: Domain, parents: tuple[str, ...]) -> None:
        if isinstance(domain, Fixed):
            return
        self.decided[name] = len(self.positions)
        self.implied[name] = parents
        if not is_continuous(domain) and option_count(domain) > 1:
            self.telling.add(name)


def common(bad: Sequence[Pairs], good: Sequence[Pairs]) -> Iterator[tuple[Pairs, list[int]]]:
    """Sets of pairs that failures have in common, and no other trial has all of; in any order.

    Each comes with the indexes of the failures that have it, at least `FEWEST`. A set says no more
    than was seen: it holds whatever all of them have in common, for that may be the cause as well.
    And it is no coincidence: were the failures spread at random over all trials, as many with these
    pairs would be failures alone in `CHANCE` of the cases at most, in fewer the more sets of its
    size there are.
    """
    failures, others = _masks(bad), _masks(good)
    frequent = _frequent(failures)
    for mask, size in _shared_masks([failures[pair] for pair in frequent], len(bad)).items():
        count = mask.bit_count()
        chance = coincidence(count, len(bad), len(bad) + len(good))
        if chance * len(frequent) ** (size - 1) > CHANCE:
            continue
        shared = [pair for pair, having in failures.items() if having & mask == mask]
        if _all(others, shared, len(good)) == 0:
            yield frozenset(shared), [i for i in range(len(bad)) if mask >> i & 1]


def _frequent(masks: Mapping[Pair, int]) -> list[Pair]:
    """The pairs that enough failures have, of many those that most have."""
    counts = {pair: mask.bit_count() for pair, mask in masks.items()}
    enough = [pair for pair, count in counts.items() if count >= FEWEST]
    return sorted(enough, key=lambda pair: (-counts[pair], repr(pair)))[:_WIDEST]


def _shared_masks(masks: Sequence[int], count: int) -> dict[int, int]:
    """The failures, as bits, that have some pairs in common -> the fewest pairs that say so."""
    found: dict[int, int] = {}
    level = [(-1, (1 << count) - 1)]
    for size in range(1, MOST + 1):
        level = [
            (index, both)
            for last, mask in level
            for index in range(last + 1, len(masks))
            if (both := mask & masks[index]).bit_count() >= FEWEST
        ]
        for _, mask in level:
            found.setdefault(mask, size)
    return found


def coincidence(chosen: int, failed: int, trials: int) -> float:
    """The probability that `chosen` trials drawn out of all are all among the failed."""
    return comb(failed, chosen) / comb(trials, chosen)


def _masks(trials: Sequence[Pairs]) -> Mapping[Pair, int]:
    """Pair -> the trials that have it, as bits."""
    masks: dict[Pair, int] = {}
    for index, pairs in enumerate(trials):
        for pair in pairs:
            masks[pair] = masks.get(pair, 0) | 1 << index
    return masks


def _all(masks: Mapping[Pair, int], pairs: Iterable[Pair], count: int) -> int:
    """The trials, of so many, that have all pairs."""
    result = (1 << count) - 1
    for pair in pairs:
        result &= masks.get(pair, 0)
    return result
