"""What passes and evaluators declare of themselves, as plain data for every kind of page.

The terminal, the JSON output and the generated documents are made of these facts alone. Knows
nothing of how they are shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from inspect import cleandoc
from pathlib import Path
from typing import Any

from evaluators.base import Evaluator
from evaluators.timed import TimedEvaluator
from search_spaces.installed import is_installed
from search_spaces.parameter_values import expected
from search_spaces.units import units_of
from search_spaces.vocabulary import (
    INPUT,
    Aspect,
    EvaluatorSpec,
    MetricSpec,
    ParameterSpec,
    PassSpec,
    SearchRange,
    Value,
)
from tuner.passes.base import Pass
from tuner.report.step_example import example_step

Json = dict[str, Any]

_TYPES: Mapping[type, str] = {str: "text", Path: "path"}

FORMATS: Mapping[str, str] = {
    "hf": "a transformers checkpoint folder",
    "quantized": "a transformers checkpoint with weights of few bits, in the GPTQ layout",
    "adapter": "a peft adapter beside its base",
    "onnx": "an encoder as model.onnx beside its tokenizer",
    "genai": "an ONNX Runtime GenAI folder",
}
"""The model formats that passes hand on, in the order in which a pipeline meets them."""

GROUPS = (
    "train and change the checkpoint",
    "quantise the checkpoint",
    "convert to ONNX",
    "work on the ONNX model",
    "choose how it runs",
    "other formats",
)
"""The kinds of passes, in the order in which a pipeline has them."""

_CHECKPOINTS = frozenset({"hf", "adapter"})
_EXPORTED = frozenset({"onnx", "genai"})


def group_of(spec: PassSpec) -> str:
    """Which of `GROUPS` a pass belongs to, judged by its formats and by what it changes."""
    gives = {spec.gives} if spec.gives is not None else spec.accepts
    train, quantise, convert, work, runs, other = GROUPS
    if spec.changes == {Aspect.RUNTIME} and spec.accepts <= FORMATS.keys():
        return runs
    if spec.gives == "quantized":
        return quantise
    if gives <= _EXPORTED:
        return work if spec.accepts <= _EXPORTED else convert
    return train if gives <= _CHECKPOINTS | {"quantized"} else other


def grouped(passes: Iterable[Pass]) -> dict[str, list[Pass]]:
    """Passes by group, in pipeline order; within a group as they come. No group is empty."""
    groups: dict[str, list[Pass]] = {name: [] for name in GROUPS}
    for pass_ in passes:
        groups[group_of(pass_.spec)].append(pass_)
    return {name: members for name, members in groups.items() if members}


def is_built_in(made: Pass | Evaluator) -> bool:
    """Whether a pass or an evaluator belongs to this program."""
    return type(made).__module__.partition(".")[0] in ("tuner", "evaluators")


def pass_facts(pass_: Pass) -> Json:
    """Everything that a pass declares, and whether what it needs is installed."""
    spec = pass_.spec
    return {
        "name": spec.name,
        "version": spec.version,
        "help": spec.help,
        "about": paragraphs(pass_),
        "module": type(pass_).__module__,
        "group": group_of(spec),
        "takes": in_order(spec.accepts),
        "gives": spec.gives,
        "passes_through": in_order(spec.passes_through),
        "kinds": sorted(spec.kinds),
        "tasks": list(spec.tasks),
        "providers": sorted(spec.providers),
        "changes": [aspect.value for aspect in Aspect if aspect in spec.changes],
        "deterministic": spec.deterministic,
        "uses_data": spec.uses_data,
        "neutral": None if spec.neutral is None else _plain(spec.neutral),
        "fixes": _plain(spec.fixes),
        "requires": [_requirement(name, extra) for name, extra in spec.requires.items()],
        "libraries": list(spec.libraries),
        "parameters": [parameter_facts(parameter) for parameter in spec.parameters],
        "example": example_step(spec),
    }


def evaluator_facts(evaluator: Evaluator) -> Json:
    """Everything that an evaluator declares; `lacking` is why this machine lacks a metric."""
    spec: EvaluatorSpec = evaluator.spec
    return {
        "name": spec.name,
        "version": spec.version,
        "help": spec.help,
        "about": paragraphs(evaluator),
        "module": type(evaluator).__module__,
        "measures": in_order(spec.formats),
        "needs_labels": spec.needs_labels,
        "needs_data": spec.needs_data or spec.needs_labels,
        "beside_baseline": spec.reference or isinstance(evaluator, TimedEvaluator),
        "requires": [_requirement(name, extra) for name, extra in spec.requires.items()],
        "libraries": list(spec.libraries),
        "metrics": [_metric_facts(metric) for metric in spec.metrics],
        "parameters": [parameter_facts(parameter) for parameter in spec.parameters],
    }


def parameter_facts(spec: ParameterSpec) -> Json:
    """What a parameter declares; `values` says in words what it may be."""
    return {
        "name": spec.name,
        "type": _TYPES.get(spec.type, spec.type.__name__),
        "values": expected(spec),
        "choices": None if spec.choices is None else _plain(spec.choices),
        "low": spec.low,
        "high": spec.high,
        "nullable": spec.nullable,
        "default": _plain(spec.default),
        "search": _search(spec),
        "applies": {
            "input" if name == INPUT else name: _values(name, values)
            for name, values in spec.applies.items()
        },
        "help": spec.help,
    }


def paragraphs(made: Pass | Evaluator) -> list[str]:
    """The paragraphs of a class's own docstring, each on one line."""
    text = cleandoc(type(made).__doc__ or "")
    return [" ".join(part.split()) for part in text.split("\n\n") if part.strip()]


def in_order(formats: Iterable[str]) -> list[str]:
    """Formats in the order in which a pipeline meets them; unknown ones behind, by name."""
    known = list(FORMATS)
    return sorted(formats, key=lambda f: (known.index(f) if f in FORMATS else len(known), f))


def _values(name: str, values: tuple[Value, ...]) -> list[Any]:
    return in_order(map(str, values)) if name == INPUT else list(_plain(values))


def _metric_facts(metric: MetricSpec) -> Json:
    return {
        "name": metric.name,
        "help": metric.help,
        "unit": metric.unit,
        "units": units_of(metric.unit),
        "better": "lower" if metric.lower_is_better else "higher",
        "depends_on": [aspect.value for aspect in Aspect if aspect in metric.depends_on],
        "statistics": list(metric.statistics),
        "formats": in_order(metric.formats),
        "lacking": metric.lacking(),
    }


def _requirement(distribution: str, extra: str) -> Json:
    return {"distribution": distribution, "extra": extra, "installed": is_installed(distribution)}


def _search(spec: ParameterSpec) -> list[Any] | Json | None:
    if isinstance(spec.search, SearchRange):
        return {
            "low": _number(spec, spec.search.low),
            "high": _number(spec, spec.search.high),
            "log": spec.search.log,
        }
    return None if spec.search is None else list(_plain(spec.search))


def _number(spec: ParameterSpec, value: float) -> float:
    return int(value) if spec.type is int else float(value)


def _plain(value: Value | Mapping[str, Any]) -> Any:
    """As JSON has it: tuples become lists."""
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, tuple) else value
