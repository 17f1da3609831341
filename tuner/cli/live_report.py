"""`tune report --live`: the report of a study that runs, written anew as it goes on."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from search_spaces.units import format_quantity, parse_duration
from tuner.report.page.live import EVERY, follow
from tuner.study.reader import StudyReader

OK, FAILED, WRONG, INTERRUPTED = 0, 1, 2, 130
_LEAST = 1.0  # seconds
_YIELDING = 5  # the study that is watched goes first


def follow_study(arguments: argparse.Namespace, path: Path, reader: StudyReader) -> int:
    """Write the report until the study is over; the exit code. DatabaseError."""
    try:
        every = _interval(arguments)
    except ValueError as error:
        print(f"tune report: --every: {error}", file=sys.stderr)
        return WRONG
    os.nice(_YIELDING)
    try:
        return _follow(arguments.study, path, reader, every)
    except KeyboardInterrupt:
        print("stopped; the file shows the last state that was written", file=sys.stderr)
        return INTERRUPTED
    except OSError as error:
        reason = error.strerror or error
        print(f"tune report: {path} cannot be written: {reason}", file=sys.stderr)
        return FAILED


def _follow(study: str, path: Path, reader: StudyReader, every: float) -> int:
    def begun() -> None:
        print(f"writing {path} while {study!r} runs; open it in a browser", flush=True)

    if follow(reader, study, path, every, begun):
        print(f"{study!r} is over; {path} shows its end")
    else:
        size = format_quantity(path.stat().st_size, "B")
        print(f"no command works on {study!r} now: wrote {path} once ({size})")
    return OK


def _interval(arguments: argparse.Namespace) -> float:
    """Seconds between two looks; ValueError says what is wrong."""
    if arguments.every is None:
        return EVERY
    if not arguments.live:
        raise ValueError("it says how often to look with --live, which is missing")
    every = parse_duration(arguments.every)
    if every < _LEAST:
        raise ValueError(f"found {arguments.every}, expected at least {_LEAST:g}s")
    return every
