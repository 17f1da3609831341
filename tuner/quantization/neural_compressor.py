"""Gives neural-compressor's weight-only algorithms, one matrix at a time.

Its entry points for whole models are not used: they pack into modules of its own, from which
the layout of groups cannot be had back in every case (groups of HQQ run over outputs; GPTQ with
static groups returns the scales of the last group only). Knows nothing of the passes.
"""

from __future__ import annotations

import contextlib
from importlib import import_module
from tempfile import TemporaryDirectory
from typing import Any

_PACKAGE = "neural_compressor.torch.algorithms.weight_only"


def algorithms(name: str) -> Any:
    """The module of that name among the library's weight-only algorithms, such as "gptq"."""
    # When it is imported, the library makes a folder where the process stands.
    with TemporaryDirectory() as folder, contextlib.chdir(folder):
        return import_module(f"{_PACKAGE}.{name}")
