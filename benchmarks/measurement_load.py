"""A second process that loads the machine, in bursts. Knows nothing of what is measured."""

from __future__ import annotations

import multiprocessing
import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager

SHORTEST, LONGEST = 0.1, 3.0
"""Seconds of a burst, and of a pause."""


@contextmanager
def loaded(seed: int | None) -> Iterator[None]:
    """Have the machine loaded meanwhile; not at all where the seed is None."""
    if seed is None:
        yield
        return
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=disturb, args=(seed, os.getpid()), daemon=True)
    process.start()
    try:
        yield
    finally:
        process.kill()
        process.join()


def disturb(seed: int, parent: int) -> None:
    """Bursts and pauses for as long as the parent lives.

    A burst spins on one core, or multiplies matrices on all.
    """
    rng = random.Random(seed)
    bursts = (_spin, _multiply)
    while os.getppid() == parent:
        rng.choice(bursts)(time.monotonic() + rng.uniform(SHORTEST, LONGEST))
        time.sleep(rng.uniform(SHORTEST, LONGEST))


def _spin(until: float) -> None:
    while time.monotonic() < until:
        pass


def _multiply(until: float) -> None:
    import numpy as np

    matrix = np.eye(512, dtype=np.float32)
    while time.monotonic() < until:
        matrix = matrix @ matrix
