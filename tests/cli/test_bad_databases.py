"""What the commands that read say of databases that are not what they should be.

Always one sentence on standard error, the exit code that fits, and the file as it was.
"""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import optuna
import pytest
from faults.conftest import read_only
from stored_studies import Maker, Model
from study.old_databases import make_old_database

from tuner.cli import study_commands
from tuner.cli.arguments import COMMANDS, parse
from tuner.study.database import open_engine

Make = Callable[[Path], None]

NAME = "it's <b>tones</b> 😀"

# Every command that reads a study, with what it needs; `OUT` is a file to write.
READING = {
    "list": (),
    "show": (NAME,),
    "compare": (NAME, "0", "1"),
    "best": (NAME,),
    "why": (NAME,),
    "rerank": (NAME, "--constraint", "latency<40ms"),
    "report": (NAME, "-o", "OUT"),
    "export": (NAME, "-o", "OUT", "--format", "csv"),
    "card": (NAME, "-o", "OUT"),
    "dashboard": (NAME,),
}
ENDING = [name for name in READING if name in COMMANDS and name != "dashboard"]
"""Those that end by themselves."""


@dataclass
class Said:
    """How a command ended."""

    code: int
    errors: str


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Callable[..., Said]:
    """Run a reading command on a database, in this process."""

    def run(command: str, db: object) -> Said:
        out = str(tmp_path / "written")
        more = [out if argument == "OUT" else argument for argument in READING[command]]
        code = study_commands.run(parse([command, *more, "--db", str(db)]))
        return Said(code, capsys.readouterr().err)

    return run


@pytest.fixture(scope="session")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with a study. Copy it."""
    path = tmp_path_factory.mktemp("good") / "study.db"
    engine = open_engine(str(path))
    models = (Model(0.1, 0.6), Model(0.05, 0.7), Model(0.04, 0.5), Model(0.08, 0.8))
    Maker(engine, constraints=["tpot<1s"], name=NAME).study(*models)
    engine.dispose()
    return path


def folder(path: Path) -> None:
    path.mkdir()


def empty(path: Path) -> None:
    path.touch()


def prose(path: Path) -> None:
    path.write_text("model: a-space-file\n")


def zeros(path: Path) -> None:
    path.write_bytes(b"SQLite format 3\0" + bytes(5000))


def bookmarks(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        for name in ("bookmarks", "cookies", "it's <b>", "visits", "z"):
            connection.execute(f'CREATE TABLE "{name}" (url TEXT)')


def authors(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE tuner_schema (author TEXT)")


def no_tables(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 3")


def optunas(path: Path) -> None:
    storage = optuna.storages.RDBStorage(f"sqlite:///{path}")
    optuna.create_study(storage=storage, study_name=NAME)
    storage.engine.dispose()


def changed(*statements: str) -> Make:
    def make(path: Path) -> None:
        open_engine(str(path)).dispose()
        with closing(sqlite3.connect(path)) as connection:
            for statement in statements:
                connection.execute(statement)
            connection.commit()

    return make


BAD: dict[str, tuple[Make, int, str]] = {
    "a folder": (folder, 2, "is a folder; expected a file"),
    "an empty file": (empty, 2, "is empty: no command has written to it yet"),
    "no SQLite file": (prose, 2, "is not an SQLite file"),
    "zeros": (zeros, 1, "put a copy of it back"),
    "somebody's file": (
        bookmarks,
        2,
        "is no study database: it holds other tables ('bookmarks', 'cookies', \"it's <b>\" and 2 "
        "more)",
    ),
    "no tables": (no_tables, 2, "is no study database: it holds no tables"),
    "Optuna's": (optunas, 2, "it holds Optuna's tables only; `optuna-dashboard` opens it"),
    "newer": (
        changed("UPDATE tuner_schema SET version = 99"),
        2,
        "a newer version of this program",
    ),
    "no version": (changed("DELETE FROM tuner_schema"), 2, "does not say its schema's version"),
    "two versions": (
        changed("INSERT INTO tuner_schema VALUES (1)"),
        2,
        "does not say its schema's version",
    ),
    "version nought": (
        changed("UPDATE tuner_schema SET version = 0"),
        2,
        "does not say its schema's version",
    ),
    "a table of that name": (
        authors,
        2,
        "does not say its schema's version",
    ),
    "a table too few": (
        changed("DROP TABLE tune_studies"),
        1,
        "no such table: tune_studies; it was damaged",
    ),
}


def content(path: Path) -> dict[str, tuple[bytes, int]]:
    """Every file of a database's folder: its bytes, and when it was written."""
    return {
        p.name: (p.read_bytes(), p.stat().st_mtime_ns)
        for p in path.parent.iterdir()
        if p.is_file() and p.name != "written"
    }


