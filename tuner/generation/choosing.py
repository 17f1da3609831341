"""Which model and which adapter a user asks for, out of a folder and a name.

Knows nothing of prompts.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from evaluators.base import Artifact, MeasurementError
from evaluators.runtimes.adapters import adapter_names
from search_spaces.paths import is_folder
from search_spaces.problems import hint, listed
from tuner.models.built import adapter_of, built_model
from tuner.models.errors import ModelError

BASE, TUNED = "base", "tuned"
"""Of a peft adapter's folder: the model without the adapter, and with it."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """A model, and the adapter to make active of those beside a GenAI model (None: its own)."""

    model: Artifact
    adapter: str | None = None

    def __str__(self) -> str:
        """What it is, in a line."""
        model = self.model
        if model.base is not None:
            return f"{model.path} (adapter on {model.base.path})"
        with_adapter = f", adapter {self.adapter}" if self.adapter else ""
        return f"{model.path} ({model.format}{with_adapter})"


def choose(name: str, adapter: str | None = None, base: str | None = None) -> Chosen:
    """The model of a folder with the adapter asked for.

    `adapter`: of a GenAI folder the name of one beside the model; of a peft adapter's folder
    "tuned" or "base"; of a checkpoint the folder of a peft adapter. ModelError where there is no
    such model or adapter.
    """
    model = built_model(name, base)
    if model.format == "genai":
        return Chosen(model, _beside(model.path, adapter))
    if adapter is None:
        return Chosen(model)
    if model.base is not None:
        if adapter not in (BASE, TUNED):
            raise ModelError(
                f"there is no adapter {adapter!r}; {name} is an adapter itself: {TUNED}, or "
                f"{BASE} for the model without it"
            )
        return Chosen(model.base if adapter == BASE else model)
    if model.format not in ("hf", "quantized"):
        raise ModelError(f"{name} is {model.format}, which takes no adapter")
    if not is_folder(Path(adapter).expanduser()):
        raise ModelError(
            f"there is no adapter {adapter!r}; of a checkpoint it is the folder of a peft adapter"
        )
    return Chosen(adapter_of(adapter, model))


def _beside(folder: Path, adapter: str | None) -> str | None:
    try:
        names = adapter_names(folder)
    except MeasurementError as error:
        raise ModelError(str(error)) from error
    if adapter is None:
        return names[0] if names else None
    if adapter not in names:
        there = f"expected {listed(names)}{hint(adapter, names)}" if names else "it has none"
        raise ModelError(f"{folder} has no adapter {adapter!r}; {there}")
    return adapter
