"""How a job's process ended, in words: its exit status and what it wrote, as a value or a failure.

Knows nothing of how processes are started or watched.
"""

from __future__ import annotations

import json
import os
import signal
from typing import Any

from tuner.execution.job import Failure, Job, Reason

Json = dict[str, Any]

SERVER_DIED = Failure(Reason.KILLED, "the server of worker processes was killed", False)
"""The zygote ended, and its jobs with it."""

OUT_OF_TIME = Failure(Reason.DEADLINE, "the study's time was up", False)

_CRASHES = {
    signal.SIGSEGV: "a segmentation fault",
    signal.SIGABRT: "an abort",
    signal.SIGBUS: "a bus error",
    signal.SIGILL: "an illegal instruction",
    signal.SIGFPE: "an arithmetic error",
    signal.SIGTRAP: "a trap",
}


def took_too_long(job: Job) -> Failure:
    """The job's time limit was passed."""
    limit = f"took longer than its limit of {job.time_limit:g} s"
    return Failure(Reason.TIMEOUT, limit, True)


def used_too_much(used: int, limit: int) -> Failure:
    """The job's memory limit was passed."""
    message = f"used {size(used)}, the limit is {size(limit)}"
    return Failure(Reason.OUT_OF_MEMORY, message, True)


def read_result(status: int, result: bytes) -> Json | Failure:
    """What the process wrote, {"value" or "failure", "memory"}, or why there is nothing."""
    if os.WIFSIGNALED(status):
        return _ended_by(os.WTERMSIG(status))
    if not result:
        code = os.WEXITSTATUS(status)
        return Failure(Reason.ERROR, f"exited with code {code} without a result", True)
    content: Json = json.loads(result)
    return content


def killed_for_memory(peak: int) -> Failure:
    """The kernel chose this process when memory ran out: another day there may be enough."""
    message = f"killed by the system as memory ran out; it used {size(peak)}"
    return Failure(Reason.OUT_OF_MEMORY, message, False)


def size(count: int) -> str:
    """Bytes for a person: "3.2 GB"."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= scale:
            return f"{round(count / scale, 2):g} {unit}"
    return f"{count} B"


def _ended_by(number: int) -> Failure:
    name = _signal_name(number)
    if number in _CRASHES:
        return Failure(
            Reason.CRASHED, f"ended by {_CRASHES[signal.Signals(number)]} ({name})", True
        )
    return Failure(Reason.KILLED, f"killed from outside ({name})", False)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"signal {number}"
