"""A lock between processes that the kernel releases when its holder dies.

Knows nothing of what is locked.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

_WAIT = 0.05  # seconds between tries


class CannotLock(Exception):
    """The lock file cannot be opened or locked, for another reason than that it is held."""

    def __init__(self, cause: OSError) -> None:
        super().__init__(str(cause))
        self.cause = cause


def acquire(path: Path, on_wait: Callable[[], None] | None) -> int:
    """Wait for the lock at `path` and take it. A descriptor, for `release`. See `Store.lock`."""
    while True:
        descriptor = _open(path)
        try:
            if _lock(descriptor) and _is_file_of(path, descriptor):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
        if on_wait is not None:
            on_wait()
        time.sleep(_WAIT)


def release(path: Path, descriptor: int) -> None:
    """Give a lock back and remove its file."""
    with suppress(FileNotFoundError):
        path.unlink()  # still locked: who has opened it meanwhile finds it gone and tries anew
    os.close(descriptor)


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise CannotLock(error) from error


def _lock(descriptor: int) -> bool:
    import fcntl  # not on every system that may read a store

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:  # a file system without locks
        raise CannotLock(error) from error
    return True


def _is_file_of(path: Path, descriptor: int) -> bool:
    """False when the last holder has removed the file between our opening and our locking it."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
