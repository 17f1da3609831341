"""Has one job run and its result stored. Knows nothing of what the job is for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tuner.execution.job import Failure, Job, Outcome, Reason
from tuner.pipeline.store import Draft, Entry, Store
from tuner.study.events import Failed

Json = dict[str, Any]

_TRIES = 2  # a job that was killed from outside is run once more


class Executor(Protocol):
    """Runs a job somewhere and waits for it."""

    def run(self, job: Job, *, deadline: float | None = None) -> Outcome:
        """What came of the job. `deadline`: on the clock of `time.monotonic`."""
        ...


class TrialFailed(Exception):
    """A stage or a measurement gave no result."""

    def __init__(self, where: str, failure: Failure, log: Path | None) -> None:
        super().__init__(f"{where}: {failure.message}")
        self.where = where
        self.failure = failure
        self.log = log

    def event(self, number: int) -> Failed:
        """The event that reports it."""
        failure = self.failure
        log = None if self.log is None else str(self.log)
        return Failed(
            number, self.where, failure.reason, failure.message, failure.deterministic, log
        )


class OutOfTime(Exception):
    """The study's time was up before the trial ended."""


@dataclass
class Maker:
    """Makes what the store lacks. `deadline`: when the study's time is up (time.monotonic)."""

    store: Store
    executor: Executor
    deadline: float | None = None

    def make(
        self, where: str, key: str, meta: Json, job: Callable[[Draft], Job]
    ) -> tuple[Entry, Outcome]:
        """Run a job and store its result; once more if it was killed from outside.

        `where`: the step or evaluator that a TrialFailed names. OutOfTime at the deadline.
        """
        for attempt in range(_TRIES):
            with self.store.draft(key) as draft:
                outcome = self.executor.run(job(draft), deadline=self.deadline)
                failure = outcome.failure
                if failure is None:
                    took = {"seconds": outcome.seconds, "peak_memory": outcome.peak_memory}
                    return draft.commit(meta | took | {"value": outcome.value}), outcome
                if failure.reason is Reason.DEADLINE:
                    raise OutOfTime
                if failure.reason is not Reason.KILLED or attempt + 1 == _TRIES:
                    raise TrialFailed(where, failure, draft.keep_log())
        raise AssertionError("the last attempt returns or raises")
