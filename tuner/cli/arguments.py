"""The command line's words: which commands there are, and the parsed command line.

The arguments of each are declared beside this file, in one per family of commands. Parses and
nothing else; imports nothing of the program.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from importlib import import_module

from tuner.cli.parser import Parser

_GROUPS: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "one step at a time": (
        "step_arguments",
        {
            "finetune": "fine-tune a model on your data: LoRA, QLoRA or all weights",
            "quantize": "quantise a model: AWQ, GPTQ, AutoRound, HQQ, RTN ...",
            "optimize": "make a model deployable: build, quantise, choose how it runs",
        },
    ),
    "use a model": (
        "model_arguments",
        {
            "generate": "let a built model write, or chat with it",
            "evaluate": "measure any model's folder, or compare two",
            "package": "pack a model with its recipe, card and a sample program",
        },
    ),
    "data": (
        "data_arguments",
        {"data": "show a data set: columns, lengths, labels, first rows"},
    ),
    "come from Olive": (
        "olive_arguments",
        {
            "import-olive": "turn an Olive config into a space",
            "run": "run an Olive config",
        },
    ),
    "search": (
        "space_arguments",
        {
            "init": "write a space for a model, to begin with",
            "check": "say what is wrong with a space, before anything runs",
            "plan": "show how large a space is and what its search would cost",
            "sweep": "run many spaces, night after night, and name regressions",
        },
    ),
    "look at studies": (
        "study_arguments",
        {
            "list": "list the studies of a database",
            "show": "show a study, or one of its trials",
            "compare": "say whether two trials of a study really differ",
            "best": "show a finished study's answer again",
            "why": "say which choices decide a metric, and what each does to it",
            "rerank": "answer a new question from a study's trials, running nothing",
            "export": "write a study's tables as CSV or Parquet",
            "report": "write a study as one HTML page that needs nothing else",
            "card": "write a model card for the chosen model",
            "dashboard": "show studies in a browser: reports and optuna-dashboard",
        },
    ),
    "what there is": (
        "space_arguments",
        {
            "cache": "look at the store of stage results: ls, gc, why",
            "passes": "list the passes of a pipeline, or say all about one",
            "metrics": "list what can be measured, or say all about one evaluator",
            "schema": "print the JSON schema of a space, for editors",
        },
    ),
}
"""Title -> the module beside this one that declares the arguments, and the commands' help."""

COMMANDS = {name: text for _, commands in _GROUPS.values() for name, text in commands.items()}

ALIASES = {"auto-opt": "optimize"}

_EPILOG = """\
commands (tune COMMAND --help):
{commands}

exit codes: 0 a feasible model was found; 1 the run failed; 2 the command or the
space is wrong; 3 nothing feasible; 4 a sweep found a regression;
130 interrupted (the state is saved)
"""


def parse(argv: list[str]) -> argparse.Namespace:
    """The parsed command line; `command` is "search" for `tune` without a sub-command."""
    name = ALIASES.get(argv[0], argv[0]) if argv else ""
    if name in COMMANDS:
        return _command_parser(name).parse_args(argv[1:])
    parser = _search_parser()
    arguments = parser.parse_args(argv or ["--help"])
    if arguments.space is None:
        parser.error("--space is missing: a space file, or a shipped one (quickstart, phi3)")
    return arguments


def _search_parser() -> Parser:
    from tuner.cli.space_arguments import run_parser

    lines: list[str] = []
    for title, (_, commands) in _GROUPS.items():
        lines += [f"  {title}"] + [f"    {name:<13}{text}" for name, text in commands.items()]
    parser = run_parser(_EPILOG.format(commands="\n".join(lines)))
    parser.set_defaults(command="search")
    parser.commands = (*COMMANDS, *ALIASES)
    return parser


def _command_parser(name: str) -> Parser:
    parser = Parser(prog=f"tune {name}", description=COMMANDS[name], allow_abbrev=False)
    parser.set_defaults(command=name)
    module = next(module for module, commands in _GROUPS.values() if name in commands)
    import_module(f"tuner.cli.{module}").BUILDERS[name](parser)
    return parser
