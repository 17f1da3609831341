"""`tune --space ...`: run the search and print the answer."""

from __future__ import annotations

import argparse
import logging
import sys
import warnings
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from search_spaces.data import split_names
from search_spaces.space import Space
from tuner.cli import spaces
from tuner.cli.answer_folder import check_folder


def run_command(arguments: argparse.Namespace) -> int:
    """Run the search that the command line asks for; the exit code."""
    return run_space(spaces.read(arguments), arguments)


def run_space(named: spaces.Named, arguments: argparse.Namespace) -> int:
    """Run a checked space; the exit code. Messages go to standard error, the answer to output.

    `arguments` has what a search's command line has about the study, its files and what is shown.
    """
    check_folder(arguments.output, named.space)
    dry, save = (getattr(arguments, name, None) for name in ("dry_run", "save_space"))
    if dry or save is not None:
        code = _preview(named, arguments, dry=bool(dry), save=save)
        if dry or code:
            return code
    from evaluators.base import MeasurementError
    from search_spaces.data_files import DataError, DataUnavailable
    from tuner.engine.tuning import BaselineFailed
    from tuner.models.errors import ModelError
    from tuner.pipeline.store import StoreError
    from tuner.report.output import OutputError
    from tuner.run import RunError
    from tuner.study.database import DatabaseError, DatabaseUnavailable
    from tuner.warm.source import WarmStartError

    quiet_libraries()
    try:
        return _run(named, arguments)
    except (
        DatabaseUnavailable,
        DataUnavailable,
    ) as error:  # the command is right: another time it goes on
        print(f"tune: {error}", file=sys.stderr)
        return 1
    except (DataError, ModelError, DatabaseError, WarmStartError) as error:
        print(f"tune: {error}", file=sys.stderr)
        return 2
    except (RunError, StoreError, OutputError, BaselineFailed, MeasurementError) as error:
        print(f"tune: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(
            "\ntune: stopped; everything finished is saved, the same command goes on from here",
            file=sys.stderr,
        )
        return 130


def _run(named: spaces.Named, arguments: argparse.Namespace) -> int:
    from tuner.engine.session import Request
    from tuner.report.answer import console, print_answer
    from tuner.report.output import summary
    from tuner.report.progress import JsonLines, Progress
    from tuner.run import run

    out = console(sys.stdout)
    json_lines = JsonLines(sys.stdout) if arguments.json else None
    progress = Progress(out)
    shown: Any = json_lines or progress
    request = Request(
        space=named.space,
        space_text=named.text,
        study=arguments.study,
        warm_start=tuple(arguments.warm_start),
        db=arguments.db,
        store=None if arguments.store is None else Path(arguments.store),
        output=None if arguments.output is None else Path(arguments.output),
        workers=arguments.workers,
        retry_failed=arguments.retry_failed,
        listeners=() if arguments.quiet and not arguments.json else (shown,),
    )
    with nullcontext() if arguments.json or arguments.quiet else progress:
        study = run(request)
    if json_lines is not None:
        json_lines.write({"event": "Answer"} | summary(study))
    elif study.best is not None and getattr(arguments, "command", "search") in _ONE_SHOT:
        _print_one_shot(out, named, study)
    else:
        print_answer(out, study)
    if study.best is not None and study.best.row.verdict not in ("infeasible", "undecided"):
        return 0
    return 3 if study.nearest else 1


_ONE_SHOT = ("finetune", "quantize", "optimize", "run")


def _print_one_shot(out: Any, named: spaces.Named, study: Any) -> None:
    """What was made; the answer of a search where there was anything to choose."""
    from search_spaces.counting import measure
    from tuner.report.answer import print_answer
    from tuner.report.made import print_made

    one = measure(named.space).candidates == 1
    (print_made if one else print_answer)(out, study)


def _preview(
    named: spaces.Named, arguments: argparse.Namespace, *, dry: bool, save: str | None
) -> int:
    """Print what would be done, and write the space that does it; the exit code."""
    if dry:
        from tuner.steps.outline import Places, outline

        wrong = _wrong_rows(named.space)
        if wrong is not None:
            print(f"tune: {wrong}", file=sys.stderr)
            return 2
        places = Places(arguments.output or f"tuned/{named.space.name}-...", arguments.db)
        for line in outline(named.space, places):
            print(line)
    if save is None:
        return 0
    try:
        Path(save).write_text(named.to_save or named.text, encoding="utf-8")
    except OSError as error:
        print(f"tune: {save}: {error.strerror or error}", file=sys.stderr)
        return 2
    more = " --build-only" if named.space.build_only else ""
    print(f"wrote {save}: tune --space {save}{more} does the same", file=sys.stderr)
    return 0


def _wrong_rows(space: Space) -> str | None:
    """Why the rows cannot be used; None where they can, or lie elsewhere and would be fetched."""
    from search_spaces.data_files import DataError

    if space.data is None or not all(isinstance(place, Path) for _, place in space.data.files):
        return None
    try:
        split_names(space.data)
    except DataError as error:
        return str(error)
    return None


def quiet_libraries() -> None:
    """Third-party noise belongs into the stages' logs, not on the screen."""
    warnings.filterwarnings("ignore", module="optuna")
    logging.getLogger("alembic").setLevel(logging.ERROR)
