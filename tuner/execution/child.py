"""The process of one job: sets itself up, calls the job's function, writes down what came of it.

Runs in a fork of the zygote and never returns. Knows nothing of limits; those are watched from
outside.
"""

from __future__ import annotations

import contextlib
import errno
import faulthandler
import gc
import importlib
import json
import os
import signal
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from tuner.execution.job import Reason
from tuner.execution.processes import die_with_parent, libc, private_memory, set_name
from tuner.pipeline.store_hashes import hashes

Json = dict[str, Any]

REFUSALS = frozenset(
    {
        "tuner.passes.base.PassError",
        "evaluators.base.MeasurementError",
        "search_spaces.data_files.DataError",
    }
)
"""Exceptions that say in a sentence for a person why it cannot be done; subclasses count too.

They are named, not imported: a job pays for what it needs only.
"""

_DEAD = "evaluators.base.DeadModel"
_TOO_LITTLE_MEMORY = frozenset({"MemoryError", "OutOfMemoryError"})  # Python's, torch's for a GPU
_MAY_PASS = frozenset(
    {
        errno.EIO,
        errno.ESTALE,
        errno.EAGAIN,
        errno.EBUSY,
        errno.ETIMEDOUT,
        errno.ENETDOWN,
        errno.ENETUNREACH,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
    }
)
_NETWORK = frozenset(
    {
        "socket.gaierror",  # no name could be resolved
        "requests.ConnectionError",
        "requests.Timeout",
        "requests.ChunkedEncodingError",
        "httpx.TransportError",
    }
)
_BUSY_SERVER = frozenset({408, 429, 500, 502, 503, 504})  # HTTP
_LONGEST_MESSAGE = 300
_KILL_ME_FIRST = b"1000"  # the kernel's highest score for who is killed when memory runs out


def run_job(job: Json, payload: bytes, result: int, parent: int) -> NoReturn:
    """Be the process of a job: its entry, log and output, as paths or None.

    `result`: a descriptor that gets the result as JSON.
    """
    die_with_parent(parent)
    try:
        _set_up(Path(job["log"]))
        reply = {"value": _call(job["entry"], json.loads(payload))}
        if job["output"] is not None:
            reply["hashes"] = hashes(Path(job["output"]))
        data = json.dumps(reply | {"memory": private_memory(os.getpid())})
    except SystemExit as leave:
        _leave(_exit_code(leave))
    except BaseException as error:  # noqa: BLE001  # the job's boundary: all that it raises is data
        with contextlib.suppress(OSError, ValueError):  # the log's disk is full; it was closed
            traceback.print_exc()
        data = json.dumps({"failure": describe(error), "memory": private_memory(os.getpid())})
    with open(result, "wb") as file:  # a descriptor
        file.write(data.encode())
    _leave(0)


def describe(error: BaseException) -> Json:
    """A failure's reason, message (one line) and whether the same job would fail again."""
    names = {f"{c.__module__}.{c.__qualname__}" for c in type(error).__mro__}
    text = " ".join(str(error).split())
    kind = type(error).__name__
    reason, deterministic, message = Reason.ERROR, True, f"{kind}: {text}" if text else kind
    if names & REFUSALS:
        reason, message = Reason.DEAD if _DEAD in names else Reason.REFUSED, text or kind
    elif {c.__name__ for c in type(error).__mro__} & _TOO_LITTLE_MEMORY:
        reason = Reason.OUT_OF_MEMORY
    elif any(_is_disk_full(e) for e in _chain(error)):
        reason, deterministic, message = Reason.DISK_FULL, False, f"the disk is full ({message})"
    elif any(_may_pass(e) for e in _chain(error)):
        deterministic = False
    return {"reason": reason, "message": _shortened(message), "deterministic": deterministic}


def _set_up(log: Path) -> None:
    os.setsid()
    set_name("tune-job")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    with contextlib.suppress(
        OSError
    ):  # a kernel without it: the job is killed no sooner than others
        Path("/proc/self/oom_score_adj").write_bytes(_KILL_ME_FIRST)
    log.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.close(file)
    faulthandler.enable(2)
    gc.enable()


def _call(entry: str, payload: Json) -> Json:
    module, _, function = entry.partition(":")
    value = getattr(importlib.import_module(module), function)(payload)
    if not isinstance(value, dict):
        raise TypeError(f"{entry} returned {type(value).__name__}, expected a dict")
    return value


def _exit_code(leave: SystemExit) -> int:
    """As the interpreter does it: None is 0, a text is printed and is 1."""
    if leave.code is None or isinstance(leave.code, int):
        return (leave.code or 0) & 0xFF
    print(leave.code, file=sys.stderr)
    return 1


def _leave(code: int) -> NoReturn:
    """End without what the zygote's interpreter would do at exit, but with all output written."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # as above
            stream.flush()
    libc().fflush(None)  # what C libraries have printed
    os._exit(code)


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in seen:
        yield link
        seen.append(link)
        link = link.__cause__ or link.__context__


def _is_disk_full(error: BaseException) -> bool:
    """Libraries that write for themselves say it in their message only."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    return os.strerror(errno.ENOSPC) in str(error)


def _may_pass(error: BaseException) -> bool:
    """Of the network, or of a disk that did not answer: another time it may."""
    if isinstance(error, ConnectionError) or getattr(error, "errno", None) in _MAY_PASS:
        return True
    response = getattr(error, "response", None)
    if getattr(response, "status_code", None) in _BUSY_SERVER:
        return True
    return not _NETWORK.isdisjoint(
        f"{c.__module__.partition('.')[0]}.{c.__qualname__}" for c in type(error).__mro__
    )


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_MESSAGE else text[: _LONGEST_MESSAGE - 1] + "…"
