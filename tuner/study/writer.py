"""Writes the stream of events into the study's tables: one transaction per event.

When the call returns, the event is in the database and outlives a kill of this process. What an
event changes is in `recording`. Knows nothing of what sends the events.
"""

from __future__ import annotations

import threading
import time
from typing import Self

from sqlalchemy import Engine

from tuner.study.database import explained
from tuner.study.encoding import clean
from tuner.study.events import Event, StudyStarted
from tuner.study.recording import Run, Transaction, record, start
from tuner.study.statements import Statements


class StudyWriter:
    """A listener that keeps one study's tables up to date with its events.

    The first event must be StudyStarted: it makes the study or goes on with it, and whatever a
    killed command had left running becomes interrupted. Only one writer at a time may work on a
    study; any number of readers may read meanwhile. Safe to call from several threads, not after
    a fork.

    Raises DatabaseError where the database cannot be written (the event is then not in it), and
    ValueError for an event of another study or before StudyStarted.
    """

    def __init__(self, engine: Engine, study_name: str) -> None:
        self._engine = engine
        self._name = clean(study_name)
        self._statements = Statements(engine.dialect.name)
        self._lock = threading.Lock()
        self._clock = _Clock()
        self._run: Run | None = None
        with explained(engine):
            self._connection = engine.connect()

    def __call__(self, event: Event) -> None:
        """Append the event to the log and change the tables accordingly."""
        with self._lock, explained(self._engine):
            with self._connection.begin():
                run = self._write(event)
            self._run = run  # only now: a transaction that failed changed nothing

    def close(self) -> None:
        """Release the connection."""
        with self._lock:
            self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _write(self, event: Event) -> Run:
        transaction = Transaction(self._connection, self._statements, self._clock.now())
        if isinstance(event, StudyStarted):
            if clean(event.study) != self._name:
                raise ValueError(f"an event of study {event.study!r}, expected {self._name!r}")
            return start(transaction, event)
        if self._run is None:
            raise ValueError(f"{type(event).__name__} came before StudyStarted")
        return record(transaction, self._run, event)


class _Clock:
    """Seconds since 1970 that never run backwards while this process lives."""

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()

    def now(self) -> float:
        return self._offset + time.monotonic()
