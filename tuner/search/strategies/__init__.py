"""Strategies by name."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module

from search_spaces.space import Space
from search_spaces.vocabulary import Vocabulary
from tuner.search.strategies.base import (
    FAILED_VIOLATION,
    Known,
    Outlook,
    Result,
    Setting,
    Strategy,
)

__all__ = [
    "FAILED_VIOLATION",
    "NAMES",
    "Known",
    "Outlook",
    "Result",
    "Setting",
    "Strategy",
    "make_strategy",
]

_CLASSES = {
    "auto": "AutoStrategy",
    "tpe": "TpeStrategy",
    "grid": "GridStrategy",
    "random": "RandomStrategy",
    "nsga2": "Nsga2Strategy",
    "gp": "GpStrategy",
}
NAMES = tuple(_CLASSES)


def make_strategy(
    space: Space, vocabulary: Vocabulary | None = None, outlook: Outlook | None = None
) -> Strategy:
    """The strategy that a space asks for. Its module is loaded only now: TPE needs Optuna."""
    settings = space.search
    module = import_module(f"tuner.search.strategies.{settings.strategy}")
    strategy: type[Strategy] = getattr(module, _CLASSES[settings.strategy])
    evaluators = () if vocabulary is None else vocabulary.evaluators.values()
    depends = {m.name: m.depends_on for e in evaluators for m in e.metrics}
    setting = Setting(space, settings.seed, settings.trials, depends=depends)
    return strategy(setting if outlook is None else replace(setting, outlook=outlook))
