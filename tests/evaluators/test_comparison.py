"""Whether two models differ: on a simulated machine, how often that is said wrongly."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Callable

import pytest

from evaluators.base import Measurement
from evaluators.comparison import LOOKS, Comparison, compare, ratio_of

PROCESS, BLOCK, DRIFT = 0.015, 0.02, 0.1


def sessions(seed: int, ratio: float) -> Callable[[int], Measurement]:
    """Sessions of a model that takes `ratio` times as long as the one beside it."""
    rng = random.Random(seed)

    def hold(_: int) -> Measurement:
        drift = rng.gauss(0, DRIFT)
        ours, theirs = (drift + rng.gauss(0, PROCESS) for _ in range(2))

        def blocks(value: float, process: float) -> list[list[float]]:
            return [[value * math.exp(process + rng.gauss(0, BLOCK))] for _ in range(4)]

        return Measurement(
            {"latency": blocks(ratio, ours)}, anchor={"latency": blocks(1.0, theirs)}
        )

    return hold


def many(ratio: float, count: int = 300) -> list[Comparison]:
    return [compare(sessions(seed, ratio), "latency") for seed in range(count)]


def test_the_same_model_is_hardly_ever_said_to_differ() -> None:
    found = many(1.0, 600)
    assert sum(c.differ for c in found) <= 6
    assert all(c.sessions == LOOKS[-1] for c in found if not c.differ)


@pytest.mark.parametrize(("ratio", "share"), [(1.05, 0.95), (0.95, 0.95), (1.03, 0.8)])
def test_a_true_difference_is_found_with_its_sign(ratio: float, share: float) -> None:
    found = many(ratio)
    right = [c for c in found if c.differ and (c.ratio.value > 1) == (ratio > 1)]
    assert len(right) >= share * len(found)
    assert not [c for c in found if c.differ and c not in right]


def test_a_large_difference_is_clear_early() -> None:
    assert statistics.fmean(c.sessions for c in many(2.0, 50)) <= LOOKS[1]


def test_the_interval_is_students_over_sessions() -> None:
    held = [sessions(seed, 1.2)(0) for seed in range(5)]
    found = ratio_of(held, "latency", "p50", 0.95)
    assert found.low < found.value < found.high
    assert math.sqrt(found.low * found.high) == pytest.approx(found.value)
