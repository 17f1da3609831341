"""The device, which one measurement has to itself: locks that all commands of a user share.

A job that measures runs alone. A job that does not (it trains, builds, scores) gives way: it is
stopped while another command's job measures, and goes on after it. This file says who may run;
it knows nothing of processes, of how they are stopped, or of what is measured.

Three locks, always taken in this order. The kernel gives them back when their holder dies.

- `queue`: the next in line for the device has it, so that who has just given the device back
  cannot have it again before those who wait. Who waits tries every 50 ms: among several it is
  chance who becomes the next.
- `device`: held alone by who measures.
- `running`: shared by the jobs that give way, while they run. Who has the device waits until
  they have all stopped, at most a second: the owner of a job may itself be held up.

Commands that measure in turn without a gap would keep a third one's training from ever going on.
So it has a share: once its jobs have been kept from running for `patience` seconds, it takes its
place in the queue like one who measures, and holds the device, shared with all other jobs that
give way, until they have run for a fifth of the time in question.

A computer with several devices (a CPU and a GPU, several GPUs) counts as one: a measurement on a
GPU needs a quiet CPU too. What a stopped process has already queued on a GPU still runs there.
Not kept off: other users' programs, other containers, the imports of a command that starts, and a
command's own work beside its jobs. A stopped job keeps the memory it has, a GPU's too. A command
that is suspended (Ctrl-Z) keeps what it holds.
"""

from __future__ import annotations

import os
import stat
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from weakref import WeakSet

LOOK = 0.05  # seconds between tries, and between looks whether somebody measures

_QUEUE, _DEVICE, _RUNNING = "queue", "device", "running"
_SHARE = 0.2  # of the time that others measure, for jobs that give way
_PATIENCE = 10.0
_STRAGGLERS = 1.0  # seconds that a measurement waits for jobs to have stopped
_CLOSE_LOOK = 0.005  # seconds between looks for them: they take about `LOOK`
_LONGEST_LOOK = 1.0  # more was no waiting: the command itself was suspended

Look = Callable[[], None]


class Device:
    """One command's access to the device. Each job takes a turn of its own.

    `folder`: where the locks are (`lock_folder()`). Where it cannot be used there are no locks:
    every job runs at once, and standard error says so, once. `patience`: seconds.
    """

    def __init__(self, folder: Path | None = None, *, patience: float = _PATIENCE) -> None:
        self._folder = folder
        self._debt = _Debt(patience)

    @contextmanager
    def turn(self, look: Look, *, exclusive: bool) -> Iterator[Turn]:
        """Wait until a job may run; the turn ends with the block.

        `exclusive`: the job has the device to itself, all others have stopped. `look` is called
        about every 50 ms of the waiting; what it raises ends it.
        """
        with _opened(self._folder or lock_folder()) as locks:
            turn = Turn(locks, self._debt, exclusive=exclusive)
            started = time.monotonic()
            if exclusive:
                _have_to_itself(locks, look)
            else:
                _wait(turn.may_go_on, look)
            turn.waited = time.monotonic() - started
            yield turn


class Turn:
    """A job's turn. `waited`: seconds until it began.

    A job that gives way looks at `must_stop` while it runs, says `stopped` when its processes
    are, and then looks at `may_go_on`, each about every 50 ms.
    """

    def __init__(self, locks: _Locks, debt: _Debt, *, exclusive: bool) -> None:
        self.waited = 0.0
        self._exclusive = exclusive
        self._locks = locks
        self._debt = debt
        self._seen = time.monotonic()
        self._insists = False

    def must_stop(self) -> bool:
        """Whether another command's job measures. Never while the job itself does."""
        if self._exclusive:
            return False
        self._debt.pay(self._since_last_look())
        if self._insists and not self._debt.is_paid:
            return False
        free = self._locks.take(_DEVICE)
        self._locks.free(_DEVICE)
        self._insists = False
        return not free

    def stopped(self) -> None:
        """All the job's processes have stopped."""
        self._locks.free(_RUNNING)

    def may_go_on(self) -> bool:
        """Whether nobody measures now, or this job's share is due; it counts as running then."""
        self._debt.grow(self._since_last_look())
        self._insists = self._debt.is_due
        queued = self._insists and self._locks.take(_QUEUE, alone=True)
        if not self._locks.take(_DEVICE):
            return False  # if it is queued it stays so
        # While the device is held here nobody can begin to measure and find nobody running.
        self._locks.take(_RUNNING)
        if queued:
            self._locks.free(_QUEUE)
        if not self._insists:
            self._locks.free(_DEVICE)
        return True

    def _since_last_look(self) -> float:
        before, self._seen = self._seen, time.monotonic()
        return min(self._seen - before, _LONGEST_LOOK)


