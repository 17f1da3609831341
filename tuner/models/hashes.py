"""Identifies the content of files and folders; remembers the hashes of files that did not change.

Knows nothing of models.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

MEMORY = "file-hashes.json"


def file_hash(path: Path) -> str:
    """The SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def folder_hash(folder: Path, cache: Path, but: Sequence[str] = ()) -> str:
    """The SHA-256 over the names and contents of a folder's files, at any depth.

    Hidden files and folders do not count, nor does what `but` names (relative, with /). Files
    whose size, times and inode are those of the last call are not read again; what was found is
    kept in the folder `cache`.
    """
    memory = _Memory(cache / MEMORY)
    whole = hashlib.sha256()
    for name, path in _visible_files(folder):
        if name in but:
            continue
        whole.update(json.dumps([name, memory.hash_of(path)]).encode())
    memory.save()
    return whole.hexdigest()


def _visible_files(folder: Path) -> list[tuple[str, Path]]:
    """Relative name (with /) and path of every file below the folder, by name."""
    found = []
    for top, folders, files in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths = (Path(top) / name for name in files if not name.startswith("."))
        found += [(path.relative_to(folder).as_posix(), path) for path in paths]
    return sorted(found)


class _Memory:
    """What files hashed to, by absolute path, with the stamp that they had then."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known = _read(path)
        self._changed = False

    def hash_of(self, path: Path) -> str:
        """The file's hash, from memory where its stamp is the same."""
        name, stamp = str(path.absolute()), _stamp(path)
        known = self._known.get(name)
        if known is not None and known[0] == stamp:
            return str(known[1])
        found = file_hash(path)
        if _stamp(path) == stamp:  # else it was written to meanwhile: read it again next time
            self._known[name] = [stamp, found]
            self._changed = True
        return found

    def save(self) -> None:
        """Keep what was learned; a folder that cannot be written to costs time only."""
        if not self._changed:
            return
        with suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            handle, draft = tempfile.mkstemp(dir=self._path.parent, prefix=f".{MEMORY}")
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(self._known, file)
            Path(draft).replace(self._path)


def _read(path: Path) -> dict[str, list[Any]]:
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(known, dict):
        return {}
    return {k: v for k, v in known.items() if isinstance(v, list) and len(v) == 2}


def _stamp(path: Path) -> list[int]:
    # The time of the last change of any kind (ctime) shows a file whose mtime was set back.
    status = path.stat()
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
