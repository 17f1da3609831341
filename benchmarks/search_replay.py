"""Replays a real space whose every candidate was measured once: MiniLM, fine-tuned and quantised.

    python benchmarks/search_replay.py [--seeds 20] [--jobs 2] [--output results] [--quick]

How many runs find the best candidate under the constraints, and what it costs to come within 2 %
of the true front's hypervolume, per strategy. A stage costs the seconds that it took when the table
was made (`minilm_table.py`); what a part of a training gives is not in the table, so nothing stops
at rungs. Writes search_replay.md and, beside it, the runs in search_replay.jsonl.
"""

from __future__ import annotations

import argparse
import csv
import json
import multiprocessing
import os
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from search_drivers import run
from search_page import prose, shown, table
from search_problem import Metrics, Problem, Steps
from search_store import measurement_key
from search_volume import add, hypervolume

from evaluators import machine
from evaluators.base import Json
from evaluators.statistics import wilson
from search_spaces import Space, read_space
from search_spaces.candidates import Candidate, Decision, build, enumerate_candidates, plain
from search_spaces.space import Choices, SearchSettings
from search_spaces.vocabulary import Value
from tuner.registry import vocabulary

HERE = Path(__file__).resolve().parent
RESULTS = HERE.parent / "results"
SPACE = HERE / "minilm_table.yaml"
STRATEGIES = ("auto", "tpe", "random", "nsga2", "plain")
MARKS = (1 / 8, 1 / 4, 1 / 2)
_NEAR = 0.98
_MARGIN = 0.05  # of an objective's range: how far the reference is beyond the worst


class Replay(Problem):
    """The table as a problem. `path`: the CSV file; `source`: the space that it is of.

    `rows`: of each candidate, by its steps, the columns as numbers. `winner`: the best value of the
    first objective, as a loss, under the constraints. The budget is what trying every candidate
    once costs when nothing is made twice.
    """

    name: str = "minilm"
    title: str = "MiniLM"
    units: Mapping[str, float] = {"latency": 1e3, "size": 1e-6}
    rungs: bool = False

    def __init__(self, path: Path, source: Path = SPACE) -> None:
        self.vocabulary = vocabulary()
        self._space = read_space(source, self.vocabulary).space
        self.rows = _read(path, self._space)
        self._prefixes = _seconds_of_prefixes(self.rows)
        self.budget = self._exhaustive()
        good = [
            self.losses(self._space, row)
            for row in self.rows.values()
            if self.feasible(self._space, row)
        ]
        if not good:
            raise SystemExit(f"no row of {path} keeps the constraints of {source}")
        self.reference = tuple(map(_beyond, zip(*good, strict=True)))
        self.winner = min(losses[0] for losses in good)
        front: list[Sequence[float]] = []
        for losses in good:
            front = add(front, losses)
        self.feasible_count, self.front = len(good), front
        self.best = hypervolume(front, self.reference)

    def space(self, strategy: str, seed: int) -> Space:
        """The space of the file, to be searched by this strategy."""
        return replace(self._space, search=SearchSettings(strategy, None, self.budget, seed))

    def stage(self, steps: Steps, share: float = 1.0) -> tuple[float, bool]:
        """What the stage took when the table was made; nothing fails."""
        return share * self._prefixes[_key(steps)], False

    def truth(self, steps: Steps, share: float = 1.0) -> Metrics:
        """The table's row."""
        return self.rows[_key(steps)]

    def measuring(self, evaluator: str) -> float:
        """The mean over the table."""
        return _mean(tuple(row[f"measuring:{evaluator}"] for row in self.rows.values()))

    def _exhaustive(self) -> float:
        total = sum(self._prefixes.values())
        for name in self._space.evaluators:
            spec = self.vocabulary.evaluators[name]
            keys = {measurement_key(spec, c.steps, 1.0) for c in enumerate_candidates(self._space)}
            total += len(keys) * self.measuring(name)
        return total


def _read(path: Path, space: Space) -> dict[Any, dict[str, float]]:
    rows = {}
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            candidate = _candidate(space, row)
            rows[_key(candidate.steps)] = {n: float(v) for n, v in row.items() if _is_number(n, v)}
    wanted = {c.key for c in enumerate_candidates(space)}
    if len(rows) != len(wanted):
        raise SystemExit(f"{path} has {len(rows)} candidates; the space has {len(wanted)}")
    asked = {o.metric for o in space.objectives} | {c.metric for c in space.constraints}
    lacking = [name for name in asked if any(name not in row for row in rows.values())]
    if lacking:
        raise SystemExit(f"{path} has no column {', '.join(sorted(lacking))}, which is asked for")
    return rows


def _is_number(name: str, value: str) -> bool:
    return bool(value) and (":" in name or name in ("accuracy", "latency", "size"))


def _candidate(space: Space, row: Mapping[str, str]) -> Candidate:
    """The candidate that a row's decisions lead to."""

    def choose(decision: Decision) -> Value:
        assert isinstance(decision.domain, Choices), "a grid has no ranges"
        by_text = {_text(value): value for value in decision.domain.values}
        return by_text[row[decision.name]]

    return build(space, choose)


def _text(value: Value) -> str:
    return value if isinstance(value, str) else json.dumps(plain(value))


def _key(steps: Steps) -> tuple[Any, ...]:
    return tuple((s.id, *s.parameters.values()) for s in steps)


