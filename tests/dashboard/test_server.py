"""The server: where it listens, and the command from its start to Ctrl-C."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from tuner.dashboard.server import AddressError, is_loopback, open_server
from tuner.study.database import open_engine

TUNE = Path(sys.executable).parent / "tune"


def _start(db: Path, *arguments: str) -> tuple[subprocess.Popen[str], str]:
    """The command, and the first line that it prints."""
    process = subprocess.Popen(
        [str(TUNE), "dashboard", "--db", str(db), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TUNER_STORE": str(db.parent / "no-store")},
    )
    assert process.stdout is not None
    return process, process.stdout.readline()


@pytest.fixture(scope="module")
def running(shown_db: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    process, line = _start(shown_db, "--port", "0")
    yield process, line.split()[0]
    process.kill()
    process.wait()


def test_the_command_prints_its_address_and_answers_there(
    running: tuple[subprocess.Popen[str], str],
) -> None:
    _, address = running
    assert address.startswith("http://127.0.0.1:")
    with urlopen(address, timeout=30) as reply:
        assert "mine" in reply.read().decode()
    with pytest.raises(HTTPError, match="405"):
        urlopen(Request(address, method="POST", data=b"x"), timeout=30)


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_at_once(shown_db: Path, sent: signal.Signals) -> None:
    process, line = _start(shown_db, "--port", "0")
    port = int(line.split("/")[2].rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)):  # one that says nothing holds nobody up
        process.send_signal(sent)
        begun = time.monotonic()
        _, told = process.communicate(timeout=30)
        assert time.monotonic() - begun < 15
    assert process.returncode == 0
    assert told == ""


def test_a_taken_port_is_a_sentence(shown_db: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process, line = _start(shown_db, "--port", str(port))
        _, told = process.communicate(timeout=30)
    assert (process.returncode, line) == (1, "")
    assert f"port {port}: Address already in use; name another --port" in told
    assert "Traceback" not in told


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("mien",), "nearest name is 'mine'"),
        (("--port", "70000"), "expected a whole number to 65535"),
        (("--db", "nowhere.db"), "there is no study database at nowhere.db"),
    ],
)
def test_what_is_wrong_with_the_command_is_said(
    shown_db: Path, arguments: tuple[str, ...], said: str
) -> None:
    process, _ = _start(shown_db, *arguments)
    _, told = process.communicate(timeout=30)
    assert process.returncode == 2
    assert said in told


def test_who_listens_for_others_is_warned(shown_db: Path) -> None:
    process, line = _start(shown_db, "--host", "0.0.0.0", "--port", "0")
    assert line.startswith("http://0.0.0.0:")
    process.terminate()
    _, told = process.communicate(timeout=30)
    assert "whoever reaches 0.0.0.0 can read every study shown here" in told


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("localhost", True),
        ("::1", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.0.2.1", False),
        ("example.org", False),
    ],
)
def test_only_loopback_addresses_are_this_machine_alone(host: str, local: bool) -> None:
    assert is_loopback(host) is local


@pytest.mark.parametrize("host", ["no such name", "192.0.2.1", "x" * 70, "::zz"])
def test_an_address_that_is_not_this_machines_is_a_sentence(host: str) -> None:
    with pytest.raises(AddressError, match="cannot listen at"):
        open_server(host, 0, lambda *_: [b""])


def test_the_database_may_be_written_while_it_is_shown(
    shown_db: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNER_DB_TIMEOUT", "5")
    path = tmp_path / "study.db"
    path.write_bytes(shown_db.read_bytes())
    process, line = _start(path, "--port", "0")
    try:
        address = line.split()[0]
        urlopen(address, timeout=30).read()
        engine = open_engine(str(path))
        with engine.begin() as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            assert urlopen(address, timeout=5).status == 200
        engine.dispose()
    finally:
        process.kill()
        process.communicate()
