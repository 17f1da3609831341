"""Runs jobs one after another, each in a process of its own forked from a warm server.

Knows nothing of stages, measurements or the store.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tuner.execution.channel import ChannelClosed, Message
from tuner.execution.device import LOOK, Device, Turn
from tuner.execution.endings import (
    OUT_OF_TIME,
    SERVER_DIED,
    killed_for_memory,
    read_result,
)
from tuner.execution.job import Failure, Job, Outcome, Reason
from tuner.execution.processes import Family, kills_for_memory, signal_group
from tuner.execution.server import Server
from tuner.execution.watch import Watch

Json = dict[str, Any]

_TICK = 0.1  # seconds between calls of `on_tick`
_STARTS = 2  # a server that was found dead is replaced once for a job


class _TimeIsUp(Exception):
    """The deadline passed before the job's process was there."""


class Workers:
    """A warm server of processes, and the way to run a job in one of them.

    `preload`: modules that the server imports, so that jobs find them imported; it does so while
    the constructor has long returned. One that cannot be imported is for the job to complain of.
    `log`: the file for what the server itself prints (nowhere by default). `device`: what jobs
    that measure have to themselves, shared with all other commands by default. Needs Linux.

    When the coordinator ends, however it ends, the server, its job and all that the job started
    are killed. One is not for several threads at once; several threads may have one each.
    """

    def __init__(
        self,
        preload: Sequence[str] = (),
        *,
        log: Path | None = None,
        device: Device | None = None,
    ) -> None:
        if not sys.platform.startswith("linux"):
            raise OSError(f"worker processes need Linux, this is {sys.platform}")
        self._preload = tuple(preload)
        self._log = log
        self._device = device or Device()
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

        An exclusive job waits until it has the device to itself; any other one waits and pauses
        while another command's exclusive job runs.
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
        def look() -> None:
            tick()
            if deadline is not None and time.monotonic() > deadline:
                raise _TimeIsUp

        for _ in range(_STARTS):
            try:
                server = self._ready_server(look)  # its imports are none of the job's turn
                with self._device.turn(look, exclusive=job.exclusive) as turn:
                    pid = _start(server, job, tick)
                    return self._attend(server, job, pid, turn, deadline, tick)
            except ChannelClosed:
                self._lose_server()
        return Outcome(None, SERVER_DIED, 0.0, 0)

    def _ready_server(self, look: Callable[[], None]) -> Server:
        look()
        if self._server is None:
            self._server = Server(self._preload, self._log)
        if not self._server.ready:
            self._server.family = _receive(self._server, look).header["family"]
            self._server.ready = True
        return self._server

    def _lose_server(self) -> None:
        """Forget a dead server. One that its imports killed is not asked to import them again."""
        if self._server is not None and not self._server.ready:
            self._preload = ()
        self.close()

    def _attend(
        self,
        server: Server,
        job: Job,
        pid: int,
        turn: Turn,
        deadline: float | None,
        tick: _Ticker,
    ) -> Outcome:
        def kill(number: int) -> None:
            server.channel.send({"signal": number})

        watch = Watch(job, pid, deadline, kill)
        family = Family(pid, server.family[0], server.family)
        kills = kills_for_memory()

        def look() -> None:
            watch.look()
            if watch.failure is None:
                _give_way(turn, watch, family)
            tick()

        try:
            end = _receive(server, look)
        except ChannelClosed:
            signal_group(pid, signal.SIGKILL)  # the guard may have been killed with the zygote
            self._lose_server()
            return _took(Outcome(None, SERVER_DIED, watch.seconds, watch.peak), watch, turn)
        outcome = _outcome(watch, end, memory_ran_out=kills_for_memory() > kills)
        return _took(outcome, watch, turn)


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


def _give_way(turn: Turn, watch: Watch, family: Family) -> None:
    """Suspend the job while another command's job measures."""
    if watch.is_paused:
        if turn.may_go_on():
            watch.go_on()
            family.resume()
        else:
            family.stop()  # what somebody has resumed
    elif turn.must_stop():
        family.stop()
        watch.pause()
        turn.stopped()


def _took(outcome: Outcome, watch: Watch, turn: Turn) -> Outcome:
    return replace(outcome, waited=turn.waited, paused=watch.paused)


def _start(server: Server, job: Job, tick: _Ticker) -> int:
    """Have the job started; its process id."""
    output = None if job.output is None else str(job.output.absolute())
    header = {"entry": job.entry, "log": str(job.log.absolute()), "output": output}
    server.channel.send(header, json.dumps(job.payload).encode())
    return int(_receive(server, tick).header["started"])


def _receive(server: Server, meanwhile: Callable[[], None]) -> Message:
    """The server's next message, at once when it comes; `meanwhile` is called as time passes."""
    while (message := server.channel.receive(LOOK)) is None:
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
    outcome = Outcome(result.get("value"), _failure(watch, result), watch.seconds, peak)
    return replace(outcome, hashes=result.get("hashes"))


def _failure(watch: Watch, result: Json) -> Failure | None:
    if watch.failure is not None or "failure" not in result:
        return watch.failure
    told = result["failure"]
    return Failure(Reason(told["reason"]), told["message"], told["deterministic"])
