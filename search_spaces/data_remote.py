"""Fetches a file behind a URL, by fsspec and the library that it has for the URL's scheme.

Credentials and endpoints are what these libraries find: environment variables, their own files,
and the settings of fsspec (FSSPEC_CONFIG_DIR, FSSPEC_S3_ENDPOINT_URL and the like). Every question
has an end: where nothing comes for a while, that is said. Knows nothing of what the file holds.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Generic, TypeVar

from search_spaces.data_copies import Copies, Known
from search_spaces.data_files import DataError, DataUnavailable
from search_spaces.data_locations import SCHEMES, Fetched, origin_key
from search_spaces.installed import is_installed
from search_spaces.quiet import quiet
from search_spaces.remote_errors import explained

T = TypeVar("T")

_PATIENCE = 30.0
_BLOCK = 1 << 20
_VERSIONS = ("ETag", "etag", "version_id", "VersionId", "generation", "md5Hash", "content_md5")
_TIMES = ("LastModified", "last_modified", "updated", "mtime", "modified", "created")
_PLACES = (
    *("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_PROFILE", "STORAGE_EMULATOR_HOST"),
    *("AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_CONNECTION_STRING"),
)
_SECRET = ("key", "secret", "token", "sas", "password", "accountkey", "sharedaccess", "credential")


def fetch_url(url: str, copies: Copies) -> Fetched:
    """A copy of the file: the one that is known where the origin says that it is unchanged.

    Where the origin cannot be reached, a copy of earlier serves, which is told. DataError where
    there is none, DataUnavailable (a DataError) where another time there may be one.
    """
    _check_installed(url)
    with quiet():
        return _Remote(url, copies).fetch()


def _check_installed(url: str) -> None:
    """DataError unless there is the library for such URLs."""
    scheme = url.partition("://")[0]
    if scheme in SCHEMES:
        distribution, extra = SCHEMES[scheme]
        if not is_installed(distribution):
            raise DataError(
                f"{url} needs {distribution}, which is not installed; the extra `{extra}` of this "
                f"program brings it: pip install 'tuner[{extra}]'"
            )
        return
    import fsspec

    try:
        fsspec.get_filesystem_class(scheme)
    except ImportError as error:
        raise DataError(f"{url} cannot be read: {error}") from None


class _Remote:
    def __init__(self, url: str, copies: Copies) -> None:
        self._url, self._copies = url, copies

    def fetch(self) -> Fetched:
        key = origin_key("url", self._url, *_places(self._url))
        known = self._copies.known(key)
        try:
            with explained(self._url):
                system, path = _within(lambda _: _open(self._url))
            return Fetched(self._copies.use(self._newest(system, path, key, known)))
        except DataUnavailable as error:
            if known is None:
                raise
            return Fetched(self._copies.use(known), _old(self._url, known, error))

    def _newest(self, system: Any, path: str, key: str, known: Known | None) -> Known:
        version = self._ask(system, path)
        if known is not None and version is not None and known.version == version:
            return known
        name = PurePosixPath(path.partition("?")[0]).name or "rows"
        for _ in range(3):

            def write(file: Path, before: str | None = version) -> str | None:
                with explained(self._url):
                    _within(lambda tick: _download(system, path, file, tick))
                return before

            found = self._copies.keep(key, self._url, name, write)
            after = self._ask(system, path)
            if after == version:
                return found
            version = after  # it was replaced meanwhile: what was read may be of both
        raise DataUnavailable(f"{self._url} changes while it is being read")

    def _ask(self, system: Any, path: str) -> str | None:
        """What tells the file's content now from another; None where nothing does."""
        with explained(self._url, lambda: self._beside(system, path)):
            info = _within(lambda _: _info(system, path))
        if info.get("type") == "directory":
            raise DataError(f"{self._url} is a folder, expected a file")
        return _version(info)

    def _beside(self, system: Any, path: str) -> list[str]:
        """The names of the files in its folder."""
        folder = path.rpartition("/")[0]
        found = _within(lambda _: system.ls(folder, detail=False))
        return [str(name).rstrip("/").rpartition("/")[2] for name in found]


def _open(url: str) -> tuple[Any, str]:
    import fsspec

    scheme = url.partition("://")[0]
    options = {"skip_instance_cache": True, "use_listings_cache": False, **_bounds(scheme)}
    system, path = fsspec.core.url_to_fs(url, **options)
    return system, str(path)


def _bounds(scheme: str) -> dict[str, Any]:
    """Options that end a question early, where the user's own settings say nothing of them."""
    import fsspec

    if scheme not in ("s3", "s3a") or "config_kwargs" in fsspec.config.conf.get("s3", {}):
        return {}
    retries = {} if "AWS_MAX_ATTEMPTS" in os.environ else {"retries": {"max_attempts": 2}}
    return {"config_kwargs": {"connect_timeout": 10, "read_timeout": 30, **retries}}


def _places(url: str) -> list[str]:
    """Which server answers: the same URL is another file at another endpoint. No secrets."""
    import fsspec

    settings = fsspec.config.conf.get(url.partition("://")[0], {})
    parts = [f"{name}={value}" for name, value in sorted(settings.items())]
    parts += [part for name in _PLACES for part in os.environ.get(name, "").split(";")]
    return [part for part in parts if not part.lower().startswith(_SECRET)]


def _info(system: Any, path: str) -> Mapping[str, Any]:
    system.invalidate_cache()
    found: Mapping[str, Any] = system.info(path)
    return found


def _version(info: Mapping[str, Any]) -> str | None:
    marks = [f"{name}={info[name]}" for name in _VERSIONS if info.get(name)]
    if not marks:
        marks = [f"{name}={info[name]}" for name in _TIMES if info.get(name)]
    return None if not marks else "; ".join([*marks, f"size={info.get('size')}"])


def _download(system: Any, path: str, file: Path, tick: Callable[[], None]) -> None:
    with system.open(path, "rb") as source, file.open("wb") as target:
        while block := source.read(_BLOCK):
            target.write(block)
            tick()


def _old(url: str, known: Known, error: DataError) -> str:
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(known.fetched))
    return f"{url} was read from the copy of {when}: {error}"


# An end to waiting


class _Call(threading.Thread, Generic[T]):
    """A call in a thread that nobody has to wait for: what hangs is left behind."""

    def __init__(self, call: Callable[[Callable[[], None]], T]) -> None:
        super().__init__(daemon=True)
        self._call = call
        self.heard = time.monotonic()
        self.results: list[T] = []
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self.results.append(self._call(self._tick))
        except BaseException as error:  # noqa: BLE001 - raised again by who waits
            self.error = error

    def _tick(self) -> None:
        self.heard = time.monotonic()


def patience() -> float:
    """For how many seconds nothing may come: $TUNER_DATA_TIMEOUT, else 30."""
    try:
        return max(0.01, float(os.environ["TUNER_DATA_TIMEOUT"]))
    except (KeyError, ValueError):
        return _PATIENCE


def _within(call: Callable[[Callable[[], None]], T]) -> T:
    """What the call returns; it is given a function to call when something came. TimeoutError."""
    running, limit = _Call(call), patience()
    running.start()
    while running.is_alive():
        running.join(0.05)
        if running.is_alive() and time.monotonic() - running.heard > limit:
            raise TimeoutError(f"no answer for {limit:g} s")
    if running.error is not None:
        raise running.error
    return running.results[0]
