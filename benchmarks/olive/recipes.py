"""Runs every Olive config of a folder that can run here, with a tiny model in place of its own.

    python benchmarks/olive/recipes.py FOLDER [--at-once 2] [--build-only]

The passes, values and order are the config's; the model has its architecture and random weights,
and made-up rows stand for data that is not here. Writes results/olive_recipes.json and .md.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from tuner.olive.coverage import FileCoverage, coverage

ROOT = Path(__file__).parents[2]
TUNE = Path(sys.executable).with_name("tune")
RUNS = ("runs here", "runs with named omissions")


@dataclass(frozen=True)
class Tried:
    """What became of a config. `exit_code` None: it was not run, for `reason`."""

    name: str
    outcome: str
    exit_code: int | None
    seconds: float | None
    reason: str


def main(arguments: Sequence[str]) -> int:
    """Run them, and write what came out; 1 where one failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="of Olive configs")
    parser.add_argument("--at-once", type=int, default=2, help="how many at once (2)")
    parser.add_argument("--build-only", action="store_true", help="for the configs' own providers")
    parser.add_argument("--output", type=Path, default=ROOT / "results", help="a folder")
    parser.add_argument("--name", default="olive_recipes", help="of the files that are written")
    options = parser.parse_args(arguments)
    found = [one for one in coverage(options.folder) if one.reach is not None]
    with tempfile.TemporaryDirectory() as work, ThreadPoolExecutor(options.at_once) as pool:
        tried = list(
            pool.map(lambda one: _try(one, options.folder, Path(work), options.build_only), found)
        )
    options.output.mkdir(parents=True, exist_ok=True)
    text = json.dumps([asdict(one) for one in tried], indent=1, ensure_ascii=False)
    (options.output / f"{options.name}.json").write_text(text + "\n", encoding="utf-8")
    written = page(tried, build_only=options.build_only)
    (options.output / f"{options.name}.md").write_text(written, encoding="utf-8")
    print(written)
    return 1 if any(one.exit_code for one in tried) else 0


def _try(one: FileCoverage, configs: Path, work: Path, build_only: bool) -> Tried:
    outcome, name = str(one.reach), one.path.relative_to(configs).as_posix()
    if outcome not in RUNS:
        why = dict.fromkeys(reason.text for reason in one.reasons)
        return Tried(name, outcome, None, None, "; ".join(why))
    folder = work / re.sub(r"\W", "_", name)
    folder.mkdir()
    command = [str(TUNE), "run", "--config", str(one.path.resolve()), "--test-model"]
    command += ["-o", "answer", "--quiet", *(["--build-only"] if build_only else [])]
    started = time.monotonic()
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=900, check=False
    )
    seconds = time.monotonic() - started
    print(f"{name}: {done.returncode}, {seconds:.0f} s", file=sys.stderr, flush=True)
    built = (folder / "answer" / "model").is_dir()
    if done.returncode == 0 and built:
        return Tried(name, outcome, 0, round(seconds, 1), "")
    text = done.stdout if "failed" in done.stdout or "feasible" in done.stdout else done.stderr
    said = [line.strip() for line in text.splitlines() if line.strip()]
    reason = " ".join(said[:6] if text is done.stdout else said[-3:])
    reason = reason.replace(str(work), "WORK").replace(str(configs), "")
    return Tried(name, outcome, done.returncode or 1, round(seconds, 1), reason)


def page(tried: Sequence[Tried], *, build_only: bool) -> str:
    """Markdown: how many, and a line for each."""
    run = [one for one in tried if one.exit_code is not None]
    good = sum(one.exit_code == 0 for one in run)
    how = ", built for their own providers" if build_only else ""
    lines = [
        "# Olive configs, run with `--test-model`",
        "",
        f"{len(tried)} configs, of which {len(run)} are made of passes and architectures that are "
        f"here{how}: {good} of them ran to a model.",
        "",
        *(f"- {count} {name}" for name, count in Counter(one.outcome for one in tried).items()),
        "",
        "| config | class | run | seconds | why not |",
        "|---|---|---|---|---|",
    ]
    for one in tried:
        ran = {None: "not run", 0: "yes"}.get(one.exit_code, f"exit {one.exit_code}")
        cells = [one.name, one.outcome, ran, "" if one.seconds is None else str(one.seconds)]
        lines.append("| " + " | ".join([*cells, one.reason.replace("|", "\\|")]) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
