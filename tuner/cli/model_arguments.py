"""The arguments of the commands that use a model: generate, evaluate, package.

Parses and nothing else; imports nothing of the program.
"""

from __future__ import annotations

import argparse

from tuner.cli.parser import Builder, Parser, add_repeated, add_store

_MODEL = "the folder of a model, or an answer's folder with the model in model/"
_BASE = "an adapter's base model, where it is not where the adapter says"


def _generate(parser: Parser) -> None:
    parser.add_argument("model", metavar="DIR", help=_MODEL)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("-p", "--prompt", metavar="TEXT", help="what to answer; - reads the input")
    what.add_argument(
        "--chat", action="store_true", help="talk with it; /clear forgets, /quit or Ctrl-D ends"
    )
    parser.add_argument(
        "-a",
        "--adapter",
        metavar="NAME",
        help="an adapter beside a GenAI model; tuned or base of a peft adapter; of a checkpoint "
        "the folder of a peft adapter",
    )
    parser.add_argument("--base", metavar="DIR", help=_BASE)
    parser.add_argument("--system", metavar="TEXT", help="instructions before the conversation")
    parser.add_argument(
        "--raw", action="store_true", help="the prompt as it is, without the chat template"
    )
    parser.add_argument("--max-new-tokens", type=_count, metavar="N", help="at most so many (256)")
    parser.add_argument(
        "--temperature", type=_temperature, metavar="T", help="draw the text; 0: greedy (0)"
    )
    parser.add_argument(
        "--top-p", type=_share, metavar="P", help="draw among the likeliest tokens with this share"
    )
    parser.add_argument("--seed", type=_seed, metavar="N", help="of the drawing (0)")
    parser.add_argument("--json", action="store_true", help="the answer and its times as JSON")
    _dry_run(parser, "say what would be run, and run nothing")


def _evaluate(parser: Parser) -> None:
    parser.add_argument("model", metavar="DIR", help=_MODEL)
    parser.add_argument("other", nargs="?", metavar="DIR2", help="a second one to compare it with")
    add_repeated(
        parser, "--metric", "NAME", "what to measure (see tune metrics); an evaluator: all its own"
    )
    add_repeated(parser, "--set", "NAME.OPTION=VALUE", "an evaluator's option")
    parser.add_argument("--data", metavar="FILE", help="rows to measure on, all of them")
    parser.add_argument("--template", metavar="TEXT", help="how a row becomes text: {column}")
    parser.add_argument("--label", metavar="COLUMN", help="what the model is to tell")
    parser.add_argument(
        "--text", metavar="FILE", help="a text to measure on: perplexity, divergence"
    )
    parser.add_argument(
        "--split",
        choices=("train", "dev", "test"),
        help="of the data of an answer's recipe (test, where there is one)",
    )
    parser.add_argument("--base", metavar="DIR", help=_BASE)
    parser.add_argument(
        "--again", action="store_true", help="measure anew what was measured before"
    )
    add_store(parser)
    parser.add_argument("-o", "--output", metavar="FILE", help="write what was found as JSON")
    parser.add_argument("--json", action="store_true", help="as JSON")
    _dry_run(parser, "say what would be measured on what, and measure nothing")


def _package(parser: Parser) -> None:
    parser.add_argument("model", metavar="DIR", help=_MODEL)
    parser.add_argument("-o", "--output", metavar="FILE.zip", required=True, help="the package")
    parser.add_argument("--force", action="store_true", help="replace a file that is there")
    parser.add_argument(
        "--db", metavar="URL", help="the study's database: the model card tells more with it"
    )
    _dry_run(parser, "list what would be packed, and write nothing")


def _dry_run(parser: Parser, text: str) -> None:
    parser.add_argument("--dry-run", action="store_true", help=text)


def _count(text: str) -> int:
    return _whole(text, 1, "a whole number from 1")


def _seed(text: str) -> int:
    return _whole(text, 0, "a whole number from 0")


def _whole(text: str, low: int, expected: str) -> int:
    if not text.isdecimal() or not low <= int(text) < 2**31:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected {expected}")
    return int(text)


def _temperature(text: str) -> float:
    return _number(text, 0.0, 10.0, "a number from 0 to 10")


def _share(text: str) -> float:
    return _number(text, 1e-6, 1.0, "a number above 0, up to 1")


def _number(text: str, low: float, high: float, expected: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not low <= value <= high:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected {expected}")
    return value


BUILDERS: dict[str, Builder] = {
    "generate": _generate,
    "evaluate": _evaluate,
    "package": _package,
}
"""Command -> what gives its parser its arguments."""
