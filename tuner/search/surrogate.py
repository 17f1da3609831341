"""What the results so far say of candidates that were not tried: one process per quantity.

The quantities are the objectives, the constraints' violations, and whether a candidate runs at
all. Each sees only the decisions that it can depend on; values of candidates that agree in those
are one observation. A part of the training and another study's results are decisions too: how
much they count is fitted as for any other. Knows nothing of pools, costs or what to try.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from search_spaces.candidates import Candidate
from search_spaces.space import Space
from search_spaces.vocabulary import Aspect
from tuner.search.acquisition import log_cdf
from tuner.search.features import Features
from tuner.search.gaussian import Array, Gaussian, Weights, condition, fit
from tuner.search.strategies.base import Result

_MOST = 180  # observations of a process
_MOST_FITTED = 110  # of those that its weights are fitted to
_FIRST_FIT = 4
_GROWTH = 1.15  # of the observations, after which weights are fitted anew
_ORIGINS = 4  # other studies that are told apart
_LOG_RATIO = 5.0  # losses are taken in the log where they are positive and so far apart
_EVERYTHING = frozenset(Aspect)
RUNS = "runs"
"""The quantity that is 1 for a candidate that was measured and 0 for one that failed."""


@dataclass(frozen=True, slots=True)
class Record:
    """One result. `row`: the features, the share of training left out, and the origin."""

    candidate: Candidate
    row: list[float]
    losses: tuple[float | None, ...]
    violations: Mapping[str, float]
    own: bool
    failed: bool
    feasible: bool  # a result of this study that may be on the front
    missed: float  # by how much the known constraints are violated in all; infinite: it failed


@dataclass(frozen=True, slots=True)
class Predicted:
    """Of n candidates: losses (n x objectives), log of the chance to be feasible and to run."""

    losses: Array
    deviations: Array
    feasible: Array


class _Quantity:
    """What is known of one quantity: distinct rows, and every value that was seen in each."""

    def __init__(
        self,
        columns: Sequence[int],
        groups: Sequence[int],
        value: Callable[[Record], float | None],
    ) -> None:
        self.columns = np.array(columns)
        self.groups = np.unique(groups, return_inverse=True)[1]
        self._value = value
        self._slots: dict[tuple[float, ...], int] = {}
        self.seen: list[tuple[int, int, float]] = []  # record, slot, value
        self.fitted: tuple[int, Weights] | None = None

    def learn(self, number: int, record: Record) -> None:
        """Note what a record says of this quantity."""
        value = self._value(record)
        if value is not None:
            row = tuple(record.row[c] for c in self.columns)
            slot = self._slots.setdefault(row, len(self._slots))
            self.seen.append((number, slot, value))

    def observations(
        self, scale: _Scale, ranks: Sequence[int], most: int, count: int | None = None
    ) -> _Observations:
        """At most so many of the first `count` results, those in one row taken together."""
        numbers, slots, seen = zip(*self.seen[:count], strict=True)
        at = np.array(slots)
        counts = np.bincount(at)  # slots are numbered as they come, so that none is empty
        means = np.bincount(at, weights=scale.all_to(np.array(seen))) / counts
        kept: Sequence[int] = range(len(counts))
        if len(counts) > most:
            best = np.full(len(counts), len(ranks))
            np.minimum.at(best, at, np.array(ranks)[list(numbers)])
            kept = _thinned(dict(enumerate(best.tolist())), most)
        rows = list(self._slots)
        chosen = list(kept)
        return _Observations(
            np.array([rows[slot] for slot in chosen]), means[chosen], 1.0 / counts[chosen]
        )


@dataclass(frozen=True, slots=True)
class _Observations:
    """Distinct rows, what was observed there on average, and the noise of that."""

    rows: Array
    values: Array
    noise: Array


class Surrogate:
    """Learns from results; `models` gives what they say now."""

    def __init__(
        self, space: Space, features: Features, depends: Mapping[str, frozenset[Aspect]]
    ) -> None:
        self.records: list[Record] = []
        self._features = features
        self._space = space
        self._origins: list[str] = []
        self._quantities = self._made(depends)

    def learn(self, candidate: Candidate, result: Result, origin: str | None = None) -> None:
        """Take in a result, of this study or (a hint) of another one."""
        if result.transient:
            return
        values = result.objectives if result.objectives is not None else result.known
        signs = [1.0 if o.minimize else -1.0 for o in self._space.objectives]
        known = [None if v is None or not math.isfinite(v) else v for v in values]
        known += [None] * (len(signs) - len(known))
        losses = tuple(None if v is None else v * s for v, s in zip(known, signs, strict=True))
        violations = {t: v for t, v in result.violations.items() if math.isfinite(v)}
        whole = None not in losses and result.objectives is not None and result.share >= 1.0
        whole = whole and all(c.text in violations for c in self._space.constraints)
        holds = all(v <= 0 for v in violations.values())
        missed = math.inf if result.failed else sum(max(0.0, v) for v in violations.values())
        record = Record(
            candidate,
            self.row(candidate, result.share, origin),
            losses,
            violations,
            origin is None,
            result.failed,
            origin is None and whole and holds,
            missed,
        )
        for quantity in self._quantities.values():
            quantity.learn(len(self.records), record)
        self.records.append(record)

    def row(
        self, candidate: Candidate, share: float = 1.0, origin: str | None = None
    ) -> list[float]:
        """The numbers by which a candidate's results are told apart."""
        origins = [0.0] * (_ORIGINS + 1)
        origins[self._origin(origin)] = math.sqrt(0.5)
        return [*self._features.row(candidate.decisions), 1.0 - share, *origins]

    def _origin(self, origin: str | None) -> int:
        if origin is None:
            return 0
        if origin not in self._origins:
            self._origins.append(origin)
        return min(self._origins.index(origin) + 1, _ORIGINS)

    def models(self, ranks: Sequence[int], pending: Sequence[Candidate]) -> Models:
        """What the results say now. `ranks`: of each record, 0 for the best: those are kept.

        `pending` candidates count as if they had the values predicted for them.
        """
        under_way = np.array([self.row(c) for c in pending])
        made: dict[str, _Model] = {}
        for name, quantity in self._quantities.items():
            model = self._model(name, quantity, ranks, under_way)
            if model is not None:
                made[name] = model
        return Models(self._space, made)

    def _model(
        self, name: str, quantity: _Quantity, ranks: Sequence[int], pending: Array
    ) -> _Model | None:
        values = [value for _, _, value in quantity.seen]
        if len(set(values)) < (2 if name == RUNS else 1):
            return None
        scale = _Scale.of(values) if name.startswith("o") else _Scale()
        weights = _weights(quantity, scale, len(self.records))
        kept = quantity.observations(scale, ranks, _MOST)
        process = condition(kept.rows, quantity.groups, kept.values, kept.noise, weights)
        if len(pending):
            at = pending[:, quantity.columns]
            rows, noise = np.vstack([kept.rows, at]), np.append(kept.noise, np.ones(len(at)))
            believed = np.append(kept.values, process.predict(at)[0])
            process = condition(rows, quantity.groups, believed, noise, weights)
        return _Model(process, quantity.columns, scale)

    def _made(self, depends: Mapping[str, frozenset[Aspect]]) -> dict[str, _Quantity]:
        quantities: dict[str, _Quantity] = {}
        for index, objective in enumerate(self._space.objectives):
            aspects = depends.get(objective.metric, _EVERYTHING)
            quantities[f"o{index}"] = self._quantity(aspects, _loss(index))
        for number, constraint in enumerate(self._space.constraints):
            aspects = depends.get(constraint.metric, _EVERYTHING)
            quantities[f"c{number}"] = self._quantity(aspects, _violation(constraint.text))
        return quantities | {RUNS: self._quantity(_EVERYTHING, _ran, trained=False)}

    def _quantity(
        self,
        aspects: frozenset[Aspect],
        value: Callable[[Record], float | None],
        trained: bool = True,
    ) -> _Quantity:
        names = self._features.relevant(aspects)
        share = len(names)
        wanted = [i for i, group in enumerate(self._features.groups) if names[group]]
        groups = [self._features.groups[i] for i in wanted]
        if trained and Aspect.WEIGHTS in aspects:
            wanted, groups = [*wanted, self._features.width], [*groups, share]
        wanted += [self._features.width + 1 + i for i in range(_ORIGINS + 1)]
        groups += [share + 1] * (_ORIGINS + 1)
        return _Quantity(wanted, groups, value)


