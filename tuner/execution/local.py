"""The executor of one machine: jobs run in worker processes, which start when first needed.

Knows nothing of what jobs do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Self

from tuner.execution.job import Job, Outcome
from tuner.execution.workers import Workers


class LocalExecutor:
    """Runs jobs; `preload`: the modules that the workers find imported. Used with `with`."""

    def __init__(self, preload: Sequence[str]) -> None:
        self._preload = preload
        self._workers: Workers | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._workers is not None:
            self._workers.close()

    def warm_up(self) -> Workers:
        """Let the workers import what they need while the coordinator goes on."""
        if self._workers is None:
            self._workers = Workers(self._preload)
        return self._workers

    def run(
        self,
        job: Job,
        *,
        deadline: float | None = None,
        on_tick: Callable[[], None] | None = None,
    ) -> Outcome:
        """Run a job and wait for it."""
        return self.warm_up().run(job, deadline=deadline, on_tick=on_tick)
