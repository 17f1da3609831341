"""The content-addressed store: what stages and measurements gave, each under the key of its making.

    root/entries/ab/<key>/    output/ (the files), meta.json, log.txt
    root/tmp/<owner>/         drafts; an owner that died leaves them to be cleared away
    root/logs/                logs of stages that failed
    root/locks/               who is making what
    root/damaged/             entries that were found damaged, until the next `gc`
    root/data/                copies of data that lies elsewhere (`search_spaces.data_copies`)

**What holds when.** An entry is built in `tmp` and becomes visible by one rename, after everything
in it was written. A process may be killed at any moment: the kernel keeps what was written before,
so an entry that is there is whole. A power loss is another matter. Nothing is flushed to the disk
(for a model of some gigabytes that takes longer than many a stage), so the rename may survive
where contents do not; file systems then show files that are shorter than they were. Therefore
`get` compares the size of every file with what was stored, and the seal of `meta.json`. Disks and
people change bytes, too: `verified` reads the files and compares hashes, once in a process. An
entry that differs is moved away and made again. A store is a cache: losing an entry costs time,
never an answer.

Knows nothing of passes, of how keys are made, or of who asks.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import shutil
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from search_spaces.data_copies import Copies, cache_root
from tuner.pipeline import (
    store_explain,
    store_files,
    store_hashes,
    store_lock,
    store_meta,
    store_owner,
)
from tuner.pipeline.store_explain import Relative
from tuner.pipeline.store_hashes import Meanwhile

Json = dict[str, Any]

_log = logging.getLogger(__name__)

_KEY = re.compile(r"[0-9a-f]{64}")
_OTHERS_WON = (errno.ENOTEMPTY, errno.EEXIST)


class StoreError(Exception):
    """The store cannot be used; the message names the folder, the cause and a way out."""


def default_root() -> Path:
    """$TUNER_STORE, else `tuner` in $XDG_CACHE_HOME, else ~/.cache/tuner."""
    return cache_root()


@dataclass(frozen=True, slots=True)
class Entry:
    """A whole result. `meta`: what was committed, and key, created, bytes, files (size by path).

    And `hashes` (SHA-256 by path), which entries of earlier versions lack.
    `created` is in seconds since the epoch. `path` holds the folder `output`, and `log.txt` where
    there was one.
    """

    key: str
    path: Path
    meta: Mapping[str, Any]

    @property
    def output(self) -> Path:
        """The folder of its files; empty for a result that is a value in `meta`."""
        return self.path / "output"

    @property
    def used(self) -> float:
        """When it was last got, in seconds since the epoch; 0 when it is gone."""
        try:
            return _meta_file(self.path).stat().st_mtime
        except OSError:
            return 0.0


@dataclass(frozen=True, slots=True)
class GcReport:
    """What `gc` removed and what is left. Bytes count a file with several names once."""

    removed: tuple[str, ...]
    freed: int
    kept: int
    bytes: int


class Store:
    """A store in a folder, made if it is not there. Several processes may use it at once."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        with _telling(self.root):
            for name in ("entries", "tmp", "logs", "locks", "damaged"):
                (self.root / name).mkdir(parents=True, exist_ok=True)
        self.recover()

    def get(self, key: str) -> Entry | None:
        """The entry of a key, noted as used now; None when there is none, or only a damaged one."""
        path = self._path(key)
        try:
            entry = _load(path)
        except FileNotFoundError:
            if path.exists():
                self._move_away(path, "meta.json is missing")
            return None
        except (OSError, ValueError) as error:
            self._move_away(path, f"meta.json cannot be read: {error}")
            return None
        problem = store_files.damage(entry.output, entry.meta["files"])
        if problem is not None:
            self._move_away(path, f"output/{problem}")
            return None
        with suppress(OSError):  # a store that may only be read
            os.utime(_meta_file(path))
        return entry

    def has(self, key: str) -> bool:
        """Whether there is an entry; it is neither checked nor noted as used. Microseconds."""
        return os.path.exists(_meta_file(self._path(key)))  # noqa: PTH110  # asked very often

    def verified(self, key: str, meanwhile: Meanwhile | None = None) -> Entry | None:
        """As `get`, after every file was read and is what was stored.

        Takes about 0.7 s per GB, once in a process: files that did not change since are not read
        again. `meanwhile` is called every few milliseconds; what it raises ends the reading.
        """
        entry = self.get(key)
        if entry is None:
            return None
        with _telling(self.root):
            expected = entry.meta.get("hashes", {})
            problem = store_hashes.difference(entry.output, expected, meanwhile)
        if problem is None:
            return entry
        self._move_away(entry.path, f"output/{problem}")
        return None

    def draft(self, key: str) -> Draft:
        """A place to build the entry of a key in; removed at the end of `with` unless committed."""
        self._path(key)
        return Draft(self, key)

    def lock(
        self, key: str, on_wait: Callable[[], None] | None = None
    ) -> AbstractContextManager[None]:
        """Hold the right to make an entry; wait while another process (or `lock`) holds it.

        `on_wait` is called some times a second meanwhile; what it raises ends the waiting. The
        kernel releases the lock of a process that dies.
        """
        self._path(key)
        return self._telling_lock(key, on_wait)

    def entries(self) -> Iterator[Entry]:
        """All entries, by key. Their files are not checked."""
        return iter(self.find(""))

    def find(self, prefix: str) -> list[Entry]:
        """The entries whose key starts with `prefix`, by key."""
        folder = self.root / "entries"
        with _telling(self.root):
            shelves = sorted(s for s in os.listdir(folder) if s.startswith(prefix[:2]))  # noqa: PTH208
            keys = [k for s in shelves for k in sorted(os.listdir(folder / s))]  # noqa: PTH208
        found = []
        for key in keys:
            if key.startswith(prefix):
                with suppress(OSError, ValueError):  # damaged: for `get` to say so
                    found.append(_load(self._path(key)))
        return found

    def explain(self, description: Mapping[str, Any], limit: int = 3) -> list[Relative]:
        """The stored results of the same pass that differ least from a description, and in what.

        A description is what is committed as `meta["description"]`: what the key was made of.
        """
        return store_explain.explain(description, self.entries(), limit)

    def remove(self, key: str) -> bool:
        """Remove an entry; whether there was one. Who reads its files loses them."""
        path = self._path(key)
        doomed = self.root / "tmp" / store_owner.new_name()
        with _telling(self.root):
            try:
                path.rename(doomed)  # at once for all readers; the rest may be interrupted
            except FileNotFoundError:
                return False
        shutil.rmtree(doomed, ignore_errors=True)
        return True

    def size(self) -> int:
        """How many bytes all entries take."""
        with _telling(self.root):
            return store_files.Usage(e.path for e in self.entries()).bytes

    def gc(
        self,
        max_age: float | None = None,
        max_bytes: int | None = None,
        keep: Collection[str] = (),
    ) -> GcReport:
        """Remove entries not used for `max_age` seconds, then the least recently used ones.

        It stops at `max_bytes` in all; `keep` names keys that stay in any case. Logs of failures
        and fetched data go by `max_age` too, the data also where `max_bytes` is 0; damaged entries
        and what dead processes left go always.
        """
        self.recover()
        self._clear("damaged", 0.0)
        if max_age is not None:
            self._clear("logs", max_age)
        entries = sorted(self.entries(), key=lambda e: e.used)
        with _telling(self.root):
            usage = store_files.Usage(e.path for e in entries)
        removed, freed, now = [], self._prune(max_age, max_bytes), time.time()
        for entry in entries:
            too_old = max_age is not None and now - entry.used > max_age
            too_much = max_bytes is not None and usage.bytes > max_bytes
            if entry.key not in keep and (too_old or too_much):
                freed += usage.without(entry.path)
                self.remove(entry.key)
                removed.append(entry.key)
        return GcReport(tuple(removed), freed, len(entries) - len(removed), usage.bytes)

    def _prune(self, max_age: float | None, max_bytes: int | None) -> int:
        """Remove fetched data by its age, or all of it; the bytes that were freed."""
        if max_age is None and max_bytes != 0:
            return 0
        return Copies(self.root).prune(None if max_bytes == 0 else max_age)

    def recover(self) -> None:
        """Clear away what processes that died left in `tmp`. Opening a store does it."""
        with _telling(self.root):
            for folder in (self.root / "tmp").iterdir():
                if store_owner.is_abandoned(folder):
                    shutil.rmtree(folder, ignore_errors=True)

    def _path(self, key: str) -> Path:
        if not _KEY.fullmatch(key):
            raise ValueError(f"{key!r} is no key of a store: expected 64 digits of 0-9 and a-f")
        return self.root / "entries" / key[:2] / key

    def _move_away(self, path: Path, problem: str) -> None:
        away = self.root / "damaged" / f"{path.name}-{time.time_ns()}"
        try:
            path.rename(away)
        except OSError as error:
            if not path.exists():  # another process did it just now
                return
            raise _error(self.root, error) from error
        _log.warning("stored result %s is damaged (%s); moved to %s", path.name, problem, away)

    def _clear(self, name: str, max_age: float) -> None:
        limit = time.time() - max_age
        for path in (self.root / name).iterdir():
            with suppress(OSError):  # another process cleared it, or may not be disturbed
                if path.is_dir():
                    shutil.rmtree(path)
                elif path.stat().st_mtime < limit:
                    path.unlink()

    @contextmanager
    def _telling_lock(self, key: str, on_wait: Callable[[], None] | None) -> Iterator[None]:
        path = self.root / "locks" / key
        try:
            descriptor = store_lock.acquire(path, on_wait)
        except store_lock.CannotLock as error:
            raise _error(self.root, error.cause) from error
        try:
            yield
        finally:
            store_lock.release(path, descriptor)


