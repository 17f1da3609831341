"""A study's trials as `search.effects` reads them: decisions, the space's rows, a number per trial.

Takes what passes and metrics declare from the space's text that the study keeps; where that cannot
be read any more, or is of another space, it goes by the trials alone. Computes nothing.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from search_spaces.candidates import (
    Decision,
    build,
    default_candidate,
    is_continuous,
    option,
    option_count,
    plain,
)
from search_spaces.space import Choices, Range, Space, Step, steps_of
from search_spaces.vocabulary import Aspect, Value, Vocabulary
from tuner.review.stored_space import stored_space
from tuner.search.effects import Data
from tuner.search.factors import Factor
from tuner.search.strategies.base import uniform
from tuner.study.api import Study, Trial
from tuner.study.rows import MetricRow

Row = Mapping[str, Any]

RATIOS = frozenset({"s", "B", "J", "tokens/s", "items/s", "bits/B"})
"""Units in which a choice multiplies; in others it adds."""

_WHOLE = frozenset({"complete", "built"})
_ROWS = 300  # drawn from the space
_MOST_LEVELS = 6  # numbers with more values are taken as a range
_LOG_FROM = 16.0  # ends so far apart are taken as logarithmic, where the space does not say
_LARGEST = 1e100  # of a number whose square is still one
_WIDTH = 2 * 1.959964  # of a 95 % interval, in standard errors


@dataclass(frozen=True)
class Question:
    """The data of one metric. `ratio`: its numbers are logarithms.

    `ruled_out`: decisions that cannot change it, by what passes and metrics declare. `samples`: the
    fewest rows of data behind a number.
    """

    metric: str
    unit: str
    data: Data
    ratio: bool
    ruled_out: tuple[str, ...]
    samples: int


@dataclass(frozen=True)
class _Reading:
    """A space, candidates drawn from it, and the domain of every decision that they took."""

    space: Space
    words: Vocabulary
    rows: tuple[Row, ...]
    domains: Mapping[str, Choices | Range]


class Chosen:
    """What a study's trials chose, and what came of it."""

    def __init__(self, study: Study) -> None:
        self._study = study

    @cached_property
    def names(self) -> list[str]:
        """Every decision that a trial took, in the pipeline's order."""
        rows = [] if self._reading is None else self._reading.rows
        tried = {name for trial in self._study.trials for name in trial.parameters}
        ordered = in_order([*rows, *(t.parameters for t in self._study.trials)])
        return [name for name in ordered if name in tried]

    def metrics(self) -> list[str]:
        """Every metric that some trial has, a median by its short name."""
        rows = (row for trial in self._study.trials for row in trial.metrics.items())
        return list(dict.fromkeys(n for n, m in rows if n == m.metric or m.statistic != "p50"))

    def question(self, metric: str) -> Question:
        """The data of a metric: what every trial chose that can change it, and its numbers."""
        out = [n for n in self.names if not self._can_change(n, metric)]
        measured = [(t, t.metrics[metric]) for t in self._study.trials if self._counts(t, metric)]
        unit = measured[0][1].unit if measured else ""
        ratio = unit in RATIOS and all((m.value or 0.0) > 0 for _, m in measured)
        beside = ratio and all(m.ratio is not None and min(m.ratio) > 0 for _, m in measured)
        kept = [n for n in self.names if n not in out]
        found: dict[str, tuple[Row, float, float]] = {}
        for trial, row in measured:
            choices = {n: trial.parameters[n] for n in kept if n in trial.parameters}
            number, error = _number(row, ratio=ratio, beside=beside)
            found.setdefault(repr((choices, number, error)), (choices, number, error))
        rows, values, errors = zip(*found.values(), strict=True) if found else ((), (), ())
        space = [] if self._reading is None else self._reading.rows
        data = Data(
            [self._factors[n] for n in kept],
            rows,
            values,
            errors,
            [{n: v for n, v in row.items() if n in kept} for row in space],
            self._references,
            exact=not any(errors) and Aspect.WEIGHTS not in (self._depends(metric) or Aspect),
        )
        samples = min((m.samples for _, m in measured), default=0)
        return Question(metric, unit, data, ratio, tuple(out), samples)

    def _counts(self, trial: Trial, metric: str) -> bool:
        """Whether a trial's number is that of its whole candidate, and a number."""
        row = trial.metrics.get(metric)
        if row is None or row.value is None or not abs(row.value) < _LARGEST:
            return False
        early = trial.row.state in ("screened", "stopped") and self._depends(metric) is not None
        untrained = early and Aspect.WEIGHTS not in (self._depends(metric) or ())
        return trial.row.state in _WHOLE or untrained

    def _depends(self, metric: str) -> frozenset[Aspect] | None:
        """What a metric depends on; None where that is not known."""
        if self._reading is None:
            return None
        found = self._reading.words.metric(metric.partition(".")[0])
        return None if found is None else found[1].depends_on

    def _can_change(self, name: str, metric: str) -> bool:
        depends = self._depends(metric)
        if self._reading is None or depends is None:
            return True
        item_id = name.partition(".")[0]
        for item in self._reading.space.pipeline:
            steps = steps_of(item)
            if item_id == item.id or item_id in (s.id for s in steps):
                mine: tuple[Step, ...] = steps
                if item_id != item.id:
                    mine = tuple(s for s in steps if s.id == item_id)
                return any(step.spec.changes & depends for step in mine)
        return True

    @cached_property
    def _references(self) -> Row:
        """The chosen candidate's values; of what it has not, the default's."""
        best = self._study.best
        space = None if self._reading is None else self._reading.space
        default = {} if space is None else plain(default_candidate(space).decisions)
        return {**default, **({} if best is None else best.parameters)}

    @cached_property
    def _factors(self) -> Mapping[str, Factor]:
        domains = {} if self._reading is None else self._reading.domains
        return {name: self._factor(name, domains.get(name)) for name in self.names}

    def _factor(self, name: str, domain: Choices | Range | None) -> Factor:
        trials = self._study.trials
        tried = [t.parameters[name] for t in trials if name in t.parameters]
        if isinstance(domain, Range) and _many(domain):
            low, high = min(domain.low, *tried), max(domain.high, *tried)
            return Factor(name, (), low, high, domain.log)
        known = [] if domain is None else _values(domain)
        levels = _distinct([*known, *tried])
        if domain is None and len(levels) > _MOST_LEVELS and all(map(_is_number, levels)):
            low, high = float(min(levels)), float(max(levels))
            return Factor(name, (), low, high, low > 0 and high / low >= _LOG_FROM)
        return Factor(name, tuple(levels))

    @cached_property
    def _reading(self) -> _Reading | None:
        """None where the space cannot be read, or is not the one that was searched."""
        stored = stored_space(self._study)
        words, space = stored.words, stored.space
        if space is None:
            return None
        domains: dict[str, Choices | Range] = {}
        rng = random.Random(0)
        draw = uniform(rng)

        def choose(decision: Decision) -> Value:
            domains[decision.name] = decision.domain
            return draw(decision)

        rows = tuple(plain(build(space, choose).decisions) for _ in range(_ROWS))
        tried = {name for trial in self._study.trials for name in trial.parameters}
        return _Reading(space, words, rows, domains) if tried <= domains.keys() else None


