"""Metrics that a Python function of the user's measures, as a space declares them.

    metrics:
      tone_cost:
        function: metrics.py:tone_cost     # a file beside the space, or module:function
        goal: minimize
        unit: ""
        options: {weight: 2}

The function's file is parsed, not run. Knows nothing of how the function is called.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from search_spaces.node_values import is_nothing, mapping, one_word, text, wrong
from search_spaces.paths import content_digest, is_file, is_folder, name_hint, places_of
from search_spaces.problems import Place, Problems, hint, listed, nearest, short
from search_spaces.signatures import Signature, module_file, parse_functions
from search_spaces.vocabulary import (
    Aspect,
    EvaluatorSpec,
    MetricSpec,
    ParameterSpec,
    Value,
    Vocabulary,
)
from search_spaces.yaml_nodes import Entry, ListNode, MappingNode, Node, ScalarNode, describe

KEYS = ("function", "unit", "goal", "options")
GOALS = ("minimize", "maximize")
UNITS = ("", "s", "B", "J", "fraction", "tokens/s", "items/s", "bits/B")
"""Canonical units, which a metric may have."""

FORMATS = frozenset({"hf", "quantized", "adapter", "genai", "onnx"})
_QUALITY = ("", "fraction", "bits/B")
_LIBRARIES = ("onnxruntime", "onnxruntime-genai", "torch", "transformers")
_NAME = re.compile(r"[A-Za-z_]\w*")
_EXPECTED = "FILE:FUNCTION such as metrics.py:tone_cost, or MODULE:FUNCTION"


@dataclass(frozen=True, slots=True)
class FunctionMetric:
    """A metric and the function that measures it.

    `file`: absolute, which holds the function. `module`: what to import it as where the space
    names a module; None for a file of its own.
    """

    name: str
    file: Path
    module: str | None
    function: str
    unit: str
    lower_is_better: bool

    def to_json(self) -> dict[str, Any]:
        """A JSON form that `from_json` reads."""
        return {
            "name": self.name,
            "file": str(self.file),
            "module": self.module,
            "function": self.function,
            "unit": self.unit,
            "lower_is_better": self.lower_is_better,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The declaration that `to_json` wrote."""
        return cls(**{**data, "file": Path(data["file"])})

    @property
    def label(self) -> str:
        """`metrics.py:tone_cost`, for messages."""
        return f"{self.module or self.file.name}:{self.function}"

    def content(self) -> dict[str, str]:
        """What the numbers depend on besides the model: the function, and the file's content."""
        return {"function": self.function, "file": str(content_digest(self.file))}


def function_spec(
    metric: FunctionMetric, options: Mapping[str, Value], has_data: bool
) -> EvaluatorSpec:
    """The declaration of the evaluator that calls a function with these options.

    A number without unit, a fraction and bits are quality: what only changes how a model runs
    does not change them. Times, bytes and the like are measured for every candidate, alone.
    """
    aspects = {Aspect.WEIGHTS, Aspect.STRUCTURE}
    if metric.unit not in _QUALITY:
        aspects.add(Aspect.RUNTIME)
    about = f"what {metric.label} returns"
    measured = MetricSpec(
        metric.name, metric.unit, metric.lower_is_better, frozenset(aspects), about
    )
    parameters = tuple(
        ParameterSpec(name, _type(value), value, "of the function", nullable=value is None)
        for name, value in options.items()
    )
    return EvaluatorSpec(
        name=metric.name,
        version=1,
        help=about,
        parameters=parameters,
        metrics=(measured,),
        formats=FORMATS,
        libraries=_LIBRARIES,
        needs_data=has_data,
    )


def _type(value: Value) -> type:
    return list if isinstance(value, tuple) else str if value is None else type(value)


