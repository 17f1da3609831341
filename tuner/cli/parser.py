"""The parser of the command line, and the options that several commands have.

Parses and nothing else; imports nothing of the program.
"""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

DEFAULT_DB = "tuned/study.db"

Group = argparse._ArgumentGroup | argparse.ArgumentParser


class Parser(argparse.ArgumentParser):
    """A parser whose errors name the nearest valid spelling.

    `commands`: words that may stand in place of an option.
    """

    commands: Sequence[str] = ()

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and exit with code 2."""
        hint = ""
        known = [o for a in self._actions for o in a.option_strings] + list(self.commands)
        for word in sys.argv[1:]:
            if word in message and word not in known:
                near = difflib.get_close_matches(word.split("=")[0], known, 1)
                hint = f"; did you mean {near[0]}?" if near else ""
                break
        self.exit(2, f"{self.prog}: {message}{hint}\n{self.prog}: see {self.prog} --help\n")


Builder = Callable[[Parser], None]
"""Gives a command's parser its arguments."""


def add_repeated(group: Group, name: str, metavar: str, text: str) -> None:
    """An option that may be given again and again; a list."""
    group.add_argument(name, action="append", default=[], metavar=metavar, help=text)


def add_db(group: Group) -> None:
    """`--db`."""
    group.add_argument(
        "--db",
        metavar="URL",
        default=DEFAULT_DB,
        help=f"the study database: a file or an SQLAlchemy URL ({DEFAULT_DB})",
    )


def add_store(group: Group) -> None:
    """`--store`."""
    group.add_argument(
        "--store",
        metavar="DIR",
        help="where stage results are kept ($TUNER_STORE, else ~/.cache/tuner)",
    )


def add_output(parser: Parser, text: str) -> None:
    """`--output`, by default the terminal."""
    parser.add_argument("-o", "--output", metavar="PATH", default="-", help=text)
