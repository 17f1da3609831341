"""Looking at processes from outside, for tests: who lives, who belongs to whom.

Every look takes what it needs at once: a process may end between two looks.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

PATIENCE = 20.0  # seconds: bounds tell "at once" from "never", on a busy machine too


def wait_until(condition: Callable[[], bool], seconds: float = PATIENCE) -> None:
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, "it did not happen in time"
        time.sleep(0.01)


def stat_of(pid: int) -> list[str]:
    """State, parent, ... of a process; empty when there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def is_alive(pid: int) -> bool:
    fields = stat_of(pid)  # once: the process may end between two looks
    return bool(fields) and fields[0] not in "ZX"


def kill(pid: int) -> None:
    """As `kill -9` does; the process may be gone already."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def parent_of(pid: int) -> int:
    fields = stat_of(pid)
    return int(fields[1]) if fields else 0


def name_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def all_pids() -> list[int]:
    return [int(p.name) for p in Path("/proc").iterdir() if p.name.isdigit()]


def descendants_of(pid: int) -> list[int]:
    parents = {p: parent_of(p) for p in all_pids()}
    found = [pid]
    for one in found:  # grows while it is walked
        found.extend(p for p, parent in parents.items() if parent == one)
    return found[1:]


def marked(mark: str) -> list[int]:
    """The living processes that have the mark in their environment."""
    found = []
    for pid in all_pids():
        try:
            environment = Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:
            continue
        if mark.encode() in environment and is_alive(pid):
            found.append(pid)
    return found
