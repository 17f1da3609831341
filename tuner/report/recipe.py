"""The recipe of a trial: a space in which every value is fixed.

`tune --space recipe.yaml` makes the same model again and measures it again.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from search_spaces.data import DataSpec
from search_spaces.functions import FunctionMetric
from search_spaces.space import Space, steps_of

Json = Mapping[str, Any]


def recipe_text(space: Space, steps: Sequence[Json], comment: str, folder: Path) -> str:
    """The recipe as YAML; paths are relative to `folder`, where it will lie."""
    recipe: dict[str, Any] = {
        "name": f"{space.name}-recipe",
        "model": _model(space, folder),
        "task": space.task,
    }
    if space.data is not None:
        recipe["data"] = _data(space.data, folder)
    recipe |= {
        "pipeline": [_step(step, space) for step in steps],
        "metrics": {name: _options(name, space, folder) for name in space.evaluators},
        "objectives": [o.text for o in space.objectives],
        "constraints": [c.text for c in space.constraints],
        "search": {"strategy": "grid", "seed": space.search.seed},
    }
    if not space.limits.fidelity:
        recipe["limits"] = {"fidelity": False}
    text = yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True, width=96)
    return "".join(f"# {line}\n" for line in comment.splitlines()) + text


def _model(space: Space, folder: Path) -> str:
    path = space.model.path
    return space.model.text if path is None else _relative(path, folder)


def _data(data: DataSpec, folder: Path) -> dict[str, Any]:
    files = {role: _relative(path, folder) for role, path in data.files}
    result: dict[str, Any] = {
        "files": files["all"] if set(files) == {"all"} else files,
        "template": data.template,
    }
    if data.label is not None:
        result["label"] = data.label
    if "all" in files:
        result["split"] = dict(data.split)
        result["seed"] = data.seed
    return result


def _options(evaluator: str, space: Space, folder: Path) -> dict[str, Any]:
    function = space.functions.get(evaluator)
    if function is not None:
        return _function(function, space.evaluators[evaluator], folder)
    return {
        name: _relative(Path(str(value)), folder)
        if (evaluator, name) in space.files and value is not None
        else _lists(value)
        for name, value in space.evaluators[evaluator].items()
    }


def _function(metric: FunctionMetric, options: Json, folder: Path) -> dict[str, Any]:
    origin = metric.module or _relative(metric.file, folder)
    return {
        "function": f"{origin}:{metric.function}",
        "unit": metric.unit,
        "goal": "minimize" if metric.lower_is_better else "maximize",
        "options": _lists(options),
    }


def _relative(path: Path, folder: Path) -> str:
    relative = os.path.relpath(path, folder)
    return relative if relative.startswith(".") else f"./{relative}"


def _step(step: Json, space: Space) -> str | dict[str, Any]:
    parameters = _lists(step["parameters"])
    in_baseline = {s.id for item in space.pipeline for s in steps_of(item) if s.baseline}
    if step["id"] in in_baseline:
        return {step["pass"]: parameters, "baseline": True}
    return {step["pass"]: parameters} if parameters else str(step["pass"])


def _lists(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _lists(v) for k, v in value.items()}
    return [_lists(v) for v in value] if isinstance(value, (list, tuple)) else value
