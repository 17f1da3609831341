"""Disks that are full, shut, emptied under the command, or that give back other bytes."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from faults.conftest import Case, full, is_whole, read_only, told

Check = Callable[[], None]
Outcome = dict[str, Any]


def flip(entry: Path) -> None:
    """Another digit, and the same number of them: nothing that reads the file would complain."""
    file = entry / "output" / "parameters.json"
    text = file.read_text()
    file.write_text(text.replace('"a": 0', '"a": 1').replace('"a": 2', '"a": 3'))


def ends_as_calm(case: Case, calm: Outcome) -> str:
    """Run to the end; what it said. What was lost was made again, so that stages are repeated."""
    done = case.run()
    assert done.returncode == 0, done.stderr
    assert case.outcome() == calm
    assert is_whole(case)
    return done.stderr


def test_a_full_disk_of_the_store_is_told(case: Case, disk: Path, goes_on: Check) -> None:
    (case.folder / "store").symlink_to(disk)
    with case.running() as running:
        running.until("Told", number=0)
        with full(disk):
            told(running.end(), "No space left on device", "`tune cache gc`", "TUNER_STORE")
    assert is_whole(case)
    goes_on()


def test_a_full_disk_of_the_database_is_told(case: Case, disk: Path, goes_on: Check) -> None:
    case.db = disk / "study.db"
    with case.running() as running:
        running.until("Told", number=0)
        with full(disk):
            told(running.end(), str(case.db), "the same command goes on")
    assert is_whole(case)
    goes_on()


def test_a_full_disk_of_the_answer_is_told_and_leaves_nothing_half_written(
    case: Case, disk: Path, goes_on: Check
) -> None:
    code = "from tuner.pipeline.store_owner import new_name; print(new_name())"
    dead = subprocess.check_output([sys.executable, "-c", code], text=True).strip()
    out = case.folder / "out"
    out.symlink_to(disk)
    (disk / f".model-{dead}").mkdir()  # of a command that was killed
    (disk / ".of-the-user").touch()
    with full(disk):
        told(case.run(), "No space left on device", "--output")
    ran = case.ran()
    goes_on()
    assert case.ran() == ran
    names = {"model", "recipe.yaml", "summary.json", "pareto.csv", "report.html"}
    names.add(".of-the-user")
    assert {path.name for path in out.iterdir()} == names


def test_a_store_that_may_only_be_read_is_told(case: Case, goes_on: Check) -> None:
    store = case.folder / "store"
    store.mkdir()
    with read_only(store):
        told(case.run(), "Read-only file system", "make it writable or set TUNER_STORE")
    goes_on()


def test_a_database_that_may_only_be_read_is_told(case: Case, goes_on: Check) -> None:
    case.db = case.folder / "studies" / "study.db"
    case.db.parent.mkdir()
    with read_only(case.db.parent):
        told(case.run(), "cannot be written to", "--db")
    goes_on()


def test_results_that_are_deleted_under_the_command_are_made_again(
    case: Case, calm: Outcome
) -> None:
    with case.running() as running:
        running.until("StageFinished", number=0)
        shutil.rmtree(case.folder / "store" / "entries", ignore_errors=True)
        done = running.end()
    assert done.returncode == 0, done.stderr
    assert case.outcome() == calm
    assert is_whole(case)


def test_a_store_that_is_removed_under_the_command_is_told_and_then_not_missed(
    case: Case, calm: Outcome
) -> None:
    with case.running() as running:
        running.until("StageStarted", number=0)
        shutil.rmtree(case.folder / "store", ignore_errors=True)
        told(running.end(), "the same command goes on")
    ends_as_calm(case, calm)


def test_flipped_bytes_in_the_chosen_model_do_not_reach_the_answer(
    case: Case, calm: Outcome
) -> None:
    assert case.run().returncode == 0
    shutil.rmtree(case.folder / "out")
    for entry in [*case.entries("toy"), *case.entries("toy_tail")]:
        flip(entry)
    ends_as_calm(case, calm)


def test_flipped_bytes_in_what_is_worked_on_are_found_and_made_again(
    case: Case, calm: Outcome
) -> None:
    """In a model that a stage takes, and in a stored measurement's number."""
    assert case.run("--trials", "1").returncode == 0
    for entry in case.entries("toy"):
        flip(entry)
    for entry in case.entries("measure toy_metrics"):
        meta = entry / "meta.json"
        meta.write_text(meta.read_text().replace("0.01", "0.09"))
    case.db.unlink()
    said = ends_as_calm(case, calm)
    assert "has another content than was stored" in said
    assert "its content is not what was stored" in said
