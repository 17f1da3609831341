"""Every pass on a tiny model of every family, run in its runtime: docs/families.md.

    python benchmarks/families.py                          # all, and write the page (minutes)
    python benchmarks/families.py --family GPT-2 --pass lora  # some; prints, writes nothing

A column is a pass of the registry (a new one shows up by itself) inside the shortest chain that
makes of a checkpoint something that a runtime can run. Every step and every check is a process of
its own with limits, so that a crash or a hang costs one cell.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import family_table
from family_chains import IN_TORCH, NEAR, TAIL, Column, Step, columns, least, unavailable
from family_models import FAMILIES

from evaluators.base import Artifact
from search_spaces.candidates import complete
from search_spaces.data import DataSpec
from tuner.execution.job import Failure, Job, Reason
from tuner.execution.stage_job import RUN_STAGE
from tuner.execution.workers import Workers
from tuner.passes import all_passes

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "families.md"
DATA = ROOT / "search_spaces" / "tones" / "train.jsonl"
TEMPLATE = "### Text: {phrase}\n### The tone is:\n{tone}"
ROWS = 32

SECONDS, MEMORY = 180.0, 6 * 2**30  # the limits of one process
PRELOAD = (
    "torch",
    "torch._dynamo",
    "transformers",
    "accelerate",
    "bitsandbytes",
    "peft",
    "auto_round",
    "neural_compressor.torch.quantization",
    "onnxscript",
    "onnxruntime.quantization",
    "onnxruntime_genai",
    "tuner.passes",
)
CHECK = "family_check"
DIFFERS = "Differs: "  # how its error begins


@dataclass(frozen=True, slots=True)
class Cell:
    """What came of a chain: "yes", "torch" (good there, not taken further), "no", "-" (not run)."""

    answer: str
    reason: str = ""
    cosine: float | None = None


class Failed(Exception):
    """A process ended without a result; the message says why, for a person."""


class Wrong(Failed):
    """A model runs, but does not compute what it should."""


@dataclass(slots=True)
class Bench:
    """Runs chains on one family's tiny model; a prefix that two chains share runs once."""

    workers: Workers
    folder: Path
    kind: str
    data: DataSpec
    _made: dict[tuple[Step, ...], Artifact | Failed] = field(default_factory=dict)
    _jobs: int = 0
    _tried_exact: bool = False
    _wrong: Wrong | None = None

    def write(self, config: Mapping[str, Any]) -> None:
        """Make the tiny model, on which every chain begins."""
        source = self.folder / "source"
        payload = {"config": dict(config), "folder": str(source)}
        self.run("transformers", f"{CHECK}:write_model", payload)
        self._made[()] = Artifact("hf", source)

    def cell(self, column: Column) -> Cell:
        """Run a chain and what it made."""
        if reason := unavailable(column.subject):
            return Cell("-", reason)
        before = len(column.lead) + 1
        try:
            for count in range(1, before + 1):
                self.make(column.steps[:count])
        except Failed as failure:
            return Cell("no", str(failure))
        try:
            model = self.make(column.steps)
            found = self.check(column.steps, model)
            return Cell("yes", plainer(found.get("limit") or ""), found["cosine"])
        except Failed as failure:
            if not column.tail:
                return Cell("no", str(failure))
            return self._in_torch(column.steps[:before], str(failure))

    def _in_torch(self, steps: tuple[Step, ...], reason: str) -> Cell:
        """What a pass made cannot be built or run; say whether it is good where it was made."""
        model = self.make(steps)
        payload = {"model": model.to_json(), "kind": self.kind}
        try:
            self.run("PyTorch", f"{CHECK}:run_in_torch", payload)
        except Failed as failure:
            return Cell("no", str(failure))
        return Cell("torch", reason)

    def check(self, steps: tuple[Step, ...], model: Artifact) -> dict[str, Any]:
        """Run the model in its runtime, and compare it with what it was built from, in PyTorch."""
        prefixes = [steps[:count] for count in range(len(steps) + 1)]
        origin = next(p for p in reversed(prefixes) if self.make(p).format in IN_TORCH)
        reference = self.make(origin)
        near = min(least(wanted, reference.format) for wanted in steps[len(origin) :])
        if near < NEAR and steps != self._exact:
            self._require_exact()
        payload = {
            "model": model.to_json(),
            "reference": reference.to_json(),
            "kind": self.kind,
            "least": near,
        }
        return self.run("the runtime", f"{CHECK}:run_built", payload)

    def _require_exact(self) -> None:
        """Wrong where even 32 bits compute something else: nearness at fewer says nothing then."""
        if not self._tried_exact:
            self._tried_exact = True
            try:
                self.check(self._exact, self.make(self._exact))
            except Wrong as wrong:
                self._wrong = wrong
            except Failed:  # not to be had in 32 bits: fewer are judged by themselves
                return
        if self._wrong is not None:
            raise self._wrong

    @property
    def _exact(self) -> tuple[Step, ...]:
        return TAIL[self.kind, "hf"]

    def make(self, steps: tuple[Step, ...]) -> Artifact:
        """What a chain makes; Failed where a step of it does, each tried once."""
        if steps not in self._made:
            try:
                self._made[steps] = self._stage(self.make(steps[:-1]), steps[-1])
            except Failed as failure:
                self._made[steps] = failure
        made = self._made[steps]
        if isinstance(made, Failed):
            raise made
        return made

    def _stage(self, model: Artifact, wanted: Step) -> Artifact:
        pass_ = all_passes()[wanted.name]
        parameters = complete(pass_.spec, dict(wanted.changes), model.format)
        problems = pass_.check(parameters)
        if problems:
            raise Failed(f"{wanted.name}: {problems[0]}")
        output = self.folder / f"made{len(self._made)}"
        output.mkdir()
        payload = {
            "pass": wanted.name,
            "parameters": parameters,
            "model": model.to_json(),
            "output": str(output),
            "task": "text-classification",
            "data": self.data.to_json(),
        }
        self.run(wanted.name, RUN_STAGE, payload)
        gives = pass_.spec.gives or model.format
        return Artifact(gives, output, model if gives == "adapter" else None)

    def run(self, doing: str, entry: str, payload: dict[str, Any]) -> dict[str, Any]:
        """Run a job in a process of its own; what it gives, or Failed. `doing`: what to blame."""
        self._jobs += 1
        log = self.folder / "logs" / f"{self._jobs}.log"
        outcome = self.workers.run(Job(entry, payload, log, SECONDS, MEMORY))
        if outcome.failure is not None:
            wrong = outcome.failure.message.startswith(DIFFERS)
            raise (Wrong if wrong else Failed)(self._words(doing, outcome.failure, log))
        return outcome.value or {}

    def _words(self, doing: str, failure: Failure, log: Path) -> str:
        """One line that says what failed and, where it raised, in which library."""
        message = failure.message.replace(str(self.folder), "…").removeprefix(DIFFERS)
        message = re.sub(r"…[\w./]*", "…", message)
        message = plainer(message)
        library = raised_in(log) if failure.reason is Reason.ERROR else None
        if failure.reason is Reason.REFUSED and doing in all_passes():
            return message  # a sentence that says all, and that other passes may say as well
        return f"{message} (raised in {library})" if library else f"{doing}: {message}"


