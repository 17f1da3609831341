"""The study's database on a real PostgreSQL server: as on SQLite, and what only servers have."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from old_databases import make_old_database
from scripted_study import Script, Study, asked, started
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError
from study.postgres import Server

from tuner.study.cooperation import Cooperation
from tuner.study.database import DatabaseError, DatabaseUnavailable, open_engine
from tuner.study.writer import StudyWriter

NAME = "it's <b>tones</b> 😀"
TIMES = ("at", "_at", "front_since", "front_until")


class Enough(Exception):
    """What a test's `look` raises."""


def no_look() -> None:
    """Wait on."""


@pytest.fixture
def server(postgres_url: str) -> Iterator[Engine]:
    engine = open_engine(postgres_url)
    yield engine
    engine.dispose()


def everything(engine: Engine, name: str) -> dict[str, Any]:
    """All that a reader finds, without the times at which it was written."""
    reader = Study(engine, name).reader
    found = {
        question: [asdict(row) for row in getattr(reader, question)(name)]
        for question in ("trials", "metrics", "constraints", "stages", "measurements", "events")
    }
    found["confirmations"] = [asdict(row) for row in reader.confirmations(name)]
    return {question: [_timeless(row) for row in rows] for question, rows in found.items()}


def _timeless(row: dict[str, Any]) -> dict[str, Any]:
    measured = {"seconds"} if row.get("outcome") == "failed" else set()  # by the clock
    return {k: v for k, v in row.items() if not k.endswith(TIMES) and k not in measured}


def test_a_study_is_the_same_on_both(server: Engine, engine: Engine) -> None:
    for each in (server, engine):
        Study(each, NAME).send_all(Script(15, NAME).events())
    assert everything(server, NAME) == everything(engine, NAME)
    assert len(everything(server, NAME)["trials"]) == 16


def test_many_processes_may_make_the_same_database_at_once(postgres_url: str) -> None:
    code = "import sys; from tuner.study.database import open_engine; open_engine(sys.argv[1])"
    processes = [
        subprocess.Popen([sys.executable, "-c", code, postgres_url], stderr=subprocess.PIPE)
        for _ in range(3)
    ]
    assert [process.communicate(timeout=60)[1] for process in processes] == [b""] * 3


def test_two_commands_take_turns(server: Engine, postgres_url: str) -> None:
    other, looks = open_engine(postgres_url), []

    def look() -> None:
        looks.append(1)
        if len(looks) == 3:
            raise Enough

    with StudyWriter(server, "tones") as one, StudyWriter(other, "tones") as two:
        one(started())
        two(started(resumed=True))
        first = Cooperation(server, Study(server).reader, one, "tones")
        second = Cooperation(other, Study(other).reader, two, "tones")
        with first.turn("ask", no_look):
            with pytest.raises(Enough), second.turn("ask", look):
                raise AssertionError("two had the turn")
            with second.turn("answer", no_look), second.turn("answer", no_look):
                pass
        with second.turn("ask", no_look):
            pass
        one(asked(0))
        assert second.news() == {0: "running"}
    other.dispose()


def test_a_turn_is_given_back_when_its_holder_is_killed(server: Engine, postgres_url: str) -> None:
    code = (
        "import os, sys\nfrom scripted_study import *\n"
        "from tuner.study.cooperation import Cooperation\n"
        "engine = open_engine(sys.argv[1])\n"
        "cooperation = Cooperation(engine, StudyReader(engine), None, 'tones')\n"
        "with cooperation.turn('ask', lambda: None):\n    os._exit(9)\n"
    )
    folder = Path(__file__).parent
    command = [sys.executable, "-c", code, postgres_url]
    assert subprocess.run(command, cwd=folder, check=False).returncode == 9
    with StudyWriter(server, "tones") as writer:
        writer(started())
        with Cooperation(server, Study(server).reader, writer, "tones").turn("ask", no_look):
            pass


def test_a_command_that_holds_a_turn_has_no_transaction_open(server: Engine) -> None:
    query = "SELECT COUNT(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'"
    with StudyWriter(server, "tones") as writer:
        writer(started())
        cooperation = Cooperation(server, Study(server).reader, writer, "tones")
        with cooperation.turn("ask", no_look), server.connect() as connection:
            here = f"{query} AND datname = current_database()"
            assert connection.execute(text(here)).scalar_one() == 0


