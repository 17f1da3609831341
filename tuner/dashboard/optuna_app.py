"""optuna-dashboard as a WSGI application over a study database that is only read.

Its list of best trials disregards constraints; it is replaced by our front.
"""

from __future__ import annotations

import importlib.util
import json
import re
import threading
from collections.abc import Callable, Container, Iterable
from io import BytesIO
from typing import Any

from sqlalchemy import Engine, inspect, text

from tuner.study.database import explained

Environ = dict[str, Any]
App = Callable[[Environ, Any], Iterable[bytes]]

PATHS = ("/dashboard", "/api", "/static", "/csv", "/favicon.ico", "/artifacts")
"""What optuna-dashboard answers; its script asks for these very paths."""

NEEDS = "the library optuna-dashboard is not installed: pip install 'tuner[dashboard]'"

_DETAIL = re.compile(r"/api/studies/(\d+)/?")


def is_installed() -> bool:
    """Whether the extra `dashboard` is there."""
    return importlib.util.find_spec("optuna_dashboard") is not None


def is_optunas(path: str) -> bool:
    """Whether a path is one of `PATHS`, or below one."""
    return any(path == p or path.startswith(f"{p}/") for p in PATHS)


def addresses(engine: Engine) -> dict[str, str]:
    """Study's name -> its page in optuna-dashboard, where that knows it. DatabaseError."""
    if not is_installed():
        return {}
    with explained(engine), engine.connect() as connection:
        if not inspect(connection).has_table("studies"):
            return {}
        rows = connection.execute(text("SELECT study_id, study_name FROM studies")).all()
    return {row.study_name: f"/dashboard/studies/{row.study_id}" for row in rows}


def make_app(engine: Engine, studies: Container[str] | None, *, notes: bool) -> App:
    """The application. DatabaseError where the database holds nothing that it could show."""
    from optuna_dashboard import wsgi

    from tuner.dashboard.storage import open_storage
    from tuner.dashboard.verdicts import Verdicts

    storage = open_storage(engine, studies, notes=notes)
    verdicts = Verdicts(engine)

    def front(study_id: int) -> list[int]:
        return verdicts.front(storage.get_study_name_from_id(study_id))

    return TrueBest(wsgi(storage), front)


class TrueBest:
    """The application within, with `front(study's id)`'s trials as the best ones of a study."""

    def __init__(self, app: App, front: Callable[[int], list[int]]) -> None:
        self._app = app
        self._front = front
        self._known: dict[tuple[int, int], Any] = {}  # (study, trial) -> as it is sent; it is over
        self._lock = threading.Lock()

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        """Answer one request."""
        asked = _DETAIL.fullmatch(environ["PATH_INFO"])
        if asked is None or environ["REQUEST_METHOD"] != "GET":
            return self._app(environ, start_response)
        status, headers, body = _call(self._app, environ)
        if status.startswith("200"):
            body = self._corrected(int(asked[1]), environ, body)
            headers = [(n, v) for n, v in headers if n.lower() != "content-length"]
            headers.append(("Content-Length", str(len(body))))
        start_response(status, headers)
        return [body]

    def _corrected(self, study: int, environ: Environ, body: bytes) -> bytes:
        detail = json.loads(body)
        front = self._front(study)
        self._learn(study, front, detail["trials"])
        if not all((study, number) in self._known for number in front):
            # the page asks for the trials after those that it has; some best one is among these
            _, _, whole = _call(self._app, environ | {"QUERY_STRING": "after=0"})
            self._learn(study, front, json.loads(whole)["trials"])
        with self._lock:
            found = [self._known.get((study, number)) for number in front]
        detail["best_trials"] = [trial for trial in found if trial is not None]
        return json.dumps(detail).encode()

    def _learn(self, study: int, front: list[int], trials: list[Any]) -> None:
        wanted = set(front)
        with self._lock:
            for trial in trials:
                if trial["number"] in wanted and trial["state"] == "Complete":
                    self._known[study, trial["number"]] = trial


def _call(app: App, environ: Environ) -> tuple[str, list[tuple[str, str]], bytes]:
    """Status, headers and body of a request, whole."""
    found: list[Any] = []

    def start(status: str, headers: list[tuple[str, str]], _error: Any = None) -> None:
        found[:] = [status, headers]

    parts = app(environ | {"wsgi.input": BytesIO()}, start)
    try:
        body = b"".join(parts)
    finally:
        close = getattr(parts, "close", None)
        if close is not None:
            close()
    return found[0], found[1], body
