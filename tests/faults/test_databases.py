"""A database that others use at the same time."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from faults.conftest import Case, is_whole, told

GoesOn = Callable[[], None]


@contextmanager
def another(database: Path) -> Iterator[sqlite3.Connection]:
    """Another program's connection."""
    connection = sqlite3.connect(database, isolation_level=None)
    try:
        yield connection
    finally:
        connection.close()


def test_another_writer_is_waited_for(case: Case, goes_on: GoesOn) -> None:
    with case.running() as running:
        running.until("Told", number=0)
        with another(case.db) as other:
            other.execute("PRAGMA busy_timeout = 10000")
            other.execute("BEGIN IMMEDIATE")
            time.sleep(2.5)
            other.execute("COMMIT")
        done = running.end()
    assert done.returncode == 0, done.stderr
    goes_on()


@pytest.mark.parametrize("moment", ["before", "amid"])
def test_a_writer_that_does_not_end_is_told_with_how_to_find_it(
    case: Case, goes_on: GoesOn, moment: str
) -> None:
    case.environment["TUNER_DB_TIMEOUT"] = "0.7"
    assert case.run("--trials", "1").returncode == 0
    with case.running() as running:
        if moment == "amid":
            running.until("Told", number=1)
        with another(case.db) as other:
            other.execute("PRAGMA busy_timeout = 10000")
            other.execute("BEGIN IMMEDIATE")
            started = time.monotonic()
            done = running.end()
            told(done, "database is locked", "`fuser` or `lsof`", "the same command goes on")
            assert time.monotonic() - started < 15, "it waits once, or twice, not for every write"
    assert is_whole(case)
    goes_on()


def test_a_reader_that_does_not_end_holds_nobody_up(case: Case, goes_on: GoesOn) -> None:
    case.environment["TUNER_DB_TIMEOUT"] = "0"
    assert case.run("--trials", "1").returncode == 0
    with another(case.db) as reader:
        reader.execute("BEGIN")
        before = reader.execute("SELECT COUNT(*) FROM tuner_trials").fetchone()
        done = case.run()
        assert done.returncode == 0, done.stderr
        assert reader.execute("SELECT COUNT(*) FROM tuner_trials").fetchone() == before
    goes_on()


def test_a_timeout_that_is_no_number_is_refused(case: Case) -> None:
    case.environment["TUNER_DB_TIMEOUT"] = "a minute"
    told(case.run(), "TUNER_DB_TIMEOUT is 'a minute'; expected seconds", code=2)


def test_a_damaged_database_is_told_and_what_is_stored_is_kept(case: Case) -> None:
    assert case.run("--trials", "2").returncode == 0
    ran = case.ran()
    content = bytearray(case.db.read_bytes())
    for at in range(100, len(content), 4096):  # the heads of all its pages
        content[at : at + 64] = bytes(64)
    case.db.write_bytes(content)
    told(case.run(), "malformed", "--db")
    case.db = case.folder / "another.db"
    assert case.run("--trials", "2").returncode == 0
    assert case.ran() == ran
