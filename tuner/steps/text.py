"""The text of a space, each line with the option of the command line that asked for it.

What is wrong with a line is then reported under that option's name: who gave a command has written
no file. Knows nothing of passes or models.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from search_spaces.problems import Problem
from tuner.report.step_example import yaml_path

_UNTOLD = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029\ufeff]")
_COMMENT = 44
_AS_OPTIONS = {
    "the space has no data: with a label:": "there are none: --data FILE and --label COLUMN",
    "the key 'data' is missing": "--data FILE is missing",
}
"""What messages say of a file -> what they say to who wrote none."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A value as the command line spells it, in YAML, and the option that gave it."""

    text: str
    option: str


@dataclass(frozen=True, slots=True)
class SpaceText:
    """A space file's text. `options`: line (from 1) -> the option that it comes from."""

    text: str
    options: dict[int, str]

    def explained(self, problem: Problem) -> Problem:
        """The problem under the name of the option that it is about, where it is one's."""
        message = problem.message
        for words, instead in _AS_OPTIONS.items():
            message = message.replace(words, instead)
        return Problem(message, self.options.get(problem.line or 0) or problem.file)


@dataclass(slots=True)
class Lines:
    """Collects the lines of a space."""

    _texts: list[str] = field(default_factory=list)
    _options: dict[int, str] = field(default_factory=dict)

    def add(self, text: str, option: str | None = None, note: str | None = None) -> None:
        """A line; `note`: a comment behind it."""
        self._texts.append(text if note is None else f"{text.ljust(_COMMENT)} # {note}")
        if option is not None:
            self._options[len(self._texts)] = option

    def set(self, indent: int, key: str, setting: Setting, note: str | None = None) -> None:
        """`key: value` as an option has it."""
        self.add(f"{' ' * indent}{key}: {one_line(setting.text)}", setting.option, note)

    def extend(self, texts: Iterable[str]) -> None:
        """Lines that no option asked for."""
        for text in texts:
            self.add(text)

    def done(self) -> SpaceText:
        """The whole text."""
        return SpaceText("\n".join(self._texts) + "\n", dict(self._options))


def one_line(text: str) -> str:
    """YAML that stays on its line: what would leave it is quoted."""
    return json.dumps(text) if _UNTOLD.search(text) or not text.strip() else text.strip()


def located(text: str, folder: Path | None) -> str:
    """A path as a space in `folder` finds it; None, and what is no path here: as it is."""
    if folder is None or text.startswith(("/", "~")) or not Path(text).exists():
        return text
    relative = os.path.relpath(text, folder)
    return relative if relative.startswith("..") else f"./{relative}"


def quoted(setting: Setting) -> Setting:
    """The setting as text, whatever YAML would take it for."""
    return replace(setting, text=yaml_path(setting.text))
