"""Has one job run and its result stored; what fails for a reason that may pass is tried again.

Knows nothing of what the job is for.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from evaluators.base import Artifact
from tuner.execution.job import Failure, Job, Outcome, Reason
from tuner.pipeline.store import Draft, Entry, Store, StoreError, intact
from tuner.study.events import Failed

Json = dict[str, Any]

_WAITS = (1.0, 4.0)  # seconds
_TOO_LITTLE = 1 << 16  # bytes of room on a disk that failed writes have left
_LOOK = 0.1  # seconds between looks at the clock while it waits


class Executor(Protocol):
    """Runs a job somewhere and waits for it."""

    def run(
        self,
        job: Job,
        *,
        deadline: float | None = None,
        on_tick: Callable[[], None] | None = None,
    ) -> Outcome:
        """What came of the job. `deadline`: on the clock of `time.monotonic`.

        `on_tick` is called some times a second; what it raises ends the job and goes through.
        """
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


class LostInput(Exception):
    """What a job was to work on is not in the store any more: who asked for it makes it again."""

    def __init__(self, where: str, folder: Path) -> None:
        super().__init__(f"{where}: its input {folder} was removed or damaged")


@dataclass
class Maker:
    """Makes what the store lacks. `deadline`: when the study's time is up (time.monotonic).

    `waits`: seconds until a job is tried again that failed for a reason that may pass; so many
    times. `on_retry` is told before: where, the failure's message, the number of the attempt to
    come (from 2), and how long it will wait. `stop` is called some times a second as long as
    something is made; what it raises ends that, and goes through.

    One is not for several threads at once; several threads may have one each.
    """

    store: Store
    executor: Executor
    deadline: float | None = None
    waits: Sequence[float] = _WAITS
    on_retry: Callable[[str, str, int, float], None] | None = None
    stop: Callable[[], None] | None = None

    def make_once(
        self,
        where: str,
        key: str,
        meta: Json,
        job: Callable[[Draft], Job],
        uses: Sequence[Artifact] = (),
    ) -> tuple[Entry, Outcome | None]:
        """As `make`, unless somebody else has made it or is making it: then theirs, and None."""
        with self.store.lock(key, self.look):
            entry = self.store.get(key)
            if entry is not None:
                return entry, None
            return self.make(where, key, meta, job, uses)

    def make(
        self,
        where: str,
        key: str,
        meta: Json,
        job: Callable[[Draft], Job],
        uses: Sequence[Artifact] = (),
    ) -> tuple[Entry, Outcome]:
        """Run a job and store its result, with the hashes of its files.

        `where`: the step or evaluator that a TrialFailed names. `uses`: the models that the job
        reads. Those in the store are compared with what was stored; LostInput where one is not
        whole, before or after the job. OutOfTime at the deadline. StoreError where there is no
        room for the result, or the store was removed: other candidates would fare no better.
        """
        attempt = 1
        while True:
            self._require(where, uses)
            with self.store.draft(key) as draft:
                outcome = self._run(job(draft), draft)
                failure = outcome.failure
                if failure is None:
                    took = {"seconds": outcome.seconds, "peak_memory": outcome.peak_memory}
                    value = {"value": outcome.value}
                    return draft.commit(meta | took | value, outcome.hashes), outcome
                if failure.reason is Reason.DEADLINE:
                    raise OutOfTime
                self._require(where, uses)
                self._require_room(where, failure, draft)
                if failure.deterministic or attempt > len(self.waits):
                    raise TrialFailed(where, failure, draft.keep_log())
            self._wait(where, failure, attempt)
            attempt += 1

    def _run(self, job: Job, draft: Draft) -> Outcome:
        whole = replace(job, output=draft.output)
        return self.executor.run(whole, deadline=self.deadline, on_tick=self.stop)

    def _require(self, where: str, uses: Sequence[Artifact]) -> None:
        for artifact in uses:
            model: Artifact | None = artifact
            while model is not None:
                if not intact(model.path, self.look):
                    raise LostInput(where, model.path)
                model = model.base

    def _require_room(self, where: str, failure: Failure, draft: Draft) -> None:
        if not draft.output.is_dir():
            raise StoreError(
                f"{where}: the store {self.store.root} was removed while it was used; the same "
                "command goes on, and makes again what is needed"
            )
        # Libraries say it in words of their own, or crash.
        full = failure.deterministic and _room(self.store.root) < _TOO_LITTLE
        if full or failure.reason is Reason.DISK_FULL:
            told = f"{failure.message}; the disk of the store is full" if full else failure.message
            raise StoreError(
                f"{where}: {told}; free some space (`tune cache gc` removes what was not used for "
                "long) or set TUNER_STORE to a folder on another disk, then the same command goes "
                "on"
            )

    def _wait(self, where: str, failure: Failure, attempt: int) -> None:
        wait = self.waits[attempt - 1]
        if self.on_retry is not None:
            self.on_retry(where, failure.message, attempt + 1, wait)
        until = time.monotonic() + wait
        while (left := until - time.monotonic()) > 0:
            self.look()
            time.sleep(min(left, _LOOK))

    def look(self) -> None:
        """Raises what `stop` raises, and OutOfTime at the deadline; for who waits for somebody."""
        if self.stop is not None:
            self.stop()
        if self.deadline is not None and time.monotonic() > self.deadline:
            raise OutOfTime


def _room(folder: Path) -> int:
    """Bytes that this user may still write there."""
    disk = os.statvfs(folder)
    return disk.f_frsize * (disk.f_bfree if os.geteuid() == 0 else disk.f_bavail)