def is_a_sentence(said: Said, command: str) -> bool:
    lines = said.errors.strip().splitlines()
    return len(lines) == 1 and lines[0].startswith(f"tune {command}: ") and len(lines[0]) < 600


@pytest.mark.parametrize("kind", BAD)
@pytest.mark.parametrize("command", [name for name in READING if name in COMMANDS])
def test_what_is_no_study_database_is_told_and_left_alone(
    say: Callable[..., Said], tmp_path: Path, kind: str, command: str
) -> None:
    make, code, words = BAD[kind]
    path = tmp_path / "db" / "study.db"
    path.parent.mkdir()
    make(path)
    before = content(path)
    said = say(command, path)
    assert is_a_sentence(said, command), said.errors
    assert (said.code, words in said.errors) == (code, True), said.errors
    assert str(path) in said.errors
    assert content(path) == before


@pytest.mark.parametrize("command", [name for name in READING if name in COMMANDS])
def test_a_file_that_is_not_there_is_not_made(
    say: Callable[..., Said], tmp_path: Path, command: str
) -> None:
    for db in (tmp_path / "no" / "study.db", f"sqlite:///{tmp_path / 'study.db'}"):
        said = say(command, db)
        assert said.code == 2
        assert "there is no study database at" in said.errors
        assert "say where it is with --db" in said.errors
    assert [p.name for p in tmp_path.iterdir()] == []


@pytest.mark.parametrize("seed", range(12))
def test_damage_in_the_middle_is_told_where_it_is_met(
    say: Callable[..., Said], good: Path, tmp_path: Path, seed: int
) -> None:
    draw, whole = random.Random(seed), good.read_bytes()
    damaged = bytearray(whole)
    if seed % 3 == 0:
        del damaged[draw.randrange(4096, len(whole)) :]
    for _ in range((0, 3, 60)[seed % 3]):
        at = draw.randrange(100, len(whole))
        damaged[at : at + 8] = draw.randbytes(8)
    path = tmp_path / "study.db"
    path.write_bytes(damaged)
    for command in ENDING:
        said = say(command, path)
        assert said.code in (0, 1, 2, 3)
        if said.errors and said.code != 0:
            assert is_a_sentence(said, command), said.errors
    assert path.read_bytes() == damaged


def test_lost_pages_are_told_by_every_command_that_needs_them(
    say: Callable[..., Said], good: Path, tmp_path: Path
) -> None:
    path = tmp_path / "study.db"
    damaged = bytearray(good.read_bytes())
    with closing(sqlite3.connect(good)) as connection:
        query = "SELECT rootpage FROM sqlite_master WHERE name LIKE 'tune_%' AND type = 'table'"
        for (page,) in connection.execute(query).fetchall():
            damaged[(page - 1) * 4096 : page * 4096] = b"\xa7" * 4096
    path.write_bytes(damaged)
    for command in ENDING:
        said = say(command, path)
        assert said.code == 1
        assert "malformed" in said.errors
        assert "put a copy of it back, or name another with --db" in said.errors


