"""The coordinator's side of one zygote: starts it, talks to it, ends it.

Knows nothing of jobs.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from tuner.execution.channel import Channel

_PATIENCE = 10.0  # seconds for the guard to end everything; it needs some milliseconds


class Server:
    """A running zygote. Returns while it is still importing; it then says {"ready": true}.

    `family`, known then: the zygote's process, and those of its children that are no jobs.
    """

    def __init__(self, preload: Sequence[str], log: Path | None) -> None:
        self.ready = False
        self.family: list[int] = []
        ours, theirs = socket.socketpair()
        self.channel = Channel(ours)
        with theirs, Path(log or os.devnull).open("ab") as output:
            self._guard = subprocess.Popen(
                _command(theirs.fileno(), preload),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=_environment(),
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # Ctrl-C in the terminal is for the coordinator alone
            )
        self.channel.send({"sys_path": _paths(), "pythonpath": os.environ.get("PYTHONPATH")})

    def close(self) -> None:
        """End the zygote, its job and all that the job started; wait until they are gone."""
        self.channel.close()
        with suppress(subprocess.TimeoutExpired):
            self._guard.wait(_PATIENCE)
            return
        self._guard.kill()
        self._guard.wait()


def _command(descriptor: int, preload: Sequence[str]) -> list[str]:
    # -P: a file in the working directory must not pass for a module of the standard library.
    python = [sys.executable, "-P", "-m", "tuner.execution.zygote"]
    return [*python, str(descriptor), str(os.getpid()), *preload]


def _environment() -> dict[str, str]:
    """Tokenizers would warn in every job that they were forked; logs are to grow as jobs print."""
    # Threads of OpenMP that spin while they wait slow training several times on a busy machine.
    defaults = {"TOKENIZERS_PARALLELISM": "false", "OMP_WAIT_POLICY": "passive"}
    forced = {"PYTHONUNBUFFERED": "1", "PYTHONPATH": os.pathsep.join(_paths())}
    return {**defaults, **os.environ, **forced}


def _paths() -> list[str]:
    return [str(Path(entry).absolute()) for entry in sys.path]
