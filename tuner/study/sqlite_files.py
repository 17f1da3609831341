"""SQLite files: whether a path can be the study's database, and how connections to it are made.

Who only reads needs no right to write and leaves nothing behind. Knows nothing of tables.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from tuner.study.database_errors import (
    MAKE_WRITABLE,
    DatabaseError,
    DatabaseUnavailable,
    busy_timeout,
)

_HEADER = b"SQLite format 3\0"
_WRITING = (
    "journal_mode = WAL",  # readers never hold a writer up, however long they read
    "synchronous = NORMAL",  # in WAL a killed process loses nothing, a power cut never corrupts
    "foreign_keys = ON",
)


def is_uri(database: str) -> bool:
    """Whether a database's name is SQLite's own URI form: SQLite itself reports what is wrong."""
    return database.startswith("file:")


def check_writable(database: str | None) -> None:
    """Raise where a path is not a file that may be written, or made; its folder is made."""
    path = _path(database)
    if path is None:
        return
    _check_folder(path)
    if path.exists():
        if not os.access(path, os.R_OK | os.W_OK):
            raise DatabaseUnavailable(
                f"the study database {path} cannot be read and written by this user; "
                f"{MAKE_WRITABLE}"
            )
        _check_header(path)


def check_readable(database: str | None) -> None:
    """Raise where a path is not an SQLite file that may be read. Nothing is made."""
    path = _path(database)
    if path is None:
        return
    try:
        size = path.stat().st_size
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DatabaseError(
            f"there is no study database at {path}; say where it is with --db"
        ) from error
    except OSError as error:
        raise _unreadable(path, error.strerror) from error
    if path.is_file() and size == 0:
        raise DatabaseError(f"the study database {path} is empty: no command has written to it yet")
    _check_header(path)


def may_be_written(database: str | None) -> bool:
    """Whether this user may write a database's file and beside it."""
    if not database or is_uri(database):
        return True
    path = Path(database)
    return os.access(path, os.W_OK) and os.access(path.parent, os.W_OK | os.X_OK)


def set_for_writing(connection: Any, _record: Any) -> None:
    """Give a new connection WAL, patience and foreign keys."""
    cursor = connection.cursor()
    _be_patient(cursor)  # the next ones wait
    for pragma in _WRITING:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def set_for_reading(connection: Any, _record: Any) -> None:
    """Give a new connection patience, and keep it from changing anything."""
    cursor = connection.cursor()
    _be_patient(cursor)
    cursor.execute("PRAGMA query_only = ON")
    cursor.close()


def connect_to_read(_dialect: Any, _record: Any, arguments: list[Any], options: Any) -> None:
    """Change the arguments of a connection so that it only reads, and can where it may not write.

    SQLite makes files beside a database in WAL mode. Where it may and nobody works on the
    database, a usual connection takes them away again. Where somebody does, or was killed, they
    are there, and one that only reads leaves them. Where they are not and cannot be made, nobody
    can be writing: the file is taken as one that does not change.
    """
    database = str(arguments[0])
    if is_uri(database):
        return
    log = Path(f"{database}-wal")
    if log.exists() and log.stat().st_size > 0:
        how = "mode=ro"
    else:
        how = "mode=rw" if may_be_written(database) else "mode=ro&immutable=1"
    arguments[0] = f"{Path(database).absolute().as_uri()}?{how}"
    options["uri"] = True


def _path(database: str | None) -> Path | None:
    """A database's path; None where its name is of SQLite's URI form."""
    if not database or ":memory:" in database:
        raise DatabaseError("the study database must be a file; SQLite in memory would be lost")
    if is_uri(database):
        return None
    path = Path(database)
    if path.is_dir():
        raise DatabaseError(f"the study database {path} is a folder; expected a file")
    return path


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
            f"the folder of the study database {path} cannot be written to; {MAKE_WRITABLE}"
        )


def _check_header(path: Path) -> None:
    if not path.is_file():
        raise DatabaseError(f"the study database {path} is not a file")
    try:
        with path.open("rb") as file:
            header = file.read(len(_HEADER))
    except OSError as error:
        raise _unreadable(path, error.strerror) from error
    if header not in (b"", _HEADER):  # an empty file is a new database
        raise DatabaseError(f"the study database {path} is not an SQLite file")


def _unreadable(path: Path, why: str | None) -> DatabaseUnavailable:
    return DatabaseUnavailable(f"the study database {path} cannot be read: {why}")


def _be_patient(cursor: Any) -> None:
    cursor.execute(f"PRAGMA busy_timeout = {round(1000 * busy_timeout())}")
