"""Joining pages changes no content."""

from __future__ import annotations

import sys
from collections import Counter

import pytest

from tuner.execution.pages import join_pages


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_joining_pages_keeps_what_is_in_memory() -> None:
    data = bytearray(range(256)) * (16 << 12)  # 16 MiB
    steps = Counter(address % (2 << 20) for address in join_pages())
    assert steps[0] >= 6
    assert set(steps) == {0}
    assert data == bytearray(range(256)) * (16 << 12)
