"""The page results/search.md out of the records of the runs. Runs nothing."""

from __future__ import annotations

import random
import statistics
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from evaluators.base import Json

MARKS = (1 / 8, 1 / 4, 1 / 2, 1.0)
"""The shares of the budget at which the hypervolume is given."""

_RESAMPLES = 2000
_ORDER = ("auto", "tpe", "random", "nsga2", "gp", "grid", "plain")

INTRODUCTION = """# Search

How much of the true front a strategy finds in how much simulated time, where the truth is known.
Written by `benchmarks/search.py`; every run is in `search.jsonl`. The figure is the hypervolume of
what a run holds feasible and is, computed without noise, as a share of the true feasible front's
(of a continuous problem: of the front that NSGA-II finds with 200,000 evaluations). Brackets are
95 % intervals over seeds (bootstrap). "plain" is Optuna's TPE sampler as a user would write it: one
study, one objective function, raw constraints, failures pruned, every trial paid for whole. The
others are the program's strategies on its store of stages; `auto` also screens on the un-tuned twin
and stops at rungs."""


def page(records: Sequence[Json], titles: Mapping[str, str], missing: Mapping[str, str]) -> str:
    """The page in Markdown. `titles`: of the problems that were run; `missing`: why others not."""
    runs = {name: [r for r in records if r.get("problem") == name] for name in titles}
    text = [INTRODUCTION, _summary(runs, titles)]
    text += [_section(name, titles[name], found) for name, found in runs.items()]
    text += [f"{name} was not run: {why}." for name, why in missing.items()]
    return "\n\n".join([*text, _origin([r for r in records if r["part"] == "start"])]) + "\n"


def _summary(runs: Mapping[str, Sequence[Json]], titles: Mapping[str, str]) -> str:
    rows = []
    for name, found in runs.items():
        by = _by_strategy(found)
        if {"auto", "tpe"} <= by.keys():
            worst, best = _compared(by["auto"], by["tpe"])
            final = _final(by.get("plain", []))
            cost = _reached(by["auto"], final)[0] if final is not None else "-"
            rows.append([titles[name], *best, worst, cost])
    titles_ = ["problem", *(f"auto - tpe at {_mark(m)}" for m in MARKS)]
    titles_ += ["auto beside tpe", "auto reaches plain's end at"]
    chance = prose(
        "Differences are those of the same seed. Each interval misses the truth once in twenty "
        'times, so that among so many one or two are on the wrong side by chance; "worse '
        'somewhere" says that an interval is below zero as a whole.'
    )
    return "\n\n".join(["## Summary", table(titles_, rows), chance]) if rows else ""


def _section(name: str, title: str, runs: Sequence[Json]) -> str:
    by = _by_strategy(runs)
    final = _final(by.get("plain", []))
    rows, more = [], []
    for strategy, own in by.items():
        columns = [[r["at"][i] for r in own] for i in range(len(MARKS))]
        reached = ["-", "-"] if final is None else _reached(own, final)
        rows.append([strategy, *(shown(c) for c in columns), *reached])
        more.append([strategy, *_became(own)])
    heads = ["strategy", *map(_mark, MARKS), "reaches plain's end at", "seeds that do"]
    seeds = max(len(own) for own in by.values())
    budget = f"Budget: {_duration(name, runs[0]['budget'])}; {seeds} seeds."
    kinds = ["strategy", "trials", "of these", "s per ask"]
    parts = [f"## {title}", budget, f"![{title}](search_{name}.svg)", table(heads, rows)]
    return "\n\n".join([*parts, table(kinds, more)])


def _by_strategy(runs: Sequence[Json]) -> dict[str, list[Json]]:
    found = {s: [r for r in runs if r["strategy"] == s] for s in _ORDER}
    return {s: sorted(own, key=lambda r: r["seed"]) for s, own in found.items() if own}


def _final(plain: Sequence[Json]) -> float | None:
    """The mean hypervolume that plain Optuna ends with."""
    return statistics.fmean(r["at"][-1] for r in plain) if plain else None


def _reached(runs: Sequence[Json], volume: float) -> tuple[str, str]:
    """The cost at which so much is reached first (the median over seeds), and by how many seeds."""
    costs = [next((c for c, v in r["points"] if v >= volume), None) for r in runs]
    there = sum(c is not None for c in costs)
    middle = statistics.median(c if c is not None else 2.0 for c in costs)
    return (f"{middle:.0%}" if middle <= 1 else "not"), f"{there} of {len(runs)}"


def _compared(auto: Sequence[Json], tpe: Sequence[Json]) -> tuple[str, list[str]]:
    """The verdict, and the difference at each mark, seed by seed."""
    other = {r["seed"]: r["at"] for r in tpe}
    pairs = [(r["at"], other[r["seed"]]) for r in auto if r["seed"] in other]
    differences = [[a[i] - b[i] for a, b in pairs] for i in range(len(MARKS))]
    intervals = [interval(d) for d in differences]
    if any(high < 0 for _, high in intervals):
        verdict = "worse somewhere"
    else:
        verdict = "better" if intervals[-1][0] > 0 else "no worse"
    return verdict, [shown(d, signed=True) for d in differences]


def _became(runs: Sequence[Json]) -> list[str]:
    """Per run: trials, what became of them, and the mean seconds of an ask."""
    total: Counter[str] = Counter()
    for run in runs:
        total.update(run["became"])
    count = len(runs)
    kinds = ", ".join(f"{n / count:.0f} {kind}" for kind, n in total.most_common())
    asks = [r["ask"] for r in runs if r["ask"] is not None]
    ask = f"{statistics.fmean(asks):.3f}" if asks else "-"
    return [f"{sum(total.values()) / count:.0f}", kinds, ask]


def interval(values: Sequence[float]) -> tuple[float, float]:
    """The 95 % interval of the mean, by resampling."""
    rng = random.Random(0)
    means = sorted(statistics.fmean(rng.choices(values, k=len(values))) for _ in range(_RESAMPLES))
    return means[round(0.025 * (_RESAMPLES - 1))], means[round(0.975 * (_RESAMPLES - 1))]


def shown(values: Sequence[float], signed: bool = False) -> str:
    """The mean and its interval."""
    sign = "+" if signed else ""
    low, high = interval(values)
    return f"{statistics.fmean(values):{sign}.3f} [{low:{sign}.3f}, {high:{sign}.3f}]"


def _mark(mark: float) -> str:
    return "the end" if mark == 1 else f"1/{round(1 / mark)}"


def _duration(name: str, budget: float) -> str:
    if name in ("staged", "nasbench201"):
        return f"{budget / 3600:.1f} simulated hours"
    return f"{budget:.0f} evaluations"


def table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    return "\n".join(f"| {' | '.join(r)} |" for r in (titles, ["---"] * len(titles), *rows))


def prose(text: str) -> str:
    """A paragraph in lines of a hundred characters."""
    return textwrap.fill(text, 100, break_on_hyphens=False)


def _origin(starts: Sequence[Json]) -> str:
    """When, where and with what it was run: every start has a line."""
    lines = ["## How this page was made", ""]
    for start in starts:
        at = datetime.fromtimestamp(start["at"], UTC)
        versions = ", ".join(f"{name} {v}" for name, v in start["versions"].items())
        lines.append(
            f"- {at:%Y-%m-%d %H:%M} UTC: `python benchmarks/search.py {start['arguments']}`; "
            f"{start['cpu']}, {start['cores']} cores; {versions}."
        )
    return "\n".join(lines)