def in_order(rows: Iterable[Row]) -> list[str]:
    """All names of the rows; a new one comes after the one that it follows in its row."""
    found: list[str] = []
    for row in rows:
        place = 0
        for name in row:
            if name in found:
                place = max(place, found.index(name) + 1)
            else:
                found.insert(place, name)
                place += 1
    return found


def _number(row: MetricRow, *, ratio: bool, beside: bool) -> tuple[float, float]:
    """A metric's number and its standard error; ratios by their logarithm.

    `beside`: as measured beside the baseline, so that what all trials have in common is left out.
    """
    value, low, high = row.value or 0.0, row.low, row.high
    if beside and row.ratio is not None:
        error = _error(*(math.log(x) for x in row.ratio[1:]))
        return math.log(value), error
    if not ratio:
        return value, _error(low, high)
    positive = low is not None and high is not None and low > 0
    error = _error(math.log(low), math.log(high)) if positive and low and high else 0.0
    return math.log(value), error


def _error(low: float | None, high: float | None) -> float:
    """Of an interval that holds the value in 95 of 100 cases; 0 where there is none."""
    if low is None or high is None or not math.isfinite(high - low):
        return 0.0
    return min(max(0.0, high - low), _LARGEST) / _WIDTH


def _many(domain: Range) -> bool:
    return is_continuous(domain) or option_count(domain) > _MOST_LEVELS


def _values(domain: Choices | Range) -> list[Any]:
    if isinstance(domain, Choices):
        return [plain(value) for value in domain.values]
    return [option(domain, i) for i in range(option_count(domain))]


def _distinct(values: Iterable[Any]) -> list[Any]:
    """Each value once, in the order given; lists cannot be hashed."""
    found: list[Any] = []
    for value in values:
        if value not in found:
            found.append(value)
    return found


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
