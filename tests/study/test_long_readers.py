"""Who reads a study, however long, keeps nobody from writing it."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from scripted_study import Script, Study

from tuner.study.database import open_engine

READER = """
import sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("BEGIN")
count = "SELECT COUNT(*) FROM tuner_events"
print(database.execute(count).fetchone()[0], flush=True)
sys.stdin.readline()
print(database.execute(count).fetchone()[0], flush=True)
"""


@pytest.fixture
def writing(database: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Study]:
    """A study whose commands wait for nobody: whoever held them up would make them fail."""
    monkeypatch.setenv("TUNER_DB_TIMEOUT", "0")
    engine = open_engine(str(database))
    yield Study(engine)
    engine.dispose()


def write(study: Study, seed: int) -> int:
    """A command's work of some MB of log; how many events."""
    events = list(Script(60, seed=seed).events())
    study.send_all(events)
    return len(events)


def log_size(database: Path) -> int:
    return database.with_name(database.name + "-wal").stat().st_size


def test_a_transaction_that_stays_open_holds_no_writer_up(writing: Study, database: Path) -> None:
    before = write(writing, 1)
    command = [sys.executable, "-c", READER, str(database)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as reader:  # type: ignore[call-overload]
        assert int(reader.stdout.readline()) == before
        later = write(writing, 2)
        answer, _ = reader.communicate("go on\n", timeout=60)
    assert int(answer) == before, "what it reads is of one moment"
    assert len(writing.reader.events("tones")) == before + later


def test_the_log_file_stops_growing_when_the_reader_is_gone(writing: Study, database: Path) -> None:
    write(writing, 1)
    usual = log_size(database)
    reader = sqlite3.connect(database, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT COUNT(*) FROM tuner_events").fetchone()
    write(writing, 2)
    swollen = log_size(database)
    assert swollen > 1.5 * usual, "nothing is taken out of it while somebody reads"
    reader.close()
    for seed in (3, 4, 5):
        write(writing, seed)
    assert log_size(database) <= 1.1 * swollen
    with sqlite3.connect(database) as checking:
        busy, pages, copied = checking.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    assert (busy, copied) == (0, pages), "all of it is in the database"
