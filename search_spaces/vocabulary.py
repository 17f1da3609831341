"""What a space may name: the declarations of passes and metrics.

Passes and evaluators declare themselves with these classes; the reader of spaces checks a
file against them. Knows nothing of what a pass or an evaluator does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

KINDS = frozenset({"causal", "encoder"})
"""Kinds of model: language models that generate, and encoders that classify."""

TASKS = ("text-classification", "text-generation")

INPUT = "input"
"""In `ParameterSpec.applies`: the format of the model that comes in."""

QUANTIZED, ADAPTER, ON_QUANTIZED = "quantized", "adapter", "adapter on quantized"
"""The last: an adapter whose base has packed weights. Passes and evaluators take it as any other
adapter; `fixes` and `applies` of a declaration can tell it from one on a base of floats."""


def format_of(flow: str) -> str:
    """The format of what flows between passes: an adapter is one, whatever its base."""
    return ADAPTER if flow == ON_QUANTIZED else flow


type_names = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    Path: "the path of a file or folder",
}

Value = None | bool | int | float | str | tuple["Value", ...]
"""A fixed parameter value. Lists of a YAML file are tuples here, so that values can be hashed."""


class Aspect(StrEnum):
    """What of a model a pass may change, and what a metric may depend on."""

    WEIGHTS = "weights"  # the numbers in the tensors
    STRUCTURE = "structure"  # graph, shapes, data types
    RUNTIME = "runtime"  # session options, execution provider


@dataclass(frozen=True, slots=True)
class SearchRange:
    """A numeric range that is worth searching; `integer` follows the parameter's type."""

    low: float
    high: float
    log: bool = False


@dataclass(frozen=True, slots=True)
class ParameterSpec:
    """One parameter of a pass or an evaluator.

    `type` is bool, int, float, str, `list` (of str) or, of an evaluator's option, `pathlib.Path`:
    the absolute path, as text, of a file or folder that is there; not its name but its content is
    part of what is asked and of a measurement's key. `low` and `high` are inclusive.
    `choices` closes the set of legal values. `nullable` admits `null`.
    `search` is what a generated space searches by default (values, or a range).
    `unavailable` says why a legal value cannot be used on this machine, or returns None.
    `applies`: the parameter has an effect only where each parameter named here, declared before
    it, has one of the values given (or where the model's format, under `INPUT`, is one of them).
    Elsewhere nobody is asked for it, and it keeps its default.
    `later`: it came when results of the pass were stored already: at its default, which does what
    was done before, it is left out of the keys of stages and candidates, so that they still hold.
    """

    name: str
    type: type
    default: Value
    help: str
    low: float | None = None
    high: float | None = None
    choices: tuple[Value, ...] | None = None
    nullable: bool = False
    search: tuple[Value, ...] | SearchRange | None = None
    unavailable: Callable[[Value], str | None] | None = None
    applies: Mapping[str, tuple[Value, ...]] = field(default_factory=dict)
    later: bool = False


