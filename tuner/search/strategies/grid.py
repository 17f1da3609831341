"""Grid search: every candidate once, late choices fastest, so that early stages are shared."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from search_spaces.candidates import Candidate, enumerate_candidates
from tuner.search.strategies.base import Known, Setting, Strategy


class GridStrategy(Strategy):
    """Every candidate of a discrete space; goes on where the study stopped."""

    name: ClassVar[str] = "grid"

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self._rest: Iterator[Candidate] = enumerate_candidates(setting.space)

    def propose(self, number: int, known: Known) -> Candidate | None:
        """The next candidate of the list that is not excluded."""
        return next((c for c in self._rest if not known.excludes(c)), None)
