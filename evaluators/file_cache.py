"""The system's cache of files: filling it with a model's files, and emptying it of them.

Needs no privileges. Knows nothing of models.
"""

from __future__ import annotations

import ctypes
import mmap
import os
from collections.abc import Iterable
from pathlib import Path

from evaluators.base import MeasurementError

_CHUNK = 16 << 20
_KEPT = 0.01  # of the files; a page or two may be wanted by someone else at any time


def warm(files: Iterable[Path]) -> None:
    """Read every file, so that its content is in the cache as far as there is room."""
    for path in files:
        with path.open("rb", buffering=0) as file:
            while file.read(_CHUNK):
                pass


def evict(files: Iterable[Path]) -> None:
    """Have the system drop the files from its cache. MeasurementError where it keeps them.

    It does where files are in memory anyway (tmpfs), or where another process has them mapped.
    """
    paths = list(files)
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)  # what is not on the disk yet cannot be dropped
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)
    kept = cached(paths)
    if kept > _KEPT:
        raise MeasurementError(
            f"the system keeps {kept:.0%} of the model's files in its cache, so that opening the "
            "model cold cannot be measured: they are in a file system in memory, or another "
            "process uses them; ask for file_cache: warm"
        )


def cached(files: Iterable[Path]) -> float:
    """The share of the files' bytes that is in the system's cache (mincore), by whole pages."""
    pages = [_pages(path) for path in files]
    total = sum(count for _, count in pages)
    return sum(found for found, _ in pages) / total if total else 0.0


def _pages(path: Path) -> tuple[int, int]:
    """How many of a file's pages are cached, and how many there are."""
    size = path.stat().st_size
    if size == 0:
        return 0, 0
    count = -(-size // mmap.PAGESIZE)
    found = (ctypes.c_ubyte * count)()
    # A private mapping may be written to, and so its address be had; nobody writes to it.
    with path.open("rb") as file, mmap.mmap(file.fileno(), size, access=mmap.ACCESS_COPY) as mapped:
        view = ctypes.c_char.from_buffer(mapped)
        address = ctypes.c_void_p(ctypes.addressof(view))
        del view  # which would keep the mapping open
        libc = ctypes.CDLL(None, use_errno=True)
        failed = libc.mincore(address, ctypes.c_size_t(size), found)
    if failed:
        reason = os.strerror(ctypes.get_errno())
        raise MeasurementError(f"{path}: the system does not say what it has cached ({reason})")
    return sum(byte & 1 for byte in found), count
