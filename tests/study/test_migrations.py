"""From every schema that there was to the newest one: all of it, or nothing."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from old_databases import VERSIONS, all_rows, expected_rows, make_old_database
from scripted_study import Study, asked, estimate, measured, started
from sqlalchemy import Engine, create_engine, event, inspect, text
from study.postgres import Server

from tuner.study.database import DatabaseError, open_engine
from tuner.study.migrating import REVISIONS, VERSION_TABLE
from tuner.study.schema import SCHEMA_VERSION
from tuner.study.views import VIEWS


class Cut(Exception):
    """What ends a migration in the middle."""


@pytest.fixture(scope="module")
def olds(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    folder = tmp_path_factory.mktemp("old")
    paths = {version: folder / f"{version}.db" for version in VERSIONS}
    for version, path in paths.items():
        make_old_database(f"sqlite:///{path}", version)
    return paths


@pytest.fixture(params=VERSIONS)
def old(request: pytest.FixtureRequest, olds: dict[int, Path], database: Path) -> int:
    """A version; `database` is of that schema."""
    version: int = request.param
    shutil.copy(olds[version], database)
    return version


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, database: Path) -> str:
    """An empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{database}"
    server: Server = request.getfixturevalue("postgres")
    return server.new_database()


def structure(engine: Engine) -> dict[str, Any]:
    """Tables with their columns, keys and indexes, and views."""
    look = inspect(engine)
    tables = {
        name: (
            [(c["name"], str(c["type"]), c["nullable"]) for c in look.get_columns(name)],
            look.get_pk_constraint(name)["constrained_columns"],
            sorted((i["name"] or "", tuple(i["column_names"])) for i in look.get_indexes(name)),
            sorted(str(sorted(key.items(), key=str)) for key in look.get_foreign_keys(name)),
        )
        for name in look.get_table_names()
    }
    views = {name: look.get_view_definition(name) for name in look.get_view_names()}
    return {"tables": tables, "views": views}


def public_version(engine: Engine) -> object:
    with engine.connect() as connection:
        return connection.execute(text("SELECT version FROM tuner_schema")).scalar_one()


def content(path: Path) -> list[str]:
    with sqlite3.connect(path) as connection:
        return list(connection.iterdump())


