"""A job: one function to run in a process of its own, described by plain data.

Knows nothing of stages or measurements; an executor on another machine could run it as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

Json = dict[str, Any]


class Reason(StrEnum):
    """Why a job gave no result."""

    ERROR = "error"  # it raised
    DEAD = "dead"  # the model runs, but what it gives is worth nothing
    REFUSED = "refused"  # it said that this cannot be done (PassError, MeasurementError)
    CRASHED = "crashed"  # a fatal signal of its own: segmentation fault, abort, ...
    OUT_OF_MEMORY = "out_of_memory"  # over its memory limit
    TIMEOUT = "timeout"  # over its time limit
    DISK_FULL = "disk_full"  # there was no room for what it wrote
    KILLED = "killed"  # SIGKILL/SIGTERM from outside, or its server died
    DEADLINE = "deadline"  # the study's time was up
    CANCELLED = "cancelled"  # the coordinator was asked to stop


@dataclass(frozen=True, slots=True)
class Failure:
    """Why, in one line for a person; `deterministic`: the same job would fail again."""

    reason: Reason
    message: str
    deterministic: bool


@dataclass(frozen=True, slots=True)
class Job:
    """`entry` is "package.module:function"; it gets `payload` and returns a JSON object.

    `log`: where its standard output and error go. Limits: seconds, and bytes of private memory.
    `exclusive`: it measures, and has the device to itself; any other job pauses meanwhile.
    `output`: a folder whose files are hashed as the last of its work.
    """

    entry: str
    payload: Json
    log: Path
    time_limit: float | None = None
    memory_limit: int | None = None
    exclusive: bool = False
    output: Path | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a job: a value or a failure, and what it took.

    `seconds` it ran, from the start of its process, without those that it was `paused` as another
    command measured; before its start it `waited` for the device. `hashes`: of the files in its
    output, by `tuner.pipeline.store_hashes.hashes`; None where the executor made none.
    """

    value: Json | None
    failure: Failure | None
    seconds: float
    peak_memory: int  # bytes of private memory
    waited: float = 0.0
    paused: float = 0.0
    hashes: Mapping[str, str] | None = None
