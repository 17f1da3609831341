"""Databases as earlier versions of the program made them, with a small study in each.

`old_schemas/schemaN.json` holds what schema N was: its tables and indexes as SQL for SQLite and
PostgreSQL, its views, and the rows that the program of then wrote.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, MetaData, Table, create_engine, text

VERSIONS = (1, 2, 3)
_FOLDER = Path(__file__).parent / "old_schemas"


def old_schema(version: int) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((_FOLDER / f"schema{version}.json").read_text())
    return found


def make_old_database(url: str, version: int) -> None:
    """Make what the program of schema `version` would have left at `url`."""
    engine, old = create_engine(url), old_schema(version)
    with engine.begin() as connection:
        for statement in (*old[engine.dialect.name], *old["views"]):
            connection.exec_driver_sql(statement)
        for name, rows in old["rows"].items():
            table = Table(name, MetaData(), autoload_with=connection)
            connection.execute(table.insert(), rows)
    if engine.dialect.name == "postgresql":
        _count_on(engine, old["rows"])
    engine.dispose()


def all_rows(engine: Engine, version: int) -> dict[str, list[dict[str, Any]]]:
    """The rows of every table that schema `version` had, in the columns that it had."""
    found = {}
    with engine.connect() as connection:
        for name, rows in old_schema(version)["rows"].items():
            columns = ", ".join(f'"{column}"' for column in rows[0])
            there = connection.execute(text(f"SELECT {columns} FROM {name}")).mappings()
            found[name] = sorted((dict(row) for row in there), key=_stable)
    return found


def expected_rows(version: int) -> dict[str, list[dict[str, Any]]]:
    """What `all_rows` should find."""
    rows = old_schema(version)["rows"]
    return {name: sorted(there, key=_stable) for name, there in rows.items()}


def _stable(row: dict[str, Any]) -> str:
    return json.dumps({k: v + 0 if isinstance(v, bool) else v for k, v in row.items()})


def _count_on(engine: Engine, rows: dict[str, list[dict[str, Any]]]) -> None:
    """Let a server's counters go on after the rows that were put in with their numbers."""
    with engine.begin() as connection:
        for name, there in rows.items():
            if "id" in there[0]:
                query = f"SELECT setval(pg_get_serial_sequence('{name}', 'id'), :last)"
                connection.execute(text(query), {"last": max(row["id"] for row in there)})
