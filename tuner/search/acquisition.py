"""What trying a candidate promises: the hypervolume that it is expected to add to a front.

Objectives are losses, predicted as independent normal variables. Knows nothing of candidates,
costs or constraints.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tuner.search.front import dominates

Array = NDArray[np.float64]

_CELLS = 8000  # of the grid that the front's points span


def expected_gain(means: Array, deviations: Array, front: Array, reference: Array) -> Array:
    """The expected growth of the hypervolume, exactly, for each of n candidates.

    `means`, `deviations`: n x objectives. `front`: points x objectives, all below `reference`. The
    points' coordinates cut the space into cells; each cell that no point dominates counts with
    the product, over the objectives, of the length that the candidate is expected to cover.
    """
    count = len(reference)
    front = thinned(front, max(2, int(_CELLS ** (1 / count)) - 1))
    edges = [np.append(np.sort(front[:, d]), reference[d]) for d in range(count)]
    free = np.ones([len(e) for e in edges])
    for point in front:
        free[tuple(slice(_above(edges[d], point[d]), None) for d in range(count))] = 0.0
    gain = np.broadcast_to(free, (len(means), *free.shape))
    for d in reversed(range(count)):
        covered = np.diff(_below(edges[d], means[:, d], deviations[:, d]), axis=1, prepend=0.0)
        shape = (len(means),) + (1,) * d + (len(edges[d]),)
        gain = (gain * covered.reshape(shape)).sum(axis=-1)
    return np.maximum(np.asarray(gain), 0.0)


def _above(edges: Array, value: float) -> int:
    """The first cell that begins at a value: cell i ends at edge i."""
    return int(np.searchsorted(edges, value, side="left")) + 1


def _below(edges: Array, means: Array, deviations: Array) -> Array:
    """E[max(edge - value, 0)] for every candidate and edge."""
    z = (edges[None, :] - means[:, None]) / deviations[:, None]
    density = np.exp(-0.5 * np.square(z)) / math.sqrt(2 * math.pi)
    found: Array = np.maximum(deviations[:, None] * (density + z * cdf(z)), 0.0)
    return found


_erfc = np.frompyfunc(math.erfc, 1, 1)


def cdf(z: Array) -> Array:
    """The standard normal distribution function, accurate far out in the lower tail too."""
    found: Array = 0.5 * np.asarray(_erfc(z * -math.sqrt(0.5)), dtype=float)
    return found


def log_cdf(z: Array) -> Array:
    """Its logarithm; beyond the reach of floating point by the tail's leading term."""
    tail = np.minimum(z, -20.0)
    far = -0.5 * np.square(tail) - np.log(-tail) - 0.5 * math.log(2 * math.pi)
    found: Array = np.where(z > -20.0, np.log(cdf(np.maximum(z, -20.0))), far)
    return found


def front_of(points: Sequence[Sequence[float]]) -> list[int]:
    """The indices of the points that no other dominates, in the order of the first objective."""
    order = sorted(range(len(points)), key=lambda i: (tuple(points[i]), i))
    kept: list[int] = []
    for i in order:  # none that comes later dominates one that comes before
        if not any(dominates(points[k], points[i]) or points[k] == points[i] for k in kept):
            kept.append(i)
    return kept


def thinned(front: Array, most: int) -> Array:
    """At most so many of a front's points, evenly in the order of the first objective."""
    if len(front) <= most:
        return front
    order = np.argsort(front[:, 0], kind="stable")
    kept: Array = front[order[np.linspace(0, len(front) - 1, most).round().astype(int)]]
    return kept
