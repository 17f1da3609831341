"""The chosen trial's recipe, from what the database holds of the space and the trial.

The space's own files may be gone, as on another machine: then the recipe is made of the space's
text and the question that the study keeps.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tuner.report.page.collect_context import Context
from tuner.report.page.document import Recipe
from tuner.report.recipe import recipe_text
from tuner.report.stored_recipe import recipe_of
from tuner.review.evidence import CannotJudge, Evidence
from tuner.study.api import Trial


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
        stored = recipe_of(context.study, best)
        made, note = f"# {_comment(context, best)}\n{stored}" if stored else "", _NOTE
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
