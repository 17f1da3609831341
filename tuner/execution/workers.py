"""Runs jobs one after another, each in a process of its own forked from a warm server.

Knows nothing of stages, measurements or the store.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tuner.execution.channel import ChannelClosed, Message
from tuner.execution.endings import (
    OUT_OF_TIME,
    SERVER_DIED,
    killed_for_memory,
    read_result,
)
from tuner.execution.job import Failure, Job, Outcome, Reason
from tuner.execution.processes import kills_for_memory, signal_group
from tuner.execution.server import Server
from tuner.execution.watch import Watch

Json = dict[str, Any]

_LOOK = 0.05  # seconds between looks at a running job's memory and time
_TICK = 0.1  # seconds between calls of `on_tick`


_STARTS = 2  # a server that was found dead is replaced once for a job


class _TimeIsUp(Exception):
    """The deadline passed before the job's process was there."""


class Workers:
    """A warm server of processes, and the way to run a job in one of them.

    `preload`: modules that the server imports, so that jobs find them imported; it does so while
    the constructor has long returned. One that cannot be imported is for the job to complain of.
    `log`: the file for what the server itself prints (nowhere by default). Needs Linux.

    When the coordinator ends, however it ends, the server, its job and all that the job started
    are killed. Not for use from several threads at once; several `Workers` may exist.
    """

    def __init__(self, preload: Sequence[str] = (), *, log: Path | None = None) -> None:
        if not sys.platform.startswith("linux"):
            raise OSError(f"worker processes need Linux, this is {sys.platform}")
        self._preload = tuple(preload)
        self._log = log
        self._server: Server | None = Server(self._preload, log)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def run(
        self,
        job: Job,
        *,
        deadline: float | None = None,
        on_tick: Callable[[], None] | None = None,
    ) -> Outcome:
        """Run a job in a process of its own and wait until it, and all it started, is gone.

        `deadline`: on the clock of `time.monotonic`. `on_tick` is called about ten times a second;
        what it raises (and a Ctrl-C) ends the job and goes on to the caller. The job's seconds
        count from the start of its process; its memory is looked at every 50 ms.
        """
        try:
            return self._run(job, deadline, _Ticker(on_tick))
        except _TimeIsUp:
            return Outcome(None, OUT_OF_TIME, 0.0, 0)
        except BaseException:
            self.close()  # whatever it interrupted: this ends the job, and the next one starts anew
            raise

    def close(self) -> None:
        """End the server and all that it started. A later `run` starts another."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def _run(self, job: Job, deadline: float | None, tick: _Ticker) -> Outcome:
        for _ in range(_STARTS):
            try:
                server = self._ready_server(deadline, tick)
                pid = _start(server, job, tick)
            except ChannelClosed:
                self._lose_server()
            else:
                return self._attend(server, job, pid, deadline, tick)
        return Outcome(None, SERVER_DIED, 0.0, 0)

    def _ready_server(self, deadline: float | None, tick: _Ticker) -> Server:
        def look() -> None:
            tick()
            if deadline is not None and time.monotonic() > deadline:
                raise _TimeIsUp

        look()
        if self._server is None:
            self._server = Server(self._preload, self._log)
        if not self._server.ready:
            _receive(self._server, look)
            self._server.ready = True
        return self._server

    def _lose_server(self) -> None:
        """Forget a dead server. One that its imports killed is not asked to import them again."""
        if self._server is not None and not self._server.ready:
            self._preload = ()
        self.close()

    def _attend(
        self, server: Server, job: Job, pid: int, deadline: float | None, tick: _Ticker
    ) -> Outcome:
        def kill(number: int) -> None:
            server.channel.send({"signal": number})

        watch = Watch(job, pid, deadline, kill)
        kills = kills_for_memory()

        def look() -> None:
            watch.look()
            tick()

        try:
            end = _receive(server, look)
        except ChannelClosed:
            signal_group(pid, signal.SIGKILL)  # the guard may have been killed with the zygote
            self._lose_server()
            return Outcome(None, SERVER_DIED, watch.seconds, watch.peak)
        return _outcome(watch, end, memory_ran_out=kills_for_memory() > kills)


class _Ticker:
    """Calls a function, but no more often than ten times a second."""

    def __init__(self, function: Callable[[], None] | None) -> None:
        self._function = function
        self._next = time.monotonic() + _TICK

    def __call__(self) -> None:
        now = time.monotonic()
        if self._function is not None and now >= self._next:
            self._next = now + _TICK
            self._function()


def _start(server: Server, job: Job, tick: _Ticker) -> int:
    """Have the job started; its process id."""
    header = {"entry": job.entry, "log": str(job.log.absolute())}
    server.channel.send(header, json.dumps(job.payload).encode())
    return int(_receive(server, tick).header["started"])


def _receive(server: Server, meanwhile: Callable[[], None]) -> Message:
    """The server's next message, at once when it comes; `meanwhile` is called as time passes."""
    while (message := server.channel.receive(_LOOK)) is None:
        meanwhile()
    return message


def _outcome(watch: Watch, end: Message, *, memory_ran_out: bool) -> Outcome:
    result = read_result(end.header["exited"], end.body)
    if isinstance(result, Failure):
        failure = watch.failure or result
        if failure.reason is Reason.KILLED and memory_ran_out:
            failure = killed_for_memory(watch.peak)
        return Outcome(None, failure, watch.seconds, watch.peak)
    peak = max(watch.peak, result["memory"])
    return Outcome(result.get("value"), _failure(watch, result), watch.seconds, peak)


def _failure(watch: Watch, result: Json) -> Failure | None:
    if watch.failure is not None or "failure" not in result:
        return watch.failure
    told = result["failure"]
    return Failure(Reason(told["reason"]), told["message"], told["deterministic"])
