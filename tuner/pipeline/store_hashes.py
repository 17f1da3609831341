"""SHA-256 of stored files, by which a flipped byte shows. A file is read once in a process.

A file that has the device, inode, size and time of change that it had when it was read counts as
read; so do its other names, as stages that change little link to the files of their input. What
rots on the disk meanwhile, in silence, the next process finds.

Knows nothing of keys.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path

from tuner.pipeline.store_files import walk

Meanwhile = Callable[[], None]

_BLOCK = 4 << 20  # bytes between two calls of `meanwhile`: some milliseconds

_known: dict[tuple[int, int, int, int], str] = {}


def hashes(folder: Path, meanwhile: Meanwhile | None = None) -> dict[str, str]:
    """SHA-256 in hexadecimal by path relative to `folder` (with /), of every file below it.

    Of a symbolic link it is that of the text that it holds. `meanwhile` is called every few
    milliseconds; what it raises goes through.
    """
    return {name: _hash(f"{folder}/{name}", s, meanwhile) for name, s in walk(folder)}


def note(folder: Path, found: Mapping[str, str]) -> None:
    """Take it as read that the files of `folder` have these hashes, as they are now."""
    for name, digest in found.items():
        _known[_stamp(os.lstat(f"{folder}/{name}"))] = digest


def difference(
    folder: Path, expected: Mapping[str, str], meanwhile: Meanwhile | None = None
) -> str | None:
    """Which file is not what it was, in words; None when all are. OSError where one is shut."""
    for name, digest in expected.items():
        path = f"{folder}/{name}"
        try:
            found = _hash(path, os.lstat(path), meanwhile)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.EIO):
                raise
            return f"{name} cannot be read: {error.strerror}"
        if found != digest:
            return f"{name} has another content than was stored"
    return None


def _hash(path: str, status: os.stat_result, meanwhile: Meanwhile | None) -> str:
    known = _known.get(_stamp(status))
    if known is not None:
        return known
    if stat.S_ISLNK(status.st_mode):
        return hashlib.sha256(os.fsencode(os.readlink(path))).hexdigest()  # noqa: PTH115
    digest = _read(path, meanwhile)
    if _stamp(os.lstat(path)) == _stamp(status):  # else it was written to meanwhile
        _known[_stamp(status)] = digest
    return digest


def _read(path: str, meanwhile: Meanwhile | None) -> str:
    whole = hashlib.sha256()
    block = memoryview(bytearray(_BLOCK))
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123  # thousands of small files, too
        while size := file.readinto(block):
            whole.update(block[:size])
            if meanwhile is not None:
                meanwhile()
    return whole.hexdigest()


def _stamp(status: os.stat_result) -> tuple[int, int, int, int]:
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
