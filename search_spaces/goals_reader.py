"""The `metrics:`, `objectives:` and `constraints:` of a space file.

Knows nothing of pipelines; what an evaluator can measure is judged by `formats`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from search_spaces.constraints import Constraint, Objective
from search_spaces.expressions import (
    ExpressionError,
    contradictions,
    parse_constraint,
    parse_objective,
    parse_tolerance,
)
from search_spaces.functions import Functions
from search_spaces.node_values import is_nothing, items, mapping, parsed, unknown_key, wrong
from search_spaces.parameter_values import read_option
from search_spaces.problems import Place, Problems, hint, listed
from search_spaces.vocabulary import EvaluatorSpec, MetricSpec, Value, Vocabulary
from search_spaces.yaml_nodes import MappingNode, Node

Ask = TypeVar("Ask", Constraint, Objective)
Options = dict[str, Value]

_CONSTRAINT = "a constraint such as latency<50ms"
_OBJECTIVE = "an objective such as minimize latency"


@dataclass(slots=True)
class Goals:
    """What is asked for. `evaluators`: name -> every option; `places`: name -> who asks for it.

    `metrics`: those of the objectives and constraints -> who asks first.
    """

    evaluators: dict[str, Options] = field(default_factory=dict)
    places: dict[str, Place] = field(default_factory=dict)
    metrics: dict[str, Place] = field(default_factory=dict)
    objectives: list[Objective] = field(default_factory=list)
    constraints: list[Constraint] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class ExtraConstraint:
    """A constraint from outside of the file: how to read it, and what to call its place."""

    place: Place
    parse: Callable[[Vocabulary], Constraint]


class GoalsReader:
    """Reads the three blocks, in this order, and notes what is wrong.

    Files that options name are looked for in `base`, then in the current directory.
    """

    def __init__(
        self, vocabulary: Vocabulary, functions: Functions, problems: Problems, base: Path
    ) -> None:
        """`functions`: the metrics of the space's own, which the vocabulary has too."""
        self._vocabulary = vocabulary
        self._functions = functions
        self._problems = problems
        self._base = base
        self.goals = Goals()

    def metrics(self, node: Node) -> None:
        """Read `metrics:`, a mapping of evaluators to their options."""
        if is_nothing(node):
            return
        if not isinstance(node, MappingNode):
            expected = f"a mapping of evaluators ({listed(self._vocabulary.evaluators)}) to options"
            wrong(node, "metrics", expected, self._problems)
            return
        for key, entry in node.entries.items():
            if key in self._functions.refused:
                continue
            spec = self._vocabulary.evaluators.get(key)
            if spec is None:
                self._unknown_evaluator(key, entry.place)
            elif key in self._functions.metrics:
                self.goals.places[key] = entry.place
                self.goals.evaluators[key] = dict(self._functions.options[key])
            else:
                self.goals.places[key] = entry.place
                self.goals.evaluators[key] = self._options(spec, entry.node)

    def objectives(self, node: Node) -> None:
        """Read `objectives:`, a list of one or more texts."""
        found = items(node, "objectives", "objectives such as minimize latency", self._problems)
        if not found and not isinstance(node, MappingNode):
            self._problems.add(node.place, f"objectives: found none, expected {_OBJECTIVE}")
        for item in found:
            objective = self._text(item, _OBJECTIVE, parse_objective)
            if objective is None:
                continue
            same = [(o.metric, o.statistic) for o in self.goals.objectives]
            if (objective.metric, objective.statistic) in same:
                self._problems.add(item.place, f"the objective {objective.text} comes twice")
                continue
            self.goals.objectives.append(objective)
            self._imply(objective.metric, item.place)

    def constraints(self, node: Node | None, extras: Iterable[ExtraConstraint]) -> None:
        """Read `constraints:`, a list of texts or mappings, and those from outside of the file."""
        found: list[tuple[Constraint, Place]] = []
        listing = () if node is None else self._constraint_nodes(node)
        for item in listing:
            if (constraint := self._constraint(item)) is not None:
                found.append((constraint, item.place))
        for extra in extras:
            try:
                found.append((extra.parse(self._vocabulary), extra.place))
            except ExpressionError as error:
                self._problems.add(extra.place, str(error))
        self._keep(found)

    def _constraint_nodes(self, node: Node) -> tuple[Node, ...]:
        if isinstance(node, MappingNode) and "constraint" in node.entries:
            return (node,)
        return items(node, "constraints", "constraints such as latency<50ms", self._problems)

    def _keep(self, found: list[tuple[Constraint, Place]]) -> None:
        """Keep each constraint once, and note those that exclude one another."""
        kept: dict[tuple[object, ...], tuple[Constraint, Place]] = {}
        for constraint, place in found:
            meaning = (
                constraint.metric,
                constraint.statistic,
                constraint.operator,
                constraint.limit,
            )
            kept.setdefault(meaning, (constraint, place))
        for constraint, place in kept.values():
            self.goals.constraints.append(constraint)
            self._imply(constraint.metric, place)
        places = [place for _, place in kept.values()]
        for index, message in contradictions(self.goals.constraints):
            self._problems.add(places[index], message)

    def _constraint(self, node: Node) -> Constraint | None:
        if not isinstance(node, MappingNode):
            return self._text(node, _CONSTRAINT, parse_constraint)
        entries = mapping(node, "constraint", ("constraint", "tolerance"), self._problems) or {}
        if "constraint" not in entries:
            message = (
                "found a mapping without `constraint:`, expected {constraint: ..., tolerance: ...}"
            )
            self._problems.add(node.place, message)
            return None
        constraint = self._text(entries["constraint"].node, _CONSTRAINT, parse_constraint)
        if constraint is None or "tolerance" not in entries:
            return constraint
        tolerance = parsed(
            entries["tolerance"].node,
            f"tolerance of {constraint.text}",
            "a quantity such as 5ms",
            lambda text: parse_tolerance(text, self._metric(constraint.metric)),
            self._problems,
        )
        return replace(constraint, tolerance=tolerance)

    def _text(
        self, node: Node, expected: str, parse: Callable[[str, Vocabulary], Ask]
    ) -> Ask | None:
        return parsed(node, "", expected, lambda t: parse(t, self._vocabulary), self._problems)

    def _metric(self, name: str) -> MetricSpec:
        found = self._vocabulary.metric(name)
        assert found is not None, "the constraint was read"
        return found[1]

    def _imply(self, metric: str, place: Place) -> None:
        """Make sure that the evaluator of a metric is there, with its defaults if need be."""
        self.goals.metrics.setdefault(metric, place)
        found = self._vocabulary.metric(metric)
        assert found is not None, "the objective or constraint was read"
        name = found[0].name
        if name not in self.goals.evaluators:
            self.goals.evaluators[name] = {p.name: p.default for p in found[0].parameters}
            self.goals.places[name] = place

    def _options(self, spec: EvaluatorSpec, node: Node) -> Options:
        what = f"metrics.{spec.name}"
        known = {p.name: p for p in spec.parameters}
        options: Options = {name: p.default for name, p in known.items()}
        entries = mapping(node, what, known, self._problems) or {}
        for name, entry in entries.items():
            where = f"{what}.{name}"
            options[name] = read_option(known[name], entry.node, where, self._problems, self._base)
        return options

    def _unknown_evaluator(self, key: str, place: Place) -> None:
        owner = self._vocabulary.metric(key)
        if owner is not None:
            message = f"{key} is measured by {owner[0].name}; write {owner[0].name}: in its place"
            self._problems.add(place, f"metrics: {message}")
            return
        known = list(self._vocabulary.evaluators)
        metrics = [m.name for e in self._vocabulary.evaluators.values() for m in e.metrics]
        near = hint(key, known)
        if not near and (other := hint(key, metrics)):
            near = other
        if near:
            self._problems.add(
                place, f"metrics: unknown evaluator {key!r}, expected {listed(known)}{near}"
            )
        else:
            unknown_key(key, place, "metrics", known, self._problems)


def check_labels(
    evaluators: Iterable[str],
    specs: Mapping[str, EvaluatorSpec],
    places: Mapping[str, Place],
    label: str | None,
    problems: Problems,
) -> None:
    """Note evaluators that need labels where the data has none."""
    for name in evaluators:
        if specs[name].needs_labels and label is None:
            message = f"{name} needs labels, but the space has no data: with a label:"
            problems.add(places[name], message)


def check_available(goals: Goals, vocabulary: Vocabulary, problems: Problems) -> None:
    """Note what this machine cannot measure: metrics asked for, evaluators with no other metric."""
    asked = dict(goals.metrics)
    for name in goals.evaluators:
        metrics = vocabulary.evaluators[name].metrics
        if all(metric.lacking() for metric in metrics):
            asked.setdefault(metrics[0].name, goals.places[name])
    for metric, place in asked.items():
        found = vocabulary.metric(metric)
        assert found is not None, "it was read"
        reason = found[1].lacking()
        if reason is not None:
            problems.add(place, f"{metric} cannot be measured here: {reason}")
