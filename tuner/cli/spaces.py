"""From a parsed command line to a checked space, and what was noticed while reading it."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass

from search_spaces import Overrides, find_space, parse_space
from search_spaces.catalog import read_text
from search_spaces.problems import Problem, SpaceError
from search_spaces.space import Space
from tuner.passes import all_passes
from tuner.pipeline.refusals import hopeless
from tuner.registry import vocabulary


@dataclass(frozen=True, slots=True)
class Named:
    """A checked space, and the text of its file."""

    space: Space
    text: str


def read(arguments: argparse.Namespace) -> Named:
    """The space that the command line names, with its overrides; SpaceError when it is wrong."""
    source = arguments.space or getattr(arguments, "space_file", None)
    if source is None:
        raise SpaceError([Problem("no space given: a space file, or a shipped one such as phi3")])
    path = find_space(source)
    text = read_text(path)
    reading = parse_space(text, path, vocabulary(), overrides(arguments))
    for notice in reading.notices:
        print(f"note: {notice}", file=sys.stderr)
    refusal = hopeless(reading.space, all_passes())
    if refusal is not None:
        raise SpaceError([Problem(f"no candidate can run: {refusal}", str(path))])
    return Named(reading.space, text)


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
