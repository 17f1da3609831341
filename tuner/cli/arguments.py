"""The command line's words: options of `tune` itself and of its sub-commands.

Parses and nothing else; imports nothing of the program.
"""

from __future__ import annotations

import argparse
import difflib
import sys
from typing import NoReturn

COMMANDS = {
    "init": "write a space for a model, to begin with",
    "check": "say what is wrong with a space, before anything runs",
    "plan": "show how large a space is and what its search would cost",
    "list": "list the studies of a database",
    "show": "show a study, or one of its trials",
    "compare": "say whether two trials of a study really differ",
    "best": "show a finished study's answer again",
    "why": "say which choices decide a metric, and what each does to it",
    "export": "write a study's tables as CSV or Parquet",
    "report": "write a study as one HTML page that needs nothing else",
    "card": "write a model card for the chosen model",
    "dashboard": "show studies in a browser: reports and optuna-dashboard",
    "rerank": "answer a new question from a study's trials, running nothing",
    "sweep": "run a plan of many spaces, night after night, and name regressions",
    "cache": "look at the store of stage results: ls, gc, why",
    "passes": "list the passes of a pipeline, or say all about one",
    "metrics": "list what can be measured, or say all about one evaluator",
    "schema": "print the JSON schema of a space, for editors",
}

TASKS = ("text-classification", "text-generation")

DEFAULT_DB = "tuned/study.db"

_DESCRIPTION = """\
Find the best deployable version of a language model under your constraints:
fine-tuning, quantisation, ONNX conversion and session options, tried, measured,
and answered with the evidence.

  tune --space quickstart --constraint 'latency<250ms'
  tune --space my-space.yaml --max latency=50ms --min accuracy=0.9
"""

_EPILOG = """\
commands (tune COMMAND --help):
{commands}

exit codes: 0 a feasible model was found; 1 the run failed; 2 the command or the
space is wrong; 3 nothing feasible; 4 a sweep found a regression;
130 interrupted (the state is saved)
"""


class Parser(argparse.ArgumentParser):
    """A parser whose errors name the nearest valid spelling."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and exit with code 2."""
        hint = ""
        known = [o for a in self._actions for o in a.option_strings] + list(COMMANDS)
        for word in sys.argv[1:]:
            if word in message and word not in known:
                near = difflib.get_close_matches(word.split("=")[0], known, 1)
                hint = f"; did you mean {near[0]}?" if near else ""
                break
        self.exit(2, f"{self.prog}: {message}{hint}\n{self.prog}: see {self.prog} --help\n")


def parse(argv: list[str]) -> argparse.Namespace:
    """The parsed command line; `command` is "run" for `tune` without a sub-command."""
    if argv and argv[0] in COMMANDS:
        return _command_parser(argv[0]).parse_args(argv[1:])
    arguments = _run_parser().parse_args(argv or ["--help"])
    if arguments.space is None:
        _run_parser().error("--space is missing: a space file, or a shipped one (quickstart, phi3)")
    return arguments


