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
from search_spaces.data_locations import Location
from search_spaces.functions import FunctionMetric
from search_spaces.references import Reference
from search_spaces.space import Space, steps_of

Json = Mapping[str, Any]


def recipe_text(space: Space, steps: Sequence[Json], comment: str, folder: Path) -> str:
    """The recipe as YAML; paths are relative to `folder`, where it will lie."""
    recipe: dict[str, Any] = {
        "name": f"{space.name}-recipe",
        "model": _model(space.model, folder),
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
    off = [name for name in ("fidelity", "faults") if not getattr(space.limits, name)]
    if off:
        recipe["limits"] = dict.fromkeys(off, False)
    text = yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True, width=96)
    return "".join(f"# {line}\n" for line in comment.splitlines()) + text


def _model(model: Reference, folder: Path) -> str | dict[str, Any]:
    """Of an adapter its base too, whatever its own configuration says by then."""
    text = model.text if model.path is None else _relative(model.path, folder)
    return text if model.base is None else {"adapter": text, "base": _model(model.base, folder)}


def _data(data: DataSpec, folder: Path) -> dict[str, Any]:
    files: dict[str, list[Any]] = {}
    for role, where in data.files:
        files.setdefault(role, []).append(_location(where, folder))
    places = {role: found[0] if len(found) == 1 else found for role, found in files.items()}
    result: dict[str, Any] = {
        "files": places["all"] if set(places) == {"all"} else places,
    }
    if data.chat is None:
        result["template"] = data.template
    else:
        result["chat"] = data.chat.to_json()
    if data.label is not None and (data.chat is None or data.chat.messages is None):
        result["label"] = data.label
    if "all" in files:
        result["split"] = dict(data.split)
        result["seed"] = data.seed
    return result


def _location(where: Location, folder: Path) -> str | dict[str, Any]:
    """What lies elsewhere stays there; the folder of a data set is a path like others."""
    if isinstance(where, Path):
        return _relative(where, folder)
    plain = where.plain()
    if isinstance(plain, str) or not Path(plain["hub"]).is_absolute():
        return plain
    return plain | {"hub": _relative(Path(plain["hub"]), folder)}


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
