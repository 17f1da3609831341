"""The command `tune` without its imports: forked from a process that has made them already.

A command spends most of a toy study on importing libraries that are the same every time. Here each
one is still a process of its own, with its arguments, folder, environment and output, and it ends
as an interpreter ends; only what it imports is there when it begins. One such process serves a
worker of pytest. Run as a program this file is that process. Knows nothing of any test.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

READY = "ready\n"
# What commands that search and commands that read import; the others import the rest themselves.
IMPORTED = (
    *("tuner.cli.main", "tuner.cli.run_command", "tuner.cli.study_commands", "tuner.cli.spaces"),
    *("tuner.run", "tuner.engine.tuning", "tuner.report.output", "tuner.report.progress"),
    *("tuner.search.strategies.optuna_strategy", "tuner.search.strategies.hints"),
    *("alembic.context", "sqlalchemy.dialects.sqlite", "rich.table", "rich.live"),
)
_FREE = ("TUNER_", "TOY_", "PYTEST_")  # variables that are read when a command needs them
_PLAIN = dict(os.environ)


class WarmCommand:
    """The process that commands are forked from; started when first needed."""

    def __init__(self, script: Path, paths: str) -> None:
        self._script = script
        self._environment = _PLAIN | {"PYTHONPATH": paths}
        self._address: bytes | None = None

    def fits(self, environment: Mapping[str, str]) -> bool:
        """Whether a command finds every variable that a library may read as it is imported."""
        return _fixed(environment) == _fixed(self._environment)

    def run(
        self, arguments: list[str], folder: Path, environment: Mapping[str, str], timeout: float
    ) -> subprocess.CompletedProcess[str]:
        """As `subprocess.run` with what it prints captured; TimeoutExpired after seconds."""
        request = {"argv": [str(self._script), *arguments], "cwd": str(folder)}
        body = json.dumps(request | {"env": dict(environment)}).encode()
        with socket.socket(socket.AF_UNIX) as line:
            line.connect(self._start())
            pipes = [os.pipe(), os.pipe()]
            socket.send_fds(line, [len(body).to_bytes(4, "big")], [end for _, end in pipes])
            for _, end in pipes:
                os.close(end)
            line.sendall(body)
            read = [line.fileno(), *(start for start, _ in pipes)]
            try:
                code, out, err = _drained(read, time.monotonic() + timeout)
            except TimeoutError:
                raise subprocess.TimeoutExpired(request["argv"], timeout) from None
            finally:
                for start, _ in pipes:
                    os.close(start)
        assert code, "the process that commands are forked from has failed"
        texts = [text.decode().replace("\r\n", "\n") for text in (out, err)]
        return subprocess.CompletedProcess(request["argv"], int(code), *texts)

    def _start(self) -> bytes:
        if self._address is None:
            listener = socket.socket(socket.AF_UNIX)
            listener.bind("")  # Linux finds a name that is nobody's
            listener.listen()
            process = subprocess.Popen(
                [sys.executable, "-P", __file__, str(listener.fileno())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                env=self._environment,
                pass_fds=[listener.fileno()],
            )
            atexit.register(_end, process)
            assert process.stdout is not None
            said = process.stdout.readline()
            assert said == READY, f"importing is not silent: {said + process.stdout.read()}"
            self._address = listener.getsockname()
            listener.close()
        return self._address


@cache
def warm_command(script: Path, paths: str) -> WarmCommand:
    """The one of this worker. `script`: the command; `paths`: its PYTHONPATH."""
    return WarmCommand(script, paths)


def _fixed(environment: Mapping[str, str]) -> dict[str, str]:
    return {k: v for k, v in environment.items() if not k.startswith(_FREE) and k != "COLUMNS"}


def _drained(descriptors: list[int], deadline: float) -> list[bytes]:
    """What comes from each until all have ended; TimeoutError after the deadline."""
    found = {descriptor: bytearray() for descriptor in descriptors}
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    left = len(descriptors)
    while left:
        ready = poll.poll(max(0.0, deadline - time.monotonic()) * 1000)
        if not ready:
            raise TimeoutError
        for descriptor, _ in ready:
            part = os.read(descriptor, 65536)
            found[descriptor] += part
            if not part:
                poll.unregister(descriptor)
                left -= 1
    return [bytes(text) for text in found.values()]


def _end(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.close()
    process.wait()


# In the process that commands are forked from


def _serve(listener: socket.socket) -> dict[str, Any] | None:
    """Fork until the tests end; in a command's own process, what it was asked."""
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    poll.register(0, select.POLLIN)
    while 0 not in dict(poll.poll()):
        line, _ = listener.accept()
        while _reaped():
            pass
        if os.fork() == 0:  # one that waits for the command; the next one need not
            listener.close()
            return _attend(line)
        line.close()
    return None


def _reaped() -> bool:
    """Whether one more process that waited is gone."""
    try:
        return os.waitpid(-1, os.WNOHANG)[0] != 0
    except ChildProcessError:
        return False


def _attend(line: socket.socket) -> dict[str, Any]:
    """Fork the command, tell how it ended, and end; kill it if nobody waits for it any more."""
    size, outputs, _, _ = socket.recv_fds(line, 4, 2)
    length, body = int.from_bytes(size, "big"), bytearray()
    while len(body) < length:
        body += line.recv(length - len(body))
    pid = os.fork()
    if pid == 0:
        line.close()
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for number, output in enumerate(outputs, start=1):
            os.dup2(output, number)
            os.close(output)
        request: dict[str, Any] = json.loads(body)
        return request
    for output in (*outputs, 1, 2):
        os.close(output)
    poll = select.poll()
    poll.register(os.pidfd_open(pid), select.POLLIN)
    poll.register(line, select.POLLIN)
    if line.fileno() in dict(poll.poll()):
        os.kill(pid, signal.SIGKILL)
    line.sendall(str(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])).encode())
    os._exit(0)


def _become(request: Mapping[str, Any]) -> None:
    """Be the command, from its first line to the interpreter's end."""
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    sys.argv = list(request["argv"])
    import_module("tuner.cli.main").main()


if __name__ == "__main__":
    for name in IMPORTED:
        import_module(name)
    print(READY, end="", flush=True)
    with socket.socket(fileno=int(sys.argv[1])) as door:
        asked = _serve(door)
    if asked is not None:
        _become(asked)
