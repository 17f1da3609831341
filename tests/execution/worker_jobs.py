"""Functions that the tests of workers run as jobs, and some scripts that act as coordinators."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

Json = dict[str, Any]


def echo(payload: Json) -> Json:
    return {"got": payload}


def facts(payload: Json) -> Json:
    """What a job can see of itself."""
    return {
        "pid": os.getpid(),
        "session": os.getsid(0),
        "stdin": sys.stdin.read(),
        "modules": sorted(sys.modules),
        "environment": dict(os.environ),
        "score": int(Path("/proc/self/oom_score_adj").read_text()),
        "sockets": [f for f in _open_files() if f.startswith("socket")],
    }


def talk(payload: Json) -> Json:
    print("said by python")
    print("complained by python", file=sys.stderr)
    subprocess.run(["echo", "said by a child"], check=True)
    ctypes.CDLL(None).puts(b"said by C")
    return {}


def fail(payload: Json) -> NoReturn:
    raise ValueError(payload["text"])


def refuse(payload: Json) -> NoReturn:
    module, _, name = payload["error"].partition(":")
    raise getattr(__import__(module, fromlist=[name]), name)(payload["text"])


def fill_disk(payload: Json) -> NoReturn:
    Path("/dev/full").write_bytes(b"x")
    raise AssertionError("/dev/full took a byte")


def fill_disk_with_its_log(payload: Json) -> NoReturn:
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, 1)
    os.dup2(full, 2)
    print("this goes nowhere", flush=True)
    raise AssertionError("/dev/full took a line")


def fill_disk_behind_a_library(payload: Json) -> NoReturn:
    raise RuntimeError("writer failed: No space left on device (os error 28)")


def raise_os_error(payload: Json) -> NoReturn:
    """As the system or libraries of the network raise it, behind a library's own error."""
    import requests

    error: Exception
    if "errno" in payload:
        error = OSError(payload["errno"], os.strerror(payload["errno"]))
    elif "requests" in payload:
        error = getattr(requests.exceptions, payload["requests"])("no answer")
    else:
        response = requests.Response()
        response.status_code = payload["status"]
        error = requests.HTTPError("no", response=response)
    raise RuntimeError("the model could not be read") from error


def write(payload: Json) -> Json:
    (Path(payload["output"]) / "file").write_text(payload["text"])
    return {}


def run_out_of_memory(payload: Json) -> NoReturn:
    bytearray(1 << 62)
    raise AssertionError("4 EB were there")


def crash(payload: Json) -> NoReturn:
    ctypes.string_at(0)
    raise AssertionError("address 0 was readable")


def raise_signal(payload: Json) -> NoReturn:
    os.kill(os.getpid(), payload["signal"])
    time.sleep(60)
    raise AssertionError("the signal did nothing")


def leave(payload: Json) -> NoReturn:
    sys.exit(payload["code"])


def leave_at_once(payload: Json) -> NoReturn:
    os._exit(payload["code"])


def give_a_list(payload: Json) -> Any:
    return [1, 2]


def give_what_is_not_json(payload: Json) -> Json:
    return {"set": {1, 2}}


def hoard(payload: Json) -> Json:
    """Take `megabytes`, ten at a time, and hold them for a moment."""
    held = []
    for _ in range(payload["megabytes"] // 10):
        held.append(bytearray(b"x") * (10 << 20))
        time.sleep(0.005)
    time.sleep(payload.get("hold", 0.0))
    return {"blocks": len(held)}


def hoard_in_a_child(payload: Json) -> Json:
    code = f"import time; x = b'x' * ({payload['megabytes']} << 20); time.sleep(30)"
    subprocess.run([sys.executable, "-c", code], check=True)
    return {}


def hang(payload: Json) -> Json:
    if payload.get("stubborn"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if "pid_file" in payload:
        Path(payload["pid_file"]).write_text(str(os.getpid()))
    time.sleep(60)
    return {}


def say_farewell(payload: Json) -> NoReturn:
    """Write down the signal that ends it."""

    def write(number: int, _frame: object) -> NoReturn:
        Path(payload["file"]).write_text(signal.Signals(number).name)
        os._exit(1)

    signal.signal(signal.SIGTERM, write)
    time.sleep(60)
    raise AssertionError("nobody ended it")


def measure(payload: Json) -> Json:
    """Hold the device for `seconds`; what `counters` of others say at its start and at its end."""
    begun, before = time.monotonic(), _read_all(payload["counters"])
    Path(payload["started"]).write_text(str(os.getpid()))
    time.sleep(payload["seconds"])
    after = _read_all(payload["counters"])
    return {"before": before, "after": after, "span": [begun, time.monotonic()]}


def wait_for(payload: Json) -> Json:
    """Make a file, and wait until there is another."""
    Path(payload["ready"]).touch()
    while not Path(payload["file"]).exists():
        time.sleep(0.005)
    return {}


def train(payload: Json) -> Json:
    """Count milliseconds of work in files of its own until `steps`; so do its two children.

    One of them is in a session of its own, the other's parent has ended.
    """
    own, *others = payload["counters"]
    for position, other in enumerate(others):
        _count_apart(Path(other), orphaned=position > 0)
    return {"steps": _count(Path(own), payload["steps"])}


def _count_apart(counter: Path, *, orphaned: bool) -> None:
    pid = os.fork()
    if pid == 0:
        os.setsid()
        if not orphaned or os.fork() == 0:
            _count(counter, 10**9)
        os._exit(0)
    if orphaned:
        os.waitpid(pid, 0)


def _count(counter: Path, steps: int) -> int:
    with counter.open("wb", buffering=0) as file:
        for step in range(steps):
            os.pwrite(file.fileno(), step.to_bytes(8, "big"), 0)
            time.sleep(0.001)
    return steps


def _read_all(counters: list[str]) -> list[int]:
    return [int.from_bytes(Path(c).read_bytes(), "big") for c in counters if Path(c).exists()]


def leave_children_behind(payload: Json) -> Json:
    """One in this process group, one in a session of its own."""
    children = [
        subprocess.Popen(["sleep", "60"], start_new_session=own, stdout=subprocess.DEVNULL)
        for own in (False, True)
    ]
    return {"pids": [child.pid for child in children]}


def hang_with_children(payload: Json) -> Json:
    leave_children_behind(payload)
    return hang(payload)


def _open_files() -> list[str]:
    return [str(f.readlink()) for f in Path("/proc/self/fd").iterdir() if f.is_symlink()]


def long_text(payload: Json) -> Json:
    return {"text": payload["text"][::-1]}
