"""What Linux offers for looking after processes: their family, their memory, their end.

Knows nothing of jobs.
"""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections.abc import Collection
from contextlib import suppress
from functools import cache
from pathlib import Path

_SET_PARENT_DEATH_SIGNAL, _SET_NAME, _SET_CHILD_SUBREAPER = 1, 15, 36  # from <linux/prctl.h>
_COUNT_AGE = 1.0  # seconds between two counts of a suspended family


@cache
def libc() -> ctypes.CDLL:
    """The C library of this process."""
    return ctypes.CDLL(None, use_errno=True)


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when `parent` ends; end now if it has ended already."""
    libc().prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def outlive_parent() -> None:
    """Take `die_with_parent` back."""
    libc().prctl(_SET_PARENT_DEATH_SIGNAL, 0)


def adopt_orphans() -> None:
    """Make this process the parent of all its descendants whose own parent ends."""
    libc().prctl(_SET_CHILD_SUBREAPER, 1)


def set_name(name: str) -> None:
    """The name that `ps` and `top` show (15 characters)."""
    libc().prctl(_SET_NAME, name.encode())


def descendants(pid: int) -> list[int]:
    """Children, their children, and so on."""
    families = _children_by_parent()
    found = list(families.get(pid, ()))
    for child in found:  # grows while it is walked
        found.extend(families.get(child, ()))
    return found


def end_children(spare: Collection[int] = (), patience: float = 5.0) -> None:
    """Kill every descendant of this process that is not in `spare`, and reap the children.

    The youngest go first: where this process is killed meanwhile, those that are left still have
    a parent that ends them. With `adopt_orphans` descendants become children as parents end.
    `patience`: seconds after which a process that even SIGKILL does not end is left alone.
    """
    limit = time.monotonic() + patience
    while time.monotonic() < limit and not _reap():
        doomed = [pid for pid in descendants(os.getpid()) if pid not in spare]
        if not doomed:
            return
        for pid in reversed(doomed):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.001)


def signal_group(pid: int, number: int) -> None:
    """Send a signal to the process group that `pid` leads, or to `pid` before it leads one."""
    for send in (os.killpg, os.kill):
        with suppress(ProcessLookupError, PermissionError):
            return send(pid, number)
    return None


class Family:
    """A job's processes: the group that `leader` leads, and all else that descends from `root`.

    `spare`: descendants of `root` that are not the job's.
    """

    def __init__(self, leader: int, root: int, spare: Collection[int]) -> None:
        self._leader = leader
        self._root = root
        self._spare = frozenset(spare)
        self._counted_at = -_COUNT_AGE

    def stop(self) -> None:
        """Suspend them. Called again, it suspends what somebody has resumed.

        The group at every call; the others once a second: to find them all of /proc is read.
        """
        signal_group(self._leader, signal.SIGSTOP)
        now = time.monotonic()
        if now - self._counted_at >= _COUNT_AGE:
            self._counted_at = now
            stopped: set[int] = set()
            while new := self._members() - stopped:  # born while it was counted
                _send(new, signal.SIGSTOP)
                stopped |= new

    def resume(self) -> None:
        """Let them go on."""
        self._counted_at = -_COUNT_AGE
        _send(self._members(), signal.SIGCONT)
        signal_group(self._leader, signal.SIGCONT)

    def _members(self) -> set[int]:
        return set(descendants(self._root)) - self._spare


def private_memory(pid: int) -> int:
    """Resident anonymous memory in bytes; 0 for a process that is gone.

    Pages inherited from the parent count as if the process had made them itself.
    """
    try:
        fields = Path(f"/proc/{pid}/statm").read_bytes().split()
    except OSError:
        return 0
    return (int(fields[1]) - int(fields[2])) * os.sysconf("SC_PAGE_SIZE")


def own_share(pid: int) -> int:
    """Like `private_memory`, but a page that n processes share counts 1/n. Some ms for big ones."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    shares = [line for line in lines if line.startswith("Pss_Anon:")]
    return 1024 * int(shares[0].split()[1]) if shares else private_memory(pid)


def kills_for_memory() -> int:
    """How many processes the kernel has killed since boot because memory ran out."""
    try:
        lines = Path("/proc/vmstat").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))


def _send(pids: Collection[int], number: int) -> None:
    for pid in pids:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def _reap() -> bool:
    """Collect the children that have ended; true when there are no others."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return True
    return False


def _children_by_parent() -> dict[int, list[int]]:
    families: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):  # noqa: PTH208  # no Path objects: this runs while jobs do
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:  # noqa: PTH123
                    after_name = file.read().rpartition(b")")[2].split()
            except OSError:  # it ended meanwhile
                continue
            families.setdefault(int(after_name[1]), []).append(int(name))
    return families
