"""The chosen trial's recipe, from what the database holds of the space and the trial.

The space's own files may be gone, as on another machine: then the recipe is made of the space's
text and the question that the study keeps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from tuner.report.page.collect_context import Context
from tuner.report.page.document import Recipe
from tuner.report.recipe import recipe_text
from tuner.review.evidence import CannotJudge, Evidence
from tuner.study.api import Trial

Json = Mapping[str, Any]


def collect_recipe(context: Context) -> Recipe:
    """The recipe, and the space as it was written."""
    info = context.study.info.space
    text, path = str(info.get("text") or ""), str(info.get("path") or "")
    best = context.best
    source = context.sql.select("number, parameters", "tuner_trials", role="trial")
    if best is None:
        return Recipe("", None, text, path, "Nothing was chosen, so there is no recipe.", source)
    source = context.sql.select("parameters", "tuner_trials", number=best.number)
    made, note = _whole(context, best), ""
    if made is None:
        made, note = _from_text(context, best, text), _NOTE
    return Recipe(made, best.number, text, path, note, source)


_NOTE = (
    "The space's own files are not at hand here, so paths are as the space has them: "
    "put the recipe beside it."
)


def _whole(context: Context, best: Trial) -> str | None:
    """As the answer's folder has it; None where the space cannot be read here."""
    evidence = Evidence(context.study)
    if evidence.space is None or evidence.space.path is None:
        return None
    try:
        asked = evidence.question
    except CannotJudge:
        return None
    space = replace(evidence.space, objectives=asked.objectives, constraints=asked.constraints)
    folder = Path(evidence.space.path).parent
    return recipe_text(space, best.row.steps, _comment(context, best), folder)


def _comment(context: Context, best: Trial) -> str:
    return f"trial {best.number} of the study {' '.join(context.study.name.split())}"


def _from_text(context: Context, best: Trial, text: str) -> str:
    info = context.study.info
    written, question = _mapping(text), info.space.get("question") or {}
    baseline = _of_baseline(written.get("pipeline"))
    recipe: dict[str, Any] = {
        "name": f"{info.space.get('name') or 'study'}-recipe",
        "model": info.space.get("model") or written.get("model"),
        "task": question.get("task") or written.get("task"),
    }
    if written.get("data"):
        recipe["data"] = written["data"]
    recipe["pipeline"] = [_step(step, baseline) for step in best.row.steps]
    metrics = {**question.get("metrics", {}), **(written.get("metrics") or {})}
    recipe |= {"metrics": metrics} if metrics else {}
    recipe["objectives"] = [str(o["text"]) for o in info.objectives]
    recipe["constraints"] = [str(c["text"]) for c in info.constraints]
    recipe["search"] = {"strategy": "grid", "seed": info.settings.get("seed") or 0}
    body = yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True, width=96)
    return f"# {_comment(context, best)}\n{body}"


def _mapping(text: str) -> Json:
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError:
        return {}
    return found if isinstance(found, Mapping) else {}


def _of_baseline(pipeline: Any) -> set[str]:
    """The passes of steps that the baseline has too."""
    items = pipeline if isinstance(pipeline, Sequence) and not isinstance(pipeline, str) else ()
    marked = [i for i in items if isinstance(i, Mapping) and i.get("baseline") is True]
    return {str(name) for item in marked for name in item}


def _step(step: Json, baseline: set[str]) -> str | dict[str, Any]:
    name, parameters = str(step.get("pass")), dict(step.get("parameters") or {})
    if name in baseline:
        return {name: parameters, "baseline": True}
    return {name: parameters} if parameters else name