class Draft:
    """An entry in the making. `output` is an empty folder; `log` a file that may be written to."""

    def __init__(self, store: Store, key: str) -> None:
        self.key = key
        self._store = store
        self._folder = store.root / "tmp" / store_owner.new_name()
        self.output = self._folder / "output"
        self.log = self._folder / "log.txt"

    def __enter__(self) -> Self:
        with _telling(self._store.root):
            self._folder.mkdir()
            self.output.mkdir()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)  # after a commit it is there no more

    def commit(self, meta: Mapping[str, Any], hashes: Mapping[str, str] | None = None) -> Entry:
        """Make the draft the entry of its key. Where another process was faster, its entry it is.

        `hashes`: of the files in `output`, by `store_hashes.hashes`; made here where they are not
        given. StoreError when it cannot be written; TypeError when `meta` is no JSON.
        """
        with _telling(self._store.root):
            files = store_files.sizes(self.output)
            if hashes is None or hashes.keys() != files.keys():
                hashes = store_hashes.hashes(self.output)
            own = {"key": self.key, "created": time.time(), "bytes": sum(files.values())}
            whole: Json = {**meta, **own, "files": files, "hashes": dict(hashes)}
            _meta_file(self._folder).write_bytes(store_meta.sealed(whole))
            store_hashes.note(self.output, hashes)
            return self._publish(whole)

    def keep_log(self) -> Path:
        """Move the log to where the logs of failed stages are kept; its new path."""
        with _telling(self._store.root):
            kept = self._new_log()
            with suppress(FileNotFoundError):  # nothing was written: the kept log is empty
                self.log.replace(kept)
        return kept

    def _publish(self, meta: Json) -> Entry:
        path = self._store._path(self.key)
        while True:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                self._folder.rename(path)
                return Entry(self.key, path, meta)
            except FileNotFoundError:
                if not self._folder.is_dir():
                    raise
                continue  # somebody removed the shelf just now
            except OSError as error:
                if error.errno not in _OTHERS_WON:
                    raise
            theirs = self._store.get(self.key)
            if theirs is not None:  # else it was damaged, and is out of the way now
                return theirs

    def _new_log(self) -> Path:
        number = 1
        while True:
            path = self._store.root / "logs" / f"{self.key}-{number}.txt"
            try:
                path.touch(exist_ok=False)
                return path
            except FileExistsError:
                number += 1


