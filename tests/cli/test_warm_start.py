"""`tune` on an edited space, and with `--warm-start`: what was found is not paid for again."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

from cli.conftest import SPACE, Desk

SMALL = SPACE.replace("{choices: [0, 1, 2, 3, 4]}", "1").replace("trials: 12", "trials: 4")
SMALL = SMALL.replace("a: 1", "a: {choices: [0, 1]}").replace("c: 1", "c: {choices: [0, 1]}")
GRID = ("--strategy", "grid")


def run(desk: Desk, *arguments: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a run was begun with, if anything, and its answer."""
    done = desk.tune(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    warm: dict[str, Any] = next((e for e in lines if e["event"] == "WarmStarted"), {})
    return warm, lines[-1]


def trials_of(desk: Desk, study: str, db: str = "tuned/study.db") -> list[tuple[Any, ...]]:
    with sqlite3.connect(desk.folder / db) as connection:
        query = "select number, state, origin from tuner_trials where study = ? order by number"
        return connection.execute(query, (study,)).fetchall()


def test_an_edited_space_goes_on_with_every_trial_that_holds(desk: Desk) -> None:
    desk.write(SMALL)
    first = desk.answer("--space", "space.yaml", *GRID)
    ran = desk.ran()
    desk.write(SMALL.replace("a: {choices: [0, 1]}", "a: {choices: [0, 1, 2]}"))
    warm, second = run(desk, "--space", "space.yaml", *GRID, "--trials", "2")
    assert warm["text"] == (
        f"continues {first['study']} (edited: toy.a gained 2): 4 of 4 trials still valid"
    )
    rows = trials_of(desk, second["study"])
    assert [origin for _, _, origin in rows[:5]] == [
        f"{first['study']}#{number}" for number in range(-1, 4)
    ]
    assert [origin for _, _, origin in rows[5:]] == [None] * 2, "the new ones are all tried"
    new = desk.ran()[len(ran) :]
    assert new, "they were made"
    assert all("'a': 2" in line for line in new), "and nothing else was"


def test_the_answer_out_of_trials_taken_over_is_the_one_they_gave(desk: Desk) -> None:
    desk.write(SMALL)
    first = desk.answer("--space", "space.yaml", *GRID)
    ran = desk.ran()
    warm, again = run(desk, "--space", "space.yaml", *GRID, "--seed", "7")
    assert warm["exact"] == 4
    assert desk.ran() == ran, "no stage was executed"
    assert again["study"] != first["study"]
    for key in ("parameters", "metrics", "verdict"):
        assert again["chosen"][key] == first["chosen"][key]
        assert [t[key] for t in again["front"]] == [t[key] for t in first["front"]]


def test_the_same_command_again_takes_nothing_over_twice(desk: Desk) -> None:
    desk.write(SMALL)
    desk.answer("--space", "space.yaml", *GRID)
    edited = ("--space", "space.yaml", *GRID, "--max", "cost=13ms")
    _, first = run(desk, *edited)
    warm, second = run(desk, *edited)
    assert warm == {}
    assert second["trials"] == first["trials"] == 4
    assert second["chosen"] == first["chosen"]


def test_a_name_with_another_question_gets_a_revision(desk: Desk) -> None:
    assert desk.tune("--space", "space.yaml", "--study", "mine", "--trials", "2").returncode == 0
    edited = ("--space", "space.yaml", "--study", "mine", "--seed", "9", "--trials", "1")
    done = desk.tune(*edited)
    assert done.returncode == 0, done.stderr
    assert "study        mine-2\n" in done.stdout
    assert "continues mine (edited: seed 9 instead of 3): 2 of 2 trials still valid" in done.stdout
    assert [r[2] for r in trials_of(desk, "mine-2")] == ["mine#-1", "mine#0", "mine#1", None]
    assert "study        mine-2 (continued)" in desk.tune(*edited).stdout
    assert len(trials_of(desk, "mine")) == 3, "which stays what it was"


def test_a_study_of_another_database_may_be_begun_with(desk: Desk) -> None:
    desk.write(SMALL)
    first = desk.answer("--space", "space.yaml", *GRID, "--db", "before.db")
    ran = desk.ran()
    args = ("--space", "space.yaml", *GRID, "--study", "mine")
    named, _ = run(desk, *args, "--warm-start", f"before.db#{first['study']}")
    assert named["text"] == f"warm start from before.db#{first['study']}: 4 trials exact"
    assert trials_of(desk, "mine")[1][2] == f"{first['study']}#0"
    (desk.folder / "before.db").unlink()
    _, again = run(desk, *args, "--warm-start", f"before.db#{first['study']}")
    assert again["trials"] == 4, "what was taken over is not looked for again"
    assert desk.ran() == ran


def test_a_study_may_begin_with_nothing(desk: Desk) -> None:
    desk.answer("--space", "space.yaml", "--trials", "2")
    again = ("--space", "space.yaml", "--seed", "9", "--trials", "1", "--warm-start", "none")
    warm, answer = run(desk, *again)
    assert (warm, answer["trials"]) == ({}, 1)


def test_what_cannot_be_begun_with_is_said_before_anything_runs(desk: Desk) -> None:
    (desk.folder / "junk.db").write_text("no database")
    for address, words in (
        ("missing", "there is no study 'missing' in tuned/study.db"),
        ("junk.db", "the study database junk.db is not an SQLite file"),
    ):
        done = desk.tune("--space", "space.yaml", "--warm-start", address)
        assert done.returncode == 2
        assert done.stderr.startswith(f"tune: cannot start from {address!r}: {words}")
    assert desk.ran() == []


def test_a_study_of_another_model_only_hints(desk: Desk) -> None:
    assert desk.tune("--space", "space.yaml", "--trials", "2", "--study", "old").returncode == 0
    (desk.folder / "model" / "model.safetensors").write_bytes(b"other weights")
    warm, answer = run(desk, "--space", "space.yaml", "--trials", "2", "--warm-start", "old")
    assert warm["text"] == "warm start from old: 0 trials exact, 2 similar (another model)"
    assert answer["trials"] == 2
