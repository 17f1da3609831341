"""Signals to the command and to its processes, at every kind of moment."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest
from execution.process_looks import descendants_of, is_alive, wait_until
from faults.conftest import Case, Running, is_whole

Check = Callable[[], None]

MOMENTS = [("MeasureStarted", {"number": -1}), ("StageStarted", {"number": 0})]


def family(running: Running) -> list[int]:
    return descendants_of(running.process.pid)


@pytest.mark.parametrize(("kind", "having"), MOMENTS)
def test_sigterm_saves_what_is_done(
    case: Case, goes_on: Check, kind: str, having: dict[str, int]
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


def test_a_kill_of_the_command_loses_the_running_stage_only(case: Case, goes_on: Check) -> None:
    """By hand, or by the kernel as memory ran out: it is the same signal."""
    with case.running() as running:
        running.until("StageStarted", number=2)
        processes = family(running)
        running.process.kill()
        running.end()
    wait_until(lambda: not any(is_alive(pid) for pid in processes))
    assert is_whole(case)
    goes_on()


@pytest.mark.parametrize("name", ["tune-job", "tune-zygote"])
def test_a_killed_worker_is_replaced_and_its_job_run_again(
    case: Case, is_as_calm: Check, name: str
) -> None:
    """A job is what the kernel kills first when memory runs out."""
    with case.running() as running:
        running.until("StageStarted", number=0)
        running.pid_of("tune-job")
        os.kill(running.pid_of(name), signal.SIGKILL)
        event = running.until("Retrying")
        done = running.end()
    assert done.returncode == 0, done.stderr
    assert (event["where"], event["number"], event["attempt"]) == ("toy", 0, 2)
    assert "killed" in event["message"]
    is_as_calm()


def test_a_job_that_is_killed_every_time_is_tried_again_by_the_next_command(
    case: Case, goes_on: Check
) -> None:
    with case.running() as running:
        running.until("StageStarted", number=0)
        os.kill(running.pid_of("tune-job"), signal.SIGKILL)
        for attempt in (2, 3):
            running.until("Retrying", attempt=attempt)
            os.kill(running.pid_of("tune-job"), signal.SIGKILL)
        assert running.until("Told", number=0)["state"] == "failed"
        done = running.end()
    assert done.returncode == 0, done.stderr
    goes_on()
