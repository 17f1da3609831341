"""What a command line changes in a space, applied to the file's nodes before they are checked.

What is wrong is then reported under the option's name in place of a line of the file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

from search_spaces.expressions import parse_bound, parse_constraint
from search_spaces.goals_reader import ExtraConstraint
from search_spaces.pipeline_reader import ONE_OF, STEP_KEYS, next_id, pass_entry
from search_spaces.problems import Place, Problems, hint, listed, short
from search_spaces.vocabulary import PassSpec
from search_spaces.yaml_nodes import (
    Entry,
    ListNode,
    MappingNode,
    Node,
    ScalarNode,
    compose,
    describe,
    text_node,
)


@dataclass(frozen=True, slots=True)
class Overrides:
    """Changes to a space, as the command line spells them.

    `constraints` are added; `bounds` too, each ("max" or "min", "latency=50ms"). `objectives`
    replace the file's when there are any. `settings` are `KEY.PATH=VALUE`, the value in YAML.
    `build_only`: nothing is to be run; see `search_spaces.build_only`.
    """

    model: str | None = None
    constraints: tuple[str, ...] = ()
    bounds: tuple[tuple[Literal["max", "min"], str], ...] = ()
    objectives: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    strategy: str | None = None
    trials: int | str | None = None
    max_time: float | str | None = None
    seed: int | str | None = None
    build_only: bool = False


def apply(
    root: MappingNode,
    overrides: Overrides,
    passes: Mapping[str, PassSpec],
    problems: Problems,
) -> MappingNode:
    """The file's nodes with the changes made; constraints and bounds are left to `extras`."""
    for setting in overrides.settings:
        root = _set(root, setting, passes, problems)
    for key in ("strategy", "trials", "max_time", "seed"):
        value = getattr(overrides, key)
        if value is not None:
            option = f"--{key.replace('_', '-')} {value}"
            node = _value(str(value), Place(option), problems)
            if node is not None:
                root = _replaced(root, ["search", key], node, option, problems)
    if overrides.model is not None:
        place = Place(f"--model {overrides.model!r}")
        root = _with(root, "model", text_node(overrides.model, place))
    if overrides.objectives:
        nodes = [text_node(o, Place(f"--objective {o!r}")) for o in overrides.objectives]
        root = _with(root, "objectives", ListNode(tuple(nodes), nodes[0].place))
    return root


def extras(overrides: Overrides) -> list[ExtraConstraint]:
    """The constraints that the command line adds."""
    added = [
        ExtraConstraint(Place(f"--constraint {text!r}"), partial(parse_constraint, text))
        for text in overrides.constraints
    ]
    return added + [
        ExtraConstraint(Place(f"--{kind} {text!r}"), partial(parse_bound, kind, text))
        for kind, text in overrides.bounds
    ]


def _set(
    root: MappingNode, setting: str, passes: Mapping[str, PassSpec], problems: Problems
) -> MappingNode:
    option = f"--set {setting!r}"
    path, equals, raw = setting.partition("=")
    keys = [key.strip() for key in path.split(".")]
    if not equals or not all(keys):
        problems.add(Place(option), "expected KEY.PATH=VALUE such as search.trials=30")
        return root
    node = _value(raw, Place(option), problems)
    if node is None:
        return root
    if keys[0] == "pipeline" and len(keys) > 1 and "pipeline" in root.entries:
        pipeline = root.entries["pipeline"].node
        return _with(root, "pipeline", _set_step(pipeline, keys[1:], node, passes, problems))
    return _replaced(root, keys, node, option, problems)


def _value(raw: str, place: Place, problems: Problems) -> Node | None:
    """The YAML value of an option, all with the option as its place; None when it is not YAML."""
    inner = Problems()
    node = compose(raw, place.file, inner)
    for problem in inner.found:
        problems.add(place, problem.message)
    if inner.found:
        return None
    if node is None:
        # Nothing, or only a comment: text such as a template that begins with ###.
        return text_node(raw, place) if raw.strip() else ScalarNode(None, "", False, place)
    return _placed(node, place)