def _seconds_of_prefixes(rows: Mapping[Any, Mapping[str, float]]) -> dict[Any, float]:
    found: dict[Any, float] = {}
    for key, row in rows.items():
        for end in range(1, len(key) + 1):
            found[key[:end]] = row[f"seconds:{key[end - 1][0]}"]
    return found


def _beyond(values: Sequence[float]) -> float:
    return max(values) + _MARGIN * ((max(values) - min(values)) or abs(max(values)) or 1.0)


@cache
def _mean(values: tuple[float, ...]) -> float:
    return statistics.fmean(values)


@cache
def problem_of(path: Path, source: Path) -> Replay:
    """The problem; in each process read once."""
    return Replay(path, source)


def record_of(task: tuple[Path, Path, str, int]) -> Json:
    """One run: what it had at the marks, and at which share of the whole cost it found what."""
    path, source, strategy, seed = task
    problem = problem_of(path, source)
    trace = run(problem, strategy, seed)
    best = next((s for s, losses in trace.found if losses[0] <= problem.winner), None)
    near = trace.reached(_NEAR)
    return {
        "strategy": strategy,
        "seed": seed,
        "best": None if best is None else round(best / problem.budget, 4),
        "near": None if near is None else round(near / problem.budget, 4),
        "at": [round(trace.at(problem.budget * mark), 4) for mark in MARKS],
        "became": dict(trace.became),
    }


def main(arguments: Sequence[str]) -> None:
    """Replay, write the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--jobs", type=int, default=machine.cores(), help="processes at once")
    parser.add_argument("--table", type=Path, default=RESULTS / "minilm_table.csv")
    parser.add_argument("--space", type=Path, default=SPACE)
    parser.add_argument("--strategies", nargs="+", default=list(STRATEGIES))
    parser.add_argument("--output", type=Path, default=RESULTS, help="a folder")
    parser.add_argument("--quick", action="store_true", help="2 seeds")
    options = parser.parse_args(arguments)
    seeds = min(options.seeds, 2) if options.quick else options.seeds
    problem = problem_of(options.table, options.space)
    tasks = [
        (options.table, options.space, strategy, seed)
        for seed in range(seeds)
        for strategy in options.strategies
    ]
    # One thread each: the surrogate's small matrices gain nothing from more.
    os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    with multiprocessing.get_context("spawn").Pool(options.jobs) as pool:
        records = pool.map(record_of, tasks, chunksize=1)
    options.output.mkdir(parents=True, exist_ok=True)
    path = options.output / "search_replay.md"
    lines = "".join(json.dumps(record) + "\n" for record in records)
    path.with_suffix(".jsonl").write_text(lines, encoding="utf-8")
    facts = options.table.with_suffix(".json")
    origin = json.loads(facts.read_text(encoding="utf-8")) if facts.exists() else {}
    path.write_text(page(records, problem, origin), encoding="utf-8")
    print(f"wrote {path}")


def page(records: Sequence[Json], problem: Replay, origin: Json) -> str:
    """The page in Markdown."""
    space = problem.space("auto", 0)
    asks = ", ".join([o.text for o in space.objectives] + [c.text for c in space.constraints])
    text = (
        f"A real space replayed: {len(problem.rows)} candidates of MiniLM, each built and measured "
        f"once (`minilm_table.csv`), {asks}. {problem.feasible_count} candidates are feasible, "
        f"{len(problem.front)} are on the true front. The cost is a share of what trying all of "
        f"them costs when nothing is made twice ({problem.budget:.0f} s). Written by "
        "`benchmarks/search_replay.py`; every run is in `search_replay.jsonl`. The numbers of the "
        "table are taken for the truth. Brackets are 95 % intervals (Wilson's of shares, bootstrap "
        "of means)."
    )
    rows = [[s, *_row([r for r in records if r["strategy"] == s])] for s in _strategies(records)]
    titles = ["strategy", *(f"runs with the best by {_mark(m)}" for m in MARKS)]
    titles += ["cost of the best", "cost of 98 % of the volume"]
    titles += [f"volume at {_mark(m)}" for m in MARKS]
    made = ", ".join(f"{name} {value}" for name, value in origin.get("environment", {}).items())
    parts = ["# Search, replayed", prose(text), table(titles, rows)]
    return "\n\n".join([*parts, *([prose(f"The table was made with {made}.")] * bool(made))]) + "\n"


def _strategies(records: Sequence[Json]) -> list[str]:
    return list(dict.fromkeys(r["strategy"] for r in records))


def _row(runs: Sequence[Json]) -> list[str]:
    found = [_share([r["best"] is not None and r["best"] <= mark for r in runs]) for mark in MARKS]
    costs = [_cost([r[name] for r in runs]) for name in ("best", "near")]
    return [*found, *costs, *(shown([r["at"][i] for r in runs]) for i in range(len(MARKS)))]


def _share(found: Sequence[bool]) -> str:
    share = wilson(sum(found), len(found))
    return f"{sum(found)} of {len(found)} [{share.low:.0%}, {share.high:.0%}]"


def _cost(costs: Sequence[float | None]) -> str:
    """The median, and how many never got there."""
    never = sum(c is None for c in costs)
    middle = statistics.median(2.0 if c is None else c for c in costs)
    text = f"{middle:.0%}" if middle <= 1 else "not"
    return f"{text} ({never} of {len(costs)} never)" if never else text


def _mark(mark: float) -> str:
    return f"1/{round(1 / mark)}"


if __name__ == "__main__":
    main(sys.argv[1:])
