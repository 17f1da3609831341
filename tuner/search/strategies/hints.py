"""Which candidates of similar studies are worth trying first.

What another study measured says little of this one's numbers and much of which candidates beat
which. Knows nothing of samplers.
"""

from __future__ import annotations

from itertools import chain, zip_longest

from search_spaces.candidates import Candidate
from search_spaces.space import Space
from tuner.search.front import dominates
from tuner.search.strategies.base import Known, Result


class Hints:
    """Candidates by origin, each with what became of it there."""

    def __init__(self, space: Space) -> None:
        self._signs = [1.0 if o.minimize else -1.0 for o in space.objectives]
        self._origins: dict[str, list[tuple[Candidate, Result]]] = {}
        self._best: list[Candidate] | None = None

    def add(self, candidate: Candidate, result: Result, origin: str) -> None:
        """A candidate that `origin` tried; what has no values there is no hint."""
        if result.objectives is None:
            return
        self._origins.setdefault(origin, []).append((candidate, result))
        self._best = None

    def next(self, known: Known, most: int) -> Candidate | None:
        """The best hint that is not excluded; None once `most` of the hints were tried."""
        if self._best is None:
            self._best = self._in_order()
        if sum(hint.key in known.keys for hint in self._best) >= most:
            return None
        return next((hint for hint in self._best if not known.excludes(hint)), None)

    def _in_order(self) -> list[Candidate]:
        """The best of every origin, then every second best, and so on."""
        ranked = [self._ranked(tried) for tried in self._origins.values()]
        turns = chain.from_iterable(zip_longest(*ranked))
        return list({c.key: c for c in turns if c is not None}.values())

    def _ranked(self, tried: list[tuple[Candidate, Result]]) -> list[Candidate]:
        """One origin's: what violates least, and of those equal what fewest dominate, first."""
        losses = [self._losses(result) for _, result in tried]

        def rank(index: int) -> tuple[float, int]:
            violation = sum(max(0.0, v) for v in tried[index][1].violations.values())
            return violation, sum(dominates(other, losses[index]) for other in losses)

        return [tried[index][0] for index in sorted(range(len(tried)), key=rank)]

    def _losses(self, result: Result) -> list[float]:
        return [v * s for v, s in zip(result.objectives or (), self._signs, strict=True)]
