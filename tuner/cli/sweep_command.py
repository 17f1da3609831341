"""`tune sweep PLAN`: run tonight's night of a plan, judge it, and say what changed."""

from __future__ import annotations

import argparse
import os
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search_spaces.catalog import read_text
from search_spaces.problems import Problem, SpaceError, hint, listed
from tuner.report.answer import WIDTH, console
from tuner.report.words import duration, plural

if TYPE_CHECKING:
    from rich.console import Console

    from tuner.report.progress import JsonLines
    from tuner.study.events import Event, Listener
    from tuner.sweep.closing import Closed
    from tuner.sweep.night import NightRunner
    from tuner.sweep.plan import Plan
    from tuner.sweep.records import EntryResult, Night


def sweep_command(arguments: argparse.Namespace) -> int:
    """Run the night; the exit code. Messages go to standard error, results to standard output."""
    from tuner.sweep.plan import read_plan

    plan = read_plan(_file(arguments.plan))
    for notice in plan.notices:
        print(f"note: {notice}", file=sys.stderr)
    names = [entry.name for entry in plan.entries]
    for name in arguments.only:
        if name not in names:
            message = f"the plan has no entry {name!r}, expected {listed(names)}{hint(name, names)}"
            raise SpaceError([Problem(message, "--only")])
    from tuner.sweep.calendar import NightError, tonight
    from tuner.sweep.records import RecordError, read_nights

    try:
        known = read_nights(plan.results)
        night = tonight(plan, known, arguments.night, arguments.baseline)
    except (NightError, RecordError) as error:
        print(f"tune sweep: {error}", file=sys.stderr)
        return 2
    if arguments.dry_run:
        _print_dry(plan, night, arguments.only)
        return 0
    return _guarded(arguments, plan, night, known)


def _file(named: str) -> Path:
    path = Path(named)
    if not path.exists():
        beside = sorted(str(p) for p in path.parent.glob("*.y*ml")) if path.parent.is_dir() else []
        message = f"there is no such plan{hint(named, beside)}; docs/sweeps.md says what a plan is"
        raise SpaceError([Problem(message, named)])
    read_text(path)
    return path


