"""What asking for the next candidate costs when a study is long, per strategy and space.

    python benchmarks/search_ask.py [--trials 1000] [--asks 20] [--output results]

Tells a strategy so many made-up results and times proposals, each followed by another result, as
in a study. Refits fall where they fall. Times are of the processor, beside those of the clock.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from search_staged import Staged

from evaluators import machine
from search_spaces import Space, read_space
from search_spaces.candidates import Candidate, build
from search_spaces.overrides import Overrides
from tuner.registry import vocabulary
from tuner.search.strategies import Known, Result, make_strategy
from tuner.search.strategies.base import derived_seed, uniform

SPACES = ("staged", "phi3", "minilm")


@dataclass(frozen=True)
class Cost:
    """Milliseconds of a proposal."""

    strategy: str
    space: str
    trials: int
    cpu_mean: float
    cpu_median: float
    cpu_most: float
    wall_mean: float


def space_of(name: str, strategy: str) -> Space:
    """A shipped space, or that of the staged problem."""
    if name == "staged":
        return Staged().space(strategy, 0)
    from search_spaces import find_space

    return read_space(find_space(name), vocabulary(), Overrides(strategy=strategy)).space


def made_up(space: Space, candidate: Candidate) -> Result:
    """Numbers that depend on every decision, the same every time; one in twelve fails."""
    seeds = [derived_seed(name, value) for name, value in candidate.decisions.items()]
    if sum(seeds) % 12 == 0:
        return Result(None, {c.text: 10.0 for c in space.constraints})
    level = sum(s % 1000 for s in seeds) / (1000 * max(1, len(seeds)))
    noise = random.Random(candidate.key).gauss(0, 0.05)
    values = [level + noise if o.minimize else 1 - level + noise for o in space.objectives]
    return Result(values, {c.text: 5 * (level - 0.5) for c in space.constraints})


def cost(name: str, strategy_name: str, trials: int, asks: int) -> Cost:
    """Proposals after so many trials."""
    space = space_of(name, strategy_name)
    strategy, rng = make_strategy(space, vocabulary()), random.Random(0)
    keys: set[str] = set()
    while len(keys) < trials:
        candidate = build(space, uniform(rng))
        if candidate.key not in keys:
            keys.add(candidate.key)
            strategy.tell(candidate, made_up(space, candidate))
    cpu, wall = [], []
    for number in range(trials, trials + asks):
        begun, clock = time.process_time(), time.perf_counter()
        found = strategy.propose(number, Known(keys))
        cpu.append((time.process_time() - begun) * 1000)
        wall.append((time.perf_counter() - clock) * 1000)
        if found is not None:
            keys.add(found.key)
            strategy.tell(found, made_up(space, found))
    figures = (statistics.mean(cpu), statistics.median(cpu), max(cpu), statistics.mean(wall))
    return Cost(strategy_name, name, trials, *(round(figure, 1) for figure in figures))


def main() -> None:
    """Measure, print a table, and write it down."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--asks", type=int, default=20)
    parser.add_argument("--strategies", nargs="+", default=["auto", "tpe", "nsga2"])
    parser.add_argument("--output", type=Path, help="the folder for search_ask.jsonl")
    options = parser.parse_args()
    rows = []
    print("| strategy | space | trials | CPU ms: mean | median | most | wall ms: mean |")
    print("|---|---|---|---|---|---|---|")
    for name in SPACES:
        for strategy in options.strategies:
            least = min(options.trials, 150) if name == "minilm" else options.trials
            row = cost(name, strategy, least, options.asks)
            rows.append(row)
            print("| " + " | ".join(str(value) for value in asdict(row).values()) + " |")
    if options.output is not None:
        told = machine.fingerprint()
        lines = "".join(json.dumps(asdict(row) | {"machine": told}) + "\n" for row in rows)
        (options.output / "search_ask.jsonl").write_text(lines, encoding="utf-8")


if __name__ == "__main__":
    main()
