"""`tune card`: the model card of a study's model."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tuner.report.card import card
from tuner.report.tables import TableError, put
from tuner.study.api import Study, Trial


def write_card(arguments: argparse.Namespace, study: Study, trial: Trial | None) -> int:
    """Print or write the card of a trial; None: nothing was chosen. The exit code."""
    if trial is None:
        some = "; --trial N writes the card of another" if study.trials else ""
        print(f"tune card: the study {study.name!r} has chosen no model{some}", file=sys.stderr)
        return 3 if study.nearest else 1
    if not trial.metrics and trial.row.state not in ("complete", "built", "baseline"):
        why = f"trial {trial.number} is {trial.row.state}: there is no model to describe"
        print(f"tune card: {why}", file=sys.stderr)
        return 2
    found = card(study, trial)
    if arguments.output == "-":
        print(found, end="")
        return 0
    path = Path(arguments.output)
    if path.is_dir():
        print(f"tune card: {path} is a folder: name a file in it", file=sys.stderr)
        return 2
    try:
        put(path, lambda fresh: fresh.write_text(found, encoding="utf-8"))
    except TableError as error:
        print(f"tune card: {error}", file=sys.stderr)
        return 2
    print(f"wrote {path}")
    return 0
