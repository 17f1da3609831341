"""Copies of data that lies elsewhere, on this machine's disk.

    root/data/copies/<SHA-256 of the content>/<name>   never changed once it is there
    root/data/known/<key of the origin>.json           what was there last, and its version
    root/data/tmp/                                      what is being fetched

A copy becomes visible by one rename, after all of it was written: what is half-fetched is never
read, and several processes may fetch the same at once. Knows nothing of where data comes from.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from search_spaces.data_files import DataError

_ABANDONED = 24 * 3600.0  # seconds after which a draft has no owner any more


def cache_root() -> Path:
    """$TUNER_STORE, else `tuner` in $XDG_CACHE_HOME, else ~/.cache/tuner."""
    chosen = os.environ.get("TUNER_STORE")
    if chosen:
        return Path(chosen).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path("~/.cache").expanduser()) / "tuner"


@dataclass(frozen=True, slots=True)
class Known:
    """What was last found at an origin.

    `version`: what tells another content (an ETag, a commit), None where nothing does. `fetched`:
    seconds since the epoch.
    """

    origin: str
    version: str | None
    sha256: str
    name: str
    bytes: int
    fetched: float


class Copies:
    """The copies below a folder, which is made when the first one is kept."""

    def __init__(self, root: Path) -> None:
        self._folder = root.absolute() / "data"

    def known(self, key: str) -> Known | None:
        """What was last found at an origin, where its copy is whole; `key` is 64 hex digits."""
        try:
            found = Known(**json.loads(self._note(key).read_text(encoding="utf-8")))
            whole = self.path(found).stat().st_size == found.bytes
        except (OSError, ValueError, TypeError):
            return None
        return found if whole else None

    def path(self, known: Known) -> Path:
        """Where a copy lies."""
        return self._folder / "copies" / known.sha256 / known.name

    def use(self, known: Known) -> Path:
        """The copy, noted as used now."""
        path = self.path(known)
        with suppress(OSError):  # a read-only store is one that can be read
            os.utime(path.parent)
        return path

    def keep(self, key: str, origin: str, name: str, write: Callable[[Path], str | None]) -> Known:
        """Keep what `write` writes into the file it is given; it returns the version.

        DataError where the disk does not take it; what `write` raises goes on.
        """
        with self._draft(name) as draft:
            version = write(draft)
            with draft.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            found = Known(origin, version, digest, name, draft.stat().st_size, time.time())
            target = self.path(found)
            with _told(target):
                target.parent.mkdir(parents=True, exist_ok=True)
                draft.replace(target)
        self._remember(key, found)
        return found

    def _remember(self, key: str, found: Known) -> None:
        note = self._note(key)
        with _told(note), self._draft(note.name) as draft:
            draft.write_text(json.dumps(asdict(found)), encoding="utf-8")
            note.parent.mkdir(parents=True, exist_ok=True)
            draft.replace(note)

    def _note(self, key: str) -> Path:
        return self._folder / "known" / f"{key}.json"

    @contextmanager
    def _draft(self, name: str) -> Iterator[Path]:
        """A path in a folder of its own, on the disk of the copies."""
        folder = self._folder / "tmp" / uuid.uuid4().hex
        with _told(folder):
            folder.mkdir(parents=True)
        try:
            yield folder / name
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def prune(self, max_age: float | None) -> int:
        """Remove copies not used for so many seconds (None: all); the bytes that were freed.

        Drafts that nobody writes any more go too. The next reading fetches again.
        """
        freed, now = 0, time.time()
        for folder in _folders(self._folder / "copies"):
            if max_age is None or now - _changed(folder) > max_age:
                freed += sum(file.stat().st_size for file in folder.iterdir())
                shutil.rmtree(folder, ignore_errors=True)
        for folder in _folders(self._folder / "tmp"):
            if now - _changed(folder) > _ABANDONED:
                shutil.rmtree(folder, ignore_errors=True)
        return freed


def _folders(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.iterdir() if path.is_dir()]
    except OSError:
        return []


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return time.time()  # another process removed it


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DataError(
            f"{path}: fetched data cannot be kept there ({error.strerror}); TUNER_STORE names "
            "another folder"
        ) from None
