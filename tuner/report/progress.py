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

from tuner.report.following import Following, Trying
from tuner.report.words import duration
from tuner.study.events import BASELINE, Event


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
        self._state = Following()
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


class _StatusLine:
    """The line at the bottom, drawn anew several times a second."""

    def __init__(self, state: Following, width: int) -> None:
        self._state = state
        self._width = width - 3  # the spinner stands before it
        self._spinner = Spinner("dots")

    def __rich__(self) -> Spinner:
        s = self._state
        now = time.monotonic()
        parts = [_doing(n, t, now) for n, t in sorted(s.trying.items())]
        parts = parts or [f"{s.idle} {duration(now - s.since)}"]
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


def _doing(number: int, trying: Trying, now: float) -> str:
    who = "baseline" if number == BASELINE else f"#{number}"
    return f"{who} {trying.doing} {duration(now - trying.since)}"
