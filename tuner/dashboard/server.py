"""The site on a socket: a thread for each request, until Ctrl-C or SIGTERM.

Knows nothing of what is shown.
"""

from __future__ import annotations

import ipaddress
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from tuner.dashboard.optuna_app import App

_SLOW = 60.0  # seconds after which a connection that says nothing is given up


class AddressError(Exception):
    """The address cannot be listened at; the message says why, and what would work."""


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Whoever asked went away: that is no error of ours. Others are told in a line."""
        error = sys.exception()
        if not isinstance(error, OSError):
            print(f"tune dashboard: a request failed: {error!r}", file=sys.stderr)

    def server_bind(self) -> None:
        """Listen; unlike the library, without looking the machine's name up in the network."""
        socket.socket.bind(self.socket, self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]
        self.setup_environ()


class _Server6(_Server):
    address_family = socket.AF_INET6


class _Handler(WSGIRequestHandler):
    timeout = _SLOW

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: a terminal that scrolls with requests says nothing."""

    def address_string(self) -> str:
        """The number of who asks, without looking its name up."""
        return str(self.client_address[0])


def open_server(host: str, port: int, app: App) -> WSGIServer:
    """A server that listens at `host` and `port` (0: any free one). Raises AddressError."""
    kind = _Server6 if ":" in host else _Server
    try:
        server = kind((host, port), _Handler)
    except (OSError, UnicodeError) as error:
        raise AddressError(_why_not(host, port, error)) from error
    server.set_app(app)
    return server


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens at `host`."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def serve(server: WSGIServer, announce: Callable[[], None]) -> None:
    """Answer until Ctrl-C or SIGTERM; requests that are being answered then are dropped.

    `announce` is called when both would end it properly.
    """
    with _ended_by(signal.SIGINT, signal.SIGTERM) as over:
        announce()
        thread = threading.Thread(target=server.serve_forever, args=(0.2,), daemon=True)
        thread.start()
        over.wait()
        server.shutdown()
    server.server_close()


@contextmanager
def _ended_by(*signals: signal.Signals) -> Iterator[threading.Event]:
    """An event that these signals set; afterwards they do what they did before."""
    over = threading.Event()
    before = {s: signal.signal(s, lambda *_: over.set()) for s in signals}
    try:
        yield over
    finally:
        for s, handler in before.items():
            signal.signal(s, handler)


def _why_not(host: str, port: int, error: Exception) -> str:
    where = f"{host}, port {port}"
    if isinstance(error, PermissionError):
        return f"cannot listen at {where}: ports below 1024 are for the system; use --port 8080"
    if isinstance(error, socket.gaierror | UnicodeError):
        return f"cannot listen at {where}: no address of that name; use --host 127.0.0.1"
    reason = getattr(error, "strerror", None) or str(error)
    return f"cannot listen at {where}: {reason}; name another --port, or 0 for any free one"
