"""The registry of evaluators: those of this package, and those that other distributions bring.

Importing it loads no heavy library: an evaluator imports what it needs when it measures.
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint, entry_points

from evaluators.accuracy import Accuracy
from evaluators.base import (
    Artifact,
    Estimate,
    Evaluator,
    Measurement,
    MeasurementError,
    NotEnoughSamples,
)
from evaluators.divergence import Divergence
from evaluators.energy import Energy
from evaluators.generation import Generation
from evaluators.latency import Latency
from evaluators.lm_eval import LmEval
from evaluators.load_time import LoadTime
from evaluators.memory import Memory
from evaluators.perplexity import Perplexity
from evaluators.size import Size
from evaluators.throughput import Throughput
from search_spaces.vocabulary import EvaluatorSpec

__all__ = [
    "Artifact",
    "BrokenEvaluator",
    "Estimate",
    "Evaluator",
    "Measurement",
    "MeasurementError",
    "NotEnoughSamples",
    "all_evaluators",
    "evaluator_specs",
]

GROUP = "tuner.evaluators"


class BrokenEvaluator(Exception):
    """An installed distribution declares an evaluator that cannot be used; the message names it."""


@cache
def all_evaluators() -> dict[str, Evaluator]:
    """Every evaluator by name: the built-in ones, then the entry points in `tuner.evaluators`.

    An entry point names a subclass of `Evaluator` that is made without arguments. BrokenEvaluator
    where it cannot be loaded, is no evaluator, or takes a name that is already taken.
    """
    built_in = (
        Latency(),
        Accuracy(),
        Size(),
        Memory(),
        LoadTime(),
        Energy(),
        Throughput(),
        Perplexity(),
        Divergence(),
        Generation(),
        LmEval(),
    )
    evaluators: dict[str, Evaluator] = {e.spec.name: e for e in built_in}
    metrics = {metric.name for e in evaluators.values() for metric in e.spec.metrics}
    for entry in sorted(entry_points(group=GROUP), key=lambda e: e.name):
        found = _load(entry)
        names = {metric.name for metric in found.spec.metrics}
        if found.spec.name in evaluators:
            raise BrokenEvaluator(f"{_named(entry)}: there is already {found.spec.name!r}")
        if metrics & names:
            taken = ", ".join(sorted(metrics & names))
            raise BrokenEvaluator(f"{_named(entry)}: metrics that there are already: {taken}")
        evaluators[found.spec.name] = found
        metrics |= names
    return evaluators


def evaluator_specs() -> dict[str, EvaluatorSpec]:
    """The declaration of every evaluator, by name."""
    return {name: e.spec for name, e in all_evaluators().items()}


def _load(entry: EntryPoint) -> Evaluator:
    try:
        made = entry.load()()
    except Exception as error:  # another distribution's code may raise anything
        raise BrokenEvaluator(f"{_named(entry)}: {type(error).__name__}: {error}") from error
    if not isinstance(made, Evaluator) or not isinstance(
        getattr(made, "spec", None), EvaluatorSpec
    ):
        raise BrokenEvaluator(f"{_named(entry)}: not an evaluators.Evaluator with a `spec`")
    return made


def _named(entry: EntryPoint) -> str:
    origin = f" of {entry.dist.name}" if entry.dist is not None else ""
    return f"evaluator {entry.name!r}{origin} ({entry.value})"
