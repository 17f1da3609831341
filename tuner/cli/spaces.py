"""From a parsed command line to a checked space, and what was noticed while reading it."""

from __future__ import annotations

import argparse
import sys

from search_spaces import Overrides, Reading, find_space, read_space
from tuner.registry import vocabulary


def read(arguments: argparse.Namespace) -> Reading:
    """The space that the command line names, with its overrides; SpaceError when it is wrong."""
    source = arguments.space or getattr(arguments, "space_file", None)
    if source is None:
        from search_spaces.problems import Problem, SpaceError

        raise SpaceError([Problem("no space given: a space file, or a shipped one such as phi3")])
    reading = read_space(find_space(source), vocabulary(), overrides(arguments))
    for notice in reading.notices:
        print(f"note: {notice}", file=sys.stderr)
    return reading


def overrides(arguments: argparse.Namespace) -> Overrides:
    """What the command line changes in the space."""
    bounds = [("max", text) for text in arguments.max] + [("min", text) for text in arguments.min]
    return Overrides(
        model=arguments.model,
        constraints=tuple(arguments.constraint),
        bounds=tuple(bounds),
        objectives=tuple(arguments.objective),
        settings=tuple(arguments.set),
        strategy=arguments.strategy,
        trials=arguments.trials,
        max_time=arguments.max_time,
        seed=arguments.seed,
    )
