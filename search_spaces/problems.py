"""What is wrong with a space: problems with their places, collected and reported at once.

Knows nothing of YAML or of what a space holds.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from search_spaces.secrets import redacted


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands: a file and a line from 1, or an option of the command line."""

    file: str
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong. `line` counts from 1; None where a line says nothing.

    `file` may be an option of the command line, or empty where nothing can be pointed at.
    """

    message: str
    file: str = ""
    line: int | None = None

    def __str__(self) -> str:
        if not self.file:
            return redacted(self.message)
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        return redacted(f"{place}: {self.message}")  # either may quote a URL of the space


class SpaceError(Exception):
    """A space that cannot be used; `problems` is everything that is wrong with it."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


@dataclass(slots=True)
class Problems:
    """Collects what is wrong (`found`) and what is worth knowing (`notices`).

    `elsewhere`: the space was read and used on another machine; what this one lacks is no problem.
    """

    found: list[Problem] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    elsewhere: bool = False

    def add(self, place: Place, message: str) -> None:
        """Note a problem; the same one at the same place is noted once."""
        problem = Problem(message, place.file, place.line)
        if problem not in self.found:
            self.found.append(problem)

    def absent(self, place: Place, message: str) -> None:
        """Note a file or the like that is not there, where it has to be."""
        if not self.elsewhere:
            self.add(place, message)

    def notice(self, place: Place, message: str) -> None:
        """Note what is no problem, but should be told."""
        self.notices.append(str(Problem(message, place.file, place.line)))

    def raise_if_any(self) -> None:
        """SpaceError with every problem found, in the order of the file, then of the options."""
        if self.found:
            raise SpaceError(sorted(self.found, key=lambda p: (p.line is None, p.line or 0)))


def nearest(name: str, candidates: Iterable[str]) -> str | None:
    """The candidate that `name` was probably meant to be, or None."""
    known = list(candidates)
    for candidate in known:
        if candidate.casefold() == name.casefold():
            return candidate
    found = difflib.get_close_matches(name, known, n=1)
    return found[0] if found else None


def hint(name: str, candidates: Iterable[str]) -> str:
    """`"; did you mean 'x'?"` for the nearest candidate, or an empty text."""
    found = nearest(name, candidates)
    return f"; did you mean {found!r}?" if found else ""


def listed(words: Iterable[object], joint: str = "or") -> str:
    """`a, b or c`."""
    texts: Sequence[str] = [str(word) for word in words]
    if len(texts) < 2:
        return "".join(texts)
    return f"{', '.join(texts[:-1])} {joint} {texts[-1]}"


def short(text: str) -> str:
    """A text in quotes, cut where it is long."""
    return repr(text if len(text) <= 60 else f"{text[:57]}...")
