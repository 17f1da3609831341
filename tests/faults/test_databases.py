"""A database that others use at the same time, or that is damaged."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from faults.conftest import Case, is_whole, told

from tuner.study.database import open_engine

Check = Callable[[], None]


@contextmanager
def another(database: Path) -> Iterator[sqlite3.Connection]:
    """Another program's connection."""
    connection = sqlite3.connect(database, isolation_level=None, timeout=10)
    try:
        yield connection
    finally:
        connection.close()


def test_another_writer_is_waited_for(case: Case, is_as_calm: Check) -> None:
    with case.running() as running:
        running.until("Told", number=0)
        with another(case.db) as other:
            other.execute("BEGIN IMMEDIATE")
            time.sleep(2.5)
            other.execute("COMMIT")
        done = running.end()
    assert done.returncode == 0, done.stderr
    is_as_calm()


def test_a_writer_that_does_not_end_is_told_with_how_to_find_it(case: Case, goes_on: Check) -> None:
    case.environment["TUNER_DB_TIMEOUT"] = "0.7"
    with case.running() as running:
        running.until("Told", number=0)
        with another(case.db) as other:
            other.execute("BEGIN IMMEDIATE")
            done = running.end()
            told(done, "database is locked", "`fuser` or `lsof`", "the same command goes on")
    assert is_whole(case)
    goes_on()


def test_a_writer_that_was_there_before_is_told_too(case: Case, goes_on: Check) -> None:
    case.environment["TUNER_DB_TIMEOUT"] = "0.7"
    open_engine(str(case.db)).dispose()
    with another(case.db) as other:
        other.execute("BEGIN IMMEDIATE")
        told(case.run(), "database is locked", "the same command goes on")
    goes_on()


def test_a_reader_that_does_not_end_holds_nobody_up(case: Case, is_as_calm: Check) -> None:
    case.environment["TUNER_DB_TIMEOUT"] = "2"
    count = "SELECT COUNT(*) FROM tuner_trials"
    with case.running() as running:
        running.until("Told", number=0)
        with another(case.db) as reader:
            reader.execute("BEGIN")
            before = reader.execute(count).fetchone()
            done = running.end()
            assert reader.execute(count).fetchone() == before, "it still reads"
    assert done.returncode == 0, done.stderr
    is_as_calm()


def test_a_timeout_that_is_no_number_is_refused(case: Case) -> None:
    case.environment["TUNER_DB_TIMEOUT"] = "a minute"
    told(case.run(), "TUNER_DB_TIMEOUT is 'a minute'; expected seconds", code=2)


def test_a_damaged_database_is_told(case: Case) -> None:
    open_engine(str(case.db)).dispose()
    content = bytearray(case.db.read_bytes())
    for at in range(100, len(content), 4096):  # the heads of all its pages
        content[at : at + 64] = bytes(64)
    case.db.write_bytes(content)
    told(case.run(), "malformed", "--db")
