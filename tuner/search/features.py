"""Candidates as rows of numbers whose weighted squared distances say how unlike they are.

Every decision of a space has columns of its own: a number its place in its range, a choice one
column per value, and one more where a candidate has no such decision at all. Knows nothing of
results.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import cached_property

from search_spaces.candidates import option, option_count
from search_spaces.space import Choices, Fixed, OneOf, Range, Space, Step, steps_of
from search_spaces.vocabulary import Aspect, Value

_LOG_RATIO = 8.0
"""Choices that are positive numbers are compared in the log where they span so wide a range."""

ADAPTER = "adapter"  # the format of a fine-tuning's result whose shapes a later pass may keep


class Features:
    """The columns of a space. A row has `width` numbers; `groups`: column -> decision's index."""

    def __init__(self, space: Space) -> None:
        self.domains = dict(_domains(space))
        self.names = tuple(self.domains)
        self._space = space
        self._columns: dict[str, _Numeric | _Categorical] = {}
        self.groups: list[int] = []
        for index, (name, domain) in enumerate(self.domains.items()):
            make = _Numeric if _is_ordered(domain) else _Categorical
            self._columns[name] = made = make(domain)
            self.groups += [index] * made.width
        self.width = len(self.groups)

    def row(self, decisions: Mapping[str, Value]) -> list[float]:
        """The numbers of a candidate, by its decisions."""
        row: list[float] = []
        for name, columns in self._columns.items():
            row += columns.of(decisions[name]) if name in decisions else columns.inactive
        return row

    def relevant(self, aspects: frozenset[Aspect]) -> list[bool]:
        """For each decision whether a metric that depends on these aspects can depend on it."""
        return [bool(self._changes[name.partition(".")[0]] & aspects) for name in self.names]

    @cached_property
    def _changes(self) -> dict[str, frozenset[Aspect]]:
        """Step, or `one_of`, -> what of a model it changes."""
        changes: dict[str, frozenset[Aspect]] = {}
        for number, item in enumerate(self._space.pipeline):
            later = [s for i in self._space.pipeline[number + 1 :] for s in steps_of(i)]
            for step in steps_of(item):
                changes[step.id] = step.spec.changes | _kept_apart(step, later)
            if isinstance(item, OneOf):
                own = [changes[s.id] for s in steps_of(item)]
                # Whether a step is there at all may decide what the next one can do.
                changes[item.id] = frozenset().union(*own)
        return changes


def _kept_apart(step: Step, later: list[Step]) -> frozenset[Aspect]:
    """What a later pass shows of an adapter that it does not merge: its shapes."""
    if step.spec.gives != ADAPTER:
        return frozenset()
    takers = [s.spec.changes for s in later if ADAPTER in s.spec.accepts]
    return frozenset().union(*takers) & {Aspect.STRUCTURE, Aspect.RUNTIME}


def _domains(space: Space) -> Iterator[tuple[str, Choices | Range]]:
    """Every decision that some candidate of the space takes, in the order of the pipeline."""
    for item in space.pipeline:
        if isinstance(item, OneOf):
            yield item.id, Choices(item.labels)
        for step in steps_of(item):
            if step.optional:
                yield step.id, Choices((True, False))
            for name, domain in step.parameters.items():
                if not isinstance(domain, Fixed):
                    yield f"{step.id}.{name}", domain


class _Numeric:
    """A number: its place between the ends, and whether the candidate has it at all."""

    width = 2
    inactive = (0.5, 1.0)

    def __init__(self, domain: Choices | Range) -> None:
        self._domain = domain if isinstance(domain, Range) else _spanned(domain)

    def of(self, value: Value) -> tuple[float, ...]:
        return (place(self._domain, number(value)), 0.0)


class _Categorical:
    """One column per value and one for none: any two values are at the squared distance 1."""

    def __init__(self, domain: Choices | Range) -> None:
        assert isinstance(domain, Choices)
        self.width = len(domain.values) + 1
        rows = [self._row(i) for i in range(self.width)]
        self._rows = {(type(v), v): rows[i] for i, v in enumerate(domain.values)}
        self.inactive = rows[-1]

    def _row(self, index: int) -> tuple[float, ...]:
        return tuple(math.sqrt(0.5) if i == index else 0.0 for i in range(self.width))

    def of(self, value: Value) -> tuple[float, ...]:
        return self._rows.get((type(value), value), self.inactive)  # True is not 1


def _is_ordered(domain: Choices | Range) -> bool:
    """Whether between is a place: of two values none is between."""
    if isinstance(domain, Range):
        return True
    numbers = all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in domain.values)
    return numbers and len(domain.values) > 2


def _spanned(domain: Choices) -> Range:
    values = [number(v) for v in domain.values]
    low, high = min(values), max(values)
    return Range(low, high, False, log=low > 0 and high / low >= _LOG_RATIO)


def number(value: Value) -> float:
    """A value of an ordered decision as a number."""
    assert isinstance(value, (int, float)), "ordered decisions have numbers"
    return float(value)


def place(domain: Range, value: float) -> float:
    """Where in its range a value is: 0 to 1, in the log where the range is."""
    low, high = domain.low, domain.high
    if high <= low:
        return 0.5
    if domain.log:
        return math.log(value / low) / math.log(high / low)
    return (value - low) / (high - low)


def value_at(domain: Range, where: float) -> float | int:
    """The value of a range that is nearest to a place in it; places beyond the ends are cut."""
    where = min(max(where, 0.0), 1.0)
    low, high = domain.low, domain.high
    value = low * (high / low) ** where if domain.log else low + (high - low) * where
    if domain.step or (domain.integer and not domain.log):
        unit = domain.step or 1
        index = min(round((value - low) / unit), option_count(domain) - 1)
        stepped = number(option(domain, index))
        return round(stepped) if domain.integer else stepped
    if domain.integer:
        return min(max(round(value), round(low)), round(high))
    return min(max(value, low), high)
