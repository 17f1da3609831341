"""Makes a process cheap to fork: joins its small memory pages into huge ones.

A fork copies one table entry per page. With torch, transformers and onnxruntime imported that is
70,000 entries; as huge pages they are a few hundred, and the fork takes a fifth of the time.
"""

from __future__ import annotations

from collections.abc import Iterator
from ctypes import c_int, c_size_t, c_void_p
from pathlib import Path

from tuner.execution.processes import libc

_COLLAPSE = 25  # MADV_COLLAPSE of <linux/mman.h>; before Linux 6.1 it does nothing
_HUGE = 2 << 20


def join_pages() -> Iterator[int]:
    """Join this process's private memory, one huge page per step (a millisecond or so).

    Yields the address of the next one before it is joined. Where a page cannot be joined (it is
    not used as a whole, the system has no huge pages) it stays as it is.
    """
    for start, end in _private_regions():
        for address in range(-(-start // _HUGE) * _HUGE, end - _HUGE + 1, _HUGE):
            yield address
            _collapse(address)


def _collapse(address: int) -> None:
    libc().madvise(c_void_p(address), c_size_t(_HUGE), c_int(_COLLAPSE))


def _private_regions() -> list[tuple[int, int]]:
    regions = []
    for line in Path("/proc/self/maps").read_text().splitlines():
        fields = line.split()
        anonymous = len(fields) < 6 or fields[5] == "[heap]"
        if anonymous and fields[1] == "rw-p":
            start, _, end = fields[0].partition("-")
            regions.append((int(start, 16), int(end, 16)))
    return regions
