"""Whose is a temporary folder? Its name says it, so that what the dead left can be cleared away.

Knows nothing of what is in the folders.
"""

from __future__ import annotations

import hashlib
import os
import socket
import time
import uuid
from functools import cache
from pathlib import Path

_STRANGERS_AGE = 7 * 86400.0  # seconds after which another machine's leftovers are taken for dead


def new_name() -> str:
    """A name for a temporary folder of this process: machine, process, its start, a random part."""
    pid = os.getpid()
    return f"{_machine()}-{pid}-{_start_time(pid)}-{uuid.uuid4().hex[:12]}"


def is_alive(name: str) -> bool | None:
    """Whether the process that a name is of still runs; None where that cannot be known.

    A process of another machine or container cannot be asked.
    """
    machine, _, rest = name.partition("-")
    pid, _, rest = rest.partition("-")
    start, _, _ = rest.partition("-")
    if machine != _machine() or not pid.isdigit():
        return None
    return _start_time(int(pid)) == start


def is_abandoned(folder: Path) -> bool:
    """Whether the process that named the folder is gone.

    Where that cannot be known its folders count as abandoned a week after they were last changed.
    So do folders whose name is not of `new_name`.
    """
    alive = is_alive(folder.name)
    if alive is not None:
        return not alive
    try:
        return time.time() - folder.stat().st_mtime > _STRANGERS_AGE
    except OSError:
        return False  # its owner removed it just now


@cache
def _machine() -> str:
    """Machine and container: process numbers mean something within one only."""
    try:
        namespace = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        namespace = ""
    return hashlib.sha256(f"{socket.gethostname()} {namespace}".encode()).hexdigest()[:8]


def _start_time(pid: int) -> str:
    """When a process started, in the system's own count; "gone" if there is none.

    A process number is used again one day; number and start together are not.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return "gone" if Path("/proc/self/stat").exists() else _alive_without_proc(pid)
    state, *fields = text.rpartition(")")[2].split()
    return "gone" if state in "ZX" else fields[18]


def _alive_without_proc(pid: int) -> str:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return "gone"
    except PermissionError:
        pass
    return "alive"
