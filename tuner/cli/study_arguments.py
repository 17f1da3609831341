"""The arguments of the commands that read studies.

Parses and nothing else; imports nothing of the program.
"""

from __future__ import annotations

import argparse

from tuner.cli.parser import Builder, Parser, add_db, add_output, add_repeated, add_store


def _list(parser: Parser) -> None:
    add_db(parser)
    parser.add_argument("--json", action="store_true", help="as JSON")


def _show(parser: Parser) -> None:
    parser.add_argument("study", metavar="STUDY", help="the study's name (see tune list)")
    parser.add_argument("trial", nargs="?", metavar="TRIAL", help="a trial's number, or baseline")
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
    add_output(parser, "- (the terminal), FILE.csv, FILE.parquet; for all tables a folder")
    parser.add_argument(
        "--format", choices=("csv", "parquet"), help="where the file's name does not say it"
    )
    add_db(parser)


def _report(parser: Parser) -> None:
    parser.add_argument("study", metavar="STUDY", help="the study's name (see tune list)")
    parser.add_argument(
        "-o", "--output", metavar="FILE", default="report.html", help="(report.html)"
    )
    parser.add_argument(
        "--live", action="store_true", help="write it anew while the study runs; Ctrl-C ends that"
    )
    parser.add_argument("--every", metavar="TIME", help="how often to look, with --live (5s)")
    add_db(parser)


def _card(parser: Parser) -> None:
    parser.add_argument("study", metavar="STUDY", help="the study's name (see tune list)")
    parser.add_argument("--trial", metavar="N", help="another trial than the chosen one")
    add_output(parser, "a Markdown file, or - (the terminal)")
    add_db(parser)


def _dashboard(parser: Parser) -> None:
    parser.add_argument("study", nargs="*", metavar="STUDY", help="studies to show (default: all)")
    parser.add_argument(
        "--host", default="127.0.0.1", help="where to listen (127.0.0.1: this machine alone)"
    )
    parser.add_argument("--port", type=_port, default=8080, help="8080; 0: any that is free")
    parser.add_argument(
        "--write", action="store_true", help="let notes be written; else nothing can be changed"
    )
    add_db(parser)


def _port(text: str) -> int:
    number = int(text) if text.isdecimal() else -1
    if not 0 <= number <= 65535:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a whole number to 65535")
    return number


def _rerank(parser: Parser) -> None:
    parser.add_argument("study", metavar="STUDY", help="the study's name (see tune list)")
    group = parser.add_argument_group("the new question")
    text = "such as 'latency<60ms'; added to the study's, in place of one on the same metric"
    add_repeated(group, "--constraint", "C", text)
    add_repeated(group, "--max", "M=LIMIT", "such as latency=60ms: the same without quotes")
    add_repeated(group, "--min", "M=LIMIT", "such as accuracy=0.9")
    add_repeated(group, "--objective", "O", "such as 'minimize tpot'; replaces the study's")
    group.add_argument(
        "--drop-constraints", action="store_true", help="leave out the study's own constraints"
    )
    _list(parser)


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


def _compare(parser: Parser) -> None:
    parser.add_argument("study", metavar="STUDY", help="the study's name (see tune list)")
    for name in ("a", "b"):
        parser.add_argument(name, metavar=name.upper(), help="a trial's number, or baseline")
    parser.add_argument(
        "--measure",
        metavar="METRIC",
        help="time both again, in turn, until it is clear: latency, ttft, throughput, ...",
    )
    add_store(parser)
    _list(parser)


BUILDERS: dict[str, Builder] = {
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
}
