"""What the tests of faults share: a study that is disturbed, and the one that never was.

Every fault ends the same way: the database is whole, the message is a sentence for a person, and
the same command goes on to the answer of the undisturbed study, repeating no stage that was done.
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cli.conftest import Desk
from execution.process_looks import descendants_of, name_of, wait_until

Json = dict[str, Any]

_LONGEST = 100.0  # seconds that a command may take, on a busy machine

# Four candidates, of which two share each of two slow stages; a third is the baseline's.
SPACE = """
model: model
task: text-generation
pipeline:
  - toy:
      a: {choices: [0, 1]}
      b: 0
      seconds: 0.15
  - toy_tail:
      c: {choices: [0, 1]}
      d: 0
objectives: [minimize cost, maximize worth]
constraints: ["cost<12.5ms"]
search: {strategy: grid, trials: 4}
"""


@dataclass
class Case(Desk):
    """A study on a user's desk. `db`: its database."""

    db: Path = field(default=Path())
    more: tuple[str, ...] = ()

    @property
    def arguments(self) -> tuple[str, ...]:
        return ("--space", "space.yaml", "--db", str(self.db), "--output", "out", *self.more)

    def run(self, *more: str) -> subprocess.CompletedProcess[str]:
        """The command, to its end."""
        return self.tune(*self.arguments, "--json", *more)

    @contextmanager
    def running(self, *more: str) -> Iterator[Running]:
        """The command, beside the test; killed at the end if it is still there."""
        process = self.start(*self.arguments, "--json", *more)
        limit = threading.Timer(_LONGEST, process.kill)
        limit.start()
        try:
            yield Running(process)
        finally:
            limit.cancel()
            process.kill()
            process.communicate()

    def rows(self, query: str) -> list[Any]:
        with sqlite3.connect(self.db) as connection:
            return connection.execute(query).fetchall()

    def entries(self, pass_name: str) -> list[Path]:
        """The stored results of a pass."""
        metas = (self.folder / "store" / "entries").glob("*/*/meta.json")
        return [m.parent for m in metas if json.loads(m.read_text())["pass"] == pass_name]

    def outcome(self) -> Json:
        """The whole study as far as it does not depend on when, where and how often."""
        trials = self.rows("SELECT number, state, verdict, parameters FROM tuner_trials ORDER BY 1")
        metrics = self.rows(
            "SELECT number, metric, value FROM tuner_metrics WHERE split = 'dev' ORDER BY 1, 2"
        )
        summary = json.loads((self.folder / "out" / "summary.json").read_text())
        model = json.loads((self.folder / "out" / "model" / "parameters.json").read_text())
        chosen = summary["chosen"]["number"]
        front = [t["number"] for t in summary["front"]]
        return {
            "trials": trials,
            "metrics": metrics,
            "chosen": chosen,
            "front": front,
            "model": model,
        }


@dataclass
class Running:
    """A command that runs. Its events are read one by one."""

    process: subprocess.Popen[str]

    def until(self, kind: str, **having: object) -> Json:
        """Wait for an event."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            event: Json = json.loads(line)
            if event["event"] == kind and all(event.get(k) == v for k, v in having.items()):
                return event
        raise AssertionError(f"it ended without {kind}: {self._errors()}")

    def pid_of(self, name: str) -> int:
        """The one process of the command with a name (as `ps` shows it)."""
        found: list[int] = []

        def look() -> bool:
            found[:] = [p for p in descendants_of(self.process.pid) if name_of(p) == name]
            return bool(found)

        wait_until(look)
        return found[0]

    def end(self) -> subprocess.CompletedProcess[str]:
        """Wait until it ends."""
        output, errors = self.process.communicate(timeout=_LONGEST)
        return subprocess.CompletedProcess([], self.process.returncode, output, errors)

    def _errors(self) -> str:
        assert self.process.stderr is not None
        return self.process.stderr.read()


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return _case(tmp_path)


@pytest.fixture(scope="session")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Json:
    """What becomes of the study when nothing happens to it."""
    case = _case(tmp_path_factory.mktemp("calm"))
    done = case.run()
    assert done.returncode == 0, done.stderr
    return case.outcome()


@pytest.fixture
def is_as_calm(case: Case, calm: Json) -> Callable[[], None]:
    """The check that every test ends with: the study is as if nothing had happened to it."""

    def check() -> None:
        assert is_whole(case)
        assert case.outcome() == calm
        made = "SELECT key FROM tuner_stages WHERE outcome = 'done' AND NOT cached"
        keys = [key for (key,) in case.rows(made)]
        assert len(keys) == len(set(keys)), "no stage that was done was done again"
        assert list((case.folder / "store" / "tmp").iterdir()) == []

    return check


@pytest.fixture
def goes_on(case: Case, is_as_calm: Callable[[], None]) -> Callable[[], None]:
    """The same command again, and that check."""

    def check() -> None:
        done = case.run()
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
        is_as_calm()

    return check


def is_whole(case: Case) -> bool:
    return case.rows("PRAGMA integrity_check") == [("ok",)]


def told(done: subprocess.CompletedProcess[str], *words: str, code: int = 1) -> None:
    """It ended with a message for a person, which says what to do."""
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    message = lines[-1]
    assert message.startswith("tune: ")
    assert message.count(". ") <= 1, "two sentences at most"
    for word in words:
        assert word in message


def _case(folder: Path) -> Case:
    model = folder / "model"
    model.mkdir()
    (model / "config.json").write_text("{}")
    (model / "model.safetensors").write_bytes(b"weights")
    case = Case(folder, db=folder / "study.db")
    case.write(SPACE)
    return case


# Disks of their own


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """An empty disk of 20 MB, or a skip where none may be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    _mount("-t", "tmpfs", "-o", "size=20m", "tmpfs", str(folder))
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Within it nobody may write below the folder, not even root."""
    _mount("--bind", str(folder), str(folder))
    try:
        _mount("-o", "remount,ro,bind", str(folder))
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _mount(*arguments: str) -> None:
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("only root may mount a disk of its own on Linux")
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"no disk can be mounted here: {done.stderr.strip()}")


@contextmanager
def full(disk: Path) -> Iterator[None]:
    """Within it there is no room left on the disk."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while file.write(b"x" * 4096):
                pass
        except OSError:
            pass
    try:
        yield
    finally:
        ballast.unlink()
