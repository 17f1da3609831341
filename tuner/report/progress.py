"""Listeners that show a running study: on a terminal, as plain lines, or as JSON lines.

They see events and nothing else; nothing in the engine knows of them.
"""

from __future__ import annotations

import json
import textwrap
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import IO, Any

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from search_spaces.data_report import DataReport
from tuner.report.words import duration, ending, estimate_text, parameter_texts
from tuner.study.events import (
    BASELINE,
    Confirmed,
    DataChecked,
    Event,
    Failed,
    Judged,
    Measured,
    MeasureStarted,
    StageFinished,
    StageStarted,
    StudyStarted,
    StudyStopped,
    Told,
    TrialAsked,
)


class JsonLines:
    """Writes every event as one JSON object per line: {"event": ..., ...}."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def __call__(self, event: Event) -> None:
        """Write an event."""
        self.write({"event": type(event).__name__} | asdict(event))

    def write(self, data: Mapping[str, Any]) -> None:
        """Write any JSON object as a line."""
        self._stream.write(json.dumps(data, ensure_ascii=False) + "\n")
        self._stream.flush()


class Progress:
    """Shows a study at work: lines per finished trial, and a status line on a terminal.

    Use as a context manager, so that the status line goes away at the end.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._state = _State()
        self._live = Live(
            _StatusLine(self._state, console.width),
            console=console,
            transient=True,
            refresh_per_second=8,
        )

    def __enter__(self) -> Progress:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def __call__(self, event: Event) -> None:
        """Show an event."""
        line = self._state.take(event)
        if line is None:
            return
        for part in line.splitlines():
            indent = " " * (4 + len(part) - len(part.lstrip()))
            for row in textwrap.wrap(
                part, self._console.width - 1, subsequent_indent=indent, break_on_hyphens=False
            ):
                self._console.print(Text(row), soft_wrap=True)


