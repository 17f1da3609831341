"""What a one-shot command knows of its model before it runs. Reads small files of its folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from search_spaces.kinds import CAUSAL, ENCODER
from search_spaces.problems import Problem, SpaceError
from search_spaces.references import Reference, ReferenceError, parse_reference
from tuner.init import model
from tuner.init.errors import CannotWrite
from tuner.init.model import Model

_KINDS = {"quantized": CAUSAL, "genai": CAUSAL, "onnx": ENCODER}


def look(text: str) -> Model:
    """The model that a command line names; SpaceError where it cannot be used."""
    try:
        reference = parse_reference(text, Path.cwd())
        return _model(reference)
    except (ReferenceError, CannotWrite) as error:
        raise SpaceError([Problem(str(error), "--model")]) from None


def _model(reference: Reference) -> Model:
    checkpoint = reference.checkpoint
    kind = _KINDS.get(checkpoint.format)
    if kind is not None:
        return Model(reference, kind, _config(checkpoint.path))
    found = model.look_at(checkpoint, None)
    return Model(reference, found.kind, found.config, found.notice)


def _config(folder: Path | None) -> Mapping[str, Any]:
    """The folder's config.json; empty where it has none."""
    try:
        found = {} if folder is None else json.loads((folder / "config.json").read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
