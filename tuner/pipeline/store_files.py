"""What is on the disk under an entry: its files, what they take, whether they are what was stored.

Knows nothing of keys.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path


def sizes(folder: Path) -> dict[str, int]:
    """Size in bytes by path relative to `folder` (with /), of every file below it.

    A symbolic link counts as itself, not as what it points to.
    """
    return {name: status.st_size for name, status in walk(folder)}


def damage(folder: Path, expected: Mapping[str, int]) -> str | None:
    """What is wrong with the files of an entry, in words; None when their sizes are as stored."""
    for name, size in expected.items():
        try:
            found = os.lstat(f"{folder}/{name}").st_size
        except OSError:
            return f"{name} is missing"
        if found != size:
            return f"{name} has {found} bytes, {size} were stored"
    return None


class Usage:
    """How many bytes a set of folders takes. A file with several names counts once.

    Stages that change little link to the files of their input rather than copy them, so that
    removing one of them may free nothing.
    """

    def __init__(self, folders: Iterable[Path]) -> None:
        self._names: dict[tuple[int, int], int] = {}
        self.bytes = 0
        for folder in folders:
            for identity, size in _identities(folder):
                self.bytes += 0 if identity in self._names else size
                self._names[identity] = self._names.get(identity, 0) + 1

    def without(self, folder: Path) -> int:
        """Take a folder out of the set; how many bytes that frees."""
        freed = 0
        for identity, size in _identities(folder):
            self._names[identity] -= 1
            freed += 0 if self._names[identity] else size
        self.bytes -= freed
        return freed


def _identities(folder: Path) -> list[tuple[tuple[int, int], int]]:
    return [((s.st_dev, s.st_ino), s.st_size) for _, s in walk(folder)]


def walk(folder: Path | str, prefix: str = "") -> Iterator[tuple[str, os.stat_result]]:
    """Path below `folder` (with /, after `prefix`) and status of every file, links as such."""
    with os.scandir(folder) as found:
        for item in found:
            if item.is_dir(follow_symlinks=False):
                yield from walk(item.path, f"{prefix}{item.name}/")
            else:
                yield prefix + item.name, item.stat(follow_symlinks=False)
