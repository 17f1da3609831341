"""Strategies by name."""

from __future__ import annotations

from importlib import import_module

from search_spaces.space import Space
from tuner.search.strategies.base import FAILED_VIOLATION, Result, Strategy

__all__ = ["FAILED_VIOLATION", "NAMES", "Result", "Strategy", "make_strategy"]

_CLASSES = {"tpe": "TpeStrategy", "grid": "GridStrategy", "random": "RandomStrategy"}
NAMES = tuple(_CLASSES)


def make_strategy(space: Space) -> Strategy:
    """The strategy that a space asks for. Its module is loaded only now: TPE needs Optuna."""
    settings = space.search
    module = import_module(f"tuner.search.strategies.{settings.strategy}")
    strategy: type[Strategy] = getattr(module, _CLASSES[settings.strategy])
    return strategy(space, settings.seed, settings.trials)
