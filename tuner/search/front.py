"""The front: the feasible candidates that no other dominates, and which of them to choose."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence


def dominates(a: Sequence[float], b: Sequence[float]) -> bool:
    """Whether `a` is nowhere worse than `b` and somewhere better; both to be minimised."""
    return all(x <= y for x, y in zip(a, b, strict=True)) and tuple(a) != tuple(b)


def add_to_front(
    front: Mapping[int, Sequence[float]], number: int, losses: Sequence[float]
) -> dict[int, Sequence[float]]:
    """The front after trial `number` with `losses` (to be minimised) joined the feasible ones.

    Of trials with equal losses the first stays.
    """
    if any(dominates(other, losses) or tuple(other) == tuple(losses) for other in front.values()):
        return dict(front)
    kept = {n: other for n, other in front.items() if not dominates(losses, other)}
    return kept | {number: losses}


def choose(front: Mapping[int, Sequence[float]]) -> int | None:
    """The point nearest to the ideal one, each objective scaled to its range on the front.

    The ideal point has the best value of every objective at once. Ties: the better first
    objective. None for an empty front.
    """
    if not front:
        return None
    columns = list(zip(*front.values(), strict=True))
    best = [min(c) for c in columns]
    spans = [(max(c) - min(c)) or 1.0 for c in columns]

    def distance(losses: Sequence[float]) -> float:
        scaled = ((x - b) / s for x, b, s in zip(losses, best, spans, strict=True))
        return round(math.hypot(*scaled), 12)

    return min(front, key=lambda n: (distance(front[n]), tuple(front[n]), n))
