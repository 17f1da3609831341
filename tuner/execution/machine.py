"""What machine this is, as far as a measurement depends on it.

Knows nothing of what is measured.
"""

from __future__ import annotations

import os
import platform
from functools import cache
from pathlib import Path


@cache
def cpu_model() -> str:
    """The processor's name as the system gives it."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in text.splitlines() if "model name" in line]
    return names[0] if names else platform.machine()


def available_cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def fingerprint() -> dict[str, str]:
    """What the key of a time covers: one measured elsewhere says nothing about this machine."""
    return {
        "cpu": cpu_model(),
        "cores": str(available_cores()),
        "system": f"{platform.system()} {platform.machine()}",
    }
