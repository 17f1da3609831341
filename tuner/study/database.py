"""Opens the study's database: SQLite files by default, PostgreSQL by URL.

Makes the tables and views where they are missing. Knows nothing of events or of what the tables
mean; Optuna's tables may lie in the same database and are left alone.
"""

from __future__ import annotations

import difflib
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import (
    Connection,
    Engine,
    create_engine,
    event,
    insert,
    inspect,
    select,
    text,
    update,
)
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from tuner.study.schema import SCHEMA_VERSION, metadata, versions
from tuner.study.views import VIEWS

DIALECTS = ("sqlite", "postgresql")
SQLITE_HEADER = b"SQLite format 3\0"

_PATIENCE = 120.0  # seconds; who edits a table by hand takes some time
_LONGEST_PATIENCE = 86400.0
_PRAGMAS = (
    "journal_mode = WAL",  # readers never hold a writer up, however long they read
    "synchronous = NORMAL",  # in WAL a killed process loses nothing, a power cut never corrupts
    "foreign_keys = ON",
)


_MAKE_WRITABLE = "make it and its folder writable, or name another with --db"


class DatabaseError(Exception):
    """The study's database cannot be used; the message says why, in one sentence."""


class DatabaseUnavailable(DatabaseError):
    """It is the right database, but cannot be used now; afterwards the same command goes on.

    Its disk is full or fails, it may not be written, another program has locked it, or it is
    damaged. The message says what to do.
    """


def open_engine(url: str) -> Engine:
    """An engine for `url`: an SQLAlchemy URL, or the path of an SQLite file (made when missing).

    Missing parent folders, tables and views are made. Raises DatabaseError where the path is a
    folder or no SQLite file, and where a newer version of this program wrote the database;
    DatabaseUnavailable where it cannot be written or reached now.
    """
    target = _target(url)
    if target.get_backend_name() == "sqlite":
        _check_file(target)
    engine = _make_engine(target)
    if target.get_backend_name() == "sqlite":
        configure_sqlite(engine)
    try:
        with explained(engine):
            _prepare(engine)
    except DatabaseError:
        engine.dispose()
        raise
    return engine


def configure_sqlite(engine: Engine) -> None:
    """Give every connection of an SQLite engine WAL, `busy_timeout` and foreign keys.

    Nothing happens for other databases. Pooled connections are closed, so that it holds for an
    engine that has been used before (Optuna's).
    """
    if engine.dialect.name != "sqlite":
        return
    event.listen(engine, "connect", _set_pragmas)
    engine.dispose()


def busy_timeout() -> float:
    """Seconds to wait while others write to an SQLite database: $TUNER_DB_TIMEOUT, else 120."""
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
        lines = str(cause).strip().splitlines() or [type(cause).__name__]
        raise DatabaseUnavailable(
            f"the study database {place(engine)} cannot be used: {lines[0]}; {_advice(cause)}"
        ) from error


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


def _advice(cause: BaseException) -> str:
    """What to do; by SQLite's result code where there is one."""
    code = getattr(cause, "sqlite_errorcode", 0) & 0xFF  # above it are details
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return (
            f"another program was writing to it for {busy_timeout():g} s (a database browser with "
            "unsaved changes? `fuser` or `lsof` name it); let it end, then the same command goes on"
        )
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return f"{_MAKE_WRITABLE}, then the same command goes on"
    if code == sqlite3.SQLITE_FULL:
        return "free some space on its disk, then the same command goes on"
    if code == sqlite3.SQLITE_IOERR:
        return "when its disk has room and can be written again, the same command goes on"
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return "put a copy of it back, or name another with --db: what is in the store is kept"
    return "when that is mended, the same command goes on"


def _target(url: str) -> URL:
    if "://" not in url:
        if not url.strip():
            raise DatabaseError("the study database has an empty name; expected a path or a URL")
        return URL.create("sqlite", database=str(Path(url).expanduser()))
    try:
        target = make_url(url)
    except ArgumentError as error:
        raise DatabaseError(
            "the study database's URL cannot be read; expected a path, sqlite:///FILE or "
            "postgresql+DRIVER://USER:PASSWORD@HOST/NAME"
        ) from error
    _check_dialect(target.drivername.partition("+")[0])
    return target