@contextmanager
def cut_before(number: int) -> Iterator[list[str]]:
    """Within it, the statement of that number (from 0) that any engine runs raises Cut."""
    seen: list[str] = []

    def look(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        seen.append(statement)
        if len(seen) > number:
            raise Cut

    event.listen(Engine, "before_cursor_execute", look)
    try:
        yield seen
    finally:
        event.remove(Engine, "before_cursor_execute", look)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_migrated_database_is_as_a_new_one(
    url: str, version: int, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    make_old_database(url, version)
    engine = open_engine(url)
    is_file = engine.dialect.name == "sqlite"
    fresh = (
        str(tmp_path / "new.db") if is_file else request.getfixturevalue("postgres").new_database()
    )
    new = open_engine(fresh)
    if version == SCHEMA_VERSION:  # nothing is done to it, though it knows no alembic yet
        assert VERSION_TABLE not in structure(engine)["tables"]
        assert set(structure(engine)["tables"]) | {VERSION_TABLE} == set(structure(new)["tables"])
    else:
        assert structure(engine) == structure(new)
    assert set(structure(engine)["views"]) == set(VIEWS)
    assert public_version(engine) == SCHEMA_VERSION
    engine.dispose()
    new.dispose()


@pytest.mark.parametrize("version", VERSIONS)
def test_every_row_is_kept_and_the_study_goes_on(url: str, version: int) -> None:
    make_old_database(url, version)
    study = Study(open_engine(url))
    expected = expected_rows(version)
    expected["tuner_schema"] = [{"version": SCHEMA_VERSION}]
    assert all_rows(study.engine, version) == expected
    assert [t.number for t in study.reader.trials("tones")] == [-1, 0, 1]
    study.send(started(resumed=True), asked(2), measured(2, estimate("latency", 0.05)))
    [metric] = study.reader.metrics("tones", 2)
    assert (metric.value, metric.ratio) == (0.05, None)
    assert len(study.reader.study("tones").runs) == 2
    study.engine.dispose()


def test_a_migration_that_is_cut_off_anywhere_leaves_the_older_schema(
    old: int, database: Path, tmp_path: Path
) -> None:
    before = content(database)
    with cut_before(1000) as statements:
        shutil.copy(database, tmp_path / "whole.db")
        open_engine(str(tmp_path / "whole.db")).dispose()
    if old == SCHEMA_VERSION:
        assert len(statements) < 20, "there is nothing to do"
        return
    assert len(statements) > 30
    for number in range(0, len(statements), 3):
        with cut_before(number), pytest.raises(Cut):
            open_engine(str(database))
        assert content(database) == before, statements[number]
    open_engine(str(database)).dispose()
    assert content(database) == content(tmp_path / "whole.db")


def test_a_migration_that_is_killed_leaves_the_older_schema(
    olds: dict[int, Path], database: Path
) -> None:
    shutil.copy(olds[1], database)
    before = content(database)
    code = (
        "import os, signal, sys\nfrom sqlalchemy import Engine, event\n"
        "from tuner.study.database import open_engine\n"
        "def look(c, cursor, statement, *rest):\n"
        "    if statement.startswith('UPDATE tuner_schema'):\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "event.listen(Engine, 'after_cursor_execute', look)\n"
        "open_engine(sys.argv[1])\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(database)], check=False)
    assert done.returncode == -9
    assert content(database) == before
    engine = open_engine(str(database))
    assert public_version(engine) == SCHEMA_VERSION
    engine.dispose()


def test_many_processes_may_migrate_the_same_database_at_once(
    olds: dict[int, Path], database: Path
) -> None:
    shutil.copy(olds[1], database)
    code = "import sys; from tuner.study.database import open_engine; open_engine(sys.argv[1])"
    processes = [
        subprocess.Popen([sys.executable, "-c", code, str(database)], stderr=subprocess.PIPE)
        for _ in range(4)
    ]
    assert [process.communicate(timeout=60)[1] for process in processes] == [b""] * 4
    engine = open_engine(str(database))
    assert all_rows(engine, 1) == expected_rows(1) | {"tuner_schema": [{"version": SCHEMA_VERSION}]}
    engine.dispose()


def test_what_optuna_keeps_of_its_own_schema_is_not_touched(url: str) -> None:
    make_old_database(url, 1)
    storage = optuna.storages.RDBStorage(url)
    with storage.engine.connect() as connection:
        query = text("SELECT version_num FROM alembic_version")
        before = connection.execute(query).scalars().all()
    engine = open_engine(url)
    with engine.connect() as connection:
        assert connection.execute(query).scalars().all() == before
        ours = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalars().all()
    assert ours == [f"{SCHEMA_VERSION:04d}"]
    assert storage.get_current_version() == storage.get_head_version()
    storage.engine.dispose()
    engine.dispose()


def test_the_revisions_are_one_line_that_ends_at_the_schemas_version() -> None:
    config = Config()
    config.set_main_option("script_location", str(REVISIONS))
    revisions = [r.revision for r in ScriptDirectory.from_config(config).walk_revisions()]
    assert revisions == [f"{n:04d}" for n in range(SCHEMA_VERSION, 0, -1)]


def test_a_database_that_is_up_to_date_is_opened_without_alembic(database: Path) -> None:
    open_engine(str(database)).dispose()
    code = (
        "import sys; from tuner.study.database import open_engine; open_engine(sys.argv[1]);"
        "open_engine(sys.argv[1], read_only=True); print('alembic' in sys.modules)"
    )
    command = [sys.executable, "-c", code, str(database)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "False\n"


def test_who_only_reads_may_bring_an_older_file_up_to_date(old: int, database: Path) -> None:
    engine = open_engine(str(database), read_only=True)
    assert public_version(engine) == SCHEMA_VERSION
    engine.dispose()


def test_a_server_whose_tables_are_read_by_a_view_of_somebody_says_so(postgres: Server) -> None:
    url = postgres.new_database()
    make_old_database(url, 1)
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("CREATE VIEW mine AS SELECT * FROM tuner_trials"))
    with pytest.raises(DatabaseError, match=r"cannot drop view tuner_trials .*a view of your own"):
        open_engine(url)
    assert public_version(engine) == 1
    engine.dispose()


def test_who_holds_the_tables_of_a_server_is_not_waited_for_for_ever(
    postgres: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNER_DB_TIMEOUT", "0.2")
    url = postgres.new_database()
    make_old_database(url, 1)
    engine = create_engine(url)
    with engine.connect() as connection:
        connection.execute(text("SELECT * FROM tuner_trials"))  # and leaves its transaction open
        with pytest.raises(DatabaseError, match="lock timeout; another command or dashboard holds"):
            open_engine(url)
        assert connection.execute(text("SELECT version FROM tuner_schema")).scalar_one() == 1
    open_engine(url).dispose()
    assert public_version(engine) == SCHEMA_VERSION
    engine.dispose()
