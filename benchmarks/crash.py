"""kill -9 of the whole process tree at random moments, each followed by the same command.

    python benchmarks/crash.py [--kills 100] [--workers 1 3] [--seed 0] [--output results]

The study must end as an undisturbed one does: the same trials, the same answer, no stage run to
completion twice, no process left behind, a database that opens. The passes are those of the tests'
plug-in; their metrics are deterministic, and the candidates those of a grid.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from evaluators import machine

PLUGINS = Path(__file__).parent.parent / "tests" / "plugins"
TUNE = Path(sys.executable).parent / "tune"
SPACE = """
model: model
task: text-generation
pipeline:
  - toy:
      a: {choices: [0, 1, 2, 3, 4]}
      b: {choices: [0, 1, 2, 3, 4]}
      seconds: 0.2
  - toy_tail:
      c: {choices: [0, 1, 2, 3, 4]}
      d: {choices: [0, 1]}
objectives: [minimize cost, maximize worth]
constraints: ["cost<20ms"]
search: {strategy: grid, trials: 250}
"""


def desk(folder: Path) -> dict[str, Any]:
    """A folder with a space and a model in it; the keyword arguments of a process there."""
    (folder / "model").mkdir(parents=True)
    (folder / "model" / "config.json").write_text("{}")
    (folder / "model" / "model.safetensors").write_bytes(b"weights")
    (folder / "space.yaml").write_text(SPACE)
    mark = {"TUNER_STORE": str(folder / "store"), "PYTHONPATH": str(PLUGINS)}
    return {"cwd": folder, "env": {**os.environ, **mark}}


def start(where: dict[str, Any], workers: int) -> subprocess.Popen[bytes]:
    """The command, in a session of its own."""
    command = [str(TUNE), "--space", "space.yaml", "--json", "--workers", str(workers)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True, **where
    )


def tree_of(pid: int) -> list[psutil.Process]:
    """A process and all that descend from it."""
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def kill_tree(pid: int) -> None:
    """SIGKILL for every process of the tree, as fast as they can be named."""
    for process in tree_of(pid):
        try:
            process.send_signal(signal.SIGKILL)
        except psutil.NoSuchProcess:
            continue


def orphans(folder: Path) -> list[int]:
    """Processes that still run for this folder."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("TUNER_STORE") == str(folder / "store"):
                found.append(process.pid)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def finish(where: dict[str, Any], workers: int) -> dict[str, Any]:
    """Run the command to its end; its answer."""
    run = start(where, workers)
    output, errors = run.communicate(timeout=600)
    assert run.returncode == 0, errors.decode()
    answer: dict[str, Any] = json.loads(output.splitlines()[-1])
    return answer


def essence(answer: dict[str, Any], folder: Path) -> Any:
    """All of an answer that does not depend on time."""
    with sqlite3.connect(folder / "tuned" / "study.db") as db:
        assert db.execute("pragma integrity_check").fetchone() == ("ok",)
        trials = db.execute("select number, state, verdict from tuner_trials order by 1").fetchall()
        params = db.execute("select number, name, value from tuner_params order by 1, 2").fetchall()
    numbers = [(t["number"], t["parameters"], t["metrics"]) for t in answer["front"]]
    return trials, params, numbers, answer["chosen"]["number"]


def made_twice(folder: Path) -> int:
    """How many stages ran to completion more than once."""
    with sqlite3.connect(folder / "tuned" / "study.db") as db:
        rows = db.execute("select body from tuner_events where kind = 'stage_finished'").fetchall()
    keys = [e["key"] for e in map(json.loads, (r[0] for r in rows)) if not e["cached"]]
    return len(keys) - len(set(keys))


@dataclass(frozen=True)
class Finding:
    """What became of a study that was killed again and again."""

    workers: int
    kills: int
    landed: int  # met a running command
    same: bool  # trials, parameters, front and answer are those of an undisturbed run
    stages_made_twice: int
    orphans: int
    seconds: float


def torment(
    folder: Path, workers: int, kills: int, rng: random.Random, undisturbed: Any
) -> Finding:
    """Kill a study's command at random moments, then let it come to its end."""
    began, where = time.monotonic(), desk(folder)
    left = landed = 0
    for _ in range(kills):
        run = start(where, workers)
        time.sleep(rng.uniform(0.3, 6.0))  # starting takes a second or two
        landed += run.poll() is None
        kill_tree(run.pid)
        run.communicate(timeout=60)
        time.sleep(0.5)
        left += len(orphans(folder))
    same = essence(finish(where, workers), folder) == undisturbed
    took = round(time.monotonic() - began, 1)
    return Finding(workers, kills, landed, same, made_twice(folder), left, took)


def main() -> None:
    """Kill, compare, print, and write the findings down."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 3])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, help="the folder for crash.jsonl")
    arguments = parser.parse_args()
    rng, found = random.Random(arguments.seed), []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        undisturbed = essence(finish(desk(folder / "calm"), 1), folder / "calm")
        for workers in arguments.workers:
            place = folder / f"rough-{workers}"
            finding = torment(place, workers, arguments.kills, rng, undisturbed)
            found.append(finding)
            print(json.dumps(asdict(finding)), flush=True)
    if arguments.output is not None:
        lines = "".join(
            json.dumps(asdict(f) | {"machine": machine.fingerprint()}) + "\n" for f in found
        )
        (arguments.output / "crash.jsonl").write_text(lines)


if __name__ == "__main__":
    main()
