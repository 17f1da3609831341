"""A report that follows a study: written anew while commands work on it, and loaded anew by itself.

The open page needs no server: it loads its own file again, and takes up again where its reader was.
Knows nothing of what a report says.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path

from tuner.study.api import Study
from tuner.study.presence import Presence
from tuner.study.reader import StudyReader
from tuner.study.rows import RunRow

EVERY = 5.0
"""Seconds between two looks at the study, unless told otherwise."""

_SCRIPT = "live.js"


def follow(
    reader: StudyReader,
    study: str,
    path: Path,
    every: float,
    begun: Callable[[], None],
    sleep: Callable[[float], None] = time.sleep,
) -> bool:
    """Write the report whenever the study changed, until no command works on it any more.

    `every`: seconds between two looks; more where writing takes long, so that the study is not
    disturbed. `begun` is called when it was written for the first time and will be again. False: no
    command worked on the study, and it was written once. Raises StudyNotFoundError, DatabaseError,
    and OSError where `path` cannot be written; what was written before stays.
    """
    from tuner.report.page.render import write

    presence, followed = Presence(), False
    written: object = None
    while True:
        started = time.perf_counter()
        runs = reader.study(study).runs
        running = is_worked_on(runs, presence)
        if (running, state_of(runs)) != written:
            write(path, report_page(reader, study, every if running else None))
            written = running, state_of(runs)
        if not running:
            return followed
        if not followed:
            begun()
        followed = True
        sleep(max(every, rest_after(time.perf_counter() - started)))


def rest_after(seconds: float) -> float:
    """How long to rest after so much work for a reader, in seconds: it is a tenth of the time."""
    return 9 * seconds


def report_page(reader: StudyReader, study: str, every: float | None) -> str:
    """The report as it is now. `every`: seconds after which the page looks again; None: never."""
    from tuner.report.page.collect import collect
    from tuner.report.page.render import render

    read = Study(reader, study)
    script = reloading_script(every, str(state_of(read.info.runs)))
    return render(collect(read, reader), script=script)


def reloading_script(every: float | None, state: str) -> str:
    """What makes an open page load itself anew each `every` seconds, keeping its reader's place.

    None: it takes up the place that the page before it kept, and stays. `state`: what is other when
    the page is; one that finds itself unchanged waits longer.
    """
    text = resources.files("tuner.report.page").joinpath("assets", _SCRIPT).read_text("utf-8")
    return text.replace("EVERY_SECONDS", json.dumps(every)).replace("STATE", json.dumps(state))


def is_worked_on(runs: Sequence[RunRow], presence: Presence) -> bool:
    """Whether a command works on the study now, as far as can be told from here."""
    open_runs = [r for r in runs if r.stopped_at is None]
    return any(not presence.is_dead(r.id, r.owner, r.beat) for r in open_runs)


def state_of(runs: Sequence[RunRow]) -> tuple[int, float]:
    """What changes with every event of a study."""
    return len(runs), max((r.last_event_at for r in runs), default=0.0)
