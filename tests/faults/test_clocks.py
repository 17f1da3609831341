"""A clock that is set while a study goes on, and between two commands."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from faults.conftest import Case

Check = Callable[[], None]

YEAR = 365 * 86400.0


def with_a_clock(case: Case) -> Path:
    """The file that says how wrong the command's clock is."""
    offset = case.folder / "offset"
    case.environment["CLOCK_OFFSET"] = str(offset)
    plugins = str(Path(__file__).parent.parent / "plugins")
    jumping = str(Path(__file__).parent / "jumping")
    case.environment["PYTHONPATH"] = os.pathsep.join([jumping, plugins])
    return offset


def in_order(case: Case) -> None:
    trials = case.rows(
        "SELECT number, seconds, started_at, finished_at FROM tuner_trials"
        " WHERE number >= 0 ORDER BY finished_at"
    )
    assert [number for number, *_ in trials] == [0, 1, 2, 3]
    assert all(seconds >= 0 for _, seconds, *_ in trials)
    assert all(started <= finished for *_, started, finished in trials)
    stages = case.rows("SELECT seconds FROM tuner_stages")
    assert all(0 <= seconds < 60 for (seconds,) in stages)


def test_a_clock_that_jumps_under_a_command_changes_nothing(case: Case, is_as_calm: Check) -> None:
    offset = with_a_clock(case)
    with case.running("--max-time", "10m") as running:
        for number, error in enumerate([YEAR, -2 * YEAR, 3 * 86400.0]):
            running.until("Told", number=number - 1)
            offset.write_text(str(error))
        done = running.end()
    assert done.returncode == 0, done.stderr
    in_order(case)
    is_as_calm()


def test_a_clock_that_was_set_between_commands_loses_nothing(case: Case, goes_on: Check) -> None:
    offset = with_a_clock(case)
    offset.write_text(str(20 * YEAR))
    done = case.run("--trials", "2")
    assert done.returncode == 0, done.stderr
    entries = [*case.entries("toy"), *case.entries("toy_tail")]
    offset.unlink()
    goes_on()
    assert all(entry.exists() for entry in entries), "nothing was too old, or too new"
