"""What commands that work on one study at the same time need of each other: turns, and news.

A turn is held by one worker of one command at a time, however many there are; the kernel, or the
server, gives it back when its holder dies. Knows nothing of strategies or of how trials run.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Engine, text

from tuner.pipeline import store_lock
from tuner.study.database import DatabaseUnavailable, explained, place
from tuner.study.history import History, load_history
from tuner.study.reader import StudyReader
from tuner.study.writer import StudyWriter

Look = Callable[[], None]

_TRY = 0.05  # seconds between tries for a server's lock


class Cooperation:
    """One command's part in the work on a study. For use from several threads."""

    def __init__(
        self, engine: Engine, reader: StudyReader, writer: StudyWriter, study: str
    ) -> None:
        self._engine = engine
        self._reader = reader
        self._writer = writer
        self._study = study
        self._turns = {name: threading.RLock() for name in ("ask", "answer")}
        self._held: set[str] = set()

    @contextmanager
    def turn(self, name: str, look: Look) -> Iterator[None]:
        """Hold a turn: "ask" to ask for and tell trials, "answer" to come to an answer.

        `look` is called some times a second while one waits; what it raises ends the waiting.
        Who holds it may take it again.
        """
        with self._turns[name]:
            if name in self._held:
                yield
                return
            with self._between_commands(name, look):
                self._held.add(name)
                try:
                    yield
                finally:
                    self._held.discard(name)

    def news(self) -> Mapping[int, str]:
        """Trial -> state, of all that are not of this command. What the dead ran is interrupted."""
        self._writer.reap()
        return self._reader.states_of_others(self._study, self._writer.run_id)

    def load(self) -> History:
        """Everything that was done so far, by whomever."""
        return load_history(self._reader, self._study)

    @contextmanager
    def _between_commands(self, name: str, look: Look) -> Iterator[None]:
        digest = hashlib.sha256(f"{self._study}/{name}".encode()).digest()
        if self._engine.dialect.name == "sqlite":
            with _file_lock(Path(place(self._engine)), digest.hex()[:12], look):
                yield
        else:
            with _server_lock(self._engine, int.from_bytes(digest[:8], "big", signed=True), look):
                yield


@contextmanager
def _file_lock(database: Path, name: str, look: Look) -> Iterator[None]:
    path = database.absolute().with_name(f".{database.name}-{name}.lock")
    try:
        descriptor = store_lock.acquire(path, look)
    except store_lock.CannotLock as error:
        raise DatabaseUnavailable(
            f"the study database {database} cannot be worked on: the lock {path} cannot be had "
            f"({error.cause.strerror})"
        ) from error
    try:
        yield
    finally:
        store_lock.release(path, descriptor)


@contextmanager
def _server_lock(engine: Engine, number: int, look: Look) -> Iterator[None]:
    with explained(engine), engine.connect() as connection:
        # No transaction stays open for as long as the turn is held: servers may end idle ones.
        connection.execution_options(isolation_level="AUTOCOMMIT")
        take = text("SELECT pg_try_advisory_lock(:number)")
        while not connection.execute(take, {"number": number}).scalar():
            look()
            time.sleep(_TRY)
        try:
            yield
        finally:
            connection.execute(text("SELECT pg_advisory_unlock(:number)"), {"number": number})
