"""The command `tune`: parse, call, print, exit code. Each command imports only what it needs."""

from __future__ import annotations

import os
import sys

from tuner.cli.arguments import parse

OK, RUN_FAILED, WRONG, NOTHING_FEASIBLE, INTERRUPTED = 0, 1, 2, 3, 130


def main() -> None:
    """Run the command line and exit."""
    try:
        code = _dispatch(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of our output went away: that is its right
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = RUN_FAILED
    sys.exit(code)


def _dispatch(argv: list[str]) -> int:
    from search_spaces.problems import SpaceError

    arguments = parse(argv)
    try:
        if arguments.command == "run":
            from tuner.cli.run_command import run_command

            return run_command(arguments)
        if arguments.command in ("check", "plan"):
            from tuner.cli import space_commands

            return space_commands.COMMANDS[arguments.command](arguments)
        if arguments.command == "init":
            from tuner.cli.init_command import init_command

            return init_command(arguments)
        if arguments.command in ("passes", "metrics", "schema"):
            from tuner.cli import passes_command

            return passes_command.COMMANDS[arguments.command](arguments)
        if arguments.command == "sweep":
            from tuner.cli.sweep_command import sweep_command

            return sweep_command(arguments)
        if arguments.command == "cache":
            from tuner.cli.cache_command import cache_command

            return cache_command(arguments)
        from tuner.cli import study_commands

        return study_commands.run(arguments)
    except SpaceError as error:
        for problem in error.problems:
            print(problem, file=sys.stderr)
        return WRONG