@dataclass(frozen=True, slots=True)
class Functions:
    """The functions of a space, by the metric's name, and the options of each.

    `refused`: names that they cannot have, since a metric has them already.
    """

    metrics: Mapping[str, FunctionMetric]
    options: Mapping[str, Mapping[str, Value]]
    refused: frozenset[str]

    def extend(self, vocabulary: Vocabulary, has_data: bool) -> Vocabulary:
        """The vocabulary with these metrics in it."""
        specs = {
            name: function_spec(metric, self.options[name], has_data)
            for name, metric in self.metrics.items()
        }
        return Vocabulary(vocabulary.passes, {**vocabulary.evaluators, **specs})


def read_functions(
    node: Node | None, vocabulary: Vocabulary, base: Path, problems: Problems
) -> Functions:
    """The functions under `metrics:`; what is wrong with them is noted.

    One that cannot be used is there all the same, so that what asks for it is no mistake too.
    Files are looked for in `base`, then in the current directory.
    """
    metrics: dict[str, FunctionMetric] = {}
    options: dict[str, Mapping[str, Value]] = {}
    refused: set[str] = set()
    for name, entry in node.entries.items() if isinstance(node, MappingNode) else ():
        if not _is_function(name, entry.node, vocabulary):
            continue
        reader = _Reader(name, base, problems)
        metric, given = reader.read(entry)
        if _can_be_named(name, entry.place, vocabulary, problems):
            metrics[name], options[name] = metric, given
        else:
            refused.add(name)
    return Functions(metrics, options, frozenset(refused))


def _is_function(name: str, node: Node, vocabulary: Vocabulary) -> bool:
    if not isinstance(node, MappingNode):
        return False
    if "function" in node.entries:
        return True
    near = any(nearest(key, ("function",)) for key in node.entries)
    return near and name not in vocabulary.evaluators


def _can_be_named(name: str, place: Place, vocabulary: Vocabulary, problems: Problems) -> bool:
    """Whether a metric can have this name; noted where it cannot."""
    taken = vocabulary.metric(name)
    if name in vocabulary.evaluators or taken is not None:
        owner = name if taken is None else taken[0].name
        message = f"there is a metric of that name already, by {owner}; choose another name"
        problems.add(place, f"metrics.{name}: {message}")
        return False
    if _NAME.fullmatch(name) is None:
        message = f"found {short(name)}, expected a name of letters, digits and _, no digit first"
        problems.add(place, f"metrics: {message}")
        return False
    return True


