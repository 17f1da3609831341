"""Loads the tokenizer of a built model. Knows nothing of what the model is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from evaluators.base import MeasurementError


def load_tokenizer(folder: Path) -> Any:
    """The folder's tokenizer; MeasurementError where it cannot be loaded."""
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise MeasurementError(f"{folder}: the tokenizer cannot be loaded: {reason}") from error
