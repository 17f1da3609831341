"""The command as users run it: a process of its own, with the toy plug-in installed.

What ends by itself is forked from a process that has the imports; what a test disturbs while it
runs, or runs with other variables that libraries read, is started as a user's shell does.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from warm_command import warm_command

PLUGINS = Path(__file__).parent.parent / "plugins"
TUNE = Path(sys.executable).parent / "tune"
PATHS = os.pathsep.join(filter(None, [str(PLUGINS), os.environ.get("PYTHONPATH")]))

SPACE = """
model: model
task: text-generation
pipeline:
  - toy:
      a: {choices: [0, 1, 2, 3, 4]}
      b: {choices: [0, 1, 2, 3, 4]}
  - toy_tail:
      c: {choices: [0, 1, 2, 3, 4]}
      d: {choices: [0, 1, 2, 3, 4]}
objectives: [minimize cost, maximize worth]
constraints: ["cost<20ms"]
search: {strategy: tpe, trials: 12, seed: 3}
"""


@dataclass
class Desk:
    """A user's folder with a space in it, and the command."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    def command(self, *arguments: str) -> list[str]:
        return [str(TUNE), *arguments]

    def settings(self) -> dict[str, Any]:
        environment = {
            **os.environ,
            "PYTHONPATH": PATHS,
            "TUNER_STORE": str(self.folder / "store"),
            "TOY_COUNTER": str(self.folder / "counter"),
            "COLUMNS": "80",
            **self.environment,
        }
        return {"cwd": self.folder, "env": environment, "text": True}

    def tune(self, *arguments: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """The command to its end; TimeoutExpired after `timeout` seconds."""
        settings, warm = self.settings(), warm_command(TUNE, PATHS)
        if warm.fits(settings["env"]):
            return warm.run(list(arguments), settings["cwd"], settings["env"], timeout)
        return subprocess.run(
            self.command(*arguments),
            capture_output=True,
            timeout=timeout,
            check=False,
            **settings,
        )

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(*arguments),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            **self.settings(),
        )

    def write(self, text: str, name: str = "space.yaml") -> str:
        (self.folder / name).write_text(text)
        return name

    def ran(self) -> list[str]:
        """What the toy passes ran to completion, a line each."""
        counter = self.folder / "counter"
        return counter.read_text().splitlines() if counter.exists() else []

    def answer(self, *arguments: str) -> dict[str, Any]:
        """The last JSON line of a run."""
        found = self.tune(*arguments, "--json")
        result: dict[str, Any] = json.loads(found.stdout.splitlines()[-1])
        return result


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text("{}")
    (model / "model.safetensors").write_bytes(b"weights")
    made = Desk(tmp_path)
    made.write(SPACE)
    return made
