"""What lies in a folder that a user names, as a model that is ready to be used.

An answer's folder stands for the `model/` in it. Reads small files; imports nothing heavy and
loads nothing.
"""

from __future__ import annotations

from pathlib import Path

from evaluators.base import Artifact
from search_spaces.kinds import ENCODER, kind_of_source
from search_spaces.paths import is_file, is_folder, name_hint
from search_spaces.references import Reference, ReferenceError, adapter_on, parse_reference
from search_spaces.sources import CONFIG
from tuner.models.errors import ModelError

_EXPECTED = (
    "a GenAI folder (genai_config.json), an ONNX encoder (model.onnx and config.json), a "
    "transformers checkpoint (config.json and weights), a peft adapter (adapter_config.json), or "
    "an answer's folder with one of these in model/"
)
_WEIGHTS = ("*.safetensors", "pytorch_model*.bin")


def built_model(name: str, base: str | None = None) -> Artifact:
    """The model in a folder. `base`: an adapter's base, where it is not where the adapter says.

    ModelError where there is no such folder, no model in it, or an adapter's base is not there.
    """
    folder = Path(name).expanduser()
    if not is_folder(folder):
        if is_file(folder):
            raise ModelError(f"{name} is a file; expected the folder of a model")
        raise ModelError(f"there is no folder {name}{name_hint(folder)}")
    path = str(folder.absolute())
    try:
        found = parse_reference(path, Path.cwd()) if base is None else _on(path, base)
    except ReferenceError as error:
        cure = "; or give --base" if "base model is not known" in str(error) else ""
        raise ModelError(f"{error}{cure}") from error
    return _artifact(found)


def adapter_of(folder: str, model: Artifact) -> Artifact:
    """A peft adapter's folder on a checkpoint. ModelError where it is no adapter."""
    return built_model(folder, str(model.path))


def is_encoder(model: Artifact) -> bool:
    """Whether a model classifies, and writes nothing."""
    whole = model.base or model
    return kind_of_source(whole.format, whole.path) == ENCODER


def _on(adapter: str, base: str) -> Reference:
    if not is_folder(Path(base).expanduser()):
        raise ModelError(f"--base: there is no folder {base}{name_hint(Path(base))}")
    return adapter_on(adapter, str(Path(base).expanduser().absolute()), Path.cwd())


def _artifact(found: Reference) -> Artifact:
    if found.path is None:
        raise ModelError(f"{found.text} is not here; say with --base where the base model is")
    _check(found.path, found.format)
    base = None if found.base is None else _artifact(found.base)
    return Artifact(found.format, found.path, base)


def _check(folder: Path, model_format: str) -> None:
    """ModelError for a folder without what a checkpoint consists of."""
    if model_format not in ("hf", "quantized"):
        return
    if not is_file(folder / CONFIG):
        raise ModelError(f"{folder} holds no model that is known; expected {_EXPECTED}")
    if not any(found for pattern in _WEIGHTS for found in folder.glob(pattern)):
        raise ModelError(f"{folder} has a {CONFIG}, but no weights beside it")