def test_a_command_that_lives_can_be_seen_to(
    server: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tuner.study.writer.BEAT", 0.02)
    with StudyWriter(server, "tones") as writer:
        writer(started())
        writer.live()
        end, beat = time.monotonic() + 20, 0
        while beat < 3 and time.monotonic() < end:
            with server.connect() as connection:
                found = connection.execute(text("SELECT beat FROM tune_runs")).scalar_one()
                beat = found or 0
    assert beat >= 3


def test_what_a_dead_command_left_running_is_closed(server: Engine, postgres_url: str) -> None:
    code = (
        "import os, sys\nfrom scripted_study import *\n"
        "study = Study(open_engine(sys.argv[1])); study.send(started(), asked(0)); os._exit(9)\n"
    )
    folder = Path(__file__).parent
    subprocess.run([sys.executable, "-c", code, postgres_url], cwd=folder, check=False)
    study = Study(server)
    assert study.reader.trials("tones")[0].state == "running"
    study.send(started(resumed=True))
    assert study.reader.trials("tones")[0].state == "interrupted"


# Who may do what


@pytest.fixture
def reading_url(postgres: Server, postgres_url: str) -> str:
    """The same database for a user who may read and no more."""
    name = postgres_url.rpartition("/")[2].partition("?")[0]
    role = f"reader_{name}"
    postgres.run(f"CREATE ROLE {role} LOGIN PASSWORD 'r'", name)
    postgres.run(f"ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO {role}", name)
    return postgres.url(name, role, "r")


def test_who_may_only_read_reads(postgres_url: str, reading_url: str) -> None:
    engine = open_engine(postgres_url)
    Study(engine, NAME).send_all(Script(3, NAME).events())
    reading = open_engine(reading_url, read_only=True)
    assert everything(reading, NAME) == everything(engine, NAME)
    reading.dispose()
    engine.dispose()


def test_a_connection_that_reads_cannot_write(server: Engine, postgres_url: str) -> None:
    reading = open_engine(postgres_url, read_only=True)
    with reading.connect() as connection, pytest.raises(DBAPIError, match="read-only transaction"):
        connection.execute(text("UPDATE tuner_schema SET version = 1"))
    reading.dispose()


def test_who_may_only_read_cannot_bring_an_older_schema_up_to_date(
    postgres_url: str, reading_url: str
) -> None:
    make_old_database(postgres_url, 2)
    with pytest.raises(DatabaseUnavailable, match="connect as the user who owns its tables"):
        open_engine(reading_url, read_only=True)


def test_who_may_make_nothing_is_told(reading_url: str) -> None:
    with pytest.raises(DatabaseUnavailable, match=r"permission denied .*who owns its tables"):
        open_engine(reading_url)


def test_reading_makes_no_tables(postgres_url: str) -> None:
    with pytest.raises(DatabaseError, match="is no study database: it holds no tables"):
        open_engine(postgres_url, read_only=True)
    with pytest.raises(DatabaseError, match="is no study database: it holds no tables"):
        open_engine(postgres_url, read_only=True)


# What cannot be reached


@pytest.mark.parametrize("read_only", [False, True])
def test_a_wrong_password_is_told_without_it(postgres: Server, read_only: bool) -> None:
    url = postgres.url("postgres", password="s3cret")
    with pytest.raises(DatabaseUnavailable, match="password authentication failed") as caught:
        open_engine(url, read_only=read_only)
    assert "check the user, password" in str(caught.value)
    assert "s3cret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_database_that_is_not_there_is_told(postgres: Server) -> None:
    with pytest.raises(DatabaseUnavailable, match='database "nowhere" does not exist'):
        open_engine(postgres.url("nowhere"))


def test_a_server_that_does_not_answer_is_told(postgres: Server) -> None:
    url = "postgresql+psycopg://tune:s3cret@127.0.0.1:1/study"
    with pytest.raises(DatabaseUnavailable, match="that the server runs") as caught:
        open_engine(url)
    assert "s3cret" not in str(caught.value)


def test_a_missing_driver_says_what_to_install() -> None:
    pytest.importorskip("psycopg")
    code = (
        "import sys; sys.modules['psycopg'] = None\n"
        "from tuner.study.database import DatabaseError, open_engine\n"
        "try:\n    open_engine('postgresql+psycopg://host/name')\n"
        "except DatabaseError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "the driver for postgresql+psycopg databases is not installed" in done.stdout
    assert "pip install 'psycopg[binary]'" in done.stdout
