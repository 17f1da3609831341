"""Loaded by every Python process that has this folder on its path: a clock that can be set.

`time.time()` is off by as many seconds as the file $CLOCK_OFFSET says at that moment.
"""

import os
import time
from contextlib import suppress

_FILE = os.environ.get("CLOCK_OFFSET", "")
_real = time.time


def _wrong() -> float:
    offset = 0.0
    with suppress(OSError, ValueError), open(_FILE) as file:  # noqa: PTH123  # called often
        offset = float(file.read())
    return _real() + offset


if _FILE:
    time.time = _wrong
