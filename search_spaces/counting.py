"""How large a space is, and how many stages it has, without listing its candidates.

Walks the pipeline once and carries, for every distinct combination of those decisions that a
later condition asks about, how many prefixes lead there: time and memory depend on the number
of decisions that conditions name, not on the number of candidates.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from search_spaces.candidates import (
    effect_names,
    holds,
    is_continuous,
    is_open,
    option,
    option_count,
)
from search_spaces.conditions import Condition
from search_spaces.space import Domain, Fixed, OneOf, Range, Space, Step, steps_of
from search_spaces.vocabulary import Value


@dataclass(frozen=True, slots=True)
class Size:
    """The size of a space.

    `candidates` None: continuous. `stages`: step id -> distinct stages when shared prefixes run
    once; `unshared`: stages run when every candidate runs all of its own.
    """

    candidates: int | None
    stages: Mapping[str, int]
    unshared: int

    @property
    def shared(self) -> int:
        """Distinct stages in all."""
        return sum(self.stages.values())


@dataclass(frozen=True, slots=True)
class _State:
    """What later conditions can see of a prefix."""

    model_format: str
    scope: frozenset[tuple[str, Value]]

    def with_value(self, name: str, value: Value) -> _State:
        return replace(self, scope=self.scope | {(name, value)})


@dataclass(slots=True)
class _Count:
    prefixes: int = 0
    stages: int = 0  # summed over the prefixes

    def add(self, other: _Count, times: int = 1) -> None:
        self.prefixes += other.prefixes * times
        self.stages += other.stages * times


States = dict[_State, _Count]


def measure(space: Space) -> Size:
    """The size of a space; `candidates` is None when a range in it is continuous."""
    counter = _Counter(_names_asked(space))
    states: States = {_State(space.model.flow, frozenset()): _Count(1, 0)}
    for item in space.pipeline:
        states = counter.item(item, states)
    total = _Count()
    for count in states.values():
        total.add(count)
    candidates = None if counter.continuous else total.prefixes
    return Size(candidates, counter.stages, total.stages)


@dataclass(slots=True)
class _Counter:
    asked: frozenset[str]
    continuous: bool = False
    stages: dict[str, int] = field(default_factory=dict)

    def item(self, item: Step | OneOf, states: States) -> States:
        return self.one_of(item, states) if isinstance(item, OneOf) else self.step(item, states)

    def one_of(self, item: OneOf, states: States) -> States:
        result: States = {}
        for label, alternative in zip(item.labels, item.alternatives, strict=True):
            branch = self._note(item.id, label, states)
            for step in alternative:
                branch = self.step(step, branch)
            _merge(result, branch)
        return result

    def step(self, step: Step, states: States) -> States:
        result: States = {}
        for state, count in states.items():
            skipped = step.spec.skips(state.model_format)
            if skipped or not holds(step.when, dict(state.scope), ""):
                _merge(result, self._note(step.id, False, {state: count}))
                continue
            if step.optional:
                _merge(result, self._note(step.id, False, {state: count}))
            _merge(result, self._used(step, state, count))
        return result

    def _used(self, step: Step, state: _State, count: _Count) -> States:
        states = self._note(step.id, True, {state: count})
        for name, domain in step.parameters.items():
            states = self._parameter(step, name, domain, states)
        after: States = {}
        for s, c in states.items():
            self.stages[step.id] = self.stages.get(step.id, 0) + c.prefixes
            grown = _Count(c.prefixes, c.stages + c.prefixes)
            _merge(after, {replace(s, model_format=step.spec.after(s.model_format)): grown})
        return after

    def _parameter(self, step: Step, name: str, domain: Domain, states: States) -> States:
        full = f"{step.id}.{name}"
        result: States = {}
        for state, count in states.items():
            if not is_open(step, name, dict(state.scope), state.model_format):
                _merge(result, {state: count})
            elif full in self.asked:
                for value in self._values(domain):
                    _merge(result, {state.with_value(full, value): count})
            else:
                _merge(result, {state: count}, times=self._options(domain))
        return result

    def _options(self, domain: Domain) -> int:
        if isinstance(domain, Fixed):
            return 1
        if is_continuous(domain):
            self.continuous = True
            return 1
        return option_count(domain)

    def _values(self, domain: Domain) -> Iterable[Value]:
        if isinstance(domain, Fixed):
            return (domain.value,)
        if isinstance(domain, Range) and is_continuous(domain):
            self.continuous = True
            return (domain.low,)
        return (option(domain, i) for i in range(option_count(domain)))

    def _note(self, name: str, value: Value, states: States) -> States:
        if name not in self.asked:
            return states
        result: States = {}
        for state, count in states.items():
            _merge(result, {state.with_value(name, value): count})
        return result


def _merge(into: States, states: States, times: int = 1) -> None:
    for state, count in states.items():
        into.setdefault(state, _Count()).add(count, times)


def _names_asked(space: Space) -> frozenset[str]:
    """The full names of all decisions that some condition asks about."""
    names: set[str] = set()
    for item in space.pipeline:
        for step in steps_of(item):
            names |= _full_names(step.when, step)
            for domain in step.parameters.values():
                names |= _full_names(domain.when, step)
            names |= effect_names(step)
    return frozenset(names)


def _full_names(condition: Condition | None, step: Step) -> set[str]:
    if condition is None:
        return set()
    own = set(step.parameters)
    return {f"{step.id}.{n}" if n in own else n for n in condition.names}
