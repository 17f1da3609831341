"""`tune package`: a model with its recipe, card and a sample program, in a zip file."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from tuner.models.errors import ModelError

if TYPE_CHECKING:
    from tuner.packaging.packing import Package


def package_command(arguments: argparse.Namespace) -> int:
    """Write the package, or list it; the exit code."""
    from tuner.packaging.answer_folder import contents
    from tuner.packaging.packing import gather
    from tuner.study.database import DatabaseError

    target = Path(arguments.output).expanduser()
    try:
        found = contents(arguments.model)
        _check_target(target, found.model.path, arguments.force)
        card = None if arguments.db is None else _card(arguments.db, found.summary)
        package = gather(found, card)
    except (ModelError, DatabaseError) as error:
        print(f"tune package: {error}", file=sys.stderr)
        return 2
    if arguments.dry_run:
        _list(package)
        return 0
    return _write(package, target)


def _check_target(target: Path, model: Path, force: bool) -> None:
    """ModelError for a file that must not be written."""
    if target.is_dir():
        raise ModelError(f"{target} is a folder; name a file such as {target / 'model.zip'}")
    if target.exists() and not force:
        raise ModelError(f"{target} is there already; --force replaces it")
    if target.resolve().is_relative_to(model):
        raise ModelError(f"{target} lies in the model's own folder; name another place")


def _card(db: str, summary: Mapping[str, object]) -> str:
    """The model card out of the study's database. ModelError where it has no such study."""
    from tuner.report.card import card
    from tuner.study.api import Study
    from tuner.study.database import open_engine
    from tuner.study.database_errors import blaming_damage
    from tuner.study.reader import StudyNotFoundError, StudyReader

    name = summary.get("study")
    if not name:
        raise ModelError("--db: the folder has no summary.json that names its study")
    engine = open_engine(db, read_only=True)
    try:
        with blaming_damage(engine):
            study = Study(StudyReader(engine), str(name))
            if study.best is None:
                raise ModelError(f"--db: the study {name} has chosen no model")
            return card(study, study.best)
    except StudyNotFoundError as error:
        raise ModelError(f"--db: {error}") from error
    finally:
        engine.dispose()


def _list(package: Package) -> None:
    from search_spaces.units import format_quantity

    for member in package.members:
        print(f"{format_quantity(float(member.size), 'B'):>10}  {member.name}")
    print(f"{format_quantity(float(package.size), 'B'):>10}  in all")
    for note in package.notes:
        print(f"note: {note}", file=sys.stderr)


def _write(package: Package, target: Path) -> int:
    from search_spaces.units import format_quantity
    from tuner.packaging.packing import write
    from tuner.report.tables import TableError, put

    try:
        put(target, lambda fresh: write(package, fresh))
    except TableError as error:
        print(f"tune package: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ntune package: stopped; nothing was written", file=sys.stderr)
        return 130
    for note in package.notes:
        print(f"note: {note}", file=sys.stderr)
    size = format_quantity(float(target.stat().st_size), "B")
    print(f"wrote {target} ({len(package.members)} files, {size})")
    return 0