def _check_dialect(name: str) -> None:
    if name in DIALECTS:
        return
    near = difflib.get_close_matches(name, DIALECTS, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise DatabaseError(
        f"the study database cannot be of kind {name!r}; expected {' or '.join(DIALECTS)}{hint}"
    )


def _make_engine(target: URL) -> Engine:
    try:
        return create_engine(target)
    except (ImportError, NoSuchModuleError) as error:
        raise DatabaseError(
            f"the driver for {target.drivername} databases is not installed ({error})"
        ) from error


def _check_file(target: URL) -> None:
    if not target.database or ":memory:" in target.database:
        raise DatabaseError("the study database must be a file; SQLite in memory would be lost")
    if target.database.startswith("file:"):
        return  # SQLite's own URI form: SQLite itself reports what is wrong
    path = Path(target.database)
    if path.is_dir():
        raise DatabaseError(f"the study database {path} is a folder; expected a file")
    _check_folder(path)
    if path.exists():
        _check_header(path)


def _check_folder(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DatabaseUnavailable(
            f"the folder of the study database {path} cannot be made: {error.strerror}; name "
            "another with --db"
        ) from error
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise DatabaseUnavailable(
            f"the folder of the study database {path} cannot be written to; {_MAKE_WRITABLE}"
        )


def _check_header(path: Path) -> None:
    if not os.access(path, os.R_OK | os.W_OK):
        raise DatabaseUnavailable(
            f"the study database {path} cannot be read and written by this user; {_MAKE_WRITABLE}"
        )
    if not path.is_file():
        raise DatabaseError(f"the study database {path} is not a file")
    with path.open("rb") as file:
        header = file.read(len(SQLITE_HEADER))
    if header not in (b"", SQLITE_HEADER):  # an empty file is a new database
        raise DatabaseError(f"the study database {path} is not an SQLite file")


def _set_pragmas(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {round(1000 * busy_timeout())}")  # the next ones wait
    for pragma in _PRAGMAS:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _prepare(engine: Engine) -> None:
    with engine.connect() as connection:
        version = _version(connection)
    if version is None or version < SCHEMA_VERSION:
        with engine.begin() as connection:
            _lock(connection)
            found = _version(connection)
            if found is None:
                _create(connection)
            elif found < SCHEMA_VERSION:  # nobody else was quicker
                _upgrade(connection)
    elif version > SCHEMA_VERSION:
        raise DatabaseError(
            f"the study database {place(engine)} was written by a newer version of this program "
            f"(schema {version}, expected {SCHEMA_VERSION}); update the program, or use another "
            "database"
        )


def _upgrade(connection: Connection) -> None:
    """Give an older database the columns that it lacks, and the views as they are now."""
    inspector = inspect(connection)
    for name in reversed(VIEWS):
        connection.execute(text(f"DROP VIEW IF EXISTS {name}"))
    for table in metadata.sorted_tables:
        there = {column["name"] for column in inspector.get_columns(table.name)}
        for column in table.c:
            if column.name not in there:
                kind = column.type.compile(connection.dialect)
                connection.execute(
                    text(f"ALTER TABLE {table.name} ADD COLUMN {column.name} {kind}")
                )
    _create_views(connection)
    connection.execute(update(versions).values(version=SCHEMA_VERSION))


def _version(connection: Connection) -> int | None:
    """The schema's version; None where our tables were never made."""
    if not inspect(connection).has_table(versions.name):
        return None
    return connection.execute(select(versions.c.version)).scalar_one_or_none()


def _lock(connection: Connection) -> None:
    """Keep other processes from making the tables at the same time."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    else:
        connection.execute(text("SELECT pg_advisory_xact_lock(7041776)"))


def _create(connection: Connection) -> None:
    inspector = inspect(connection)
    there = {*inspector.get_table_names(), *inspector.get_view_names()}
    taken = sorted(there & {*metadata.tables, *VIEWS})
    if taken:
        raise DatabaseError(
            f"the study database {place(connection.engine)} has a table {taken[0]!r} that this "
            "program did not make; use another database"
        )
    metadata.create_all(connection, checkfirst=False)
    _create_views(connection)
    connection.execute(insert(versions).values(version=SCHEMA_VERSION))


def _create_views(connection: Connection) -> None:
    for name, query in VIEWS.items():
        connection.execute(text(f"CREATE VIEW {name} AS {query}"))
