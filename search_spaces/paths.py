"""Looking for the files and folders that a space names; no path makes these functions fail.

Knows nothing of what the files hold.
"""

from __future__ import annotations

from collections.abc import Sequence
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
