"""Search-based auto-tuning of language models for deployment.

`tune(space, constraints=[...])` returns a `Study` with `.best`, `.front` and
`.trials_dataframe()`. Both are loaded when first asked for: importing this costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tuner.api import tune
    from tuner.study.api import Study

__all__ = ["Study", "tune"]

_HOMES = {"tune": "tuner.api", "Study": "tuner.study.api"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
