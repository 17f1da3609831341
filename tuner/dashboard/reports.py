"""Reports of studies as they are now, rendered once for each state of a study.

Knows nothing of HTTP.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tuner.study.presence import Presence
from tuner.study.reader import StudyReader
from tuner.study.rows import RunRow

_KEPT = 8  # pages, each some MB


@dataclass
class _Page:
    """`state`: of the study when it was made. `until`: it may be shown that long all the same."""

    state: object
    text: str
    until: float

    def holds(self, state: object, running: bool) -> bool:
        """Whether it may be shown; while a study runs, one that took long for longer."""
        return state == self.state or (running and time.perf_counter() < self.until)


class Reports:
    """Pages by study. Threads may ask at once; a page is made by one, while others go on."""

    def __init__(self, reader: StudyReader) -> None:
        self._reader = reader
        self._presence = Presence()
        self._pages: OrderedDict[str, _Page] = OrderedDict()
        self._making: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()  # of all the above; held for moments only

    def page(self, study: str) -> str:
        """The study's report; while a command works on it, one that loads itself anew.

        Raises StudyNotFoundError and DatabaseError.
        """
        from tuner.report.page.live import state_of

        runs = self._reader.study(study).runs
        with self._lock:
            making = self._making.setdefault(study, threading.Lock())
        with making:
            running = study in self.running({study: runs})
            state = (running, state_of(runs))
            with self._lock:
                found = self._pages.pop(study, None)
            if found is None or not found.holds(state, running):
                found = self._make(study, running, state)
            self._keep(study, found)
            return found.text

    def running(self, runs: Mapping[str, Sequence[RunRow]]) -> set[str]:
        """Of these studies, those that a command works on now."""
        from tuner.report.page.live import is_worked_on

        with self._lock:
            return {name for name, of in runs.items() if is_worked_on(of, self._presence)}

    def _make(self, study: str, running: bool, state: object) -> _Page:
        from tuner.report.page.live import EVERY, report_page, rest_after

        started = time.perf_counter()
        text = report_page(self._reader, study, EVERY if running else None)
        now = time.perf_counter()
        return _Page(state, text, now + rest_after(now - started))

    def _keep(self, study: str, page: _Page) -> None:
        with self._lock:
            self._pages[study] = page
            while len(self._pages) > _KEPT:
                self._pages.popitem(last=False)
