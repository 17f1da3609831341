"""The site as a WSGI application: an index of studies, their reports, and optuna-dashboard.

Answers reading requests only, and those only that were meant for this machine. Knows nothing of
sockets.
"""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import parse_qs

from sqlalchemy import Engine

from tuner.dashboard import optuna_app
from tuner.dashboard.index_page import index_page, message_page
from tuner.dashboard.optuna_app import App, Environ
from tuner.dashboard.reports import Reports
from tuner.study.database import DatabaseError
from tuner.study.reader import StudyNotFoundError, StudyReader

_HTML = "text/html; charset=utf-8"
_OWN_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_REPORT = "/report/"
_READING = ("GET", "HEAD")
_NOTE = re.compile(r"/api/studies/\d+/(\d+/)?note")

HEADERS = [
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Cache-Control", "no-cache"),
]


@dataclass
class Reply:
    """What is sent: a page, or where to go instead."""

    status: HTTPStatus
    body: str = ""
    policy: str | None = _OWN_POLICY
    headers: list[tuple[str, str]] = field(default_factory=list)


class Refused(Exception):
    """A request that is not answered. `status`, and a sentence that says why."""

    def __init__(self, status: HTTPStatus, message: str, *headers: tuple[str, str]) -> None:
        super().__init__(message)
        self.status = status
        self.headers = list(headers)


class Site:
    """`studies` None: all of the database. `hosts` None: asked for by any name.

    `notes`: notes may be written in optuna-dashboard. DatabaseError and StudyNotFoundError are
    answered, with their messages.
    """

    def __init__(
        self,
        engine: Engine,
        studies: Sequence[str] | None = None,
        *,
        hosts: Container[str] | None = None,
        notes: bool = False,
    ) -> None:
        self._engine = engine
        self._studies = studies
        self._hosts = hosts
        self._notes = notes
        self._reader = StudyReader(engine)
        self._reports = Reports(self._reader)
        self._optuna: App | None = None
        self._lock = threading.Lock()

    def __call__(self, environ: Environ, start_response: Callable[..., object]) -> Iterable[bytes]:
        """Answer one request."""
        path = _path(environ)
        try:
            self._check(environ, path)
            if optuna_app.is_optunas(path):
                return self._optuna_app()(environ, _adding(HEADERS, start_response))
            reply = self._answer(environ, path)
        except Refused as refusal:
            reply = _told(refusal.status, str(refusal))
            reply.headers += refusal.headers
        except StudyNotFoundError as error:
            reply = _told(HTTPStatus.NOT_FOUND, str(error))
        except DatabaseError as error:
            reply = _told(HTTPStatus.SERVICE_UNAVAILABLE, str(error))
        except Exception as error:  # noqa: BLE001  # one page that fails must not end the others
            print(f"tune dashboard: {path!r} failed: {error!r}", file=sys.stderr)
            reply = _told(HTTPStatus.INTERNAL_SERVER_ERROR, f"this page failed: {error!r}")
        return _send(reply, environ, start_response)

    def _check(self, environ: Environ, path: str) -> None:
        """Refuse what other pages than this site's may have asked for, and what would write."""
        host = _host_name(environ.get("HTTP_HOST", ""))
        if self._hosts is not None and host not in self._hosts:
            raise Refused(
                HTTPStatus.MISDIRECTED_REQUEST,
                f"this server answers for this machine only, and was asked for {host!r}; open the "
                "address that tune dashboard printed, or start it with --host",
            )
        method = environ["REQUEST_METHOD"]
        if method in _READING:
            return
        if not (self._notes and method == "PUT" and _NOTE.fullmatch(path)):
            what = "but for notes, studies are only shown here" if self._notes else _ONLY_SHOWN
            raise Refused(HTTPStatus.METHOD_NOT_ALLOWED, what, ("Allow", ", ".join(_READING)))
        origin = environ.get("HTTP_ORIGIN")
        if origin is not None and origin.partition("://")[2] != environ.get("HTTP_HOST"):
            raise Refused(HTTPStatus.FORBIDDEN, f"a page of {origin} may not write here")

    def _answer(self, environ: Environ, path: str) -> Reply:
        if path == "/":
            return self._index()
        if path in ("/optuna", "/optuna/"):
            return Reply(HTTPStatus.FOUND, headers=[("Location", "/dashboard")])
        if path == _REPORT.rstrip("/") or path.startswith(_REPORT):
            return self._report(path.removeprefix(_REPORT), environ)
        raise Refused(HTTPStatus.NOT_FOUND, f"there is no page {path}")

    def _index(self) -> Reply:
        shown = [s for s in self._reader.studies() if self._is_shown(s.name)]
        runs = {s.name: self._reader.study(s.name).runs for s in shown}
        running = self._reports.running(runs)
        optunas = optuna_app.addresses(self._engine)
        page = index_page(shown, running, optunas, with_optuna=optuna_app.is_installed())
        return Reply(HTTPStatus.OK, page)

    def _report(self, name: str, environ: Environ) -> Reply:
        asked = parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True).get("study")
        name = asked[0] if asked else name
        if not self._is_shown(name):
            raise Refused(HTTPStatus.NOT_FOUND, f"study {name!r} is not among those shown here")
        return Reply(HTTPStatus.OK, self._reports.page(name), policy=None)  # it has its own policy

    def _is_shown(self, name: str) -> bool:
        return self._studies is None or name in self._studies

    def _optuna_app(self) -> App:
        """optuna-dashboard, opened when it is first asked for: that takes its time."""
        with self._lock:
            if self._optuna is None:
                if not optuna_app.is_installed():
                    raise Refused(
                        HTTPStatus.NOT_FOUND,
                        f"{optuna_app.NEEDS}; the reports need nothing and are shown",
                    )
                self._optuna = optuna_app.make_app(self._engine, self._studies, notes=self._notes)
            return self._optuna


_ONLY_SHOWN = "studies are only shown here: nothing can be changed or removed"


def _path(environ: Environ) -> str:
    """The path as text; WSGI hands over its bytes as Latin-1."""
    raw: str = environ.get("PATH_INFO") or "/"
    return raw.encode("latin-1").decode("utf-8", "replace")


def _host_name(header: str) -> str:
    """`localhost` of `localhost:8080`, `::1` of `[::1]:8080`."""
    if header.startswith("["):
        return header[1:].partition("]")[0]
    return header.partition(":")[0].lower()


def _told(status: HTTPStatus, message: str) -> Reply:
    return Reply(status, message_page(f"{status.value} {status.phrase}", message))


def _send(reply: Reply, environ: Environ, start_response: Callable[..., object]) -> Iterable[bytes]:
    body = reply.body.encode("utf-8", "replace")
    policy = [] if reply.policy is None else [("Content-Security-Policy", reply.policy)]
    kind = [("Content-Type", _HTML), ("Content-Length", str(len(body)))]
    start_response(
        f"{reply.status.value} {reply.status.phrase}", kind + HEADERS + policy + reply.headers
    )
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]


def _adding(
    headers: list[tuple[str, str]], start_response: Callable[..., object]
) -> Callable[..., object]:
    """`start_response` that sends `headers` too, but for those that are there."""

    def start(status: str, own: list[tuple[str, str]], *rest: object) -> object:
        there = {name.lower() for name, _ in own}
        return start_response(
            status, own + [h for h in headers if h[0].lower() not in there], *rest
        )

    return start