def lock_folder() -> Path:
    """$TUNER_DEVICE_LOCK, else a folder of this user among the system's temporary files.

    Not $XDG_RUNTIME_DIR: a nightly job does not have it, and would not see who is logged in.
    Commands with different $TMPDIR do not see each other either; the variable above mends that.
    """
    chosen = os.environ.get("TUNER_DEVICE_LOCK")
    return Path(chosen) if chosen else Path(tempfile.gettempdir()) / f"tuner-{os.getuid()}"


class _Debt:
    """Seconds that a command's jobs were kept from running, less what their share gave back."""

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._seconds = 0.0

    @property
    def is_due(self) -> bool:
        return self._seconds >= self._patience

    @property
    def is_paid(self) -> bool:
        return self._seconds <= 0

    def grow(self, seconds: float) -> None:
        self._seconds += seconds

    def pay(self, seconds: float) -> None:
        self._seconds = max(0.0, self._seconds - seconds * (1 - _SHARE) / _SHARE)


class _Locks:
    """The lock files, opened. Without files every lock is free."""

    def __init__(self, descriptors: dict[str, int]) -> None:
        self._descriptors = descriptors
        _opened_locks.add(self)

    def take(self, name: str, *, alone: bool = False) -> bool:
        """Whether the lock could be had just now, to itself or shared."""
        import fcntl  # not on every system on which this file is imported

        if name not in self._descriptors:
            return True
        try:
            how = fcntl.LOCK_EX if alone else fcntl.LOCK_SH
            fcntl.flock(self._descriptors[name], how | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def free(self, name: str) -> None:
        """Give the lock back, if it is held."""
        import fcntl

        if name in self._descriptors:
            fcntl.flock(self._descriptors[name], fcntl.LOCK_UN)

    def close(self) -> None:
        """Give all back."""
        for descriptor in self._descriptors.values():
            os.close(descriptor)
        self._descriptors = {}


_opened_locks: WeakSet[_Locks] = WeakSet()


def _close_in_fork() -> None:
    """A fork shares its parent's locks, and would keep them when the parent has died."""
    for locks in list(_opened_locks):
        locks.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_in_fork)


@contextmanager
def _opened(folder: Path) -> Iterator[_Locks]:
    """The locks of `folder`; opened for every turn, as files in temporary folders get cleared."""
    descriptors: dict[str, int] = {}
    locks = _Locks(descriptors)
    try:
        try:
            _open(folder, descriptors)
            for name in descriptors:  # a file system may know no locks
                locks.take(name)
                locks.free(name)
        except OSError as error:
            locks.close()
            _say_once(folder, error)
        yield locks
    finally:
        locks.close()


def _open(folder: Path, descriptors: dict[str, int]) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise PermissionError("it is not a folder of this user")
    for name in (_QUEUE, _DEVICE, _RUNNING):
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptors[name] = os.open(folder / name, flags, 0o600)
        os.utime(descriptors[name])  # in use: not for a cleaner of temporary files


_said: set[Path] = set()


def _say_once(folder: Path, error: OSError) -> None:
    if folder not in _said:
        _said.add(folder)
        cause = error.strerror or error
        print(
            f"tune: no locks in {folder} ({cause}): measurements may be disturbed by other "
            "commands; set TUNER_DEVICE_LOCK to a folder that can be written to",
            file=sys.stderr,
        )


def _have_to_itself(locks: _Locks, look: Look) -> None:
    _wait(lambda: locks.take(_QUEUE, alone=True), look)
    _wait(lambda: locks.take(_DEVICE, alone=True), look)
    locks.free(_QUEUE)
    patient_until = time.monotonic() + _STRAGGLERS
    while not locks.take(_RUNNING, alone=True) and time.monotonic() < patient_until:
        time.sleep(_CLOSE_LOOK)
        look()
    locks.free(_RUNNING)


def _wait(condition: Callable[[], bool], look: Look) -> None:
    while not condition():
        time.sleep(LOOK)
        look()
