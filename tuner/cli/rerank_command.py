"""`tune rerank`: a new question answered from what a study has stored, at once."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from search_spaces.candidates import build
from search_spaces.catalog import find_space, read_text, shipped
from search_spaces.problems import SpaceError, listed
from search_spaces.space import Space
from search_spaces.vocabulary import Value
from tuner.cli.parser import DEFAULT_DB
from tuner.report.answer import console
from tuner.report.reranked import print_reranked, reranked_json
from tuner.review.evidence import CannotJudge
from tuner.review.reranking import Change, Reranked, rerank
from tuner.study.api import Study
from tuner.study.reader import StudyReader


def rerank_study(arguments: argparse.Namespace, study: Study, reader: StudyReader) -> int:
    """Print the answer to the question that the command line asks; the exit code."""
    bounds: list[tuple[Literal["max", "min"], str]] = [("max", b) for b in arguments.max]
    bounds += [("min", b) for b in arguments.min]
    change = Change(
        tuple(arguments.constraint), bounds, tuple(arguments.objective), arguments.drop_constraints
    )
    try:
        found = rerank(study, reader, change)
    except CannotJudge as error:
        print(f"tune rerank: {error}", file=sys.stderr)
        return 2
    command, notes = continuing(found, arguments.db)
    if arguments.json:
        data = reranked_json(found, command, notes)
        print(json.dumps(data, indent=2, ensure_ascii=False))
    else:
        print_reranked(console(sys.stdout), found, command, notes)
    if found.best is not None and found.best.row.verdict not in ("infeasible", "undecided"):
        return 0
    return 3 if found.nearest else 1


def continuing(study: Reranked, db: str) -> tuple[str | None, list[str]]:
    """The command that would search with this question, and what to know about it.

    None where the study's space cannot be read any more.
    """
    space, info = study.evidence.space, study.info
    if space is None:
        why = f"the study's space can no longer be read ({study.evidence.problem})"
        return None, [f"{why}, so there is no command to go on with"]
    if info.space.get("path") is None:
        return None, ["the study's space came from no file; go on with tuner.tune(...)"]
    path = Path(str(info.space["path"]))
    words = ["tune", "--space", _spelled(path)]
    if space.model.text != info.space.get("model"):
        words += ["--model", str(info.space["model"])]
    words += [*_constraints(study, space), *_objectives(study, space), *_settings(study, space)]
    words += ["--build-only"] if space.build_only else []
    words += [] if db == DEFAULT_DB else ["--db", db]
    return shlex.join(words), list(_notes(study, space, path))


def _spelled(path: Path) -> str:
    """A shipped space by its name, others by their path, from here where that is shorter."""
    if path.stem in shipped() and find_space(path.stem) == path:
        return path.stem
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def _constraints(study: Reranked, space: Space) -> list[str]:
    """Those to add to the file's; where one of the file's is gone, all of them in its place."""
    asked = [c.text for c in study.question.constraints]
    file = [c.text for c in space.constraints]
    if set(file) <= set(asked):
        return [w for text in asked if text not in file for w in ("--constraint", text)]
    return ["--set", f"constraints={json.dumps(asked)}"]


def _objectives(study: Reranked, space: Space) -> list[str]:
    asked = [o.text for o in study.question.objectives]
    if asked == [o.text for o in space.objectives]:
        return []
    return [w for text in asked for w in ("--objective", text)]


def _settings(study: Reranked, space: Space) -> Iterator[str]:
    file = asdict(space.search)
    for key, value in study.info.settings.items():
        if value is not None and key in file and value != file[key]:
            text = f"{value:g}" if isinstance(value, float) else str(value)
            yield from (f"--{key.replace('_', '-')}", text)


def _notes(study: Reranked, space: Space, path: Path) -> Iterator[str]:
    try:
        now = read_text(path)
    except SpaceError:
        yield f"{path} is no longer there: the command needs it"
        return
    if now != study.info.space.get("text"):
        yield f"{path} was changed since the study was made"
    if study.evidence.lacking:
        yield f"the command needs {listed(study.evidence.lacking, 'and')}, not installed here"
    elif not _same_pipeline(study, space):
        yield "the study's command changed the space with --set: give the same again"


def _same_pipeline(study: Reranked, space: Space) -> bool:
    """Whether the file alone gives the candidates that the study tried."""
    first = next(iter(study.trials), None)
    if first is None:
        return True
    parameters = first.parameters
    try:
        candidate = build(space, lambda d: _stored(parameters[d.name]))
    except KeyError:
        return False
    return candidate.key == first.row.candidate


def _stored(value: Any) -> Value:
    """A value as it was before it was stored: tuples for lists."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return tuple(_stored(v) for v in value)
    found: Value = value
    return found