class _State:
    """What has been seen, and the line that an event is worth."""

    def __init__(self) -> None:
        self.doing = "starting"
        self.since = time.monotonic()
        self.trial: int | None = None
        self.done = 0
        self.limit: int | None = None
        self.max_time: float | None = None
        self.front: tuple[int, ...] = ()
        self.best: str | None = None  # the best first objective on the front, in words
        self.began = time.monotonic()
        self.trial_seconds: list[float] = []
        self._parameters: dict[int, Mapping[str, Any]] = {}
        self._estimates: dict[str, str] = {}
        self._judged: Judged | None = None
        self._failed: Failed | None = None
        self._made = self._reused = 0
        self._names: list[str] = []
        self._minimize = True
        self._first: dict[int, tuple[float, str]] = {}  # trial -> its first objective

    def take(self, event: Event) -> str | None:
        """Note an event; the line to print, if any."""
        match event:
            case StudyStarted():
                return self._started(event)
            case DataChecked():
                return _data_lines(event)
            case TrialAsked():
                self._begin(event)
            case StageStarted():
                self._doing(event.step)
            case StageFinished():
                self._made += not event.cached
                self._reused += event.cached
                self._doing(event.step)
            case MeasureStarted():
                self._doing(f"measuring {event.evaluator}")
            case Measured() if event.split == "dev":
                self._estimates |= {e["metric"]: estimate_text(e) for e in event.estimates}
            case Judged():
                self._judged = event
            case Failed():
                self._failed = event
            case Told():
                return self._told(event)
            case Confirmed():
                self._doing("writing the answer")
            case StudyStopped():
                self._doing("done")
            case _:
                pass
        return None

    def _started(self, event: StudyStarted) -> str:
        self.limit, self.max_time = event.settings["trials"], event.settings["max_time"]
        self._minimize = bool(event.objectives[0]["minimize"])
        asked = (*event.objectives, *event.constraints)
        self._names = list(dict.fromkeys(a["metric"] for a in asked))
        lines = {
            "study": event.study + (" (continued)" if event.resumed else ""),
            "model": event.space["model"].partition("#")[0],
            "objectives": ", ".join(o["text"] for o in event.objectives),
            "constraints": ", ".join(c["text"] for c in event.constraints) or "none",
        }
        return "\n".join(f"{name:<13}{text}" for name, text in lines.items())

    def _begin(self, event: TrialAsked) -> None:
        self.trial = event.number
        self._parameters[event.number] = event.parameters
        self._estimates, self._judged, self._failed = {}, None, None
        self._made = self._reused = 0
        self._doing("asking")

    def _doing(self, what: str) -> None:
        self.doing, self.since = what, time.monotonic()

    def _told(self, event: Told) -> str:
        self._doing("asking for the next candidate")
        if event.number == BASELINE:
            return "\n    ".join(["baseline" + self._outcome(event), *self._numbers()])
        self.done = event.number + 1  # of a continued study, too
        self._note_best(event)
        self.trial_seconds.append(event.seconds)
        [parameters] = parameter_texts([self._parameters[event.number]], all_of_them=True)
        mark = " *" if event.number in event.front else ""
        head = f"#{event.number}{mark}{self._outcome(event)}"
        return "\n    ".join([head, " ".join(parameters), *self._numbers()])

    def _note_best(self, event: Told) -> None:
        self.front = event.front
        first = None if event.objectives is None else event.objectives[0]
        if first is not None:
            self._first[event.number] = (first, self._estimates.get(self._names[0], ""))
        known = [(*self._first[n], n) for n in event.front if n in self._first]
        if known:
            _, text, number = (min if self._minimize else max)(known)
            self.best = f"best #{number} {text}"

    def _outcome(self, event: Told) -> str:
        """How it ended and what it took: `  feasible, 12 s, 2 of 4 stages reused`."""
        parts = [duration(event.seconds)]
        if self._failed is not None:
            where, why = self._failed.where, self._failed.message
            built = event.state == "built"
            parts.insert(0, f"built; no {where}: {why}" if built else f"failed in {where}: {why}")
        elif self._judged is not None:
            parts.insert(0, ending(event.state, self._judged.verdict))
        if self._reused:
            parts.append(f"{self._reused} of {self._made + self._reused} stages reused")
        return "  " + ", ".join(parts)

    def _numbers(self) -> list[str]:
        """The line of metrics, if there is anything to say."""
        texts = [self._estimates[n] for n in self._names if n in self._estimates]
        return ["  ".join(texts)] if texts else []


def _data_lines(event: DataChecked) -> str:
    """The rows there are, and a line for each thing that may make a result wrong."""
    found = DataReport.from_json(event.report)
    warnings = [f"warning: {finding.message}" for finding in found.warnings]
    return "\n".join([f"{'data':<13}{found}", *warnings])


class _StatusLine:
    """The line at the bottom, drawn anew several times a second."""

    def __init__(self, state: _State, width: int) -> None:
        self._state = state
        self._width = width - 3  # the spinner stands before it
        self._spinner = Spinner("dots")

    def __rich__(self) -> Spinner:
        s = self._state
        now = time.monotonic()
        who = "baseline" if s.trial == BASELINE else f"#{s.trial}" if s.trial is not None else ""
        parts = [f"{who} {s.doing} {duration(now - s.since)}".strip()]
        if s.best is not None:
            parts.append(s.best)
        parts.append(f"{s.done}/{s.limit} trials" if s.limit else f"{s.done} trials")
        left = self._left(now)
        if left is not None:
            parts.append(f"about {duration(left)} left")
        self._spinner.update(text=Text(" · ".join(parts)[: self._width]))
        return self._spinner

    def _left(self, now: float) -> float | None:
        s = self._state
        guesses = []
        if s.limit is not None and s.trial_seconds:
            mean = sum(s.trial_seconds) / len(s.trial_seconds)
            guesses.append(max(0.0, (s.limit - s.done) * mean))
        if s.max_time is not None:
            guesses.append(max(0.0, s.max_time - (now - s.began)))
        return min(guesses) if guesses else None
