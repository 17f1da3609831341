"""From a space to its candidates: the decisions to take, in order, and what follows from them.

A strategy supplies a `choose` function; `build` walks the pipeline and asks it for every decision
that is open under the decisions taken so far. Knows nothing of how a strategy chooses.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from search_spaces.conditions import Condition
from search_spaces.space import Choices, Domain, Fixed, OneOf, Range, Space, Step
from search_spaces.vocabulary import INPUT, PassSpec, Value


@dataclass(frozen=True, slots=True)
class Decision:
    """An open question of a candidate: `lora` (used?), `one_of` (which?), `lora.r` (its value?)."""

    name: str
    domain: Choices | Range
    default: Value


Choose = Callable[[Decision], Value]


@dataclass(frozen=True)
class CandidateStep:
    """A pass with every parameter fixed."""

    id: str
    spec: PassSpec
    parameters: Mapping[str, Value]

    def to_json(self) -> dict[str, Any]:
        """The step as plain data: id, pass, parameters."""
        return {"id": self.id, "pass": self.spec.name, "parameters": plain(self.parameters)}


@dataclass(frozen=True)
class Candidate:
    """A pipeline with every parameter fixed. `decisions`: what was chosen, by decision name."""

    decisions: Mapping[str, Value]
    steps: tuple[CandidateStep, ...]

    @cached_property
    def key(self) -> str:
        """Candidates that run the same passes with the same values have the same key (64 hex)."""
        return digest(
            [[s.spec.name, s.spec.version, told(s.spec, s.parameters)] for s in self.steps]
        )


def plain(value: Any) -> Any:
    """`value` as JSON data: tuples become lists."""
    if isinstance(value, Mapping):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, (tuple, list)):
        return [plain(v) for v in value]
    return value


def told(spec: PassSpec, parameters: Mapping[str, Value]) -> dict[str, Any]:
    """The parameters of a key: all but those at defaults that came after results were stored."""
    later = {p.name: p.default for p in spec.parameters if p.later}
    return {n: plain(v) for n, v in parameters.items() if n not in later or v != later[n]}


def digest(data: Any) -> str:
    """SHA-256 (hex) of JSON data in canonical form."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Memo:
    """What building many candidates of one space need not find out each time.

    `decisions`: the parameters' decisions; `free`: those open wherever the format fixes no value.
    """

    decisions: dict[str, Decision] = field(default_factory=dict)
    free: dict[str, bool] = field(default_factory=dict)


def build(space: Space, choose: Choose, memo: Memo | None = None) -> Candidate:
    """The candidate that `choose` leads to; it is asked only what is open, in pipeline order.

    `memo`: to be kept by who builds many candidates of this very space.
    """
    builder = _Builder(choose, memo or Memo(), space.model.flow)
    for item in space.pipeline:
        builder.add(item)
    return Candidate(builder.decisions, tuple(builder.steps))


def default_candidate(space: Space) -> Candidate:
    """The candidate of defaults: optional passes on, each parameter at (or nearest) its default."""
    return build(space, lambda decision: decision.default)


def baseline_candidate(space: Space) -> Candidate:
    """The unoptimised model in its runtime: passes that only convert, at their neutral values.

    And those that the space counts to the baseline, at their fixed values or defaults.
    """
    steps: list[CandidateStep] = []
    model_format = space.model.flow
    for step in _first_alternatives(space):
        spec = step.spec
        if spec.neutral is None and not step.baseline:
            continue
        if spec.skips(model_format) or not spec.takes(model_format):
            continue
        chosen = _plain_values(step) if step.baseline else dict(spec.neutral or {})
        steps.append(CandidateStep(step.id, spec, complete(spec, chosen, model_format)))
        model_format = spec.after(model_format)
    return Candidate({}, tuple(steps))


def _plain_values(step: Step) -> dict[str, Value]:
    """The values of parameters without a choice, and of the others those nearest their default."""
    values: dict[str, Value] = {}
    for name, domain in step.parameters.items():
        own = {f"{step.id}.{known}": value for known, value in values.items()}
        if holds(domain.when, own, step.id):
            values[name] = _plain_value(step, name, domain)
    return values


