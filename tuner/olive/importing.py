"""An Olive config as a space: read, translate, write. Runs nothing and fetches nothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from search_spaces.problems import Problem, SpaceError
from tuner.olive import data, metrics, passes, surroundings, writing
from tuner.olive.draft import Draft
from tuner.olive.reading import read_config
from tuner.olive.searchable import widen

_GIVEN = ("rows in Azure ML", "rows that the config does not name")
"""What is left out no more where rows are given."""


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of a config. `text`: a space's, of which `draft` tells what is left out."""

    draft: Draft
    text: str


@dataclass(frozen=True, slots=True)
class Changes:
    """What is used in place of what a config says; None: as it says.

    `model`: a reference. `rows`: the file to train on. `provider`: ONNX Runtime's name.
    `searchable`: fixed values become ranges around them.
    """

    model: str | None = None
    rows: str | None = None
    provider: str | None = None
    searchable: bool = False


def import_olive(path: Path, *, searchable: bool = False, folder: Path | None = None) -> Imported:
    """The space of an Olive config; SpaceError with everything that is wrong with the config.

    `searchable`: fixed values become ranges around them. `folder`: where the space is going to
    lie, from which its files are named (default: beside the config).
    """
    draft = translate(path, Changes(searchable=searchable))
    return Imported(draft, writing.space_text(draft, folder))


def translate(path: Path, changes: Changes) -> Draft:
    """The draft of a config's space; SpaceError as in `import_olive`."""
    draft = Draft(read_config(path))
    surroundings.describe(draft, changes.model)
    if changes.provider is not None:
        draft.provider = changes.provider
    data.describe(draft)
    _replace_rows(draft, changes.rows)
    passes.translate(draft)
    metrics.describe(draft)
    if changes.searchable:
        widen(draft)
    elif draft.config.search is None and not draft.constraints:
        draft.limits["faults"] = False  # a recipe has one result: what it is worth is told
    return draft


def _replace_rows(draft: Draft, rows: str | None) -> None:
    """Let a file stand for the rows to train on, from the current folder; a URL stays one."""
    if rows is None:
        return
    if draft.data is None:
        message = f"{draft.config.path.name} reads no rows, so that none can stand for them"
        raise SpaceError([Problem(message, f"--data {rows}")])
    place = rows if "://" in rows else str(Path(rows).expanduser().absolute())
    files = draft.data.get("files")
    if isinstance(files, dict) and "train" in files:
        place_by_role = dict(files) | {"train": place}
        draft.data["files"] = place_by_role
    else:
        draft.data["files"] = place
    draft.omissions = [o for o in draft.omissions if o.group not in _GIVEN]
