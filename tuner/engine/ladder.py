"""The rungs of one command's candidates: where to measure them before they are trained whole.

Puts together what stages have cost so far and the rule of `search.halving`; its workers share it.
Knows nothing of how candidates are trained.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence

from tuner.engine.screening import trains
from tuner.pipeline.plan import Stage
from tuner.search.halving import Losses, Rungs, Standing, shares

Seconds = Callable[[Sequence[Stage]], float | None]


class Ladder:
    """`seconds`: what stages, and measuring what comes out, take; None where nobody knows yet."""

    def __init__(self, stage_seconds: Seconds, measuring_seconds: Callable[[], float]) -> None:
        self._stage_seconds = stage_seconds
        self._measuring_seconds = measuring_seconds
        self._rungs = Rungs()
        self._lock = threading.Lock()

    def shares(self, stages: Sequence[Stage]) -> tuple[float, ...]:
        """The shares of its training after which a candidate is worth measuring."""
        training = self._stage_seconds([s for s in stages if s.spec.budget is not None])
        others = self._stage_seconds([s for s in stages if not trains(s)])
        if training is None or others is None:
            return ()
        return shares(training, others + self._measuring_seconds())

    def report(
        self, number: int, share: float, losses: Losses, violation: float, hopes: Losses
    ) -> Standing:
        """Whether a candidate goes on from a rung; see `Rungs.report`."""
        with self._lock:
            return self._rungs.report(share, losses, violation, number, hopes)

    def recall(self, rungs: Iterable[tuple[int, float, Losses, float]]) -> None:
        """Earlier reports: number, share, losses, violation."""
        with self._lock:
            for number, share, losses, violation in rungs:
                self._rungs.recall_rung(share, losses, violation, number)