class _Reader:
    """Reads one entry."""

    def __init__(self, name: str, base: Path, problems: Problems) -> None:
        self._name = name
        self._what = f"metrics.{name}"
        self._base = base
        self._problems = problems

    def read(self, entry: Entry) -> tuple[FunctionMetric, Mapping[str, Value]]:
        entries = mapping(entry.node, self._what, KEYS, self._problems) or {}
        goal, unit = self._goal(entries, entry), self._unit(entries.get("unit"))
        options = self._options(entries.get("options"))
        file, module, function = Path(), None, ""
        if "function" in entries:
            found = self._function(entries["function"].node)
            if found is not None:
                file, module, function, signature = found
                self._check_call(signature, options, entries)
        lower = goal != "maximize"
        return FunctionMetric(self._name, file, module, function, unit, lower), options

    def _goal(self, entries: Mapping[str, Entry], entry: Entry) -> str | None:
        if "goal" in entries:
            return one_word(entries["goal"].node, f"{self._what}.goal", GOALS, self._problems)
        assert isinstance(entry.node, MappingNode)
        if not any(nearest(key, ("goal",)) for key in entry.node.entries):
            message = "the key 'goal' is missing, expected minimize or maximize"
            self._problems.add(entry.place, f"{self._what}: {message}")
        return None

    def _unit(self, entry: Entry | None) -> str:
        if entry is None or is_nothing(entry.node):
            return ""
        node = entry.node
        if isinstance(node, ScalarNode) and node.raw in UNITS:
            return node.raw
        known = [unit or '""' for unit in UNITS]
        near = hint(node.raw, UNITS) if isinstance(node, ScalarNode) else ""
        wrong(node, f"{self._what}.unit", f"{listed(known)}{near}", self._problems)
        return ""

    def _options(self, entry: Entry | None) -> dict[str, Value]:
        if entry is None or is_nothing(entry.node):
            return {}
        what = f"{self._what}.options"
        if not isinstance(entry.node, MappingNode):
            wrong(entry.node, what, "a mapping of names to values", self._problems)
            return {}
        options: dict[str, Value] = {}
        for name, part in entry.node.entries.items():
            options[name] = self._value(part.node, f"{what}.{name}")
        return options

    def _value(self, node: Node, what: str) -> Value:
        if isinstance(node, ScalarNode):
            return node.value
        if isinstance(node, ListNode):
            return tuple(self._value(item, what) for item in node.items)
        expected = "text, a number, true or false, null, or a list of such"
        self._problems.add(node.place, f"{what}: found {describe(node)}, expected {expected}")
        return None

    def _function(self, node: Node) -> tuple[Path, str | None, str, Signature | None] | None:
        """(file, module, function, how it is called); None where it is not found."""
        what = f"{self._what}.function"
        found = text(node, what, _EXPECTED, self._problems)
        if found is None:
            return None
        origin, colon, function = found.rpartition(":")
        if not colon or not origin or not function.isidentifier():
            wrong(node, what, _EXPECTED, self._problems)
            return None
        named = origin.endswith(".py") or "/" in origin
        file = self._file(origin, node, what) if named else self._module(origin, node, what)
        if file is None:
            return None
        signatures = self._parsed(file, node, what)
        if signatures is None:
            return None
        if function not in signatures and "*" not in signatures:
            defined = [name for name, signature in signatures.items() if signature is not None]
            near = hint(function, signatures)
            message = f"{file} has no function {function!r}"
            message += near or (f"; it has {listed(defined, 'and')}" if defined else "")
            self._problems.add(node.place, f"{what}: {message}")
            return None
        return file, None if named else origin, function, signatures.get(function)

    def _file(self, name: str, node: Node, what: str) -> Path | None:
        tried = places_of(name, self._base)
        for path in tried:
            if is_file(path):
                return path.resolve()
        if any(is_folder(path) for path in tried):
            message = f"{short(name)} is a folder, expected a file of Python"
        else:
            looked = " or ".join(str(path) for path in tried)
            message = f"there is no file {looked}{name_hint(tried[0], ('.py',))}"
        self._problems.absent(node.place, f"{what}: {message}")
        return None

    def _module(self, name: str, node: Node, what: str) -> Path | None:
        file = module_file(name)
        if file is None:
            beside = self._base / f"{name}.py"
            near = f"; did you mean {name}.py?" if is_file(beside) else name_hint(beside, (".py",))
            message = f"no module {name!r} of Python source is installed{near}"
            self._problems.absent(node.place, f"{what}: {message}")
        return file

    def _parsed(self, file: Path, node: Node, what: str) -> Mapping[str, Signature | None] | None:
        try:
            return parse_functions(file)
        except ValueError as error:
            self._problems.add(node.place, f"{what}: {error}")
            return None

    def _check_call(
        self,
        signature: Signature | None,
        options: Mapping[str, Value],
        entries: Mapping[str, Entry],
    ) -> None:
        """Note a function that cannot be called as function(model, rows, **options)."""
        if signature is None:
            return
        place = entries["function"].node.place
        if (reason := signature.unfit(2)) is not None:
            self._problems.add(place, f"{self._what}.function: {reason}")
            return
        for name in signature.missing(options, 2):
            message = f"the function needs {name!r}, which is not among the options"
            self._problems.add(place, f"{self._what}: {message}")
        for name in signature.unknown(options, 2):
            node = entries["options"].node
            assert isinstance(node, MappingNode), "it has options"
            taken = signature.takes(2)
            expected = f"it takes {listed(taken, 'and')}" if taken else "it takes none"
            message = f"the function has no option {name!r}, {expected}{hint(name, taken)}"
            self._problems.add(node.entries[name].place, f"{self._what}.options: {message}")
