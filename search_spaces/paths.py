"""Looking for the files and folders that a space names; no path makes these functions fail.

Knows nothing of what the files hold, but can tell whether it has changed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from search_spaces.problems import hint


def is_file(path: Path) -> bool:
    """Whether there is such a file; False for a path that no file can have (NUL, too long)."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def is_folder(path: Path) -> bool:
    """Whether there is such a folder; False for a path that no folder can have."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def exists(path: Path) -> bool:
    """Whether there is anything at that path."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def places_of(text: str, base: Path) -> Sequence[Path]:
    """Where a path of a space may lie: below `base` first, then below the current directory."""
    try:
        path = Path(text).expanduser()
    except RuntimeError:  # ~user where there is no such user
        path = Path(text)
    both = (Path.cwd() / base / path, Path.cwd() / path)
    return tuple(dict.fromkeys(both))


def name_hint(path: Path, suffixes: Sequence[str] = ()) -> str:
    """`"; did you mean 'x'?"` for the nearest name beside a path that does not exist.

    `suffixes`: only files that end so count; none given: files and folders alike.
    """
    try:
        beside = [p.name for p in path.parent.iterdir()]
    except (OSError, ValueError):
        return ""
    return hint(path.name, [n for n in beside if not suffixes or n.endswith(tuple(suffixes))])


def content_digest(value: object) -> str | None:
    """SHA-256 (hex) of a file's bytes, or of a folder's files: their names in it and their bytes.

    `value` is the path, as text or Path; None gives None. What cannot be read counts as missing,
    which whoever opens it will say.
    """
    if value is None:
        return None
    path = Path(str(value))
    if not is_folder(path):
        return _digest(path)
    digest = hashlib.sha256()
    for file in sorted(p for p in path.rglob("*") if is_file(p)):
        digest.update(f"{file.relative_to(path).as_posix()}\0{_digest(file)}\n".encode())
    return digest.hexdigest()


def _digest(path: Path) -> str:
    try:
        stat = path.stat()
        return _file_digest(path, (stat.st_ino, stat.st_size, stat.st_mtime_ns))
    except (OSError, ValueError):
        return "missing"


@lru_cache(maxsize=1024)
def _file_digest(path: Path, stamp: tuple[int, int, int]) -> str:
    """`stamp` only keeps a changed file from being taken as read."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
