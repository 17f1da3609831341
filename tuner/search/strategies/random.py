"""Random search: each decision drawn independently; the floor that any other strategy must beat."""

from __future__ import annotations

from collections.abc import Collection
from typing import ClassVar

from search_spaces.candidates import Candidate
from tuner.search.strategies.base import Strategy, default_first, first_unseen


class RandomStrategy(Strategy):
    """The defaults first, then uniform draws without repetition."""

    name: ClassVar[str] = "random"

    def propose(self, number: int, seen: Collection[str]) -> Candidate | None:
        """The defaults, or a uniform draw that was not seen."""
        return default_first(self.space, seen) or first_unseen(self.space, self.seed, number, seen)
