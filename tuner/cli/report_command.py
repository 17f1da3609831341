"""`tune report`: a study as one HTML file that needs nothing else."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from search_spaces.units import format_quantity
from tuner.study.api import Study
from tuner.study.reader import StudyReader

OK, FAILED, WRONG = 0, 1, 2


def report_study(arguments: argparse.Namespace, reader: StudyReader) -> int:
    """Write the report; the exit code. DatabaseError, StudyNotFoundError."""
    path = Path(arguments.output).expanduser()
    study = Study(reader, arguments.study)
    _ = study.info
    if path.is_dir():
        print(f"tune report: {path} is a folder: name a file in it", file=sys.stderr)
        return WRONG
    if path.exists() and path.resolve() == Path(arguments.db).expanduser().resolve():
        print(f"tune report: {path} is the study's database: name another file", file=sys.stderr)
        return WRONG
    if not path.parent.is_dir():
        print(f"tune report: there is no folder {path.parent} to write into", file=sys.stderr)
        return WRONG
    if arguments.live or arguments.every is not None:
        from tuner.cli.live_report import follow_study

        return follow_study(arguments, path, reader)
    try:
        _write(path, study, reader)
    except OSError as error:
        reason = error.strerror or error
        print(f"tune report: {path} cannot be written: {reason}", file=sys.stderr)
        return FAILED
    print(f"wrote {path} ({format_quantity(path.stat().st_size, 'B')})")
    return OK


def _write(path: Path, study: Study, reader: StudyReader) -> None:
    from tuner.report.page.collect import collect
    from tuner.report.page.render import render, write

    write(path, render(collect(study, reader)))
