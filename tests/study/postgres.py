"""A PostgreSQL server of the tests' own: made in a folder of its own, reached by a socket in it.

It listens on no port. Tests that need it skip, with the reason, where PostgreSQL or its driver is
not installed.
"""

from __future__ import annotations

import importlib.util
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import pytest

USER, PASSWORD = "tune", "p@ss/w:rd"
_LONGEST = 60.0  # seconds that the server may take to start, on a busy machine


@dataclass
class Server:
    """A running server. `folder`: where its socket is."""

    folder: Path
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def url(self, database: str, user: str = USER, password: str = PASSWORD) -> str:
        """What `--db` takes."""
        who = f"{user}:{quote(password, safe='')}"
        return f"postgresql+psycopg://{who}@/{database}?host={quote(str(self.folder), safe='')}"

    def new_database(self) -> str:
        """The URL of an empty database."""
        name = f"study{next(self._numbers)}"
        self.run(f"CREATE DATABASE {name}")
        return self.url(name)

    def run(self, statement: str, database: str = "postgres") -> None:
        """Run a statement as the user who owns everything."""
        from sqlalchemy import create_engine, text

        engine = create_engine(self.url(database), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(statement))
        engine.dispose()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A server for the whole session."""
    if importlib.util.find_spec("psycopg") is None:
        pytest.skip("psycopg, the driver of PostgreSQL, is not installed")
    binaries = _binaries()
    # Not among pytest's own folders: only their owner may enter those, and sockets' names are short
    folder = Path(tempfile.mkdtemp(prefix="tune-pg-"))
    try:
        with _running(binaries, folder) as server:
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgres_url(postgres: Server) -> str:
    """The URL of an empty database on a real server."""
    return postgres.new_database()


class _running:
    """The server, as a process of this one."""

    def __init__(self, binaries: Path, folder: Path) -> None:
        self._binaries = binaries
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Server:
        user, data = _unprivileged(self._folder), self._folder / "data"
        secret = self._folder / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        options = [f"--username={USER}", f"--pwfile={secret}", "--auth=scram-sha-256", "--no-sync"]
        made = subprocess.run(
            [self._binaries / "initdb", "-D", data, "--encoding=UTF8", "--locale=C", *options],
            capture_output=True,
            text=True,
            check=False,
            user=user,
        )
        assert made.returncode == 0, made.stderr
        settings = ("listen_addresses=", "fsync=off", "shared_buffers=16MB", "max_connections=60")
        self._process = subprocess.Popen(
            [
                *(self._binaries / "postgres", "-D", data, "-k", self._folder),
                *(part for setting in settings for part in ("-c", setting)),
            ],
            stdout=subprocess.DEVNULL,
            stderr=(self._folder / "log").open("wb"),
            user=user,
            start_new_session=True,  # Ctrl-C is for the tests
        )
        server = Server(self._folder)
        self._wait(server)
        return server

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGQUIT)  # at once: nothing of it will be wanted again
        self._process.wait(timeout=60)

    def _wait(self, server: Server) -> None:
        from sqlalchemy.exc import DBAPIError

        assert self._process is not None
        end = time.monotonic() + _LONGEST
        while True:
            try:
                server.run("SELECT 1")
                return
            except DBAPIError:
                gone = self._process.poll() is not None
                if gone or time.monotonic() > end:
                    self.__exit__()
                    raise
            time.sleep(0.05)


def _binaries() -> Path:
    """The folder of the server's programs."""
    found = shutil.which("postgres")
    if found is not None:
        return Path(found).resolve().parent
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if not folders:
        pytest.skip("PostgreSQL's server is not installed")
    return folders[-1].parent


def _unprivileged(folder: Path) -> str | None:
    """Who runs the server where root, whom it refuses, runs the tests: `folder` is then theirs."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        os.chown(folder, user.pw_uid, user.pw_gid)
        return name
    pytest.skip("PostgreSQL's server does not run as root, and there is no other user")
