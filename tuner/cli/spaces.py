"""From a parsed command line to a checked space, and what was noticed while reading it."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

from search_spaces import Overrides, find_space, parse_space
from search_spaces.catalog import read_text
from search_spaces.problems import Problem, SpaceError
from search_spaces.space import Space
from tuner.passes import all_passes
from tuner.pipeline.refusals import hopeless
from tuner.registry import vocabulary


@dataclass(frozen=True, slots=True)
class Named:
    """A checked space, and the text of its file.

    `to_save`: the text for a file elsewhere, from which other relative paths lead to its files.
    """

    space: Space
    text: str
    to_save: str | None = None


def read(arguments: argparse.Namespace) -> Named:
    """The space that the command line names, with its overrides; SpaceError when it is wrong."""
    source = arguments.space or getattr(arguments, "space_file", None)
    if source is None:
        raise SpaceError([Problem("no space given: a space file, or a shipped one such as phi3")])
    path = find_space(source)
    text = read_text(path)
    return parsed(text, path, overrides(arguments), arguments)


def parsed(
    text: str, path: Path | None, changes: Overrides, arguments: argparse.Namespace
) -> Named:
    """A checked space; with `--test-model` the same with a stand-in for its model. SpaceError."""
    trying = getattr(arguments, "test_model", False)
    try:
        reading = parse_space(text, path, vocabulary(), changes)
    except SpaceError:
        if not trying:
            raise
        # Only what is not here, which is stood in for, may be wrong.
        reading = parse_space(text, path, vocabulary(), changes, elsewhere=True)
    for notice in reading.notices:
        print(f"note: {notice}", file=sys.stderr)
    space = _rehearsed(reading.space, arguments) if trying else reading.space
    refusal = hopeless(space, all_passes())
    if refusal is not None:
        raise SpaceError([Problem(f"no candidate can run: {refusal}", str(path or ""))])
    return Named(space, text)


def _rehearsed(space: Space, arguments: argparse.Namespace) -> Space:
    from tuner.pipeline.store import default_root
    from tuner.steps.rehearsal import rehearsal

    store = getattr(arguments, "store", None)
    cut, notices = rehearsal(space, vocabulary(), default_root() if store is None else Path(store))
    for notice in notices:
        print(f"note: {notice}", file=sys.stderr)
    return cut


def overrides(arguments: argparse.Namespace) -> Overrides:
    """What the command line changes in the space."""
    return Overrides(
        model=arguments.model,
        constraints=tuple(arguments.constraint),
        bounds=(*(("max", b) for b in arguments.max), *(("min", b) for b in arguments.min)),
        objectives=tuple(arguments.objective),
        settings=tuple(arguments.set),
        strategy=arguments.strategy,
        trials=arguments.trials,
        max_time=arguments.max_time,
        seed=arguments.seed,
        build_only=arguments.build_only,
    )
