"""Makes the study's tables and views, and brings those of an older schema up to date.

The steps from one schema to the next are alembic's revisions in `migrations`; the version that
everybody may read is in the table `tuner_schema`. Optuna's tables, and its own `alembic_version`,
may lie in the same database and are never touched. Knows nothing of what the tables mean.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, insert, inspect, text, update

from tuner.study.database_errors import PUT_BACK, DatabaseError, busy_timeout, place
from tuner.study.schema import SCHEMA_VERSION, metadata, versions
from tuner.study.views import VIEWS

if TYPE_CHECKING:
    from alembic.config import Config

VERSION_TABLE = "tune_alembic_version"
"""Where alembic keeps the revision of these tables; `alembic_version` is Optuna's."""

REVISIONS = Path(__file__).parent / "migrations"

_LOCK = 7041776  # of a server: whoever makes or changes the tables holds it
_OPTUNAS = {"studies", "trials", "version_info"}


def version_of(connection: Connection) -> int | None:
    """The schema's version; None where these tables were never made.

    Raises DatabaseError where `tuner_schema` is there and does not say.
    """
    if not inspect(connection).has_table(versions.name):
        return None
    rows = connection.execute(text(f"SELECT * FROM {versions.name}")).all()
    version = rows[0][0] if len(rows) == 1 else None
    if not isinstance(version, int) or version < 1:
        raise DatabaseError(
            f"the study database {place(connection.engine)} does not say its schema's version: "
            f"its table {versions.name} should hold one number; {PUT_BACK}"
        )
    return version


def prepare(engine: Engine) -> None:
    """Make tables and views where there are none, and bring older ones up to date.

    All of it is one transaction. Raises DatabaseError where the schema is a newer one.
    """
    with engine.connect() as connection:
        version = version_of(connection)
    if version is None or version < SCHEMA_VERSION:
        with engine.begin() as connection:
            _lock(connection)
            version = version_of(connection)  # somebody may have been quicker
            if version is None:
                _create(connection)
            elif version < SCHEMA_VERSION:
                _migrate(connection, version)
    if version is not None:
        refuse_newer(engine, version)


def refuse_newer(engine: Engine, version: int) -> None:
    """Raise DatabaseError where a schema is newer than this program's."""
    if version > SCHEMA_VERSION:
        raise DatabaseError(
            f"the study database {place(engine)} was written by a newer version of this program "
            f"(schema {version}, expected {SCHEMA_VERSION}); update the program, or use another "
            "database"
        )


def foreign(connection: Connection) -> DatabaseError:
    """What to say of a database that holds none of these tables: whose it seems to be."""
    where = place(connection.engine)
    tables = sorted(inspect(connection).get_table_names())
    if set(tables) >= _OPTUNAS:
        return DatabaseError(
            f"{where} is no study database of this program: it holds Optuna's tables only; "
            "`optuna-dashboard` opens it"
        )
    if not tables:
        return DatabaseError(f"{where} is no study database: it holds no tables")
    more = "" if len(tables) <= 3 else f" and {len(tables) - 3} more"
    names = ", ".join(repr(name) for name in tables[:3])
    return DatabaseError(f"{where} is no study database: it holds other tables ({names}{more})")


def _lock(connection: Connection) -> None:
    """Keep other processes from making or changing the tables at the same time."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN IMMEDIATE")  # or the driver commits before each change
        return
    connection.execute(text(f"SET LOCAL lock_timeout = '{round(1000 * busy_timeout())}ms'"))
    connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))


def _create(connection: Connection) -> None:
    from alembic import command

    inspector = inspect(connection)
    there = {*inspector.get_table_names(), *inspector.get_view_names()}
    taken = sorted(there & {*metadata.tables, *VIEWS, VERSION_TABLE})
    if taken:
        raise DatabaseError(
            f"the study database {place(connection.engine)} has a table {taken[0]!r} that this "
            "program did not make; use another database"
        )
    metadata.create_all(connection, checkfirst=False)
    _create_views(connection)
    command.stamp(_config(connection), "head")
    connection.execute(insert(versions).values(version=SCHEMA_VERSION))


def _migrate(connection: Connection, version: int) -> None:
    from alembic import command

    for name in reversed(VIEWS):
        connection.execute(text(f"DROP VIEW IF EXISTS {name}"))
    config = _config(connection)
    command.stamp(config, f"{version:04d}", purge=True)  # the first schemas knew no alembic
    command.upgrade(config, "head")
    _create_views(connection)
    connection.execute(update(versions).values(version=SCHEMA_VERSION))


def _create_views(connection: Connection) -> None:
    for name, query in VIEWS.items():
        connection.execute(text(f"CREATE VIEW {name} AS {query}"))


def _config(connection: Connection) -> Config:
    """What alembic needs to know: where the revisions are, and the connection to use."""
    from alembic.config import Config

    config = Config(attributes={"connection": connection, "version_table": VERSION_TABLE})
    config.set_main_option("script_location", str(REVISIONS).replace("%", "%%"))
    return config
