"""Which texts come together in a batch. Knows nothing of what they say."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence


def batches(lengths: Sequence[int], size: int, seed: int) -> Iterator[list[int]]:
    """Indices of full batches without end; each round through the data has an order of its own.

    Within windows of a few batches, texts of like length come together: little is spent on
    padding, and what comes together still changes from round to round.
    """
    order = random.Random(seed)
    size = min(size, len(lengths))
    left: list[int] = []
    while True:
        round_ = list(range(len(lengths)))
        order.shuffle(round_)
        left += round_
        for _ in range(0, len(left) - size + 1, 8 * size):
            taken = min(8 * size, len(left) - len(left) % size)
            window, left = sorted(left[:taken], key=lengths.__getitem__), left[taken:]
            parts = [window[i : i + size] for i in range(0, taken, size)]
            order.shuffle(parts)
            yield from parts
