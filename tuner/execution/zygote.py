"""The server of warm processes: imports the heavy libraries once, then forks a process per job.

Started as `python -m tuner.execution.zygote SOCKET COORDINATOR MODULE...`, it is two processes.
The *zygote* imports and forks; it never runs a job's code itself. The *guard*, its parent, imports
nothing. Each adopts the orphans among its descendants; when the coordinator is gone, each kills
what it has. When the zygote is killed too, the kernel kills its job, the job's own children fall
to the guard, and it ends them.

Why not `multiprocessing.forkserver`: that imports the user's `__main__` again, so that a script
without an `if __name__ == "__main__"` guard would start itself over; and it reports no signals.
Needs Linux 5.3.
"""

from __future__ import annotations

import gc
import importlib
import os
import select
import signal
import socket
import sys
import traceback
from collections.abc import Sequence
from typing import Any

from tuner.execution.channel import Channel, ChannelClosed, Message
from tuner.execution.child import run_job
from tuner.execution.pages import join_pages
from tuner.execution.processes import (
    adopt_orphans,
    descendants,
    die_with_parent,
    end_children,
    outlive_parent,
    set_name,
    signal_group,
)

_GUARD_LOOKS = 1000  # milliseconds; only where a fork of the coordinator keeps its socket open


def main(arguments: Sequence[str]) -> None:
    """Be the guard, with the zygote as its child. `arguments`: socket, coordinator, modules."""
    connection = socket.socket(fileno=int(arguments[0]))
    adopt_orphans()
    guard = os.getpid()
    zygote = os.fork()
    if zygote == 0:
        die_with_parent(guard)
        _be_zygote(Channel(connection), arguments[2:])
    else:
        _be_guard(connection, zygote, int(arguments[1]))


def _be_guard(connection: socket.socket, zygote: int, coordinator: int) -> None:
    set_name("tune-guard")
    poll = select.poll()
    poll.register(connection, select.POLLRDHUP)
    poll.register(os.pidfd_open(zygote), select.POLLIN)
    while not poll.poll(_GUARD_LOOKS) and os.getppid() == coordinator:
        pass
    end_children()


def _be_zygote(channel: Channel, modules: Sequence[str]) -> None:
    set_name("tune-zygote")
    adopt_orphans()
    gc.disable()
    try:
        _settle(channel.receive())
        _preload(modules)
        gc.collect()
        gc.freeze()  # a collection in a child would write to, and so copy, every page of objects
        spare = descendants(os.getpid())
        outlive_parent()  # from here on it cannot miss the coordinator's end, guard or no guard
        channel.send({"ready": True, "family": [os.getpid(), *spare]})
        work = join_pages()
        while True:
            idle_work = next(work, None) is not None
            request = channel.receive(0 if idle_work else None)
            if request is not None and "entry" in request.header:
                _serve(channel, request, spare)  # else: a signal for a job that has ended meanwhile
    except ChannelClosed:
        end_children()


def _settle(first: Message | None) -> None:
    """Find modules where the coordinator finds them; give jobs the user's own PYTHONPATH back."""
    if first is None:
        raise ChannelClosed
    sys.path[:] = first.header["sys_path"]
    del os.environ["PYTHONPATH"]
    if first.header["pythonpath"] is not None:
        os.environ["PYTHONPATH"] = first.header["pythonpath"]


def _preload(modules: Sequence[str]) -> None:
    for name in modules:
        try:
            importlib.import_module(name)
        except Exception:  # noqa: BLE001  # whatever it is, the job that needs the module meets it
            traceback.print_exc()


def _serve(channel: Channel, request: Message, spare: Sequence[int]) -> None:
    result = os.memfd_create("result")  # not a file: it leaves no litter, and fits on a full disk
    zygote = os.getpid()
    pid = os.fork()
    if pid == 0:
        channel.close()
        run_job(request.header, request.body, result, zygote)
    channel.send({"started": pid})
    _attend(channel, pid)
    signal_group(
        pid, signal.SIGKILL
    )  # what it left behind; its own pid is not free before it is reaped
    status = os.waitpid(pid, 0)[1]
    end_children(spare)  # what it left behind in other sessions
    reply: dict[str, Any] = {"exited": status}
    channel.send(reply, _content(result))


def _attend(channel: Channel, pid: int) -> None:
    """Wait for the job to end; pass on the signals that the coordinator sends it."""
    process = os.pidfd_open(pid)
    poll = select.poll()
    poll.register(process, select.POLLIN)
    poll.register(channel, select.POLLIN)
    while process not in {descriptor for descriptor, _ in poll.poll()}:
        message = channel.receive(0)
        if message is not None:
            signal_group(pid, message.header["signal"])
    os.close(process)


def _content(descriptor: int) -> bytes:
    os.lseek(descriptor, 0, os.SEEK_SET)
    with open(descriptor, "rb") as file:  # a descriptor; closed with the file
        return file.read()


if __name__ == "__main__":
    main(sys.argv[1:])
