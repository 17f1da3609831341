"""What the machine shows of the figures that `evaluators.timing` assumes, out of A/A sessions.

Knows nothing of how they were held.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from evaluators.base import Json
from evaluators.timing import DRIFT, PROCESSES_DIFFER, SHARED_STATE

Held = Sequence[Sequence[Json]]
"""Of every pair, its sessions."""


@dataclass(frozen=True)
class Figure:
    """A standard deviation of logarithms; None where there is too little. `assumed`: if it is."""

    name: str
    quiet: float | None
    loaded: float | None
    assumed: float | None = None


def figures(pairs: Sequence[Json]) -> list[Figure]:
    """The figures of records of A/A pairs."""
    apart = [[p["ours"]["sessions"] for p in pairs if p["load"] is load] for load in (False, True)]

    def figure(name: str, of: Callable[[Held], float | None], assumed: float | None) -> Figure:
        return Figure(name, of(apart[0]), of(apart[1]), assumed)

    windows = f"level of the baseline, between {SHARED_STATE:.0f} s: DRIFT"
    return [
        figure("ratio of the two, between sessions of a pair", _ratios, None),
        figure("of it one model's part (over √2): PROCESSES_DIFFER", _part, PROCESSES_DIFFER),
        figure("ratio of the two, between blocks of a session", _blocks, None),
        figure("level of the baseline, between sessions of a pair", _levels, None),
        figure(windows, between_windows, DRIFT),
    ]


def pooled(groups: Iterable[Sequence[float]]) -> float | None:
    """The standard deviation within groups: variances weighed by their degrees of freedom."""
    found = [(statistics.variance(g), len(g) - 1) for g in groups if len(g) > 1]
    freedom = sum(weight for _, weight in found)
    return math.sqrt(sum(v * weight for v, weight in found) / freedom) if freedom else None


def between_windows(pairs: Held) -> float | None:
    """The standard deviation of the anchor's level between windows of SHARED_STATE seconds."""
    windows: dict[int, list[float]] = {}
    for session in (session for held in pairs for session in held):
        windows.setdefault(int(session["at"] / SHARED_STATE), []).append(session["anchor"])
    levels = [math.log(statistics.median(values)) for values in windows.values()]
    return statistics.stdev(levels) if len(levels) > 1 else None


def _ratios(pairs: Held) -> float | None:
    return pooled([statistics.median(s["log_ratios"]) for s in held] for held in pairs)


def _part(pairs: Held) -> float | None:
    found = _ratios(pairs)
    return None if found is None else found / math.sqrt(2)


def _blocks(pairs: Held) -> float | None:
    return pooled(session["log_ratios"] for held in pairs for session in held)


def _levels(pairs: Held) -> float | None:
    return pooled([math.log(session["anchor"]) for session in held] for held in pairs)
