"""Rows behind URLs, asked of real servers of S3, Azure Blob, Google Cloud Storage and HTTP."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from storage_servers import PLACE, Storage

from search_spaces.data import DataSpec, content_key, fetch, read_split
from search_spaces.data_files import DataError, DataUnavailable
from search_spaces.data_locations import Location, RemoteFile, parse_url
from search_spaces.data_report import report

TEMPLATE = "{phrase}\n{tone}"
ROWS = [{"phrase": f"phrase {i}", "tone": ("joy", "fear")[i % 2]} for i in range(20)]


def lines(rows: list[dict[str, str]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def spec_of(location: Location) -> DataSpec:
    return DataSpec((("train", location),), TEMPLATE, "tone", split=())


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture(params=["s3", "azure", "gcs"])
def storage(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Storage:
    found: Storage = request.getfixturevalue(request.param)
    for name, value in found.environment.items():
        monkeypatch.setenv(name, value)
    if found.scheme == "gs":
        import fsspec

        monkeypatch.setitem(fsspec.config.conf, "gs", {"token": "anon"})
    return found


def test_rows_are_fetched_once_and_again_when_they_change(storage: Storage, root: Path) -> None:
    url = storage.url("tones/rows.jsonl")
    storage.put("tones/rows.jsonl", lines(ROWS))
    first, again = RemoteFile(url), RemoteFile(url)
    assert read_split(pinned(first, root), "train") == ROWS
    written = first.copy().path.stat().st_ino
    assert again.copy(root).path.stat().st_ino == written
    storage.put("tones/rows.jsonl", lines(ROWS[:6]))
    changed = RemoteFile(url)
    assert read_split(pinned(changed, root), "train") == ROWS[:6]
    assert read_split(spec_of(first), "train") == ROWS, "what is pinned stays as it was"


def pinned(location: RemoteFile, root: Path) -> DataSpec:
    spec = spec_of(location)
    fetch(spec, root)
    return spec


def test_rows_from_elsewhere_have_the_key_of_a_local_file(
    storage: Storage, root: Path, tmp_path: Path
) -> None:
    storage.put("same.jsonl", lines(ROWS))
    local = tmp_path / "local.csv"
    local.write_text("phrase,tone\n" + "".join(f"{r['phrase']},{r['tone']}\n" for r in ROWS))
    there = pinned(RemoteFile(storage.url("same.jsonl")), root)
    assert content_key(there, "train") == content_key(spec_of(local), "train")


def test_a_worker_reads_the_copy_that_was_pinned(storage: Storage, root: Path) -> None:
    storage.put("pin.jsonl", lines(ROWS))
    spec = pinned(RemoteFile(storage.url("pin.jsonl")), root)
    handed = json.loads(json.dumps(spec.to_json()))
    storage.put("pin.jsonl", lines(ROWS[:4]))
    assert read_split(DataSpec.from_json(handed), "train") == ROWS


def test_what_is_not_there_is_told_with_what_is(storage: Storage, root: Path) -> None:
    storage.put("near/rows.jsonl", lines(ROWS))
    with pytest.raises(DataError, match=r"no such file; beside it: rows.jsonl; did you mean"):
        RemoteFile(storage.url("near/row.jsonl")).copy(root)
    with pytest.raises(DataError, match="cannot be listed either: is the name right"):
        RemoteFile(storage.url("rows.jsonl", place="no-such-place")).copy(root)
    with pytest.raises(DataError, match="is a folder, expected a file"):
        RemoteFile(storage.url("near")).copy(root)


def test_a_mistake_in_the_rows_names_the_url(storage: Storage, root: Path) -> None:
    storage.put("bad.jsonl", b'{"phrase": "a"}\n')
    url = storage.url("bad.jsonl")
    with pytest.raises(DataError, match=f"^{url}, row 1: no column 'tone'") as caught:
        read_split(pinned(RemoteFile(url), root), "train")
    assert str(root) not in str(caught.value)


def test_without_the_server_the_copy_serves_and_that_is_told(
    s3: Storage, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3.put("kept.jsonl", lines(ROWS))
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    pinned(RemoteFile(s3.url("kept.jsonl")), root)
    # The same server, as far as names go, behind which nobody listens.
    monkeypatch.setattr(socket.socket, "connect", refused)
    spec = pinned(RemoteFile(s3.url("kept.jsonl")), root)
    [finding] = [f for f in report(spec).warnings if f.kind == "copy"]
    assert "was read from the copy of " in finding.message
    assert "cannot be reached" in finding.message


def refused(*_: object) -> None:
    raise ConnectionRefusedError(111, "Connection refused")


def test_without_credentials_it_is_said_where_they_are_looked_for(
    s3: Storage, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3.environment["AWS_ENDPOINT_URL"])
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    with pytest.raises(DataError, match=r"no credentials .*AWS_ACCESS_KEY_ID and AWS_SECRET"):
        RemoteFile(s3.url("x.jsonl")).copy(root)


def test_a_wrong_key_is_no_access_and_not_shown(
    azure: Storage, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    azure.put("closed.jsonl", lines(ROWS))
    connection = azure.environment["AZURE_STORAGE_CONNECTION_STRING"]
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", connection.replace("Eby8", "Ebz9"))
    with pytest.raises(DataError, match="access is denied") as caught:
        RemoteFile(azure.url("closed.jsonl")).copy(root)
    assert "Ebz9" not in str(caught.value)


# HTTP


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """The URL of a file below the folder `web`, while a server shows it."""
    (tmp_path / "web").mkdir()
    handler = partial(Quiet, directory=str(tmp_path / "web"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield lambda name: f"http://127.0.0.1:{server.server_port}/{name}"
    server.shutdown()
    server.server_close()


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        if self.path == "/closed.csv":
            self.send_error(403)
        elif self.path == "/broken.csv":
            self.send_error(503)
        else:
            super().do_GET()


def test_what_tells_no_version_is_compared_by_content(
    web: Callable[[str], str], root: Path, tmp_path: Path
) -> None:
    file = tmp_path / "web" / "rows.jsonl"
    for rows in (ROWS, ROWS[:8]):
        file.write_bytes(lines(rows))
        spec = pinned(RemoteFile(web("rows.jsonl")), root)
        assert read_split(spec, "train") == rows


def test_http_answers_are_told_apart(web: Callable[[str], str], root: Path) -> None:
    with pytest.raises(DataError, match="there is no such file"):
        RemoteFile(web("nothing.csv")).copy(root)
    with pytest.raises(DataError, match="access is denied"):
        RemoteFile(web("closed.csv")).copy(root)
    with pytest.raises(DataUnavailable, match="cannot be reached"):
        RemoteFile(web("broken.csv")).copy(root)


def test_a_server_that_never_answers_is_left(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNER_DATA_TIMEOUT", "0.3")
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/rows.csv"
        with pytest.raises(DataUnavailable, match=r"no answer for 0.3 s\); TUNER_DATA_TIMEOUT"):
            RemoteFile(url).copy(root)


def test_a_file_url_is_a_path() -> None:
    assert parse_url("file:///data/rows.csv") == Path("/data/rows.csv")
    assert PLACE not in str(parse_url("S3://b/rows.csv"))
    assert parse_url("S3://b/rows.csv") == RemoteFile("s3://b/rows.csv")
