"""The front: the feasible candidates that no other dominates, and which of them to choose."""

from __future__ import annotations

import math
import statistics
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


def in_order(front: Mapping[int, Sequence[float]]) -> list[int]:
    """The whole front: the point to `choose`, then the one to choose without it, and so on."""
    left, order = dict(front), []
    while (best := choose(left)) is not None:
        order.append(best)
        del left[best]
    return order


def reordered(
    front: Mapping[int, Sequence[float]], again: Mapping[int, Sequence[float]]
) -> list[int]:
    """The points that were measured again, in the order in which to choose them by that.

    Those of the front that were not move as those that were did (by the median), since on other
    data everything may be a little better or worse: what counts is who is better than whom.
    """
    moves = [[b - a for a, b in zip(front[n], losses, strict=True)] for n, losses in again.items()]
    shift = [statistics.median(move) for move in zip(*moves, strict=True)]
    whole = {n: [x + s for x, s in zip(losses, shift, strict=True)] for n, losses in front.items()}
    return [n for n in in_order({**whole, **again}) if n in again]