def test_text_that_is_not_json_is_told_as_damage(
    say: Callable[..., Said], good: Path, tmp_path: Path
) -> None:
    path = tmp_path / "study.db"
    shutil.copy(good, path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE tune_studies SET space = '{oops'")
        connection.commit()
    said = say("best", path)
    assert (said.code, is_a_sentence(said, "best")) == (1, True)
    assert "damaged: it holds text that is not JSON" in said.errors


def test_reading_writes_nothing_and_leaves_nothing(
    say: Callable[..., Said], good: Path, tmp_path: Path
) -> None:
    path = tmp_path / "db" / "study.db"
    path.parent.mkdir()
    shutil.copy(good, path)
    before = content(path)
    for command in ENDING:
        assert say(command, path).code in (0, 3), command
        assert content(path) == before, command


def test_what_a_killed_command_left_is_read_and_left(
    say: Callable[..., Said], good: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    live, path = tmp_path / "live" / "study.db", tmp_path / "killed" / "study.db"
    live.parent.mkdir()
    shutil.copy(good, live)
    with closing(sqlite3.connect(live)) as connection:
        connection.execute("UPDATE tune_studies SET chosen = 7")
        connection.commit()
        shutil.copytree(live.parent, path.parent)  # as it is while somebody works on it
    assert (path.parent / "study.db-wal").stat().st_size > 0
    before = content(path)
    study_commands.run(parse(["list", "--db", str(path)]))
    assert "chosen #7" in capsys.readouterr().out
    for command in ENDING:
        assert say(command, path).code in (0, 3), command
    after = content(path)
    assert {n: after[n] for n in ("study.db", "study.db-wal")} == {
        n: before[n] for n in ("study.db", "study.db-wal")
    }


@pytest.mark.parametrize("is_worked_on", [False, True])
def test_a_database_on_a_disk_that_may_not_be_written_is_read(
    say: Callable[..., Said], good: Path, tmp_path: Path, is_worked_on: bool
) -> None:
    path = tmp_path / "db" / "study.db"
    path.parent.mkdir()
    shutil.copy(good, path)
    with closing(sqlite3.connect(path)) as connection:
        if is_worked_on:
            connection.execute("UPDATE tune_studies SET chosen = 7")
            connection.commit()
        with read_only(path.parent):
            for command in ENDING:
                said = say(command, path)
                assert said.code in (0, 3), said.errors


def test_an_older_schema_that_may_not_be_written_says_what_to_do(
    say: Callable[..., Said], tmp_path: Path
) -> None:
    path = tmp_path / "db" / "study.db"
    path.parent.mkdir()
    make_old_database(f"sqlite:///{path}", 2)
    before = content(path)
    with read_only(path.parent):
        said = say("list", path)
    assert said.code == 1
    assert is_a_sentence(said, "list")
    assert "is of an older schema (2, expected" in said.errors
    assert "copy it to a folder that you may write to, and name the copy with --db" in said.errors
    assert content(path) == before
    shutil.copy(path, tmp_path / "copy.db")
    assert say("list", tmp_path / "copy.db").code == 0


def test_a_log_without_its_index_on_such_a_disk_is_no_reason_to_read_less(
    say: Callable[..., Said], good: Path, tmp_path: Path
) -> None:
    path = tmp_path / "db" / "study.db"
    path.parent.mkdir()
    shutil.copy(good, path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE tune_studies SET chosen = 7")
        connection.commit()
        shutil.copytree(path.parent, tmp_path / "copy")
    copy = tmp_path / "copy" / "study.db"
    copy.with_name("study.db-shm").unlink()
    with read_only(copy.parent):
        said = say("list", copy)
    assert said.code == 1
    assert "copy it (and the -wal file beside it) to a folder that you may write to" in said.errors


def test_a_database_that_another_program_keeps_to_itself_is_told(
    say: Callable[..., Said], good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNER_DB_TIMEOUT", "0.2")
    path = tmp_path / "study.db"
    shutil.copy(good, path)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("BEGIN EXCLUSIVE")
        said = say("list", path)
    assert said.code == 1
    assert is_a_sentence(said, "list")
    assert "database is locked" in said.errors
    assert "let it end" in said.errors
    assert say("list", path).code == 0
