"""Finds space files: by their path, or ready-made ones by their bare name.

Knows nothing of what is in them.
"""

from __future__ import annotations

from pathlib import Path

from search_spaces.paths import exists, is_file
from search_spaces.problems import Problem, SpaceError, hint, listed

_FOLDER = Path(__file__).parent
MAX_BYTES = 2**20
"""How large a space file may be."""


def shipped() -> list[str]:
    """The names of the ready-made spaces, sorted."""
    return sorted(path.stem for path in _FOLDER.glob("*.yaml"))


def find_space(text: str) -> Path:
    """The file that a path or a shipped space's bare name means; SpaceError with near names."""
    path = Path(text)
    if is_file(path):
        return path
    ready = _FOLDER / f"{text}.yaml"
    if ready.parent == _FOLDER and is_file(ready):
        return ready
    if exists(path):  # a folder, about which `read_text` complains, or a pipe
        return path
    raise SpaceError([_missing(path)])


def read_text(path: Path) -> str:
    """The text of a space file; SpaceError where it is missing, no text, or over 1 MiB."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        raise SpaceError([_missing(path)]) from None
    except IsADirectoryError:
        raise SpaceError([Problem("a folder, expected a space file (YAML)", str(path))]) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SpaceError([Problem(f"cannot be read ({reason})", str(path))]) from None
    if len(content) > MAX_BYTES:
        message = "larger than 1 MiB; a space has a few kilobytes"
        raise SpaceError([Problem(message, str(path))])
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise SpaceError([Problem("not UTF-8; save it as UTF-8", str(path), line)]) from None


def _missing(path: Path) -> Problem:
    """Says that there is no such file, and which near names there are."""
    try:
        beside = [str(p) for p in path.parent.iterdir() if p.suffix in (".yaml", ".yml")]
    except (OSError, ValueError):
        beside = []
    near = hint(str(path), beside) or hint(path.stem, shipped())
    ready = shipped()
    known = f"; shipped spaces: {listed(ready, 'and')}" if ready else ""
    return Problem(f"there is no such space file{near}{known}", str(path))
