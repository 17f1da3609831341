"""Runs a command as a user would and watches it: time, memory of all its processes, its screen.

Knows nothing of what the command does.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

_EVERY = 0.5  # seconds between looks at the memory: each costs some milliseconds
_PATIENCE = 20.0  # seconds for a command to end after it was asked to


@dataclass(frozen=True)
class Watched:
    """What a command did.

    `memory`: the most that its processes held at once, bytes, what they share counted once
    (proportional set size). `cut_off`: it ran past its limit and was ended.
    """

    seconds: float
    cpu_seconds: float
    memory: int
    exit_code: int
    cut_off: bool
    screen: str


def watch(
    command: Sequence[str], folder: Path, environment: Mapping[str, str], limit: float
) -> Watched:
    """Run a command in a folder, for `limit` seconds at most."""
    screen = folder / f"screen-{time.monotonic_ns()}.txt"
    started = time.monotonic()
    with screen.open("wb") as file:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, **environment},
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        peak = _Peak(process.pid)
        cut_off = _wait(process, limit)
        memory, cpu = peak.stop()
    seconds = time.monotonic() - started
    text = screen.read_text(encoding="utf-8", errors="replace")
    return Watched(seconds, cpu, memory, process.returncode, cut_off, text)


def _wait(process: subprocess.Popen[bytes], limit: float) -> bool:
    """Whether it had to be ended."""
    try:
        process.wait(limit)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        return True
    return False


class _Peak:
    """Looks at a process and those that it started, again and again, in a thread."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._most = 0
        self._cpu: dict[int, float] = {}
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> tuple[int, float]:
        """The most bytes held at once, and the seconds of processor that were seen used."""
        self._stopped.set()
        self._thread.join()
        return self._most, sum(self._cpu.values())

    def _run(self) -> None:
        while not self._stopped.wait(_EVERY):
            self._most = max(self._most, self._look())

    def _look(self) -> int:
        total = 0
        try:
            root = psutil.Process(self._pid)
            everyone = [root, *root.children(recursive=True)]
        except psutil.NoSuchProcess:
            return 0
        for process in everyone:
            try:
                total += process.memory_full_info().pss
                times = process.cpu_times()
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
            self._cpu[process.pid] = times.user + times.system
        return total