def _placed(node: Node, place: Place) -> Node:
    if isinstance(node, ScalarNode):
        return replace(node, place=place)
    if isinstance(node, ListNode):
        return replace(node, items=tuple(_placed(n, place) for n in node.items), place=place)
    entries = {k: Entry(place, _placed(e.node, place)) for k, e in node.entries.items()}
    return replace(node, entries=entries, place=place)


def _with(node: MappingNode, key: str, value: Node) -> MappingNode:
    """The mapping with one value set; a new key stands where its value does."""
    place = value.place if key not in node.entries else node.entries[key].place
    return replace(node, entries={**node.entries, key: Entry(place, value)})


def _replaced(
    node: MappingNode, keys: list[str], value: Node, option: str, problems: Problems
) -> MappingNode:
    """The mapping with the value at a path of keys set; mappings on the way are made if need be."""
    key, rest = keys[0], keys[1:]
    if not rest:
        return replace(node, entries={**node.entries, key: Entry(Place(option), value)})
    inner = node.entries[key].node if key in node.entries else None
    if inner is None or (isinstance(inner, ScalarNode) and inner.value is None):
        inner = MappingNode({}, Place(option))
    if not isinstance(inner, MappingNode):
        message = f"{key} is {describe(inner)}; {short('.'.join(rest))} is not a part of it"
        problems.add(Place(option), message)
        return node
    return _with(node, key, _replaced(inner, rest, value, option, problems))


def _set_step(
    pipeline: Node,
    keys: list[str],
    value: Node,
    passes: Mapping[str, PassSpec],
    problems: Problems,
) -> Node:
    setter = _StepSetter(keys, value, passes, problems)
    changed = setter.visit(pipeline)
    if not setter.done:
        message = f"there is no step {keys[0]!r} in the pipeline, expected {listed(setter.seen)}"
        problems.add(value.place, message + hint(keys[0], setter.seen))
    return changed


class _StepSetter:
    """Finds a step by its id, numbered as the pipeline's reader does, and changes it."""

    def __init__(
        self,
        keys: list[str],
        value: Node,
        passes: Mapping[str, PassSpec],
        problems: Problems,
    ) -> None:
        self._id, self._path = keys[0], keys[1:]
        self._value = value
        self._passes = passes
        self._problems = problems
        self._counts: Counter[str] = Counter()
        self.seen: list[str] = []
        self.done = False

    def visit(self, node: Node) -> Node:
        if isinstance(node, ListNode):
            return replace(node, items=tuple(self.visit(item) for item in node.items))
        if isinstance(node, MappingNode) and ONE_OF in node.entries:
            return self._one_of(node)
        name = self._name(node)
        if name is None:
            return node
        step = next_id(name, self._counts)
        self.seen.append(step)
        return self._changed(node, name) if step == self._id else node

    def _name(self, node: Node) -> str | None:
        if isinstance(node, MappingNode):
            return pass_entry(node, self._passes)
        known = isinstance(node, ScalarNode) and node.raw in self._passes
        return node.raw if known and isinstance(node, ScalarNode) else None

    def _one_of(self, node: MappingNode) -> Node:
        step = next_id(ONE_OF, self._counts)
        self.seen.append(step)
        if step == self._id:
            return self._changed(node, ONE_OF)
        return _with(node, ONE_OF, self.visit(node.entries[ONE_OF].node))

    def _changed(self, node: Node, name: str) -> Node:
        self.done = True
        nothing = ScalarNode(None, "", False, node.place)
        step = node
        if not isinstance(step, MappingNode):
            step = MappingNode({name: Entry(node.place, nothing)}, node.place)
        of_step = len(self._path) == 1 and self._path[0] in STEP_KEYS
        keys = self._path if of_step else [name, *self._path]
        return _replaced(step, keys, self._value, self._value.place.file, self._problems)
