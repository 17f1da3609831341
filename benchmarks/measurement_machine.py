"""What the machine shows of the figures that `evaluators.timing` assumes, out of A/A sessions.

Knows nothing of how they were held.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from evaluators.base import Json
from evaluators.timing import DRIFT, PROCESSES_DIFFER, SHARED_STATE


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
    ratios, processes = ([_between(held, share) for held in apart] for share in (1, 2))
    blocks = [pooled(s["log_ratios"] for held in found for s in held) for found in apart]
    anchors = [pooled(_anchors(held) for held in found) for found in apart]
    windows = [between_windows([s for held in found for s in held]) for found in apart]
    return [
        Figure("ratio of the two, between sessions of a pair", *ratios),
        Figure("the same for one model (over √2): PROCESSES_DIFFER", *processes, PROCESSES_DIFFER),
        Figure("ratio of the two, between blocks of a session", *blocks),
        Figure("level of the baseline, between sessions of a pair", *anchors),
        Figure(f"level of the baseline, between {SHARED_STATE:.0f} s: DRIFT", *windows, DRIFT),
    ]


def pooled(groups: Iterable[Sequence[float]]) -> float | None:
    """The standard deviation within groups: variances weighed by their degrees of freedom."""
    found = [(statistics.variance(g), len(g) - 1) for g in groups if len(g) > 1]
    freedom = sum(weight for _, weight in found)
    return math.sqrt(sum(v * weight for v, weight in found) / freedom) if freedom else None


def between_windows(sessions: Sequence[Json]) -> float | None:
    """The standard deviation of the anchor's level between windows of SHARED_STATE seconds."""
    windows: dict[int, list[float]] = {}
    for session in sessions:
        windows.setdefault(int(session["at"] / SHARED_STATE), []).append(session["anchor"])
    levels = [math.log(statistics.median(values)) for values in windows.values()]
    return statistics.stdev(levels) if len(levels) > 1 else None


def _between(pairs: Sequence[Sequence[Json]], share: int) -> float | None:
    found = pooled([statistics.median(s["log_ratios"]) for s in held] for held in pairs)
    return None if found is None else found / math.sqrt(share)


def _anchors(held: Sequence[Json]) -> list[float]:
    return [math.log(session["anchor"]) for session in held]
