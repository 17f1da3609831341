"""Nothing reaches another machine, and afterwards everything is as it was."""

from __future__ import annotations

import socket
import urllib.error
import urllib.request
from types import SimpleNamespace

import pytest

from evaluators.offline import no_network


def test_who_asks_is_refused_and_noted() -> None:
    library = SimpleNamespace(OFFLINE=False)
    before = socket.getaddrinfo, socket.socket.connect
    with no_network((library, "OFFLINE")) as refused:
        assert library.OFFLINE
        with pytest.raises(urllib.error.URLError, match="nothing is downloaded"):
            urllib.request.urlopen("http://host.invalid/data")
        with pytest.raises(ConnectionError), socket.socket() as plain:
            plain.connect(("192.0.2.1", 80))
    assert refused == ["host.invalid", "192.0.2.1"]
    assert not library.OFFLINE
    assert (socket.getaddrinfo, socket.socket.connect) == before


def test_what_stays_on_this_machine_goes_on(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = str(tmp_path_factory.mktemp("s") / "s")
    with no_network() as refused, socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(path)
    assert refused == []
