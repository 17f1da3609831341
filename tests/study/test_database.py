from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import optuna
import pytest
from sqlalchemy import Engine, inspect, text

from tuner.study.database import DatabaseError, configure_sqlite, open_engine
from tuner.study.schema import SCHEMA_VERSION


def pragma(engine: Engine, name: str) -> object:
    with engine.connect() as connection:
        return connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()


def test_a_path_is_an_sqlite_file_in_wal_mode(engine: Engine, database: Path) -> None:
    assert database.read_bytes().startswith(b"SQLite format 3\0")
    assert pragma(engine, "journal_mode") == "wal"
    assert pragma(engine, "synchronous") == 1
    assert pragma(engine, "busy_timeout") == 120000
    assert pragma(engine, "foreign_keys") == 1


def test_missing_folders_are_made(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "study.db"
    open_engine(str(path)).dispose()
    assert path.is_file()


def test_a_path_may_hold_what_means_something_in_urls(tmp_path: Path) -> None:
    path = tmp_path / "50% #1?mode=ro & 'ü'.db"
    open_engine(str(path)).dispose()
    assert path.is_file()


def test_a_url_and_a_path_open_the_same_file(engine: Engine, database: Path) -> None:
    again = open_engine(f"sqlite:///{database}")
    assert inspect(again).has_table("tuner_schema")
    assert again.url.database == engine.url.database
    again.dispose()


def test_opening_again_changes_nothing(engine: Engine, database: Path) -> None:
    before = inspect(engine).get_table_names()
    again = open_engine(str(database))
    assert inspect(again).get_table_names() == before
    assert pragma(again, "integrity_check") == "ok"
    again.dispose()


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match="is a folder; expected a file"):
        open_engine(str(tmp_path))


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DatabaseError, match=r"folder .* cannot be made"):
        open_engine(str(tmp_path / "file" / "folder" / "study.db"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    with pytest.raises(DatabaseError, match="cannot be written to"):
        open_engine(str(tmp_path / "study.db"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_file_is_refused(database: Path) -> None:
    open_engine(str(database)).dispose()
    database.chmod(0o444)
    with pytest.raises(DatabaseError, match="cannot be read and written"):
        open_engine(str(database))


def test_a_file_that_is_not_sqlite_is_refused_and_left_alone(database: Path) -> None:
    database.write_text("model: a-space-file\n")
    with pytest.raises(DatabaseError, match="is not an SQLite file"):
        open_engine(str(database))
    assert database.read_text() == "model: a-space-file\n"


def test_a_damaged_file_is_an_error_of_one_sentence(database: Path) -> None:
    database.write_bytes(b"SQLite format 3\0" + bytes(5000))
    with pytest.raises(DatabaseError, match="cannot be used") as caught:
        open_engine(str(database))
    assert "\n" not in str(caught.value)
    assert str(database) in str(caught.value)


def test_an_empty_file_becomes_a_database(database: Path) -> None:
    database.touch()
    open_engine(str(database)).dispose()
    assert database.stat().st_size > 0


def test_a_newer_schema_is_refused(engine: Engine, database: Path) -> None:
    with engine.begin() as connection:
        connection.execute(text("UPDATE tuner_schema SET version = 99"))
    expected = rf"newer version .*schema 99, expected {SCHEMA_VERSION}"
    with pytest.raises(DatabaseError, match=expected):
        open_engine(str(database))


def test_tables_of_others_are_kept(database: Path) -> None:
    with sqlite3.connect(database) as connection:
        connection.execute("CREATE TABLE bookmarks (url TEXT)")
        connection.execute("INSERT INTO bookmarks VALUES ('kept')")
    engine = open_engine(str(database))
    with engine.connect() as connection_:
        assert connection_.execute(text("SELECT url FROM bookmarks")).scalar_one() == "kept"
    engine.dispose()


def test_a_table_of_others_with_our_name_is_refused(database: Path) -> None:
    with sqlite3.connect(database) as connection:
        connection.execute("CREATE TABLE tune_trials (id INTEGER)")
    with pytest.raises(DatabaseError, match="'tune_trials' that this program did not make"):
        open_engine(str(database))


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:"])
def test_memory_is_refused(url: str) -> None:
    with pytest.raises(DatabaseError, match="must be a file"):
        open_engine(url)


def test_an_unknown_kind_names_the_nearest() -> None:
    with pytest.raises(DatabaseError, match=r"'postgres'; .*did you mean postgresql"):
        open_engine("postgres://host/name")


def test_a_missing_driver_is_named() -> None:
    with pytest.raises(DatabaseError, match=r"driver for postgresql\+nodriver"):
        open_engine("postgresql+nodriver://host/name")


@pytest.mark.parametrize("url", ["", "://", "sqlite:/:/x://"])
def test_nonsense_is_refused(url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DatabaseError, match="the study database"):
        open_engine(url)


def test_optuna_and_the_study_share_a_database(database: Path) -> None:
    storage = optuna.storages.RDBStorage(f"sqlite:///{database}")
    open_engine(str(database)).dispose()
    configure_sqlite(storage.engine)
    assert pragma(storage.engine, "synchronous") == 1
    shared = optuna.create_study(storage=storage, study_name="tones")
    shared.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=2)
    assert len(optuna.load_study(storage=storage, study_name="tones").trials) == 2
    optuna.delete_study(storage=storage, study_name="tones")
    storage.engine.dispose()


def test_many_processes_may_make_the_same_database_at_once(database: Path) -> None:
    code = "import sys; from tuner.study.database import open_engine; open_engine(sys.argv[1])"
    processes = [
        subprocess.Popen([sys.executable, "-c", code, str(database)], stderr=subprocess.PIPE)
        for _ in range(4)
    ]
    errors = [process.communicate(timeout=60)[1] for process in processes]
    assert errors == [b""] * 4
    engine = open_engine(str(database))
    with engine.connect() as connection:
        versions = connection.execute(text("SELECT version FROM tuner_schema")).scalars().all()
    assert versions == [SCHEMA_VERSION]
    engine.dispose()
