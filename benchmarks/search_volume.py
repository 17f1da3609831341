"""Exact hypervolume of a front of one, two or three objectives, all to be minimised."""

from __future__ import annotations

from collections.abc import Sequence

from tuner.search.front import dominates

Losses = Sequence[float]


def hypervolume(points: Sequence[Losses], reference: Losses) -> float:
    """The volume that the points dominate within the reference point.

    Points beyond the reference in any objective add nothing. One to three objectives.
    """
    inside = [p for p in points if all(x < r for x, r in zip(p, reference, strict=True))]
    if not inside:
        return 0.0
    if len(reference) == 1:
        return reference[0] - min(p[0] for p in inside)
    if len(reference) == 2:
        return _area(inside, reference)
    if len(reference) == 3:
        return _volume(inside, reference)
    raise ValueError(f"hypervolume of {len(reference)} objectives: at most 3 are supported")


def add(front: Sequence[Losses], point: Losses) -> list[Losses]:
    """The front with the point; as it was where the point is dominated or there already."""
    if any(dominates(other, point) or tuple(other) == tuple(point) for other in front):
        return list(front)
    return [*(other for other in front if not dominates(point, other)), point]


def _area(points: Sequence[Losses], reference: Losses) -> float:
    """Strips from left to right, each as high as the lowest point so far leaves it."""
    area, lowest = 0.0, reference[1]
    for x, y in sorted((p[0], p[1]) for p in points):
        if y < lowest:
            area += (reference[0] - x) * (lowest - y)
            lowest = y
    return area


def _volume(points: Sequence[Losses], reference: Losses) -> float:
    """Slices along the third objective, each as large as the points below it make it."""
    ordered = sorted(points, key=lambda p: p[2])
    volume, below = 0.0, list[Losses]()
    for number, point in enumerate(ordered):
        below = add(below, point[:2])
        top = ordered[number + 1][2] if number + 1 < len(ordered) else reference[2]
        if top > point[2]:
            volume += _area(below, reference) * (top - point[2])
    return volume
