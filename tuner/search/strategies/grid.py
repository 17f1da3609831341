"""Grid search: every candidate once, late choices fastest, so that early stages are shared."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import ClassVar

from search_spaces.candidates import Candidate, enumerate_candidates
from search_spaces.space import Space
from tuner.search.strategies.base import Strategy


class GridStrategy(Strategy):
    """Every candidate of a discrete space; goes on where the study stopped."""

    name: ClassVar[str] = "grid"

    def __init__(self, space: Space, seed: int, trials: int | None) -> None:
        super().__init__(space, seed, trials)
        self._rest: Iterator[Candidate] = enumerate_candidates(space)

    def propose(self, number: int, seen: Collection[str]) -> Candidate | None:
        """The next candidate of the list that was not seen."""
        return next((c for c in self._rest if c.key not in seen), None)
