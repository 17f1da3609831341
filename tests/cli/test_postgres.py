"""The command with its studies on a PostgreSQL server."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cli.conftest import Desk
from faults.conftest import SPACE, Running
from sqlalchemy import create_engine, text
from study.postgres import Server

from tuner.cli import study_commands
from tuner.cli.arguments import parse

TRIALS = "SELECT number, state, verdict, parameters FROM tuner_trials ORDER BY number"
MADE = "SELECT key FROM tuner_stages WHERE outcome = 'done' AND NOT cached"


def rows(url: str, query: str) -> list[tuple[Any, ...]]:
    engine = create_engine(url)
    with engine.connect() as connection:
        found = [tuple(row) for row in connection.execute(text(query))]
    engine.dispose()
    return found


def run(db: str) -> tuple[str, ...]:
    return ("--space", "space.yaml", "--db", db, "--output", "out", "--json")


@pytest.fixture
def slow(desk: Desk) -> Desk:
    """A desk with a study of four trials with stages that take a moment."""
    desk.write(SPACE)
    return desk


def test_a_command_that_was_killed_goes_on_as_on_sqlite(slow: Desk, postgres_url: str) -> None:
    running = Running(slow.start(*run(postgres_url)))
    running.until("Told", number=1)
    running.process.kill()
    running.process.communicate()
    done = slow.tune(*run(postgres_url))
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout.splitlines()[-1])
    made = [key for (key,) in rows(postgres_url, MADE)]
    assert len(made) == len(set(made)), "no stage that was done was done again"

    assert slow.tune(*run("calm.db")).returncode == 0  # stages come from the store; trials do not
    assert rows(postgres_url, TRIALS) == rows(f"sqlite:///{slow.folder / 'calm.db'}", TRIALS)
    assert len(rows(postgres_url, "SELECT * FROM tuner_runs")) == 2

    best = slow.tune("best", answer["study"], "--db", postgres_url, "--json")
    assert (best.returncode, best.stderr) == (0, "")
    assert json.loads(best.stdout)["chosen"]["number"] == answer["chosen"]["number"]


def test_two_commands_share_the_work(slow: Desk, postgres_url: str) -> None:
    both = [slow.start(*run(postgres_url)[:-3], "--output", name, "--quiet") for name in "ab"]
    ends = [process.communicate(timeout=100) for process in both]
    assert [process.returncode for process in both] == [0, 0], ends
    trials = rows(postgres_url, "SELECT number, run FROM tuner_trials WHERE role = 'trial'")
    assert sorted(number for number, _ in trials) == [0, 1, 2, 3]
    made = [key for (key,) in rows(postgres_url, MADE)]
    assert len(made) == len(set(made))


@pytest.mark.parametrize(
    ("db", "code", "words"),
    [
        ("WRONG", 1, "password authentication failed"),
        ("EMPTY", 2, "is no study database: it holds no tables"),
        ("postgresql+psycopg://u:s3cret@127.0.0.1:1/x", 1, "and that the server runs"),
        ("postgresql+nodriver://u:s3cret@host/x", 2, "is not installed"),
    ],
)
def test_what_is_wrong_with_a_server_is_told_by_commands_that_read(
    postgres: Server, capsys: pytest.CaptureFixture[str], db: str, code: int, words: str
) -> None:
    known = {
        "WRONG": postgres.url("postgres", password="s3cret"),
        "EMPTY": postgres.url("template1"),
    }
    assert study_commands.run(parse(["list", "--db", known.get(db, db)])) == code
    errors = capsys.readouterr().err
    assert words in errors
    assert "s3cret" not in errors
    assert len(errors.strip().splitlines()) == 1


def test_a_server_that_cannot_be_used_ends_a_run_in_one_sentence(
    desk: Desk, postgres: Server
) -> None:
    done = desk.tune("--space", "space.yaml", "--db", postgres.url("x", password="s3cret"))
    assert done.returncode == 1
    assert done.stderr.startswith("tune: the study database postgresql+psycopg://tune:***@/x")
    assert "password authentication failed" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
