"""What can be wrong with the study's database, in sentences for a person.

Knows the errors of SQLite and of PostgreSQL's drivers; nothing of tables, and it opens nothing.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

READ_ONLY = "tuner_read_only"
"""Execution option of an engine that only reads."""

MAKE_WRITABLE = "make it and its folder writable, or name another with --db"
PUT_BACK = "put a copy of it back, or name another with --db: what is in the store is kept"
COPY = "copy it (and the -wal file beside it) to a folder that you may write to"

_PATIENCE = 120.0  # seconds; who edits a table by hand takes some time
_LONGEST_PATIENCE = 86400.0
_LONGEST_LINE = 300  # characters

# What reading garbage raises, where it is not noticed before.
_OF_GARBAGE = (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError)

_OF_SERVERS = {  # SQLSTATE, or its class
    "42501": "connect as the user who owns its tables, or ask them for the right",
    "2BP01": "drop what rests on it (a view of your own?), and make it again afterwards",
    "55P03": "another command or dashboard holds its tables; let it end",
    "28": "check the user and the password of --db",
    "3D": "make it first (`createdb`), or check the name in --db",
    "53": "free some room on the server",
    "57": "when the server runs again, the same command goes on",
}


class DatabaseError(Exception):
    """The study's database cannot be used; the message says why, in one sentence."""


class DatabaseUnavailable(DatabaseError):
    """It is the right database, but cannot be used now; afterwards the same command goes on.

    Its disk is full or fails, it may not be written, another program has locked it, or it is
    damaged. The message says what to do.
    """


def busy_timeout() -> float:
    """Seconds to wait while others write to the database: $TUNER_DB_TIMEOUT, else 120."""
    chosen = os.environ.get("TUNER_DB_TIMEOUT", "")
    try:
        seconds = float(chosen) if chosen else _PATIENCE
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= _LONGEST_PATIENCE:
        raise DatabaseError(
            f"TUNER_DB_TIMEOUT is {chosen!r}; expected seconds, from 0 to {_LONGEST_PATIENCE:g}"
        )
    return seconds


def place(engine: Engine) -> str:
    """Where the database is, for messages: the file's path, or the URL without its password."""
    if engine.dialect.name == "sqlite":
        return str(engine.url.database)
    return engine.url.render_as_string(hide_password=True)


@contextmanager
def explained(engine: Engine) -> Iterator[None]:
    """Within it, what a driver raises becomes a DatabaseUnavailable, behind another error too."""
    try:
        yield
    except DatabaseError:
        raise
    except Exception as error:
        cause = _driver_error(error)
        if cause is None:
            raise
        what = _short(str(cause)) or type(cause).__name__
        raise DatabaseUnavailable(
            f"the study database {place(engine)} cannot be used: {what}; "
            f"{_advice(cause, reading=_reads_only(engine))}"
        ) from error


def damaged(what: str) -> DatabaseUnavailable:
    """What to say of a database in which something was found that nobody wrote."""
    return DatabaseUnavailable(f"the study database is damaged: it holds {what}; {PUT_BACK}")


@contextmanager
def readable_text() -> Iterator[None]:
    """Within it, which is where rows are read, text that is no text is damage."""
    try:
        yield
    except UnicodeDecodeError as error:  # the driver's own message may quote it, too
        raise damaged(f"text that is not UTF-8 ({error.reason})") from error


@contextmanager
def blaming_damage(engine: Engine) -> Iterator[None]:
    """Within it, whatever goes wrong is the file's fault where SQLite finds the file damaged.

    SQLite notices damage where it meets it, which may be after wrong values were read. For
    commands that do nothing but read.
    """
    try:
        yield
    except _OF_GARBAGE as error:
        found = _damage(engine)
        if found is None:
            raise
        raise DatabaseUnavailable(
            f"the study database {place(engine)} is damaged ({found}); {PUT_BACK}"
        ) from error


def _damage(engine: Engine) -> str | None:
    """The first thing that SQLite finds wrong with the whole file; None: nothing."""
    if engine.dialect.name != "sqlite":
        return None
    with explained(engine), engine.connect() as connection:
        found = connection.exec_driver_sql("PRAGMA integrity_check(1)").scalar()
    return None if found == "ok" else _short(str(found))


def _short(text: str) -> str:
    """The first line of a message, cut where it quotes much of what it found."""
    line = next(iter(text.strip().splitlines()), "")
    return line if len(line) <= _LONGEST_LINE else f"{line[:_LONGEST_LINE]}…"


def _reads_only(engine: Engine) -> bool:
    return bool(engine.get_execution_options().get(READ_ONLY))


def _driver_error(error: BaseException) -> BaseException | None:
    """The driver's own error that an exception stands for."""
    link: BaseException | None = error
    while link is not None:
        if isinstance(link, DBAPIError):
            return link.orig or link
        if isinstance(link, sqlite3.Error):
            return link
        link = link.__cause__
    return None


def _advice(cause: BaseException, *, reading: bool) -> str:
    """What to do; by SQLite's result code, or by the server's SQLSTATE, where there is one."""
    if not isinstance(cause, sqlite3.Error):
        return _advice_of_server(cause)
    code = getattr(cause, "sqlite_errorcode", 0) & 0xFF  # above it are details
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return (
            f"another program was writing to it for {busy_timeout():g} s (a database browser with "
            "unsaved changes? `fuser` or `lsof` name it); let it end, then the same command goes on"
        )
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return COPY if reading else f"{MAKE_WRITABLE}, then the same command goes on"
    if code == sqlite3.SQLITE_FULL:
        return "free some space on its disk, then the same command goes on"
    if code == sqlite3.SQLITE_IOERR:
        return "when its disk has room and can be written again, the same command goes on"
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return PUT_BACK
    if str(cause).startswith(("Could not decode", "no such ")):  # what nobody wrote
        return f"it was damaged or edited: {PUT_BACK}"
    return "when that is mended, the same command goes on"


def _advice_of_server(cause: BaseException) -> str:
    state = getattr(cause, "sqlstate", None) or ""
    if not state:  # it was never reached
        return "check the user, password, host, port and name of --db, and that the server runs"
    known = _OF_SERVERS.get(state) or _OF_SERVERS.get(state[:2])
    return known or "when that is mended, the same command goes on"