def _plain_value(step: Step, name: str, domain: Domain) -> Value:
    if isinstance(domain, Fixed):
        return domain.value
    return parameter_decision(step, name, domain).default


def complete(spec: PassSpec, chosen: Mapping[str, Value], model_format: str) -> dict[str, Value]:
    """Every parameter of a pass on a model of this format: chosen, or fixed, or the default.

    What has no effect beside the others keeps its default, so that one thing has one key.
    """
    values = {p.name: p.default for p in spec.parameters}
    values |= dict(chosen) | dict(spec.fixes.get(model_format, {}))
    idle = set()  # what a parameter depends on is declared, and so settled, before it
    for parameter in spec.parameters:
        for other, wanted in parameter.applies.items():
            value = model_format if other == INPUT else values[other]
            if value not in wanted or other in idle:
                idle.add(parameter.name)
                values[parameter.name] = parameter.default
                break
    return values


def is_open(step: Step, name: str, scope: Mapping[str, Value], model_format: str) -> bool:
    """Whether a parameter of a step is to be asked for, under what is known so far.

    It is not where the format fixes it, its condition does not hold, or it has no effect.
    """
    if name in step.spec.fixes.get(model_format, {}):
        return False
    if not holds(step.parameters[name].when, scope, step.id):
        return False
    if not step.spec.parameter(name).applies:
        return True
    known = _known(step, scope, model_format)
    return _has_effect(step.spec, name, known, model_format)


def effect_names(step: Step) -> set[str]:
    """The full names of parameters that decide whether another one has an effect."""
    parameters = map(step.spec.parameter, step.parameters)
    return {f"{step.id}.{name}" for p in parameters for name in p.applies if name != INPUT}


def _known(step: Step, scope: Mapping[str, Value], model_format: str) -> dict[str, Value]:
    """The values of a step's own parameters that are settled, those never asked for included."""
    prefix = f"{step.id}."
    values = {p.name: p.default for p in step.spec.parameters if p.name not in step.parameters}
    values |= {k.removeprefix(prefix): v for k, v in scope.items() if k.startswith(prefix)}
    return values | dict(step.spec.fixes.get(model_format, {}))


def _has_effect(spec: PassSpec, name: str, known: Mapping[str, Value], model_format: str) -> bool:
    """Whether a parameter has an effect beside what is known of the others.

    It has none where one that it depends on has none either.
    """
    known = {**known, INPUT: model_format}
    return all(
        (other not in known or known[other] in values)
        and (other == INPUT or _has_effect(spec, other, known, model_format))
        for other, values in spec.parameter(name).applies.items()
    )


def enumerate_candidates(space: Space) -> Iterator[Candidate]:
    """Every candidate of a space without continuous ranges, late decisions varying fastest.

    Uses memory for one candidate at a time. ValueError on a continuous range.
    """
    path: list[list[int]] = []  # per decision: the index taken, how many there are
    memo = Memo()
    while True:
        position = 0

        def choose(decision: Decision) -> Value:
            nonlocal position
            if position == len(path):
                path.append([0, option_count(decision.domain)])
            value = option(decision.domain, path[position][0])
            position += 1
            return value

        yield build(space, choose, memo)
        while path and path[-1][0] + 1 == path[-1][1]:
            path.pop()
        if not path:
            return
        path[-1][0] += 1


def option_count(domain: Choices | Range) -> int:
    """How many values a domain has; ValueError for a continuous range."""
    if isinstance(domain, Choices):
        return len(domain.values)
    step = domain.step or (1 if domain.integer else None)
    if step is None:
        raise ValueError("a continuous range cannot be enumerated")
    return math.floor((domain.high - domain.low) / step + 1e-9) + 1


def option(domain: Choices | Range, index: int) -> Value:
    """The value at `index` of a domain that is not continuous."""
    if isinstance(domain, Choices):
        return domain.values[index]
    value = domain.low + index * (domain.step or 1)
    return round(value) if domain.integer else value


def is_continuous(domain: Domain) -> bool:
    """Whether a domain has values between any two values."""
    return isinstance(domain, Range) and not domain.integer and domain.step is None


