"""Where an answer may be written: never over what is not one's own. Asked before anything runs."""

from __future__ import annotations

import json
from pathlib import Path

from search_spaces.problems import Problem, SpaceError
from search_spaces.sources import MODEL_FOLDER
from search_spaces.space import Space

_WRITTEN = (MODEL_FOLDER, "recipe.yaml", "summary.json", "pareto.csv", "report.html")


def check_folder(output: str | None, space: Space) -> None:
    """SpaceError where the folder named by `--output` holds something that would be lost.

    The answer of another study may be replaced: it can be had again from the store.
    """
    if output is None:
        return
    folder, option = Path(output), f"--output {output}"
    if folder.is_file():
        raise SpaceError([Problem("is a file, expected a folder or a name that is free", option)])
    _check_input(folder, space, option)
    lost = [name for name in _WRITTEN if (folder / name).exists()]
    if lost and not _is_answer(folder):
        message = f"holds {lost[0]}, which this program did not write there; name another folder"
        raise SpaceError([Problem(message, option)])


def _check_input(folder: Path, space: Space, option: str) -> None:
    """The model that comes in must not be replaced by the one that goes out."""
    target = (folder / MODEL_FOLDER).resolve()
    base = space.model.base
    for path in (space.model.path, None if base is None else base.path):
        if path is not None and path.resolve() == target:
            message = "is the folder of the model that comes in; name another folder"
            raise SpaceError([Problem(message, option)])


def _is_answer(folder: Path) -> bool:
    """Whether this program wrote an answer there, or began to."""
    try:
        summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return (folder / MODEL_FOLDER / ".tune.json").is_file()
    return isinstance(summary, dict) and "study" in summary
