"""Sweeps of toy spaces: a plan, and nights run through the package, in this process."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tuner.sweep.calendar import tonight
from tuner.sweep.night import NightRunner
from tuner.sweep.plan import read_plan
from tuner.sweep.records import EntryResult, Night, read_nights

SPACE = """
model: model
task: text-generation
pipeline:
  - toy:
      a: {choices: [0, 1, 3]}
  - toy_tail:
      c: {choices: [0, 1]}
metrics:
  toy_pace: {processes: 2, blocks: 2, requests: 2, seconds: 0.0, warmup: 1}
objectives: [minimize pace, maximize worth]
constraints: ["cost<20ms"]
search: {strategy: grid, trials: 2, seed: 3}
"""
PLAN = """
name: toys
entries:
  - {space: one.yaml}
  - {space: two.yaml, trials: 1}
"""
ONE = "name: toys\nentries: [{space: one.yaml, trials: 1}]"


class Sweep:
    """A folder with two spaces and a plan: of the first one, one trial a night."""

    def __init__(self, folder: Path, plan: str = ONE) -> None:
        self.folder = folder
        self.results = folder / "results" / "toys"
        if self.results.exists():  # a copy
            return
        model = folder / "model"
        model.mkdir()
        (model / "config.json").write_text("{}")
        (model / "model.safetensors").write_bytes(b"weights")
        for name in ("one.yaml", "two.yaml"):
            self.write(SPACE, name)
        self.write(plan, "plan.yaml")

    def write(self, text: str, name: str) -> None:
        (self.folder / name).write_text(text)

    def runner(
        self,
        name: str | None = None,
        baseline: str | None = None,
        tell: Callable[[EntryResult], None] = lambda _: None,
    ) -> NightRunner:
        plan = read_plan(self.folder / "plan.yaml")
        known = read_nights(plan.results)
        night = tonight(plan, known, name, baseline)
        return NightRunner(plan, night, known, self.folder / "store", tell=tell)

    def night(self, name: str | None = None, baseline: str | None = None) -> Night:
        """Run a night; it is not judged."""
        return self.runner(name, baseline).run()


@pytest.fixture
def sweep(tmp_path: Path) -> Sweep:
    return Sweep(tmp_path)


@pytest.fixture(scope="session")
def three_nights(tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    """Three nights; on the third all but the baseline is 1.5 times as slow. Read only."""
    sweep = Sweep(tmp_path_factory.mktemp("nights"), ONE.replace("trials: 1", "trials: 2"))
    for name in ("night-1", "night-2", "night-3"):
        with pytest.MonkeyPatch.context() as patch:
            if name == "night-3":
                patch.setenv("TOY_SLOWER", "1.5")
            sweep.night(name)
    return sweep


@pytest.fixture
def after_three(three_nights: Sweep, tmp_path: Path) -> Sweep:
    """A copy of the three nights, to go on with."""
    shutil.copytree(three_nights.folder, tmp_path / "copy", symlinks=True)
    return Sweep(tmp_path / "copy")