@dataclass
class _Builder:
    """Walks a pipeline, asking for what is open."""

    choose: Choose
    memo: Memo
    model_format: str
    decisions: dict[str, Value] = field(default_factory=dict)
    scope: dict[str, Value] = field(default_factory=dict)
    steps: list[CandidateStep] = field(default_factory=list)

    def add(self, item: Step | OneOf) -> None:
        if isinstance(item, OneOf):
            self._add_alternatives(item)
        elif self._included(item):
            self._add_step(item)
        else:
            self.scope[item.id] = False

    def _add_alternatives(self, item: OneOf) -> None:
        for alternative in item.alternatives:
            self.scope.update({step.id: False for step in alternative})
        label = self._decide(one_of_decision(item))
        for step in item.alternatives[item.labels.index(str(label))]:
            self.add(step)

    def _included(self, step: Step) -> bool:
        if step.spec.skips(self.model_format):
            return False
        if not holds(step.when, self.scope, ""):
            return False
        return not step.optional or bool(self._decide(_inclusion(step.id)))

    def _add_step(self, step: Step) -> None:
        self.scope[step.id] = True
        chosen: dict[str, Value] = {}
        for name, domain in step.parameters.items():
            full = f"{step.id}.{name}"
            if self._is_open(step, name, full):
                chosen[name] = self.scope[full] = self._value(step, name, full, domain)
        parameters = complete(step.spec, chosen, self.model_format)
        self.steps.append(CandidateStep(step.id, step.spec, parameters))
        self.model_format = step.spec.after(self.model_format)

    def _is_open(self, step: Step, name: str, full: str) -> bool:
        free = self.memo.free.get(full)
        if free is None:
            applies = step.spec.parameter(name).applies
            free = self.memo.free[full] = step.parameters[name].when is None and not applies
        if free:
            return name not in step.spec.fixes.get(self.model_format, {})
        return is_open(step, name, self.scope, self.model_format)

    def _value(self, step: Step, name: str, full: str, domain: Domain) -> Value:
        if isinstance(domain, Fixed):
            return domain.value
        decision = self.memo.decisions.get(full)
        if decision is None:
            decision = self.memo.decisions[full] = parameter_decision(step, name, domain)
        return self._decide(decision)

    def _decide(self, decision: Decision) -> Value:
        value = self.choose(decision)
        self.decisions[decision.name] = value
        if isinstance(value, (bool, str)):
            self.scope.setdefault(decision.name, value)
        return value


def holds(condition: Condition | None, scope: Mapping[str, Value], step: str) -> bool:
    """Whether a condition holds where `step` may name its own parameters without a prefix."""
    if condition is None:
        return True
    prefix = f"{step}."
    own = {n: scope[prefix + n] for n in condition.names if prefix + n in scope}
    return condition.evaluate({**scope, **own})


def _inclusion(name: str) -> Decision:
    return Decision(name, Choices((True, False)), True)


def one_of_decision(item: OneOf) -> Decision:
    """Which alternative is used."""
    return Decision(item.id, Choices(item.labels), item.labels[0])


def parameter_decision(step: Step, name: str, domain: Choices | Range) -> Decision:
    """What value a parameter takes; the default is the pass's own where the domain has it."""
    return Decision(
        f"{step.id}.{name}", domain, nearest_value(domain, step.spec.parameter(name).default)
    )


def nearest_value(domain: Choices | Range, wanted: Value) -> Value:
    """`wanted` if the domain has it, else the nearest in a range, or the first of the choices."""
    if isinstance(domain, Choices):
        return wanted if wanted in domain.values else domain.values[0]
    number = wanted if isinstance(wanted, (int, float)) else domain.low
    number = min(max(number, domain.low), domain.high)
    if domain.step:
        number = domain.low + round((number - domain.low) / domain.step) * domain.step
    return round(number) if domain.integer else float(number)


def _first_alternatives(space: Space) -> Iterator[Step]:
    """The steps of a pipeline; of each `one_of` the first alternative that has a neutral form."""
    for item in space.pipeline:
        if isinstance(item, Step):
            yield item
            continue
        neutral = [
            a for a in item.alternatives if all(s.baseline or s.spec.neutral is not None for s in a)
        ]
        marked = [a for a in neutral if any(s.baseline for s in a)]
        yield from (marked or neutral or [()])[0]
