"""Opens the study's database: SQLite files by default, PostgreSQL by URL.

Has the tables and views made where they are missing (`migrating`). Knows nothing of events or of
what the tables mean; Optuna's tables may lie in the same database and are left alone.
"""

from __future__ import annotations

import difflib
from pathlib import Path

from sqlalchemy import Engine, NullPool, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from tuner.study import sqlite_files
from tuner.study.database_errors import (
    READ_ONLY,
    DatabaseError,
    DatabaseUnavailable,
    busy_timeout,
    explained,
    place,
    readable_text,
)
from tuner.study.migrating import foreign, prepare, refuse_newer, version_of
from tuner.study.schema import SCHEMA_VERSION

__all__ = [
    "DatabaseError",
    "DatabaseUnavailable",
    "busy_timeout",
    "configure_sqlite",
    "explained",
    "open_engine",
    "place",
]

DIALECTS = ("sqlite", "postgresql")

_PACKAGES = {"psycopg": "psycopg[binary]", "psycopg2": "psycopg2-binary"}


def open_engine(url: str, *, read_only: bool = False) -> Engine:
    """An engine for `url`: an SQLAlchemy URL, or the path of an SQLite file (made when missing).

    Missing parent folders, tables and views are made, those of an older schema brought up to date.
    Raises DatabaseError where the path is a folder or no SQLite file, and where a newer version of
    this program wrote the database; DatabaseUnavailable where it cannot be written or reached now.

    `read_only`: nothing is made and nothing written, so that no right to write is needed, but for
    bringing an older schema up to date. DatabaseError, too, where there is no database, or one that
    is not of this program.
    """
    target = _target(url)
    if read_only:
        return _open_to_read(target)
    is_file = target.get_backend_name() == "sqlite"
    if is_file:
        sqlite_files.check_writable(target.database)
    engine = _make_engine(target)
    configure_sqlite(engine)
    try:
        with explained(engine), readable_text():
            prepare(engine)
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
    event.listen(engine, "connect", sqlite_files.set_for_writing)
    engine.dispose()


def _open_to_read(target: URL) -> Engine:
    if target.get_backend_name() == "sqlite":
        sqlite_files.check_readable(target.database)
    engine = _make_reading_engine(target)
    try:
        with explained(engine), readable_text():
            version = _version_to_read(engine)
            if version < SCHEMA_VERSION:
                _bring_up_to_date(engine, version)
            refuse_newer(engine, version)
    except DatabaseError:
        engine.dispose()
        raise
    return engine


def _make_reading_engine(target: URL) -> Engine:
    if target.get_backend_name() != "sqlite":
        engine = _make_engine(target)
        engine.update_execution_options(**{READ_ONLY: True, "postgresql_readonly": True})
        return engine
    # Each connection is closed after use: what SQLite made beside the file goes with it.
    engine = create_engine(target, poolclass=NullPool, execution_options={READ_ONLY: True})
    event.listen(engine, "do_connect", sqlite_files.connect_to_read)
    event.listen(engine, "connect", sqlite_files.set_for_reading)
    return engine


def _version_to_read(engine: Engine) -> int:
    with engine.connect() as connection:
        version = version_of(connection)
        if version is None:
            raise foreign(connection)
    return version


def _bring_up_to_date(engine: Engine, version: int) -> None:
    if engine.dialect.name == "sqlite" and not sqlite_files.may_be_written(engine.url.database):
        raise DatabaseUnavailable(
            f"the study database {place(engine)} is of an older schema ({version}, expected "
            f"{SCHEMA_VERSION}) and may not be written, so that it cannot be brought up to date; "
            "copy it to a folder that you may write to, and name the copy with --db"
        )
    open_engine(engine.url.render_as_string(hide_password=False)).dispose()


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
        package = _PACKAGES.get(target.drivername.partition("+")[2] or "psycopg")
        hint = f"; install it: pip install '{package}'" if package else ""
        raise DatabaseError(
            f"the driver for {target.drivername} databases is not installed ({error}){hint}"
        ) from error
