"""Random search: each decision drawn independently; the floor that any other strategy must beat."""

from __future__ import annotations

from typing import ClassVar

from search_spaces.candidates import Candidate
from tuner.search.strategies.base import Known, Strategy, default_first, first_unseen


class RandomStrategy(Strategy):
    """The defaults first, then uniform draws without repetition."""

    name: ClassVar[str] = "random"

    def propose(self, number: int, known: Known) -> Candidate | None:
        """The defaults, or a uniform draw that is not excluded."""
        return default_first(self.space, known) or first_unseen(
            self.space, self.seed, number, known
        )
