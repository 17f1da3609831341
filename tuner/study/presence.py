"""Whether the commands that work on a study still live.

A command of this machine is looked up among its processes. One of another machine must be seen to
count: its beat has to change within `SILENCE` seconds of this process's own monotonic clock, so
that no clock that is set, here or there, makes the living dead. Knows nothing of what they do.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from tuner.pipeline.store_owner import is_alive

BEAT = 5.0
"""Seconds between the beats of a command."""

SILENCE = 60.0
"""Seconds without a beat after which another machine's command is taken for dead."""


class Presence:
    """Remembers when each command was last seen to live. `clock`: seconds, monotonic."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: dict[int, tuple[int | None, float]] = {}  # run -> its beat, and since when

    def is_dead(self, run: int, owner: str | None, beat: int | None) -> bool:
        """Whether the command of a run (`owner` as `store_owner.new_name` names it) has ended.

        A run without an owner is of a program that knew no beats: it is dead.
        """
        if owner is None:
            return True
        alive = is_alive(owner)
        if alive is not None:
            return not alive
        now = self._clock()
        last, since = self._seen.get(run, (None, now))
        if run not in self._seen or last != beat:
            self._seen[run] = (beat, now)
            return False
        return now - since > SILENCE
