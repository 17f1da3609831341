"""Data, and settings of training as a pass would fill them in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny_models
from pass_support import filled_in

from search_spaces.data import DataSpec
from tuner.passes import all_passes
from tuner.training.settings import Training


@pytest.fixture(scope="session")
def tones(tone_file: Path) -> DataSpec:
    """The tone rows as a space's data, all of them for training."""
    return DataSpec((("train", tone_file),), tiny_models.TEMPLATE, "tone", split=())


@pytest.fixture(scope="session")
def settings() -> Callable[..., Training]:
    """A function that makes settings of training: the defaults of `lora`, or what is given."""

    def make(**changes: Any) -> Training:
        return Training.of(filled_in(all_passes()["lora"], changes))

    return make
