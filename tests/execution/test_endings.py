"""Sizes in words."""

from __future__ import annotations

import pytest

from tuner.execution.endings import size


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1_500, "1.5 kB"),
        (200_000_000, "200 MB"),
        (3_000_000_000, "3 GB"),
        (3_217_000_000, "3.22 GB"),
    ],
)
def test_bytes_are_told_in_the_unit_that_fits(count: int, words: str) -> None:
    assert size(count) == words
