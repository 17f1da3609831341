"""Where rows are: a local file, a file behind a URL, or a data set of the hub.

The place to add a kind: a class with the methods of `Elsewhere`, a line in `from_json`, and one
where `data_reader` reads it. What lies elsewhere is fetched when its rows are first asked for; from
then on the object stands for that very copy, in the processes that get it as JSON too. Libraries
that fetch are imported then, not before. Knows nothing of splits or templates.
"""

from __future__ import annotations

import hashlib
import json
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from search_spaces.data_copies import Copies, cache_root
from search_spaces.data_files import DataError
from search_spaces.problems import hint, listed
from search_spaces.secrets import holds_secret, redacted

Json = dict[str, Any]
T = TypeVar("T")

HUB_KEYS = ("hub", "subset", "split", "revision")
"""What a space may say of a data set of the hub."""

SCHEMES: Mapping[str, tuple[str, str]] = {
    "s3": ("s3fs", "s3"),
    "s3a": ("s3fs", "s3"),
    "az": ("adlfs", "azure"),
    "abfs": ("adlfs", "azure"),
    "abfss": ("adlfs", "azure"),
    "gs": ("gcsfs", "gcs"),
    "gcs": ("gcsfs", "gcs"),
    "http": ("aiohttp", "http"),
    "https": ("aiohttp", "http"),
}
"""Schemes of URLs -> the distribution that reads them, and the extra that brings it."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A copy on this disk. `notice`: what is to be told of it, such as that it may be old."""

    path: Path
    notice: str | None = None


_fetching = threading.RLock()  # one at a time: the second finds the first one's copy


class Elsewhere(ABC):
    """Rows that are not on this disk, or not as a file. Equal where they come from the same."""

    pinned: list[Fetched]
    """The copy that it stands for; empty until it is fetched."""

    @property
    @abstractmethod
    def shown(self) -> str:
        """How a text names it."""

    def __str__(self) -> str:
        return self.shown

    @abstractmethod
    def plain(self) -> str | Json:
        """As a space says it."""

    @abstractmethod
    def fetch(self, copies: Copies) -> Fetched:
        """A copy of what is there now; DataError says why there is none."""

    def copy(self, root: Path | None = None) -> Fetched:
        """The copy, fetched at the first call; `root`: where copies are kept, not the usual one."""
        with _fetching:
            if not self.pinned:
                self.pinned.append(self.fetch(Copies(root or cache_root())))
            return self.pinned[0]


@dataclass(frozen=True, slots=True)
class RemoteFile(Elsewhere):
    """A file behind a URL that fsspec reads."""

    url: str
    pinned: list[Fetched] = field(default_factory=list, compare=False, repr=False)

    @property
    def shown(self) -> str:
        """The URL."""
        return redacted(self.url)

    def plain(self) -> str:
        """The URL."""
        return self.url

    def fetch(self, copies: Copies) -> Fetched:
        """See `Elsewhere`."""
        from search_spaces.data_remote import fetch_url

        return fetch_url(self.url, copies)


@dataclass(frozen=True, slots=True)
class HubDataset(Elsewhere):
    """A part of a data set of the hub.

    `name`: of the hub, or the path of a folder that is laid out like a repository there. `split`
    may have a slice: `train[:4096]`, `train[10%:20%]`. `revision`: a branch, tag or commit.
    """

    name: str
    subset: str | None = None
    split: str = "train"
    revision: str | None = None
    pinned: list[Fetched] = field(default_factory=list, compare=False, repr=False)

    @property
    def shown(self) -> str:
        """`hub:glue/mrpc[train]`, with the revision where one is asked for."""
        subset = "" if self.subset is None else f"/{self.subset}"
        revision = "" if self.revision is None else f"@{self.revision}"
        return f"hub:{self.name}{subset}{revision} ({self.split})"

    def plain(self) -> Json:
        """The mapping of a space."""
        values = (self.name, self.subset, self.split, self.revision)
        return {k: v for k, v in zip(HUB_KEYS, values, strict=True) if v is not None}

    def fetch(self, copies: Copies) -> Fetched:
        """See `Elsewhere`."""
        from search_spaces.data_hub import fetch_dataset

        return fetch_dataset(self, copies)


Location = Path | RemoteFile | HubDataset


def local_path(location: Location) -> Path:
    """The file with the rows, fetched first where need be; DataError where it cannot be had."""
    return location if isinstance(location, Path) else location.copy().path


def reading(location: Location, read: Callable[[Path], T]) -> T:
    """What `read` makes of the file; a DataError names the location, and not its copy."""
    path = local_path(location)
    try:
        return read(path)
    except DataError as error:
        raise DataError(str(error).replace(str(path), shown(location))) from None


def shown(location: Location) -> str:
    """How a text names it: never a secret, and never where its copy lies."""
    return str(location)


def to_json(location: Location) -> str | Json:
    """A JSON form that `from_json` reads, with the copy that is to be read, fetched if need be."""
    if isinstance(location, Path):
        return str(location)
    plain = location.plain()
    named = {"url": plain} if isinstance(plain, str) else plain
    return {**named, "copy": str(location.copy().path)}


def from_json(data: str | Mapping[str, Any]) -> Location:
    """The location that `to_json` wrote; it stands for the same copy."""
    if isinstance(data, str):
        return Path(data)
    pinned = [Fetched(Path(data["copy"]))]
    if "url" in data:
        return RemoteFile(data["url"], pinned)
    return HubDataset(data["hub"], data.get("subset"), data["split"], data.get("revision"), pinned)


def is_url(text: str) -> bool:
    """Whether it is meant as a URL."""
    return "://" in text or text.startswith(tuple(f"{scheme}:/" for scheme in SCHEMES))


def parse_url(text: str) -> Location:
    """The file that a URL names; of `file://` the path. DataError for one that names none.

    A scheme that nothing reads and a URL that holds a secret are told here, before anything is
    fetched; a library that is not installed only then, as not every command needs the rows.
    """
    scheme, mark, rest = text.partition("://")
    name = redacted(text)
    if not mark:
        raise DataError(f"{name} is no URL: expected {text.partition(':')[0]}://...")
    if "::" in text:
        raise DataError(f"{name}: expected the URL of one file, found several in a chain")
    if holds_secret(text):
        raise DataError(
            f"{name} holds a secret, which would stay in the study, in recipes and in reports; "
            "give credentials by environment variables or files (docs/space.md, data)"
        )
    scheme = scheme.lower()
    if scheme in ("file", "local"):
        return Path(rest)
    if not rest.strip("/") or rest.endswith("/"):
        raise DataError(f"{name}: expected the URL of a file, such as {scheme}://place/rows.jsonl")
    _check_scheme(scheme, name)
    return RemoteFile(f"{scheme}://{rest}")


def _check_scheme(scheme: str, name: str) -> None:
    """DataError unless there is something that reads such URLs."""
    if scheme in SCHEMES:
        return
    import fsspec

    known = fsspec.available_protocols()
    if scheme not in known:
        near = hint(scheme, dict.fromkeys((*SCHEMES, *known)))
        raise DataError(
            f"{name}: unknown kind of URL {scheme!r}; expected {listed(SCHEMES)}, or another that "
            f"fsspec reads{near}"
        )


def notices(locations: Iterable[Location]) -> Iterator[str]:
    """What is to be told of the copies that were read, such as that they may be old."""
    for location in locations:
        if not isinstance(location, Path):
            yield from (found.notice for found in location.pinned if found.notice is not None)


def origin_key(*parts: str | None) -> str:
    """64 hex digits for an origin."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
