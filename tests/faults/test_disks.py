"""Disks that are full, shut, emptied under the command, or that give back other bytes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from faults.conftest import Case, full, is_whole, read_only, told

GoesOn = Callable[[], None]


def flip(file: Path) -> None:
    """Another digit, and the same number of them: nothing that reads the file would complain."""
    text = file.read_text()
    file.write_text(text.replace('": 0', '": 1') if '": 0' in text else text.replace("2", "3"))


def test_a_full_disk_of_the_store_is_told_and_the_study_goes_on(
    case: Case, disk: Path, goes_on: GoesOn
) -> None:
    (case.folder / "store").symlink_to(disk)
    with case.running() as running:
        running.until("Told", number=0)
        with full(disk):
            told(running.end(), "No space left on device", "`tune cache gc`", "TUNER_STORE")
    assert is_whole(case)
    goes_on()


def test_a_full_disk_of_the_database_is_told_and_the_study_goes_on(
    case: Case, disk: Path, goes_on: GoesOn
) -> None:
    case.db = disk / "study.db"
    with case.running() as running:
        running.until("Told", number=0)
        with full(disk):
            told(running.end(), str(case.db), "the same command goes on")
    assert is_whole(case)
    goes_on()


def test_a_full_disk_of_the_answer_is_told_and_nothing_is_made_again(
    case: Case, disk: Path, goes_on: GoesOn
) -> None:
    (case.folder / "out").symlink_to(disk)
    with full(disk):
        told(case.run(), "No space left on device", "--output")
    ran = case.ran()
    goes_on()
    assert case.ran() == ran


def test_a_store_that_may_only_be_read_is_told(case: Case, goes_on: GoesOn) -> None:
    assert case.run("--trials", "2").returncode == 0
    with read_only(case.folder / "store"):
        told(case.run(), "Read-only file system", "make it writable or set TUNER_STORE")
    goes_on()


def test_a_database_that_may_only_be_read_is_told(case: Case, goes_on: GoesOn) -> None:
    case.db = case.folder / "studies" / "study.db"
    assert case.run("--trials", "2").returncode == 0
    with read_only(case.db.parent):
        told(case.run(), "cannot be written to", "--db")
    goes_on()


def test_results_that_were_deleted_between_commands_are_not_missed(
    case: Case, calm: dict[str, Any]
) -> None:
    assert case.run("--trials", "2").returncode == 0
    shutil.rmtree(case.folder / "store" / "entries")
    done = case.run()
    assert done.returncode == 0, done.stderr
    assert case.outcome() == calm
    assert is_whole(case)


@pytest.mark.parametrize("what", ["entries", "."])
def test_results_that_are_deleted_under_the_command_are_made_again(
    case: Case, calm: dict[str, Any], what: str
) -> None:
    """Some of them, or the whole store with all that is being made there."""
    with case.running() as running:
        running.until("StageStarted", number=0)
        shutil.rmtree(case.folder / "store" / what, ignore_errors=True)
        done = running.end()
    if done.returncode != 0:
        told(done, "the same command goes on")
        done = case.run()
    assert done.returncode == 0, done.stderr
    assert case.outcome() == calm
    assert is_whole(case)


def test_flipped_bytes_in_what_a_stage_works_on_are_found_and_made_again(
    case: Case, calm: dict[str, Any]
) -> None:
    assert case.run("--trials", "1").returncode == 0
    toys = case.entries("toy")
    for entry in toys:
        flip(entry / "output" / "parameters.json")
    done = case.run()
    assert done.returncode == 0, done.stderr
    assert "has another content than was stored" in done.stderr
    assert case.outcome() == calm
    away = {path.name[:64] for path in (case.folder / "store" / "damaged").iterdir()}
    assert away <= {entry.name for entry in toys}
    assert away


def test_flipped_bytes_in_the_chosen_model_do_not_reach_the_answer(
    case: Case, calm: dict[str, Any]
) -> None:
    assert case.run().returncode == 0
    shutil.rmtree(case.folder / "out")
    for entry in [*case.entries("toy"), *case.entries("toy_tail")]:
        flip(entry / "output" / "parameters.json")
    done = case.run()
    assert done.returncode == 0, done.stderr
    assert case.outcome() == calm


def test_a_number_that_changed_in_a_stored_measurement_is_measured_again(
    case: Case, calm: dict[str, Any]
) -> None:
    assert case.run("--trials", "1").returncode == 0
    measured = case.entries("measure toy_metrics")
    for entry in measured:
        meta = entry / "meta.json"
        meta.write_text(meta.read_text().replace("0.01", "0.09"))
    case.db.unlink()
    done = case.run()
    assert done.returncode == 0, done.stderr
    assert "its content is not what was stored" in done.stderr
    assert case.outcome() == calm


def test_an_answer_that_was_cut_off_leaves_nothing_half_written(case: Case) -> None:
    assert case.run("--trials", "1").returncode == 0
    out = case.folder / "out"
    dead = ".model-" + next(iter(_owner_of_a_dead_process()))
    (out / dead).mkdir()
    (out / dead / "half").write_bytes(b"x")
    (out / ".gitignore-mine").touch()
    assert case.run().returncode == 0
    assert not (out / dead).exists()
    assert (out / ".gitignore-mine").exists()
    names = {"model", "recipe.yaml", "summary.json", "pareto.csv", ".gitignore-mine"}
    assert names <= {path.name for path in out.iterdir()}
    json.loads((out / "summary.json").read_text())


def _owner_of_a_dead_process() -> list[str]:
    import subprocess
    import sys

    code = "from tuner.pipeline.store_owner import new_name; print(new_name())"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return done.stdout.split()