def intact(folder: Path, meanwhile: Meanwhile | None = None) -> bool:
    """Whether a folder holds what was stored there, as `Store.verified` finds; else it is gone now.

    For the output of an entry of any store, or a folder in it. Any other folder is left alone.
    """
    for path in (folder, *folder.parents):
        if path.name == "output" and _is_entry(path.parent):
            store = Store(path.parents[3])
            return store.verified(path.parent.name, meanwhile) is not None
    return True


def _is_entry(path: Path) -> bool:
    shelf = path.parent
    named = bool(_KEY.fullmatch(path.name)) and shelf.name == path.name[:2]
    return named and shelf.parent.name == "entries"


def _load(path: Path) -> Entry:
    return Entry(path.name, path, store_meta.opened(_meta_file(path).read_bytes()))


def _meta_file(path: Path) -> Path:
    return path / "meta.json"


@contextmanager
def _telling(root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _error(root, error) from error


def _error(root: Path, error: OSError) -> StoreError:
    cause = error.strerror or str(error)
    where = f" ({error.filename})" if error.filename else ""
    if error.errno == errno.ENOENT:
        return StoreError(
            f"the store {root} was removed while it was used{where}; the same command goes on, and "
            "makes again what is needed"
        )
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        advice = "free some space (`tune cache gc` removes what was not used for long) or set"
    elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        advice = "make it writable or set"
    else:
        advice = "set"
    return StoreError(
        f"the store {root} cannot be used: {cause}{where}; {advice} TUNER_STORE to another folder"
    )
