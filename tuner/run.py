"""From a request to a finished study and its answer.

The Python API and the command line both come through here. Knows nothing of how results look.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType

from search_spaces.space import Space
from tuner.engine.session import Request, Session, open_session, wait_for_ever
from tuner.execution.making import TrialFailed
from tuner.execution.trial import insist
from tuner.report.output import write_answer, write_report, write_summary
from tuner.study.api import Study
from tuner.study.database import DatabaseError
from tuner.study.events import StudyStopped

_NOT_TO_BE_WRITTEN = "database"


class RunError(Exception):
    """The run cannot start or go on, for a reason that a person understands (one sentence)."""


class Interrupted(KeyboardInterrupt):
    """The process was asked to stop (SIGTERM); what is done is saved."""


def run(request: Request) -> Study:
    """Work on the study until its budget is spent, write the answer, and return the study.

    For a night nothing is written beside the database: what it measured is what is wanted.
    """
    with ExitStack() as stack:
        stack.enter_context(_sigterm_interrupts())
        session = open_session(request, stack)
        reason = "error"
        started = time.monotonic()
        chosen = None
        try:
            reason = session.tuning.search()
            with session.cooperation.turn("answer", wait_for_ever):
                session.tuning.confirm()
            chosen = session.tuning.chosen
        except KeyboardInterrupt:
            reason = "interrupted"
            raise
        except TrialFailed as failure:  # of a trial in the search it is that trial's end
            reason = "error"
            raise RunError(f"the best candidate could not be confirmed: {failure}") from failure
        except DatabaseError:
            reason = _NOT_TO_BE_WRITTEN
            raise
        finally:
            if reason != _NOT_TO_BE_WRITTEN:
                session.emit(StudyStopped(reason, chosen, time.monotonic() - started))
        study = Study(session.reader, session.study, reason)
        folder = request.output or default_output(session.study)
        if chosen is not None and request.night is None:
            with session.cooperation.turn("answer", wait_for_ever):
                _write_answer(session, folder, study, request.space, chosen)
            study.output = folder
        elif study.trials and request.night is None:
            write_summary(folder, study)
            write_report(folder, study, session.reader)
        study.load()
        return study


def _write_answer(session: Session, folder: Path, study: Study, space: Space, chosen: int) -> None:
    def write() -> None:
        built = session.tuning.model_of(chosen)
        write_answer(folder, study, space, built.model, built.artifacts[0])

    insist(session.store, write)
    write_report(folder, study, session.reader)


def default_output(study: str) -> Path:
    """Where a study's answer goes when nothing else is asked for."""
    return Path("tuned") / study


@contextmanager
def _sigterm_interrupts() -> Iterator[None]:
    """Treat SIGTERM as Ctrl-C, where signals can be handled (in the main thread)."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise Interrupted

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
