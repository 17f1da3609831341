"""A site as WSGI sees it: a request in, a reply out, no socket."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes


@dataclass
class Reply:
    code: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def ask(app: Any, address: str, method: str = "GET", body: bytes = b"", **headers: str) -> Reply:
    """What `app` replies; `address` as in a link, with `%2F` and the like."""
    path, _, query = address.partition("?")
    environ = {
        "REQUEST_METHOD": method,
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "QUERY_STRING": query,
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "CONTENT_LENGTH": str(len(body)),
        "CONTENT_TYPE": "application/json",
        "HTTP_HOST": "127.0.0.1:8080",
        "HTTP_ACCEPT_ENCODING": "gzip",
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": io.StringIO(),
    } | {f"HTTP_{name.upper()}": value for name, value in headers.items()}
    found: list[Any] = []
    parts = app(environ, lambda status, own, _exc=None: found.extend([status, own]))
    whole = b"".join(parts)
    return Reply(int(found[0].split()[0]), dict(found[1]), whole)
