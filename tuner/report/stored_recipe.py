"""The recipe of a trial from the study's database alone: its space's text, every value fixed.

Unlike `recipe`, it needs no pass to be installed and no file to be there. Paths stay as the space
had them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from tuner.study.api import Study, Trial

Json = Mapping[str, Any]


def parts_of_the_space(study: Study) -> Json:
    """The space's text as it was written; empty where it cannot be read."""
    try:
        found = yaml.safe_load(str(study.info.space.get("text") or ""))
    except yaml.YAMLError:
        return {}
    return found if isinstance(found, Mapping) else {}


def recipe_of(study: Study, trial: Trial) -> str | None:
    """A space in YAML that makes the trial's model and no other; None without the space."""
    space, info = parts_of_the_space(study), study.info
    question = info.space.get("question") or {}
    task = question.get("task") or space.get("task")
    if not task or not trial.row.steps:
        return None
    baseline = set(_in_baseline(space.get("pipeline")))
    recipe: dict[str, Any] = {
        "name": f"{space.get('name') or info.space.get('name') or 'study'}-recipe",
        "model": _model(space.get("model"), info.space.get("model")),
        "task": task,
    }
    recipe |= {key: space[key] for key in ("data",) if key in space}
    recipe["pipeline"] = [_step(step, baseline) for step in trial.row.steps]
    metrics = {**question.get("metrics", {}), **(space.get("metrics") or {})}
    recipe |= {"metrics": metrics} if metrics else {}
    recipe |= {
        "objectives": [o["text"] for o in info.objectives],
        "constraints": [c["text"] for c in info.constraints],
        "search": {"strategy": "grid", "seed": info.settings.get("seed") or 0},
    }
    return yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True, width=96)


def _model(written: Any, used: Any) -> Any:
    """The model that was used, which a command line may have named; an adapter with its base."""
    on_a_base = isinstance(written, Mapping) and used in (None, written.get("adapter"))
    return dict(written) if on_a_base else str(used or written)


def _step(step: Json, baseline: set[str]) -> str | dict[str, Any]:
    parameters = dict(step["parameters"])
    if step["pass"] in baseline:
        return {step["pass"]: parameters, "baseline": True}
    return {step["pass"]: parameters} if parameters else str(step["pass"])


def _in_baseline(pipeline: Any) -> Iterator[str]:
    """The passes that the space gives to the unoptimised model too."""
    if isinstance(pipeline, list):
        for item in pipeline:
            yield from _in_baseline(item)
    elif isinstance(pipeline, Mapping):
        if pipeline.get("baseline") is True:
            yield from (key for key in pipeline if key not in ("baseline", "optional", "when"))
        yield from _in_baseline(pipeline.get("one_of"))
