"""`tune dashboard`: studies' reports and optuna-dashboard in a browser, served by one process."""

from __future__ import annotations

import argparse
import os
import sys

from tuner.dashboard import optuna_app
from tuner.dashboard.server import AddressError, is_loopback, open_server, serve
from tuner.dashboard.site import Site
from tuner.study.database import open_engine
from tuner.study.reader import StudyReader

OK, FAILED = 0, 1
_YIELDING = 5  # studies that run here go first
_THIS_MACHINE = ("127.0.0.1", "localhost", "::1")


def show_dashboard(arguments: argparse.Namespace, reader: StudyReader) -> int:
    """Serve until Ctrl-C or SIGTERM; the exit code. DatabaseError, StudyNotFoundError."""
    for name in arguments.study:
        reader.study(name)
    local = is_loopback(arguments.host)
    hosts = {*_THIS_MACHINE, arguments.host.lower()} if local else None
    # what only reads needs no right to write, and could not
    engine = open_engine(arguments.db) if arguments.write else reader.engine
    site = Site(engine, arguments.study or None, hosts=hosts, notes=arguments.write)
    try:
        server = open_server(arguments.host, arguments.port, site)
    except AddressError as error:
        print(f"tune dashboard: {error}", file=sys.stderr)
        return FAILED
    if not local:
        print(_WARNING.format(arguments.host), file=sys.stderr)
    if not optuna_app.is_installed():
        print(f"tune dashboard: {optuna_app.NEEDS};\n{_WITHOUT}", file=sys.stderr)
    host = f"[{arguments.host}]" if ":" in arguments.host else arguments.host
    address = f"http://{host}:{server.server_port}/"
    os.nice(_YIELDING)
    serve(server, lambda: print(f"{address}  (Ctrl-C ends it)", flush=True))
    return OK


_WITHOUT = "the index of studies and their reports are shown all the same"
_WARNING = (
    "tune dashboard: whoever reaches {} can read every study shown here, without a\n"
    "password; 127.0.0.1 (the default) is for this machine alone"
)
