"""Writes the stream of events into the study's tables: one transaction per event.

When the call returns, the event is in the database and outlives a kill of this process. What an
event changes is in `recording`. Knows nothing of what sends the events.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

from sqlalchemy import Engine, text

from tuner.pipeline.store_owner import new_name
from tuner.study.database import DatabaseError, explained
from tuner.study.encoding import clean
from tuner.study.events import Event, StudyStarted
from tuner.study.presence import BEAT, Presence
from tuner.study.recording import Run, Transaction, reap, record, start
from tuner.study.statements import Statements


class StudyWriter:
    """A listener that keeps one study's tables up to date with its events.

    The first event must be StudyStarted: it makes the study or goes on with it, and whatever a
    killed command had left running becomes interrupted. Several writers, of several commands, may
    work on a study: each trial is of the one that asked for it last. Any number of readers may
    read meanwhile. Safe to call from several threads, not after a fork.

    Raises DatabaseError where the database cannot be written (the event is then not in it), and
    ValueError for an event of another study or before StudyStarted.
    """

    def __init__(self, engine: Engine, study_name: str) -> None:
        self._engine = engine
        self._name = clean(study_name)
        self._statements = Statements(engine.dialect.name)
        self._lock = threading.RLock()
        self._clock = _Clock()
        self._presence = Presence()
        self._run: Run | None = None
        self._batch = False
        self._heart: _Heart | None = None
        with explained(engine):
            self._connection = engine.connect()

    def __call__(self, event: Event) -> None:
        """Append the event to the log and change the tables accordingly."""
        with self._lock, explained(self._engine):
            if self._batch:
                self._write(event)
                return
            with self._connection.begin():
                run = self._write(event)
            self._run = run  # only now: a transaction that failed changed nothing

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Within it, events are written together at the end: all of them, or none."""
        with self._lock, explained(self._engine), self._connection.begin():
            self._batch = True
            try:
                yield
            finally:
                self._batch = False

    def reap(self) -> None:
        """Close what commands that died have left running."""
        with self._lock, explained(self._engine), self._connection.begin():
            reap(self._transaction(), self._of_study().study_id, self._presence)

    @property
    def run_id(self) -> int:
        """The run that this writer has opened."""
        return self._of_study().run_id

    def live(self) -> None:
        """Let others see, from now on and until `close`, that this command lives."""
        self._heart = _Heart(self._engine, self.run_id, self._clock)

    def close(self) -> None:
        """Release the connection."""
        if self._heart is not None:
            self._heart.stop()
        with self._lock:
            self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _of_study(self) -> Run:
        if self._run is None:
            raise ValueError("nothing was written before StudyStarted")
        return self._run

    def _transaction(self) -> Transaction:
        return Transaction(self._connection, self._statements, self._clock.now())

    def _write(self, event: Event) -> Run:
        if isinstance(event, StudyStarted):
            if clean(event.study) != self._name:
                raise ValueError(f"an event of study {event.study!r}, expected {self._name!r}")
            owner = (new_name(), self._presence, self._run)
            return start(self._transaction(), event, *owner)
        if self._run is None:
            raise ValueError(f"{type(event).__name__} came before StudyStarted")
        record(self._transaction(), self._run, event)
        return self._run


class _Clock:
    """Seconds since 1970 that never run backwards while this process lives."""

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()

    def now(self) -> float:
        return self._offset + time.monotonic()


class _Heart:
    """A thread that notes every few seconds that this command lives."""

    def __init__(self, engine: Engine, run_id: int, clock: _Clock) -> None:
        self._engine = engine
        self._run_id = run_id
        self._clock = clock
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="beat", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()

    def _beat(self) -> None:
        statement = text(
            "UPDATE tune_runs SET beat = COALESCE(beat, 0) + 1, last_event_at = :at WHERE id = :run"
        )
        while not self._stopped.wait(BEAT):
            try:
                with explained(self._engine), self._engine.begin() as connection:
                    connection.execute(statement, {"at": self._clock.now(), "run": self._run_id})
            except DatabaseError:
                continue  # who works on the study will meet it too, and say so
