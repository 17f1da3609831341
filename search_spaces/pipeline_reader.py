"""The `pipeline:` of a space file: steps, alternatives, parameters and their conditions.

Whether the steps fit one another is judged by `formats`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from search_spaces.condition_names import Names
from search_spaces.conditions import Condition, parse_condition
from search_spaces.node_values import (
    flag,
    is_nothing,
    parsed,
    unknown_key,
    wrong,
)
from search_spaces.parameter_values import read_domain
from search_spaces.problems import Place, Problems, hint, listed
from search_spaces.space import Domain, OneOf, Step
from search_spaces.vocabulary import PassSpec
from search_spaces.yaml_nodes import Entry, ListNode, MappingNode, Node, ScalarNode

STEP_KEYS = ("optional", "when", "baseline")
ONE_OF = "one_of"
NONE = "none"
"""The alternative that does nothing."""

_STEP = "the name of a pass, or a mapping of it to its parameters"


@dataclass(slots=True)
class Pipeline:
    """What was read. `places`: step or parameter -> where it stands.

    `complete`: nothing was left out, so that it makes sense to look at the whole.
    """

    items: list[Step | OneOf] = field(default_factory=list)
    places: dict[str, Place] = field(default_factory=dict)
    complete: bool = True


def read_pipeline(node: Node, passes: Mapping[str, PassSpec], problems: Problems) -> Pipeline:
    """The pipeline that a list of steps describes; what is wrong is noted."""
    if not isinstance(node, ListNode) or not node.items:
        wrong(node, "pipeline", "a list of passes, each on a line that begins with -", problems)
        return Pipeline(complete=False)
    reader = _Reader(passes, problems)
    for item in node.items:
        reader.add(item)
    reader.names.settle(problems)
    reader.pipeline.complete &= not reader.names.broken
    return reader.pipeline


def pass_entry(node: MappingNode, passes: Mapping[str, PassSpec]) -> str | None:
    """The key of a step that names its pass: a known one, else the first of no other meaning."""
    keys = [key for key in node.entries if key not in STEP_KEYS]
    return next((key for key in keys if key in passes), keys[0] if keys else None)


def next_id(name: str, counts: Counter[str]) -> str:
    """`lora`, then `lora_2`, `lora_3`, ..."""
    counts[name] += 1
    return name if counts[name] == 1 else f"{name}_{counts[name]}"


class _Reader:
    def __init__(self, passes: Mapping[str, PassSpec], problems: Problems) -> None:
        self._passes = passes
        self._problems = problems
        self._counts: Counter[str] = Counter()
        self.names = Names()
        self.pipeline = Pipeline()

    def add(self, node: Node) -> None:
        if isinstance(node, MappingNode) and ONE_OF in node.entries:
            item: Step | OneOf | None = self._one_of(node)
        else:
            item = self._step(node)
        if item is not None:
            self.pipeline.items.append(item)

    # Alternatives

    def _one_of(self, node: MappingNode) -> OneOf | None:
        name = next_id(ONE_OF, self._counts)
        place = node.entries[ONE_OF].place
        self.pipeline.places[name] = place
        for key, entry in node.entries.items():
            if key not in (ONE_OF, "optional"):
                unknown_key(key, entry.place, ONE_OF, (ONE_OF, "optional"), self._problems)
        listing = node.entries[ONE_OF].node
        if not isinstance(listing, ListNode) or not listing.items:
            wrong(listing, ONE_OF, "a list of alternatives", self._problems)
            self.pipeline.complete = False
            return None
        alternatives = [(item.place, self._alternative(item)) for item in listing.items]
        if self._flag(node, "optional", ONE_OF) and all(steps for _, steps in alternatives):
            alternatives.append((place, ()))
        if len(alternatives) < 2:
            message = "one_of has one alternative, expected two or more, or optional: true"
            self._problems.add(place, message)
        return self._labelled(name, alternatives)

    def _labelled(self, name: str, found: list[tuple[Place, tuple[Step, ...]]]) -> OneOf:
        labels = [steps[0].id if steps else NONE for _, steps in found]
        for position, label in enumerate(labels):
            if label == NONE and NONE in labels[:position] and self.pipeline.complete:
                self._problems.add(found[position][0], "one_of: none comes twice")
        self.names.add_one_of(name, tuple(labels))
        return OneOf(name, tuple(labels), tuple(steps for _, steps in found))

    def _alternative(self, node: Node) -> tuple[Step, ...]:
        if isinstance(node, ScalarNode) and node.raw == NONE:
            return ()
        parts = node.items if isinstance(node, ListNode) else (node,)
        if not parts:
            message = f"one_of: found an empty list; write {NONE} for doing nothing"
            self._problems.add(node.place, message)
        steps = []
        for part in parts:
            if isinstance(part, MappingNode) and ONE_OF in part.entries:
                self._problems.add(part.place, "one_of cannot stand inside of one_of")
                self.pipeline.complete = False
            else:
                steps.append(self._step(part))
        return tuple(step for step in steps if step is not None)

    # Steps

    def _step(self, node: Node) -> Step | None:
        if isinstance(node, ScalarNode) and isinstance(node.value, str):
            return self._named(node.value, node.place, None, None)
        if not isinstance(node, MappingNode):
            wrong(node, "pipeline", _STEP, self._problems)
            self.pipeline.complete = False
            return None
        name = pass_entry(node, self._passes)
        if name is None:
            message = f"found only {listed(node.entries, 'and')}, expected {_STEP}"
            self._problems.add(node.place, f"pipeline: {message}")
            self.pipeline.complete = False
            return None
        if name in self._passes:
            self._note_other_keys(node, self._passes[name])
        entry = node.entries[name]
        return self._named(name, entry.place, entry.node, node)

    def _note_other_keys(self, node: MappingNode, spec: PassSpec) -> None:
        parameters = [p.name for p in spec.parameters]
        for key, entry in node.entries.items():
            if key == spec.name or key in STEP_KEYS:
                continue
            if key in parameters:
                message = f"{key!r} is a parameter of {spec.name}: indent it below {spec.name}:"
                self._problems.add(entry.place, message)
            elif key in self._passes:
                message = f"a step names one pass; begin {key!r} with - on a line of its own"
                self._problems.add(entry.place, message)
                self.pipeline.complete = False
            else:
                known = (*STEP_KEYS, spec.name)
                unknown_key(key, entry.place, f"the step {spec.name}", known, self._problems)

    def _named(
        self, name: str, place: Place, parameters: Node | None, step: MappingNode | None
    ) -> Step | None:
        spec = self._passes.get(name)
        if spec is None:
            message = f"unknown pass {name!r}, expected {listed(self._passes)}"
            self._problems.add(place, message + hint(name, self._passes))
            self.pipeline.complete = False
            self._counts[name] += 1
            return None
        step_id = next_id(name, self._counts)
        self.pipeline.places[step_id] = place
        # The condition comes first: it cannot ask about the step that it belongs to.
        when = None if step is None else self._when(step.entries.get("when"), step_id, None)
        self.names.add_step(step_id, spec)
        domains = {} if parameters is None else self._parameters(step_id, spec, parameters)
        optional = step is not None and self._flag(step, "optional", step_id)
        baseline = step is not None and self._flag(step, "baseline", step_id)
        return Step(step_id, spec, domains, optional, when, baseline)

    def _flag(self, node: MappingNode, key: str, what: str) -> bool:
        entry = node.entries.get(key)
        if entry is None:
            return False
        return flag(entry.node, f"{what}: {key}", self._problems) or False

    def _parameters(self, step: str, spec: PassSpec, node: Node) -> dict[str, Domain]:
        if is_nothing(node):
            return {}
        names = [p.name for p in spec.parameters]
        if not isinstance(node, MappingNode):
            expected = f"a mapping of parameters ({', '.join(names)})" if names else "nothing"
            wrong(node, step, expected, self._problems)
            return {}
        domains: dict[str, Domain] = {}
        for key, entry in node.entries.items():
            if key not in names:
                unknown_key(key, entry.place, step, names, self._problems)
            elif (domain := self._parameter(step, spec, key, entry)) is not None:
                domains[key] = domain
        return domains

    def _parameter(self, step: str, spec: PassSpec, name: str, entry: Entry) -> Domain | None:
        full = f"{step}.{name}"
        self.pipeline.places[full] = entry.place
        when = None
        if isinstance(entry.node, MappingNode):
            when = self._when(entry.node.entries.get("when"), step, name)
        self.names.add_parameter(step, spec.parameter(name))
        domain = read_domain(spec.parameter(name), entry.node, full, self._problems)
        return None if domain is None else replace(domain, when=when)

    def _when(self, entry: Entry | None, step: str, parameter: str | None) -> Condition | None:
        if entry is None:
            return None
        what = f"{step}.{parameter}: when" if parameter else f"{step}: when"
        example = "a condition such as precision == 'int4'"
        node = entry.node
        if isinstance(node, ScalarNode) and not isinstance(node.value, str):
            wrong(node, what, example, self._problems)
            self.names.broken = True
            return None
        condition = parsed(node, what, example, parse_condition, self._problems)
        if condition is None:
            self.names.broken = True
            return None
        self.names.check(condition, node.place, step, parameter, self._problems)
        return condition