def _weights(quantity: _Quantity, scale: _Scale, records: int) -> Weights:
    """The weights fitted to the first results, as many as there were at the last fit.

    They follow from the results alone, not from when they were asked for.
    """
    count = _fit_at(len(quantity.seen))
    if quantity.fitted is not None and quantity.fitted[0] == count:
        return quantity.fitted[1]
    if count < _FIRST_FIT:
        number = int(quantity.groups.max()) + 1
        return Weights(np.full(number, 3.0 / max(number, 3)), 1e-2)
    if scale != _Scale():
        scale = _Scale.of([value for _, _, value in quantity.seen[:count]])
    latest = [-number for number in range(records)]
    kept = quantity.observations(scale, latest, _MOST_FITTED, count)
    weights = fit(kept.rows, quantity.groups, kept.values, kept.noise)
    quantity.fitted = (count, weights)
    return weights


def _thinned(best: Mapping[int, int], most: int) -> list[int]:
    """Of slots, by the best rank in each: the best third, the latest third, some of the rest."""
    third = most // 3
    chosen = dict.fromkeys(sorted(best, key=best.__getitem__)[:third])
    chosen |= dict.fromkeys([slot for slot in sorted(best)[::-1] if slot not in chosen][:third])
    rest = [slot for slot in sorted(best) if slot not in chosen]
    left = most - len(chosen)
    chosen |= dict.fromkeys(rest[i * len(rest) // left] for i in range(left))
    return sorted(chosen)


def _fit_at(count: int) -> int:
    """The last number of observations, up to this one, at which weights are fitted."""
    at, following = count if count < _FIRST_FIT else _FIRST_FIT, _FIRST_FIT
    while following <= count:
        at, following = following, max(following + 1, int(following * _GROWTH))
    return at


def _loss(index: int) -> Callable[[Record], float | None]:
    return lambda record: record.losses[index]


def _violation(text: str) -> Callable[[Record], float | None]:
    def value(record: Record) -> float | None:
        found = None if record.failed else record.violations.get(text)
        return None if found is None else math.asinh(found)

    return value


def _ran(record: Record) -> float:
    return 0.0 if record.failed else 1.0


@dataclass(frozen=True, slots=True)
class _Scale:
    """How losses are seen: in the log or not, and no worse than the worst that still matters."""

    log: bool = False
    worst: float = math.inf

    @classmethod
    def of(cls, losses: Sequence[float]) -> _Scale:
        log = min(losses) > 0 and max(losses) > _LOG_RATIO * min(losses)
        seen = sorted(math.log(v) if log else v for v in losses)
        middle = seen[len(seen) // 2]
        spread = middle - seen[0]
        return cls(log, middle + 4.0 * spread if spread > 0 else math.inf)

    def all_to(self, losses: Array) -> Array:
        """Losses as they are seen."""
        found: Array = np.minimum(np.log(losses) if self.log else losses, self.worst)
        return found

    def back(self, means: Array, deviations: Array) -> tuple[Array, Array]:
        """Mean and deviation of the loss itself; where it is in the log, of a log-normal one."""
        if not self.log:
            return means, deviations
        variance = np.square(np.minimum(deviations, 1.5))
        raw = np.exp(means + 0.5 * variance)
        return raw, raw * np.sqrt(np.expm1(variance))


@dataclass(frozen=True, slots=True)
class _Model:
    process: Gaussian
    columns: NDArray[np.intp]
    scale: _Scale = field(default_factory=_Scale)

    def predict(self, rows: Array) -> tuple[Array, Array]:
        return self.scale.back(*self.process.predict(rows[:, self.columns]))


class Models:
    """The processes of all quantities of which something is known."""

    def __init__(self, space: Space, models: Mapping[str, _Model]) -> None:
        self._space = space
        self._models = models

    @property
    def complete(self) -> bool:
        """Whether something is known of every objective."""
        return all(f"o{i}" in self._models for i in range(len(self._space.objectives)))

    def predict(self, rows: Array, doubt: float = 1.0) -> Predicted:
        """Of candidates, by their rows. What nothing is known of counts as 0, and as feasible.

        `doubt`: how many times as uncertain everything is taken to be as the processes say. They
        know nothing of what decisions that always changed together do apart.
        """
        zeros = np.zeros(len(rows))
        found = [
            self._models[name].predict(rows) if name in self._models else (zeros, zeros + 1.0)
            for name in (f"o{i}" for i in range(len(self._space.objectives)))
        ]
        feasible = zeros
        for name in (f"c{i}" for i in range(len(self._space.constraints))):
            if name in self._models:
                means, deviations = self._models[name].predict(rows)
                feasible = feasible + log_cdf(-means / (doubt * deviations))
        if RUNS in self._models:
            means, _ = self._models[RUNS].predict(rows)
            feasible = feasible + np.log(np.clip(means, 0.01, 1.0))
        losses, deviations = (np.stack(columns, axis=1) for columns in zip(*found, strict=True))
        return Predicted(losses, doubt * deviations, feasible)
