"""Writes the answer's folder: the model, its recipe, the summary, the front and the report.

Each file is written whole or not at all. Knows nothing of how the study was made.
"""

from __future__ import annotations

import csv
import errno
import io
import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from evaluators.base import Artifact
from search_spaces.space import Space
from tuner.pipeline import store_owner
from tuner.report.model_folder import put_file, put_model
from tuner.report.recipe import recipe_text
from tuner.report.why import reasons, why_json
from tuner.review.shortfall import Shortfall, prices_json, shortfall_of
from tuner.study.api import Study, Trial
from tuner.study.reader import StudyReader


class OutputError(Exception):
    """The answer's folder cannot be written, for a reason that a person understands."""


def write_answer(
    folder: Path, study: Study, space: Space, artifact: Artifact, source: Artifact
) -> None:
    """Write `model/`, `recipe.yaml`, `summary.json` and `pareto.csv` of the best trial.

    `source`: the model that came in. A model that is there already is left as it is when it is
    the same trial's. One that comes out of a store is read first, and compared with what was
    stored. OutputError; LostInput where the model was damaged: it is out of the way now, and can
    be made again.
    """
    best = study.best
    assert best is not None, "there is an answer only where something is feasible"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _clear_away(folder)
        identity = f"{study.name}/{best.number}/{best.row.candidate}"
        put_model(folder, artifact, source, space.model, identity)
        comment = f"trial {best.number} of the study {study.name}"
        if space.build_only:
            comment += "\nbuilt with --build-only: give it again, unless this machine can run it"
        put_file(folder / "recipe.yaml", recipe_text(space, best.row.steps, comment, folder))
        put_file(folder / "summary.json", json.dumps(summary(study), indent=2, ensure_ascii=False))
        put_file(folder / "pareto.csv", pareto_csv(study))
    except OSError as error:
        raise _cannot_write(folder, error) from error


def write_summary(folder: Path, study: Study) -> None:
    """Write `summary.json` alone: where nothing fits it says what would. OutputError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        put_file(folder / "summary.json", json.dumps(summary(study), indent=2, ensure_ascii=False))
    except OSError as error:
        raise _cannot_write(folder, error) from error


def write_report(folder: Path, study: Study, reader: StudyReader) -> None:
    """Write `report.html`, the study as one page. OutputError."""
    from tuner.report.page.collect import collect
    from tuner.report.page.render import render

    try:
        folder.mkdir(parents=True, exist_ok=True)
        put_file(folder / "report.html", render(collect(study, reader)))
    except OSError as error:
        raise _cannot_write(folder, error) from error


def _cannot_write(folder: Path, error: OSError) -> OutputError:
    return OutputError(
        f"the answer cannot be written into {folder}: {error.strerror or error}; "
        f"{_advice(error)}, then the same command goes on"
    )


def _advice(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "free some space there or name another folder with --output"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "make it writable or name another folder with --output"
    return "name another folder with --output"


def summary(study: Study) -> dict[str, Any]:
    """The whole answer as JSON data; metric values in canonical units (s, B, fractions)."""
    best, confirmed = study.best, study.confirmed
    fits = best is not None and study.front
    shortfall = Shortfall() if fits else shortfall_of(study)
    return {
        "study": study.name,
        **({"test_model": True} if study.info.space.get("test_model") else {}),
        "stopped": study.stop_reason,
        "space": {k: v for k, v in study.info.space.items() if k != "text"},
        "objectives": [o["text"] for o in study.info.objectives],
        "constraints": [c["text"] for c in study.info.constraints],
        "settings": study.info.settings,
        "environment": study.info.environment,
        "data": study.data_check,
        "trials": len(study.trials),
        "failed": len(study.failures),
        "seconds": study.seconds,
        "chosen": None if best is None else trial_json(best),
        "notices": [] if best is None else list(study.notices(best.number)),
        "confirmed": None if confirmed is None else asdict(confirmed),
        "bracket": [asdict(study.confirmations[n]) for n in study.orders[1]],
        "order_changed": study.orders[0] != study.orders[1],
        "baseline": None if study.baseline is None else trial_json(study.baseline),
        "front": [trial_json(t) for t in study.front],
        "nearest": [trial_json(t) for t in shortfall.nearest[:3]] if best is None else [],
        **prices_json(shortfall, study),
        **why_json(reasons(study)),
    }


def trial_json(trial: Trial) -> dict[str, Any]:
    """A trial as JSON data."""
    row = trial.row
    return {
        "number": row.number,
        "state": row.state,
        "verdict": row.verdict,
        "parameters": dict(row.parameters),
        "pipeline": list(row.steps),
        "metrics": {
            name: {"value": m.value, "low": m.low, "high": m.high, "unit": m.unit}
            for name, m in trial.metrics.items()
        },
        "constraints": [
            {k: v for k, v in asdict(c).items() if k != "number"} for c in trial.constraints
        ],
        "seconds": row.seconds,
    }


def pareto_csv(study: Study) -> str:
    """The front, a row per trial: number, parameters, metrics with their intervals."""
    front = study.front
    parameters = list(dict.fromkeys(name for t in front for name in t.parameters))
    metrics = list(dict.fromkeys(name for t in front for name in t.metrics))
    columns = [f"{name}{suffix}" for name in metrics for suffix in ("", "_low", "_high")]
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["number", "chosen", *parameters, *columns])
    best = study.best
    for trial in front:
        values = [_cell(trial.parameters, name) for name in parameters]
        for name in metrics:
            metric = trial.metrics.get(name)
            values += ["", "", ""] if metric is None else [metric.value, metric.low, metric.high]
        writer.writerow([trial.number, trial is best, *values])
    return text.getvalue()


def _cell(parameters: Mapping[str, Any], name: str) -> Any:
    value = parameters.get(name, "")
    return "+".join(map(str, value)) if isinstance(value, list) else value


def _clear_away(folder: Path) -> None:
    """Remove what commands that were killed have left half written."""
    for path in folder.glob(".*-*"):
        if store_owner.is_alive(path.name.partition("-")[2]) is False:
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
