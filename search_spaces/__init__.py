"""The language of a space: what is searched, over which data, for which goals.

The names below are imported when they are first used, so that a part costs nothing to those who
want another. Knows nothing of torch or Optuna.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from search_spaces.catalog import find_space, shipped
    from search_spaces.overrides import Overrides
    from search_spaces.problems import Problem, SpaceError
    from search_spaces.reader import Reading, parse_space, read_space
    from search_spaces.references import Reference, parse_reference
    from search_spaces.space import Space
    from search_spaces.vocabulary import Vocabulary

__all__ = [
    "Overrides",
    "Problem",
    "Reading",
    "Reference",
    "Space",
    "SpaceError",
    "Vocabulary",
    "find_space",
    "parse_reference",
    "parse_space",
    "read_space",
    "shipped",
]

_MODULES = {
    "Overrides": "overrides",
    "Problem": "problems",
    "Reading": "reader",
    "Reference": "references",
    "Space": "space",
    "SpaceError": "problems",
    "Vocabulary": "vocabulary",
    "find_space": "catalog",
    "parse_reference": "references",
    "parse_space": "reader",
    "read_space": "reader",
    "shipped": "catalog",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