def plainer(message: str) -> str:
    """A message of onnxruntime without its numbers and the names of nodes."""
    message = re.sub(r"\[ONNXRuntimeError\] : \d+ : \w+ : ", "", message)
    node = r"Non-zero status code returned while running (\w+) node\. Name:'[^']*' Status Message: "
    return re.sub(node, r"\1: ", message)


def raised_in(log: Path) -> str | None:
    """The installed library whose code raised what a log ends with; None where it was ours."""
    try:
        text = log.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    files = re.findall(r'^  File "([^"]+)", line', text, re.MULTILINE)
    inside = re.search(r"site-packages/(\w+)", files[-1]) if files else None
    return inside[1] if inside else None


def tones(folder: Path) -> DataSpec:
    """Some rows to train and to calibrate on."""
    lines = DATA.read_text(encoding="utf-8").splitlines(keepends=True)
    file = folder / "tones.jsonl"
    file.write_text("".join(lines[:ROWS]), encoding="utf-8")
    return DataSpec((("train", file),), TEMPLATE, "tone", split=())


Results = dict[str, list[Cell]]


def measure(kind: str, names: Sequence[str], wanted: Sequence[Column], jobs: int) -> Results:
    """Every wanted column on every family, `jobs` families at a time; prints what it finds."""
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(jobs) as pool:
        folder = Path(name)
        data = tones(folder)

        def some(part: int) -> Results:
            results: Results = {}
            with Workers([*PRELOAD, CHECK]) as workers:  # one is not for several threads
                for family in names[part::jobs]:
                    bench = Bench(workers, folder / f"family{part}", kind, data)
                    results[family] = _family(bench, FAMILIES[kind][family], wanted)
                    _tell(family, results[family], wanted)
            return results

        parts = list(pool.map(some, range(jobs)))
    return {family: part[family] for family in names for part in parts if family in part}


def _family(bench: Bench, config: Mapping[str, Any], wanted: Sequence[Column]) -> list[Cell]:
    bench.folder.mkdir()
    try:
        bench.write(config)
        return [bench.cell(column) for column in wanted]
    except Failed as failure:  # in making the model: each cell keeps its own
        return [Cell("no", str(failure))] * len(wanted)
    finally:
        shutil.rmtree(bench.folder)


def _tell(family: str, cells: Sequence[Cell], wanted: Sequence[Column]) -> None:
    lines = [family]
    for column, cell in zip(wanted, cells, strict=True):
        cosine = "" if cell.cosine is None else f"{cell.cosine:.5f}"
        lines.append(f"  {column.subject!s:28} {cell.answer:6}{cosine} {cell.reason}")
    print("\n".join(lines), flush=True)


def main() -> int:
    """Measure what the command asks for; everything: write the page."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--family", action="append", default=[], help="only this one (repeatable)")
    parser.add_argument("--pass", dest="passes", action="append", default=[], help="only this one")
    parser.add_argument("--jobs", type=int, default=1, help="families at a time")
    arguments = parser.parse_args()
    # Models this small gain nothing from threads; the worker processes inherit it.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    tables: dict[str, tuple[list[str], Results]] = {}
    for kind, families in FAMILIES.items():
        names = [n for n in families if not arguments.family or n in arguments.family]
        wanted = [
            c for c in columns(kind) if not arguments.passes or c.subject.name in arguments.passes
        ]
        if names and wanted:
            titles = [str(column.subject) for column in wanted]
            tables[kind] = (titles, measure(kind, names, wanted, arguments.jobs))
    if not (arguments.family or arguments.passes):
        PAGE.write_text(family_table.page(tables), encoding="utf-8")
        print(f"wrote {PAGE.relative_to(ROOT)}")
    return 0 if tables else 2


if __name__ == "__main__":
    sys.exit(main())