@dataclass(frozen=True, slots=True)
class PassSpec:
    """The declaration of a pass.

    `accepts` and `gives` name model formats: "hf" (a transformers checkpoint folder),
    "quantized" (one with packed weights of few bits, in the GPTQ layout), "adapter" (a peft
    adapter beside its base), "onnx" (an encoder as `model.onnx` beside its tokenizer), "genai"
    (an ONNX Runtime GenAI folder). `gives` None means: the format that came in.
    `kinds`, `tasks`: the kinds of model and the tasks that the pass is made for.
    `fixes`: for a format that comes in (or `ON_QUANTIZED`), the values that parameters can only
    have then.
    `providers`: the execution providers that the result runs on; empty: the pass does not matter.
    `requires`: distributions that must be installed, each with the extra that brings it.
    `passes_through`: formats on which the pass has nothing to do; it is left out of such a
    pipeline (merge_adapter on a model that has no adapter).
    `neutral`: the parameters at which the pass only converts and does not trade quality; the
    baseline uses them. None: the baseline leaves the pass out.
    `libraries`: distributions whose version is part of a stage's key.
    `uses_data`: the pass reads the training split; where `data_where` names a parameter, only with
    one of these values of it.
    `budget`: the parameter that says how long the pass trains. A pass that has one can stop after
    a share of it, and can go on from there: `tuner.passes.base.StageContext`.
    """

    name: str
    version: int
    help: str
    parameters: tuple[ParameterSpec, ...]
    accepts: frozenset[str]
    gives: str | None
    changes: frozenset[Aspect]
    passes_through: frozenset[str] = frozenset()
    neutral: Mapping[str, Value] | None = None
    deterministic: bool = True
    uses_data: bool = False
    data_where: Mapping[str, tuple[Value, ...]] = field(default_factory=dict)
    libraries: tuple[str, ...] = ()
    kinds: frozenset[str] = KINDS
    tasks: tuple[str, ...] = TASKS
    fixes: Mapping[str, Mapping[str, Value]] = field(default_factory=dict)
    providers: frozenset[str] = frozenset()
    requires: Mapping[str, str] = field(default_factory=dict)
    budget: str | None = None

    def parameter(self, name: str) -> ParameterSpec:
        """The parameter of that name; KeyError when there is none."""
        return next(p for p in self.parameters if p.name == name)

    def takes(self, flow: str) -> bool:
        """Whether the pass can take a model of this format (or `ON_QUANTIZED`)."""
        return format_of(flow) in self.accepts

    def skips(self, flow: str) -> bool:
        """Whether the pass has nothing to do with such a model, and is left out."""
        return format_of(flow) in self.passes_through

    def after(self, flow: str) -> str:
        """What flows on when such a model came in; of an adapter on a packed one `ON_QUANTIZED`."""
        given = self.gives or flow
        return ON_QUANTIZED if given == ADAPTER and flow == QUANTIZED else given


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """A measured quantity.

    `unit` is canonical: "s", "B", "J", "fraction" (0 to 1), "tokens/s", "items/s", "bits/B" or ""
    (a plain number).
    `statistics`: what may follow the name after a dot (`latency.p95`); the first is the default.
    An empty tuple: the metric has no statistics.
    `formats`: the model formats that have it; empty: all those that its evaluator measures.
    `unavailable` says why it cannot be measured on this machine, or returns None. Cheap.
    """

    name: str
    unit: str
    lower_is_better: bool
    depends_on: frozenset[Aspect]
    help: str
    statistics: tuple[str, ...] = ()
    formats: frozenset[str] = frozenset()
    unavailable: Callable[[], str | None] | None = None

    def is_of(self, model_format: str) -> bool:
        """Whether a model of this format has the metric here, if its evaluator measures it."""
        has = not self.formats or model_format in self.formats
        return has and self.lacking() is None

    def lacking(self) -> str | None:
        """Why it cannot be measured on this machine; None where it can."""
        return None if self.unavailable is None else self.unavailable()


@dataclass(frozen=True, slots=True)
class EvaluatorSpec:
    """The declaration of an evaluator: one entry under `metrics:`, one or more metrics.

    `formats`: the model formats that it can measure. `needs_labels`: only for data with labels.
    `needs_data`: only where the space has data. `text`: the option that names a text to measure
    on in place of the data's rows. `reference`: it compares a model with the baseline's, which it
    is given too.
    `requires`: distributions that must be installed, each with the extra that brings it.
    """

    name: str
    version: int
    help: str
    parameters: tuple[ParameterSpec, ...]
    metrics: tuple[MetricSpec, ...]
    formats: frozenset[str]
    needs_labels: bool = False
    libraries: tuple[str, ...] = ()
    needs_data: bool = False
    text: str | None = None
    reference: bool = False
    requires: Mapping[str, str] = field(default_factory=dict)

    def reads_rows(self, options: Mapping[str, Value]) -> bool:
        """Whether its numbers depend on the data's rows, where the space has data."""
        own_text = self.text is None or options.get(self.text) is not None
        return self.needs_labels or self.needs_data or not own_text


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Every pass and evaluator that a space may name, by name."""

    passes: Mapping[str, PassSpec] = field(default_factory=dict)
    evaluators: Mapping[str, EvaluatorSpec] = field(default_factory=dict)

    def metric(self, name: str) -> tuple[EvaluatorSpec, MetricSpec] | None:
        """The metric of that name and the evaluator that measures it, or None."""
        for evaluator in self.evaluators.values():
            for metric in evaluator.metrics:
                if metric.name == name:
                    return evaluator, metric
        return None
