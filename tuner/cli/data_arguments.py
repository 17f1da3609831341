"""The arguments of `tune data`. Parses and nothing else; imports nothing of the program."""

from __future__ import annotations

import argparse

from tuner.cli.parser import Builder, Parser, add_repeated


def _data(parser: Parser) -> None:
    parser.add_argument(
        "file",
        nargs="?",
        metavar="FILE",
        help="rows: .json, .jsonl, .csv, .tsv, .parquet, .txt, or a URL of one",
    )
    parser.add_argument("--space", metavar="SPACE", help="the data of a space, as it is read there")
    reading = parser.add_argument_group("how a row is read (guessed where nothing is said)")
    reading.add_argument("--template", metavar="TEXT", help="text with {column} placeholders")
    reading.add_argument("--chat-user", metavar="TEXT", help="what the user says, likewise")
    reading.add_argument("--chat-assistant", metavar="TEXT", help="what the model is to answer")
    reading.add_argument("--chat-system", metavar="TEXT", help="what it is told first")
    reading.add_argument("--messages", metavar="COLUMN", help="a column of whole conversations")
    reading.add_argument("--label", metavar="COLUMN", help="the column that is to be predicted")
    reading.add_argument(
        "--split", metavar="SHARES", help="set rows apart, such as dev=0.2,test=0.2"
    )
    reading.add_argument("--split-seed", metavar="N", type=_count, help="which rows those are (0)")
    model = parser.add_argument_group("what a model makes of it")
    model.add_argument("--model", metavar="MODEL", help="count in its tokens: a local folder")
    model.add_argument(
        "--max-length", metavar="N", type=_length, help="tokens that are read of a text (512)"
    )
    model.add_argument(
        "--loss", choices=("label", "full"), help="what is learned: the label, or all (label)"
    )
    parser.add_argument("--rows", metavar="N", type=_count, default=3, help="rows to show (3)")
    parser.add_argument("--json", action="store_true", help="the same as one JSON object")
    add_repeated(parser, "--set", "KEY=VALUE", "with --space: change any key of it")


def _count(text: str) -> int:
    return _whole(text, 0, "a whole number, 0 or more")


def _length(text: str) -> int:
    return _whole(text, 2, "a whole number, 2 or more")


def _whole(text: str, least: int, expected: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10) or int(text) < least:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected {expected}")
    return int(text)


BUILDERS: dict[str, Builder] = {"data": _data}