def _guarded(
    arguments: argparse.Namespace, plan: Plan, night: Night, known: Sequence[Night]
) -> int:
    from tuner.cli.run_command import quiet_libraries
    from tuner.pipeline.store import StoreError
    from tuner.study.database import DatabaseError
    from tuner.sweep.night import Busy
    from tuner.sweep.records import RecordError

    quiet_libraries()
    try:
        return _run(arguments, plan, night, known)
    except (Busy, StoreError, DatabaseError, RecordError) as error:
        print(f"tune sweep: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        message = f"the results cannot be written: {error.strerror or error}{where}"
        print(f"tune sweep: {message}; the same command goes on", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(
            "\ntune sweep: stopped; everything finished is saved, the same command goes on",
            file=sys.stderr,
        )
        return 130


def _run(arguments: argparse.Namespace, plan: Plan, night: Night, known: Sequence[Night]) -> int:
    from tuner.report.progress import JsonLines
    from tuner.sweep.closing import close
    from tuner.sweep.night import NightRunner

    store = None if arguments.store is None else Path(arguments.store)
    lines = JsonLines(sys.stdout) if arguments.json else None
    show = _Show(console(sys.stdout), lines, quiet=arguments.quiet)
    runner = NightRunner(plan, night, known, store, show.listen, show.tell)
    show.begin(runner, arguments.only)
    with show:
        night = runner.run(arguments.only)
    closed = close(plan, night, store)
    _write_for_ci(arguments, closed)
    if lines is not None:
        verdict = closed.comparison.to_json()
        lines.write({"event": "NightJudged", "folder": str(runner.folder)} | verdict)
    else:
        _print_end(plan, closed, runner)
    return closed.comparison.exit_code


def _write_for_ci(arguments: argparse.Namespace, closed: Closed) -> None:
    from tuner.sweep.annotations import annotations, append_step_summary
    from tuner.sweep.junit import junit

    if arguments.junit is not None:
        path = Path(arguments.junit)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(junit(closed.night, closed.comparison), encoding="utf-8")
    if arguments.github:
        for line in annotations(closed.night, closed.comparison):
            print(line)
        append_step_summary(closed.night, closed.comparison, os.environ)


def _print_end(plan: Plan, closed: Closed, runner: NightRunner) -> None:
    from tuner.sweep.terminal import terminal_lines

    for line in terminal_lines(closed.night, closed.comparison):
        print(line)
    if closed.pruned is not None:
        print(closed.pruned)
    pending = [entry.name for entry in runner.pending()]
    if closed.night.finished is None and pending:
        print(f"not run yet: {', '.join(pending)}; the same command goes on with them")
    print(f"results: {_near(runner.folder)}; all nights: {_near(plan.results / 'index.html')}")


def _near(path: Path) -> str:
    """A path as short as it can be written from here."""
    here = os.path.relpath(path)
    return str(path) if here.startswith("..") else here


def _print_dry(plan: Plan, night: Night, only: Sequence[str]) -> None:
    from tuner.sweep.calendar import pending

    left = {entry.name for entry in pending(plan, night, only)}
    again = "" if not night.entries else " (goes on)"
    print(f"{'night':<13}{plan.name} {night.name}{again}")
    print(f"{'compared':<13}{'with ' + night.reference if night.reference else 'with nothing yet'}")
    print(f"{'database':<13}{plan.db}")
    print(f"{'results':<13}{_near(plan.results / night.name)}")
    for entry in plan.entries:
        search = entry.space.search
        budget = [plural(search.trials, "trial")] if search.trials is not None else []
        budget += [f"at most {duration(search.max_time)}"] if search.max_time is not None else []
        what = ", ".join(budget) or "no limit"
        if entry.unavailable is not None:
            what = f"skipped: {entry.unavailable}"
        elif entry.name not in left:
            what = "over already" if not only or entry.name in only else "left out (--only)"
        for row in textwrap.wrap(f"{entry.name}: {what}", WIDTH - 1, subsequent_indent="  "):
            print(row)


class _Show:
    """Shows a night at work: a line per entry that has ended, or every event as a JSON line.

    On a terminal what it is doing stands in the last line; use it as a context manager.
    """

    def __init__(self, out: Console, lines: JsonLines | None, *, quiet: bool) -> None:
        self._out = out
        self._lines = lines
        self._quiet = quiet
        self._status = out.status("starting")
        self._live = out.is_terminal and lines is None and not quiet

    def __enter__(self) -> _Show:
        if self._live:
            self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._status.stop()

    def begin(self, runner: NightRunner, only: Sequence[str]) -> None:
        """Say which night it is, and how much of it is left."""
        night, pending = runner.night, runner.pending(only)
        if self._lines is not None:
            names = [entry.name for entry in pending]
            about = {"sweep": night.sweep, "night": night.name, "reference": night.reference}
            self._lines.write({"event": "NightStarted"} | about | {"entries": names})
            return
        compared = f", compared with {night.reference}" if night.reference else ""
        left = plural(len(pending), "entry").replace("entrys", "entries") + " to run"
        if not pending:
            left = "over already (--night NAME begins another)"
        self._print(f"{night.sweep}, night {night.name}: {left}{compared}")

    def listen(self, entry: str, what: str) -> Sequence[Listener]:
        """The listeners of an entry's search or of a watched candidate."""
        if self._lines is not None:
            lines = self._lines

            def write(event: Event) -> None:
                about = {"event": type(event).__name__, "entry": entry, "doing": what}
                lines.write(about | asdict(event))

            return (write,)
        return (_Following(self._status, entry, what),) if self._live else ()

    def tell(self, result: EntryResult) -> None:
        """An entry has ended."""
        if self._lines is not None:
            self._lines.write({"event": "EntryEnded"} | asdict(result))
            return
        self._print(f"{result.name}: {_ending(result)}, {duration(result.seconds)}")

    def _print(self, text: str) -> None:
        if self._quiet:
            return
        for row in textwrap.wrap(" ".join(text.split()), WIDTH - 1, subsequent_indent="  "):
            self._out.print(row, markup=False, highlight=False, soft_wrap=True)


class _Following:
    """Draws into a status line what a study is doing."""

    def __init__(self, status: Any, entry: str, what: str) -> None:
        from tuner.report.following import Following

        self._status, self._head = status, f"{entry}, {what}"
        self._following = Following()

    def __call__(self, event: Event) -> None:
        from rich.text import Text

        from tuner.study.events import BASELINE

        state = self._following
        state.take(event)
        doing = [
            f"{'baseline' if number == BASELINE else f'#{number}'} {trying.doing}"
            for number, trying in sorted(state.trying.items())
        ]
        text = f"{self._head}: {', '.join(doing) or state.idle}"
        self._status.update(Text(text[: WIDTH - 3]))


def _ending(result: EntryResult) -> str:
    if result.state in ("failed", "skipped", "nothing_fits"):
        words = {"failed": "failed", "skipped": "skipped", "nothing_fits": "no answer"}
        return f"{words[result.state]}: {result.message}"
    taken = f" ({result.taken_over} taken over)" if result.taken_over else ""
    number = "" if result.answer is None else f"answer #{result.answer.number} of "
    lost = [watched for watched in result.watched if watched.state == "failed"]
    text = f"{number}{plural(result.trials, 'trial')}{taken}, {len(result.watched)} watched"
    return text + "".join(f"; of {w.of_night} can no longer be had: {w.message}" for w in lost)
