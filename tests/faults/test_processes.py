"""Signals to the command and to its processes, at every kind of moment."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest
from cli.conftest import Desk
from execution.process_looks import descendants_of, is_alive, wait_until
from faults.conftest import SPACE, Case, Running, is_whole

GoesOn = Callable[[], None]

MOMENTS = [
    ("StageStarted", {"number": -1}),
    ("MeasureStarted", {"number": -1}),
    ("StageStarted", {"number": 0}),
    ("MeasureStarted", {"number": 1}),
]


def family(running: Running) -> list[int]:
    return descendants_of(running.process.pid)


@pytest.mark.parametrize(("kind", "having"), MOMENTS)
def test_sigterm_saves_what_is_done(
    case: Case, goes_on: GoesOn, kind: str, having: dict[str, int]
) -> None:
    with case.running() as running:
        running.until(kind, **having)
        processes = family(running)
        running.process.send_signal(signal.SIGTERM)
        done = running.end()
    assert done.returncode == 130, done.stderr
    assert "the same command goes on from here" in done.stderr
    assert "Traceback" not in done.stderr
    assert not any(is_alive(pid) for pid in processes)
    assert is_whole(case)
    goes_on()


@pytest.mark.parametrize(("kind", "having"), MOMENTS)
def test_a_kill_of_the_command_loses_the_running_stage_only(
    case: Case, goes_on: GoesOn, kind: str, having: dict[str, int]
) -> None:
    """By hand, or by the kernel as memory ran out: it is the same signal."""
    with case.running() as running:
        running.until(kind, **having)
        processes = family(running)
        running.process.kill()
        running.end()
    wait_until(lambda: not any(is_alive(pid) for pid in processes))
    assert is_whole(case)
    goes_on()


@pytest.mark.parametrize("name", ["tune-job", "tune-zygote", "tune-guard"])
def test_a_killed_worker_is_replaced_and_its_job_run_again(
    case: Case, goes_on: GoesOn, name: str
) -> None:
    """A job is what the kernel kills first when memory runs out."""
    with case.running() as running:
        running.until("StageStarted", number=0)
        running.pid_of("tune-job")
        os.kill(running.pid_of(name), signal.SIGKILL)
        event = running.until("Retrying")
        done = running.end()
    assert done.returncode == 0, done.stderr
    assert event["where"] == "toy"
    assert (event["number"], event["attempt"]) == (0, 2)
    assert "killed" in event["message"]
    goes_on()


def test_a_job_that_is_killed_every_time_fails_its_trial_and_the_next_command_tries_it_again(
    case: Case, goes_on: GoesOn
) -> None:
    with case.running() as running:
        for attempt in (2, 3, None):
            if attempt is None:
                running.until("Retrying", attempt=3) if False else None
            os.kill(running.pid_of("tune-job"), signal.SIGKILL)
            if attempt is not None:
                running.until("Retrying", attempt=attempt)
        done = running.end()
    assert done.returncode in (0, 3), done.stderr
    goes_on()


def test_a_job_over_its_memory_limit_ends_one_trial(desk: Desk) -> None:
    desk.write(
        SPACE.replace("      b: 0", "      b: 0\n      fault: {choices: [memory, none]}")
        + "limits: {memory: 300MB}\n"
    )
    done = desk.tune("--space", "space.yaml", "--trials", "8")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the limit is 300 MB" in " ".join(done.stdout.split())
