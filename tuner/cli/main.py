"""The command `tune`: parse, call, print, exit code. Each command imports only what it needs."""

from __future__ import annotations

import os
import sys
from importlib import import_module

from tuner.cli.arguments import parse

OK, RUN_FAILED, WRONG, NOTHING_FEASIBLE, INTERRUPTED = 0, 1, 2, 3, 130

_RUNNERS = {
    "search": "run_command:run_command",
    "finetune": "step_command:step_command",
    "quantize": "step_command:step_command",
    "optimize": "step_command:step_command",
    "generate": "generate_command:generate_command",
    "evaluate": "evaluate_command:evaluate_command",
    "package": "package_command:package_command",
    "data": "data_command:data_command",
    "import-olive": "olive_command:import_olive_command",
    "run": "olive_command:run_olive_command",
    "init": "init_command:init_command",
    "check": "space_commands:check",
    "plan": "space_commands:plan",
    "sweep": "sweep_command:sweep_command",
    "cache": "cache_command:cache_command",
    "passes": "passes_command:passes",
    "metrics": "passes_command:metrics",
    "schema": "passes_command:schema",
}
"""Command -> the function beside this file that runs it; the others read studies."""


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
    module, _, function = _RUNNERS.get(arguments.command, "study_commands:run").partition(":")
    try:
        code: int = getattr(import_module(f"tuner.cli.{module}"), function)(arguments)
        return code
    except SpaceError as error:
        for problem in error.problems:
            print(problem, file=sys.stderr)
        return WRONG
