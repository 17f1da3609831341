"""`tune init`: write a space for a model, to begin with."""

from __future__ import annotations

import argparse
import shlex
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

from search_spaces import parse_space
from search_spaces.data_files import DataError
from search_spaces.data_locations import Location, is_url, parse_url
from search_spaces.kinds import CAUSAL, ENCODER
from search_spaces.problems import SpaceError, listed
from search_spaces.references import ReferenceError, parse_reference
from tuner.init import dataset, model
from tuner.init.errors import CannotWrite
from tuner.init.text import CLASSIFY, Wish, space_text
from tuner.registry import vocabulary

WRONG = 2
_FEW = 100


def init_command(arguments: argparse.Namespace) -> int:
    """Write the space and say what to do next; exit code 2 where that cannot be."""
    output = Path(arguments.output)
    try:
        _refuse_output(output, arguments.force)
        wish = _wish(arguments, output)
        text = space_text(wish)
        output.write_text(text, encoding="utf-8")
    except (CannotWrite, ReferenceError) as error:
        print(f"tune init: {error}", file=sys.stderr)
        return WRONG
    except OSError as error:
        print(f"tune init: {output}: {error.strerror}", file=sys.stderr)
        return WRONG
    _tell(wish, text)
    return 0


def _refuse_output(output: Path, force: bool) -> None:
    if output.is_dir():
        raise CannotWrite(f"{output} is a folder, expected a file to write")
    if output.exists() and not force:
        raise CannotWrite(f"{output} is there already; --force writes over it, -o names another")


def _wish(arguments: argparse.Namespace, output: Path) -> Wish:
    found = model.look_at(parse_reference(arguments.model, Path.cwd()), arguments.kind)
    task = arguments.task or _task(found.kind, arguments.label)
    if found.kind == ENCODER and task != CLASSIFY:
        raise CannotWrite(f"an encoder generates no text: --task {CLASSIFY}")
    if arguments.data is None:
        if task == CLASSIFY:
            raise CannotWrite(
                f"{task} needs data, a text and its label in each row: --data FILE --label COLUMN"
            )
        if arguments.label is not None:
            raise CannotWrite("--label names a column of the data: --data FILE is missing")
        return Wish(found, task, arguments.device, None, output)
    data = dataset.look_at(
        _location(arguments.data),
        arguments.label,
        classify=task == CLASSIFY,
        named=found.kind == CAUSAL,
    )
    return Wish(found, task, arguments.device, data, output)


def _location(text: str) -> Location:
    try:
        return parse_url(text) if is_url(text) else Path(text)
    except DataError as error:
        raise CannotWrite(f"--data {error}") from None


def _task(kind: str, label: str | None) -> str:
    return CLASSIFY if kind == ENCODER or label is not None else "text-generation"


def _tell(wish: Wish, text: str) -> None:
    """What was written, what was guessed, what this machine says to it, and what comes next."""
    print(f"wrote {wish.output}")
    for line in _guesses(wish):
        print(_indented(line))
    name = shlex.quote(str(wish.output))
    run = f"tune --space {name} --constraint 'latency<100ms'"
    try:
        parse_space(text, wish.output, vocabulary())
    except SpaceError as error:
        print("on this machine it does not run as it is:")
        for problem in error.problems:
            print(_indented(str(problem)))
        if wish.device == "gpu":
            run = f"tune --space {name} --build-only    (builds here; measure it where a GPU is)"
    print(f"next\n  tune check {name}\n  {run}")


def _indented(text: str) -> str:
    return textwrap.fill(text, 78, initial_indent="  ", subsequent_indent="    ")


def _guesses(wish: Wish) -> Iterator[str]:
    if wish.model.notice is not None:
        yield f"model: {wish.model.notice}"
    data = wish.data
    if data is None:
        return
    reads = listed(data.texts, "and")
    if data.label is None:
        yield f"data: learns to write {reads}"
        return
    few = data.classes[:6]
    classes = ", ".join(few) + (", ..." if len(data.classes) > len(few) else "")
    guess = " (a guess; --label COLUMN says which)" if data.guessed else ""
    yield f"data: reads {reads}, predicts {data.label}{guess}"
    yield f"{len(data.classes)} labels: {classes}"
    if data.dev < _FEW:
        yield f"few rows: {data.dev} to score with leave many candidates undecided on accuracy"
