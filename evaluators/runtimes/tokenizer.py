"""Loads the tokenizer of a built model. Knows nothing of what the model is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from evaluators.base import MeasurementError
from search_spaces.problems import listed


def load_tokenizer(folder: Path) -> Any:
    """The folder's tokenizer; MeasurementError where it has none, or it cannot be loaded."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise MeasurementError(f"{folder}: the tokenizer cannot be loaded: {reason}") from error
    # Without its files some classes make a tokenizer that knows no words, instead of an error.
    files = sorted(set(tokenizer.vocab_files_names.values()))
    if files and not any((folder / name).is_file() for name in files):
        raise MeasurementError(f"{folder}: there is no tokenizer; expected {listed(files)}")
    return tokenizer
