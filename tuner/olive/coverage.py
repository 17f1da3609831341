"""How far the Olive configs of a folder can be walked over: each file's class, and the reasons.

Imports every config, checks the space that comes of it, and runs nothing. What the space names (a
model, rows, a library that is not installed) need not be here.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from evaluators.runtimes.providers import PROVIDERS, unavailable
from search_spaces.formats import misfits
from search_spaces.overrides import Overrides
from search_spaces.problems import Problem, SpaceError
from search_spaces.reader import parse_space
from tuner.olive.draft import Draft, Kind
from tuner.olive.importing import import_olive
from tuner.passes import all_passes
from tuner.pipeline.refusals import hopeless
from tuner.registry import vocabulary

_SUFFIXES = (".json", ".yaml", ".yml")
_WRONG = "configs with mistakes"
_UNFIT = "passes that do not fit together here"
_NO_DEVICE = "no such device here: built for the CPU, or built and not measured"


class Reach(StrEnum):
    """What becomes of a config here."""

    RUNS = "runs here"
    OMITS = "runs with named omissions"
    ELSEWHERE = "needs hardware or vendor tools not here"
    CANNOT = "cannot"


_OF_KIND = {
    Kind.CANNOT: Reach.CANNOT,
    Kind.ELSEWHERE: Reach.ELSEWHERE,
    Kind.OMITTED: Reach.OMITS,
}


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a config is not taken over whole. `group`: the same words for all of a sort."""

    group: str
    text: str


@dataclass(frozen=True, slots=True)
class FileCoverage:
    """What becomes of a file. `reach` None: it is no config of a run, and counts nowhere.

    `reasons`: those that decide the class, each once.
    """

    path: Path
    reach: Reach | None
    reasons: tuple[Reason, ...] = ()

    def to_json(self, folder: Path) -> dict[str, Any]:
        """Plain data; the path is relative to `folder`."""
        return {
            "file": self.path.relative_to(folder).as_posix(),
            "class": None if self.reach is None else self.reach.value,
            "reasons": [{"group": r.group, "reason": r.text} for r in self.reasons],
        }


def coverage(folder: Path) -> list[FileCoverage]:
    """Every JSON or YAML file under a folder (or the one file), in the order of their names.

    Hidden files and folders, whose names begin with a dot, are left out.
    """
    files = [folder] if folder.is_file() else sorted(_files(folder))
    return [file_coverage(path) for path in files]


def _files(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.suffix.lower() in _SUFFIXES and not hidden and path.is_file():
            yield path


def file_coverage(path: Path) -> FileCoverage:
    """What becomes of one file."""
    if not is_run_config(path):
        return FileCoverage(path, None)
    try:
        imported = import_olive(path)
    except SpaceError as error:
        return FileCoverage(path, Reach.CANNOT, _problems(_WRONG, error))
    draft = imported.draft
    for kind in (Kind.CANNOT, Kind.ELSEWHERE):
        if reasons := _reasons(draft, kind):
            return FileCoverage(path, _OF_KIND[kind], reasons)
    try:
        check(imported.text, path)
    except SpaceError as error:
        return FileCoverage(path, Reach.CANNOT, _problems(_UNFIT, error))
    omitted = (*_reasons(draft, Kind.OMITTED), *_not_measured(draft))
    return FileCoverage(path, Reach.OMITS if omitted else Reach.RUNS, omitted)


def is_run_config(path: Path) -> bool:
    """Whether a file is meant to be a config that Olive runs: it names a model and passes."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return False
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        # YAML, or JSON with a mistake in it, which reading it will name.
        return "input_model" in text and "passes" in text
    return isinstance(found, Mapping) and "input_model" in found and "passes" in found


def check(text: str, path: Path) -> None:
    """SpaceError where the space is not valid, or its pipeline does not fit together.

    But for what is not on this machine: the model, rows, libraries, devices.
    """
    words = vocabulary()
    anywhere = Overrides(build_only=True)
    space = parse_space(text, path, words, anywhere, elsewhere=True).space
    found = misfits(space.pipeline, (), words.passes, space.task, None, ())
    if found:
        raise SpaceError(Problem(f"{misfit.name} {misfit.message}") for misfit in found)
    refused = hopeless(space, all_passes())
    if refused is not None:
        raise SpaceError([Problem(refused)])


# Why


def _problems(group: str, error: SpaceError) -> tuple[Reason, ...]:
    return tuple(Reason(group, problem.message) for problem in error.problems)


def _reasons(draft: Draft, kind: Kind) -> tuple[Reason, ...]:
    found = (Reason(o.group, o.reason) for o in draft.omissions if o.kind is kind)
    return tuple(dict.fromkeys(found))


def _not_measured(draft: Draft) -> Iterator[Reason]:
    """A provider that can be built for here, and not run."""
    name = next((n for n, p in PROVIDERS.items() if p.runtime == draft.provider), None)
    why = f"{draft.provider} is not here" if name is None else unavailable(name)
    if why is not None:
        yield Reason(_NO_DEVICE, why)


def by_reach(files: Iterable[FileCoverage]) -> dict[Reach, int]:
    """How many files there are of each class; those that are no configs are left out."""
    counts = Counter(found.reach for found in files)
    return {reach: counts[reach] for reach in Reach}


def by_group(files: Sequence[FileCoverage]) -> list[tuple[Reach, str, int]]:
    """How many files of a class have reasons of a sort: (class, group, files), most first."""
    counts: Counter[tuple[Reach, str]] = Counter()
    for found in files:
        if found.reach is not None:
            counts.update({(found.reach, reason.group) for reason in found.reasons})
    order = list(Reach)
    rows = [(reach, group, count) for (reach, group), count in counts.items()]
    return sorted(rows, key=lambda row: (order.index(row[0]), -row[2], row[1]))


def to_json(files: Sequence[FileCoverage], folder: Path) -> dict[str, Any]:
    """All of it as plain data, for scripts."""
    root = folder.parent if folder.is_file() else folder
    return {
        "folder": str(folder),
        "classes": {reach.value: count for reach, count in by_reach(files).items()},
        "not_configs": sum(found.reach is None for found in files),
        "reasons": [
            {"class": reach.value, "group": group, "files": count}
            for reach, group, count in by_group(files)
        ],
        "files": [found.to_json(root) for found in files],
    }