def _run_parser() -> Parser:
    commands = "\n".join(f"  {name:<10}{text}" for name, text in COMMANDS.items())
    parser = Parser(
        prog="tune",
        description=_DESCRIPTION,
        epilog=_EPILOG.format(commands=commands),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(command="run")
    _add_space(parser, positional=False)
    group = parser.add_argument_group("search")
    _add_search(group)
    _add_trying(group)
    group = parser.add_argument_group("where things go")
    group.add_argument("--study", metavar="NAME", help="the study's name (default: of the space)")
    text = "a study to begin with: STUDY, DB#STUDY or DB; none: nothing (default: of the space)"
    _add_repeated(group, "--warm-start", "STUDY", text)
    _add_db(group)
    _add_store(group)
    group.add_argument("--output", metavar="DIR", help="the answer's folder (tuned/STUDY)")
    group = parser.add_argument_group("what is shown")
    group.add_argument("--json", action="store_true", help="events and answer as JSON lines")
    group.add_argument("--quiet", action="store_true", help="only the answer")
    return parser


def _add_space(parser: argparse.ArgumentParser, *, positional: bool) -> None:
    group = parser.add_argument_group("what to search")
    text = "a space file, or the name of a shipped space"
    if positional:
        group.add_argument("space_file", nargs="?", metavar="SPACE", help=text)
    group.add_argument("--space", metavar="FILE", help=text)
    group.add_argument("--model", metavar="REF", help="a model in place of the space's own")
    _add_repeated(group, "--constraint", "C", "such as 'latency<50ms'; added to the space's")
    _add_repeated(group, "--max", "M=LIMIT", "such as latency=50ms: the same without quotes")
    _add_repeated(group, "--min", "M=LIMIT", "such as accuracy=0.9")
    _add_repeated(group, "--objective", "O", "such as 'minimize tpot'; replaces the space's")
    _add_repeated(group, "--set", "KEY=VALUE", "set a key of the space: pipeline.lora.r=16")


def _add_repeated(group: argparse._ArgumentGroup, name: str, metavar: str, text: str) -> None:
    group.add_argument(name, action="append", default=[], metavar=metavar, help=text)


def _add_search(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--strategy", metavar="NAME", help="auto, tpe, nsga2, gp, grid or random")
    group.add_argument("--trials", metavar="N", help="how many candidates to try in all")
    group.add_argument("--max-time", metavar="TIME", help="how long to search in all: 8m, 90s, 2h")
    group.add_argument("--seed", metavar="N", help="of all that is drawn (auto weighs times, too)")
    group.add_argument(
        "--build-only",
        action="store_true",
        help="build for providers that this machine lacks too, and measure what needs no run",
    )


def _add_trying(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--workers",
        metavar="N",
        type=_workers,
        default=1,
        help="how many candidates to try at once (1); they measure in turn",
    )
    group.add_argument(
        "--retry-failed", action="store_true", help="try again what failed, and forget its lessons"
    )


def _workers(text: str) -> int:
    number = int(text) if text.isdecimal() else 0
    if not 1 <= number <= 64:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a whole number from 1 to 64")
    return number


def _add_db(group: argparse._ArgumentGroup | argparse.ArgumentParser) -> None:
    group.add_argument(
        "--db",
        metavar="URL",
        default=DEFAULT_DB,
        help=f"the study database: a file or an SQLAlchemy URL ({DEFAULT_DB})",
    )


def _add_store(group: argparse._ArgumentGroup | argparse.ArgumentParser) -> None:
    group.add_argument(
        "--store",
        metavar="DIR",
        help="where stage results are kept ($TUNER_STORE, else ~/.cache/tuner)",
    )


def _command_parser(name: str) -> Parser:
    parser = Parser(prog=f"tune {name}", description=COMMANDS[name], allow_abbrev=False)
    parser.set_defaults(command=name)
    _BUILDERS[name](parser)
    return parser


def _check(parser: Parser) -> None:
    _add_space(parser, positional=True)
    _add_search(parser.add_argument_group("search"))


def _plan(parser: Parser) -> None:
    _check(parser)
    _add_store(parser)


def _list(parser: Parser) -> None:
    _add_db(parser)
    parser.add_argument("--json", action="store_true", help="as JSON")


def _show(parser: Parser) -> None:
    parser.add_argument("study", metavar="STUDY", help="the study's name (see tune list)")
    parser.add_argument("trial", nargs="?", metavar="TRIAL", help="a trial's number, or baseline")
    _list(parser)


def _compare(parser: Parser) -> None:
    parser.add_argument("study", metavar="STUDY", help="the study's name (see tune list)")
    for name in ("a", "b"):
        parser.add_argument(name, metavar=name.upper(), help="a trial's number, or baseline")
    parser.add_argument(
        "--measure",
        metavar="METRIC",
        help="time both again, in turn, until it is clear: latency, ttft, throughput, ...",
    )
    _add_store(parser)
    _list(parser)


def _best(parser: Parser) -> None:
    parser.add_argument("study", metavar="STUDY", help="the study's name (see tune list)")
    _list(parser)


def _export(parser: Parser) -> None:
    parser.add_argument("study", metavar="STUDY", help="the study's name (see tune list)")
    parser.add_argument(
        "--table",
        metavar="NAME",
        default="trials",
        help="trials (one row each), params, metrics, constraints, stages, measurements, events, "
        "front, runs, objectives, confirmations, or all",
    )
    _add_output(parser, "- (the terminal), FILE.csv, FILE.parquet; for all tables a folder")
    parser.add_argument(
        "--format", choices=("csv", "parquet"), help="where the file's name does not say it"
    )
    _add_db(parser)


def _report(parser: Parser) -> None:
    parser.add_argument("study", metavar="STUDY", help="the study's name (see tune list)")
    parser.add_argument(
        "-o", "--output", metavar="FILE", default="report.html", help="(report.html)"
    )
    parser.add_argument(
        "--live", action="store_true", help="write it anew while the study runs; Ctrl-C ends that"
    )
    parser.add_argument("--every", metavar="TIME", help="how often to look, with --live (5s)")
    _add_db(parser)


def _card(parser: Parser) -> None:
    parser.add_argument("study", metavar="STUDY", help="the study's name (see tune list)")
    parser.add_argument("--trial", metavar="N", help="another trial than the chosen one")
    _add_output(parser, "a Markdown file, or - (the terminal)")
    _add_db(parser)


def _add_output(parser: Parser, text: str) -> None:
    parser.add_argument("-o", "--output", metavar="PATH", default="-", help=text)


def _dashboard(parser: Parser) -> None:
    parser.add_argument("study", nargs="*", metavar="STUDY", help="studies to show (default: all)")
    parser.add_argument(
        "--host", default="127.0.0.1", help="where to listen (127.0.0.1: this machine alone)"
    )
    parser.add_argument("--port", type=_port, default=8080, help="8080; 0: any that is free")
    parser.add_argument(
        "--write", action="store_true", help="let notes be written; else nothing can be changed"
    )
    _add_db(parser)


def _port(text: str) -> int:
    number = int(text) if text.isdecimal() else -1
    if not 0 <= number <= 65535:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a whole number to 65535")
    return number


def _rerank(parser: Parser) -> None:
    parser.add_argument("study", metavar="STUDY", help="the study's name (see tune list)")
    group = parser.add_argument_group("the new question")
    text = "such as 'latency<60ms'; added to the study's, in place of one on the same metric"
    _add_repeated(group, "--constraint", "C", text)
    _add_repeated(group, "--max", "M=LIMIT", "such as latency=60ms: the same without quotes")
    _add_repeated(group, "--min", "M=LIMIT", "such as accuracy=0.9")
    _add_repeated(group, "--objective", "O", "such as 'minimize tpot'; replaces the study's")
    group.add_argument(
        "--drop-constraints", action="store_true", help="leave out the study's own constraints"
    )
    _list(parser)


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
    _add_store(parser)


def _why(parser: Parser) -> None:
    parser.add_argument("study", metavar="STUDY", help="the study's name (see tune list)")
    parser.add_argument(
        "--metric",
        action="append",
        default=[],
        metavar="METRIC",
        help="one that was measured: accuracy, latency.p95 ... (default: those asked for)",
    )
    _list(parser)


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
        _add_store(sub)


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


def _passes(parser: Parser) -> None:
    parser.add_argument("name", nargs="?", metavar="NAME", help="a pass")
    parser.add_argument("--json", action="store_true", help="as JSON")


def _metrics(parser: Parser) -> None:
    parser.add_argument("name", nargs="?", metavar="NAME", help="an evaluator or a metric")
    parser.add_argument("--json", action="store_true", help="as JSON")


def _schema(parser: Parser) -> None:
    parser.description = f"{COMMANDS['schema']}; docs/space.md says how editors use it"


_BUILDERS = {
    "init": _init,
    "check": _check,
    "plan": _plan,
    "list": _list,
    "show": _show,
    "compare": _compare,
    "best": _best,
    "why": _why,
    "export": _export,
    "report": _report,
    "card": _card,
    "dashboard": _dashboard,
    "rerank": _rerank,
    "sweep": _sweep,
    "cache": _cache,
    "passes": _passes,
    "metrics": _metrics,
    "schema": _schema,
}
