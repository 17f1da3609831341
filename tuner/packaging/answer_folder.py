"""What a package is made of: a model, and what the folder of its answer says of it.

Reads small files. Knows nothing of archives.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from evaluators.base import Artifact, MeasurementError
from evaluators.runtimes.adapters import adapter_names
from evaluators.runtimes.writers import has_chat_template
from search_spaces.data import DataError, template_parts
from search_spaces.sources import BASE_FOLDER, BASE_KEY
from tuner.models.built import built_model, is_encoder
from tuner.models.errors import ModelError

Json = Mapping[str, Any]

RECIPE, SUMMARY = "recipe.yaml", "summary.json"


@dataclass(frozen=True, slots=True)
class Contents:
    """A model and what is known of it. `folder`: the answer's, or the model's own.

    `base`: an adapter's base where it lies in the answer's folder and goes along.
    `base_name`: what an adapter's configuration calls its base.
    `recipe`, `summary`: of the answer; empty where there is none.
    """

    folder: Path
    model: Artifact
    base: Path | None = None
    base_name: str | None = None
    recipe: Json = field(default_factory=dict)
    summary: Json = field(default_factory=dict)
    adapters: tuple[str, ...] = ()
    chat: bool = False

    @property
    def classifies(self) -> bool:
        """Whether the model is an encoder."""
        return is_encoder(self.model)

    @property
    def environment(self) -> Mapping[str, str]:
        """Versions of libraries by distribution, as they were when the answer was made."""
        found = self.summary.get("environment")
        return {str(k): str(v) for k, v in found.items()} if isinstance(found, dict) else {}

    def prompt(self) -> list[tuple[str, str | None]]:
        """The recipe's template up to the answer: literal texts, each with the column after it.

        Empty where rows are conversations, or there is no template.
        """
        data = self.recipe.get("data")
        template = data.get("template") if isinstance(data, dict) else None
        if not isinstance(data, dict) or not isinstance(template, str):
            return []
        try:
            parts = template_parts(template)
        except DataError:
            return []
        found: list[tuple[str, str | None]] = []
        for literal, column in parts:
            answers = column is not None and column == data.get("label")
            found.append((literal, None if answers else column))
            if answers:
                break
        return found if any(column for _, column in found) else []


def contents(name: str) -> Contents:
    """What lies in a folder. ModelError where there is no model, or a file is damaged."""
    model = built_model(name)
    folder = Path(name).expanduser().resolve()
    if folder == model.path:
        return Contents(folder, model, None, _base_name(model), {}, {}, *_manner(model))
    base = folder / BASE_FOLDER
    goes_along = model.base is not None and model.base.path == base and base.is_dir()
    return Contents(
        folder,
        model,
        base if goes_along else None,
        _base_name(model),
        _recipe(folder / RECIPE),
        _object(folder / SUMMARY),
        *_manner(model),
    )


def _manner(model: Artifact) -> tuple[tuple[str, ...], bool]:
    """The adapters beside a GenAI model, and whether it has a chat template."""
    try:
        names = adapter_names(model.path) if model.format == "genai" else ()
    except MeasurementError as error:
        raise ModelError(str(error)) from error
    return names, not is_encoder(model) and has_chat_template(model)


def _base_name(model: Artifact) -> str | None:
    if model.base is None:
        return None
    return str(_object(model.path / "adapter_config.json").get(BASE_KEY) or model.base.path)


def _recipe(path: Path) -> Json:
    if not path.is_file():
        return {}
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ModelError(f"{path} is no YAML: {' '.join(str(error).split())}") from None
    if not isinstance(found, dict):
        raise ModelError(f"{path} is no recipe: expected a mapping")
    return found


def _object(path: Path) -> Json:
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise ModelError(f"{path} is no JSON object")
    return found
