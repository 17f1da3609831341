"""Watches one running job: its time, its memory, and what to do when it goes over its limits.

Knows nothing of how signals reach the job, why it is paused, nor of what it computes.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

from tuner.execution.endings import OUT_OF_TIME, took_too_long, used_too_much
from tuner.execution.job import Failure, Job, Reason
from tuner.execution.processes import descendants, own_share, private_memory

_GRACE = 1.0  # seconds from SIGTERM to SIGKILL
_SHARES_REST = 100.0  # times as long as it took, until descendants' memory is looked at again
_FAMILY_AGE = 1.0  # seconds between looks for new descendants: that reads all of /proc


class Watch:
    """`failure` is set as soon as a limit is passed; the job is then being ended.

    `kill` sends a signal to the job's process group. `peak`: bytes of private memory of the job
    and its descendants, as often as `look` was called.
    """

    def __init__(
        self, job: Job, pid: int, deadline: float | None, kill: Callable[[int], None]
    ) -> None:
        self.started = time.monotonic()
        self.failure: Failure | None = None
        self.peak = 0
        self._job = job
        self._pid = pid
        self._deadline = deadline
        self._kill = kill
        self._kill_at = 0.0
        self._family: list[int] = []
        self._family_at = self.started
        self._shares, self._shares_at = 0, self.started
        self._paused_at: float | None = None
        self._paused_before = 0.0

    @property
    def paused(self) -> float:
        """Seconds that the job's processes were suspended."""
        now = 0.0 if self._paused_at is None else time.monotonic() - self._paused_at
        return self._paused_before + now

    @property
    def seconds(self) -> float:
        """Since the job's process started, without those that it was suspended."""
        return time.monotonic() - self.started - self.paused

    @property
    def is_paused(self) -> bool:
        """Between `pause` and `go_on`."""
        return self._paused_at is not None

    def pause(self) -> None:
        """The job's processes have been suspended: its time stands still."""
        self._paused_at = time.monotonic()

    def go_on(self) -> None:
        """They have been resumed."""
        self._paused_before, self._paused_at = self.paused, None

    def look(self) -> None:
        """Measure, judge, and end the job where it is over a limit."""
        now = time.monotonic()
        if not self.is_paused:  # else it cannot grow, and others are to be left in peace
            self.peak = max(self.peak, self._memory(now))
        if self.failure is None:
            self.failure = self._judge(now)
            if self.failure is not None:
                self._begin_to_end(now, self.failure.reason)
        elif now >= self._kill_at:
            self._kill(signal.SIGKILL)

    def _begin_to_end(self, now: float, reason: Reason) -> None:
        self._kill_at = now + _GRACE
        memory_is_short = reason is Reason.OUT_OF_MEMORY  # and every moment makes it worse
        at_once = memory_is_short or self.is_paused  # suspended, it could not act on SIGTERM
        self._kill(signal.SIGKILL if at_once else signal.SIGTERM)

    def _judge(self, now: float) -> Failure | None:
        limit = self._job.memory_limit
        if limit is not None and self.peak > limit:
            return used_too_much(self.peak, limit)
        if self._job.time_limit is not None and self.seconds > self._job.time_limit:
            return took_too_long(self._job)
        if self._deadline is not None and now > self._deadline:
            return OUT_OF_TIME
        return None

    def _memory(self, now: float) -> int:
        if now - self._family_at > _FAMILY_AGE:
            self._family, self._family_at = descendants(self._pid), now
        own = private_memory(self._pid)
        bound = own + sum(private_memory(pid) for pid in self._family)
        limit = self._job.memory_limit
        if now >= self._shares_at or (limit is not None and bound > limit):
            self._shares = sum(own_share(pid) for pid in self._family)
            # The kernel walks all their pages, and holds them up meanwhile: what is being
            # measured must not feel it.
            self._shares_at = now + _SHARES_REST * (time.monotonic() - now)
        return own + self._shares
