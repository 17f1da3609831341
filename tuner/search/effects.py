"""What each choice did to a metric, told from trials that a search chose, not from a balanced plan.

Means per value would mix up what was changed together. So a model of all choices and of their
pairs is fitted (`anova`); what the trials cannot tell apart gets a note in place of a number.
Averages and shares are over the space, each value of an open decision as likely as the others, and
not over the trials. Knows nothing of studies and spaces: rows of choices, and a number for each.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations
from typing import TYPE_CHECKING, Any

from tuner.search.anova import LARGEST_NOISE, Columns, Draws, draw
from tuner.search.factors import Factor, covariance, features, step_between, tried, varies
from tuner.search.gates import descendants

if TYPE_CHECKING:
    from tuner.search.anova import Array

Row = Mapping[str, Any]

FEWEST, FEWEST_EXACT = 5, 3
"""With fewer rows nothing is told."""

_PAIRS_FROM = 8  # trials; with fewer no pair of decisions is looked at
_PAIR_COLUMNS, _PAIR_COLUMNS_LARGE = 300, 120  # at most, below and above `_LARGE` trials
_LARGE = 100
_NOISE_EXACT = 0.3  # what choices settle may still not be a sum of them and of pairs
_NOTHING = 0.01  # a share below is nothing


@dataclass(frozen=True, slots=True)
class Effect:
    """What `value` in place of `reference` adds, on average over the space, with its interval.

    `trials`: with the reference and with the value; `pairs`: how many of them differ in nothing
    else. Where it cannot be told, `note` says why and there are no numbers.
    """

    decision: str
    reference: Any
    value: Any
    trials: tuple[int, int]
    pairs: int
    change: float | None = None
    low: float | None = None
    high: float | None = None
    note: str | None = None

    @property
    def clear(self) -> bool:
        """Whether the interval leaves out that there is no effect."""
        return self.low is not None and self.high is not None and not self.low <= 0 <= self.high


@dataclass(frozen=True, slots=True)
class Importance:
    """The share of a metric's variance over the space that a decision explains (0 to 1).

    Its own part and half of that of every pair it takes part in, with a 95 % interval.
    """

    decision: str
    share: float | None = None
    low: float | None = None
    high: float | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Analysis:
    """What is known of one metric. `note`: why nothing is. `rest`: the share nothing explains."""

    trials: int
    importances: tuple[Importance, ...] = ()
    effects: tuple[Effect, ...] = ()
    rest: Importance | None = None
    pairs_considered: int = 0
    note: str | None = None


@dataclass(frozen=True)
class Data:
    """Rows of choices with a number each.

    `errors`: standard errors of the numbers, 0 where exact. `space`: rows as the space gives them.
    `references`: decision -> the value that others are compared with. `exact`: choices settle the
    number, without any luck in it; then one pair of trials that differ in nothing else will do.
    """

    factors: Sequence[Factor]
    rows: Sequence[Row]
    values: Sequence[float]
    errors: Sequence[float]
    space: Sequence[Row]
    references: Mapping[str, Any] = field(default_factory=dict)
    exact: bool = False

    @property
    def enough(self) -> bool:
        """Whether there are so many rows that something can be told."""
        return len(self.values) >= (FEWEST_EXACT if self.exact else FEWEST)


def analyse(data: Data) -> Analysis:
    """Importance and effects of every factor; a note where there are too few rows, or no change."""
    count = len(data.values)
    if not data.enough:
        return Analysis(count, note="too few trials to tell")
    spread, size = max(data.values) - min(data.values), max(map(abs, data.values))
    if spread <= max(1e-9 * size, 1e-100):
        return Analysis(count, note="the same in every trial")
    return _Model(data).analysis()


class _Model:
    """The model's columns for the factors that have at least two values among the rows."""

    def __init__(self, data: Data) -> None:
        self._data = data
        self._all = [tried(factor, data.rows) for factor in data.factors]
        self._factors = {f.name: f for f in self._all if varies(f, data.rows)}
        self._heirs = descendants(data.factors, data.space or data.rows)
        self._space = self._seen()

    def analysis(self) -> Analysis:
        if not self._factors:
            return Analysis(len(self._data.values), note="no choice was tried in two ways")
        draws = self._draws
        effects = [e for f in self._factors.values() for e in self._effects(f, draws)]
        importances, rest = self._importances(draws, effects)
        return Analysis(
            len(self._data.values),
            importances,
            tuple(effects),
            rest,
            len(self._pairs),
        )

    def _seen(self) -> list[Row]:
        """The space's rows that have no value but those tried."""
        levels = {f.name: f.levels for f in self._all if f.levels}
        fits = [r for r in self._data.space if all(r[n] in levels[n] for n in r if n in levels)]
        return fits if len(fits) >= min(20, len(self._data.space)) else list(self._data.space)

    @cached_property
    def _open(self) -> Mapping[str, Array]:
        """For each factor, at which of the space's rows it is open."""
        import numpy as np

        rows = self._space or self._data.rows
        return {n: np.array([n in row for row in rows], dtype=float) for n in self._factors}

    @cached_property
    def _main(self) -> Mapping[str, Array]:
        """Each factor's columns, rows x its width; 0 where it is not open."""
        return {n: features(f, self._data.rows) for n, f in self._factors.items()}

    @cached_property
    def _pairs(self) -> list[tuple[str, str]]:
        """The pairs that the model has: not of a decision and what depends on it."""
        if len(self._data.rows) < _PAIRS_FROM:
            return []
        pairs = [
            (a, b)
            for a, b in combinations(self._factors, 2)
            if b not in self._heirs[a] and a not in self._heirs[b]
            if (self._open[a] * self._open[b]).any() and self._together(a, b).any()
        ]
        large = len(self._data.rows) > _LARGE
        return self._strongest(pairs, _PAIR_COLUMNS_LARGE if large else _PAIR_COLUMNS)

    def _together(self, a: str, b: str) -> Array:
        """A pair's columns: products of the factors' own (of a range, of its line alone)."""
        left, right = (
            self._main[n] if self._factors[n].levels else self._main[n][:, :1] for n in (a, b)
        )
        return (left[:, :, None] * right[:, None, :]).reshape(len(left), -1)

    def _strongest(self, pairs: list[tuple[str, str]], most: int) -> list[tuple[str, str]]:
        """As many pairs as have `most` columns, those first that follow what factors leave."""
        import numpy as np

        blocks = {pair: self._together(*pair) for pair in pairs}
        if sum(b.shape[1] for b in blocks.values()) <= most:
            return pairs
        base = np.hstack([np.ones((len(self._data.values), 1)), *self._main.values()])
        y = np.array(self._data.values, dtype=float)
        left = y - base @ np.linalg.lstsq(base, y, rcond=1e-8)[0]
        follows = {
            p: float(np.square(b.T @ left).sum() / max(np.square(b).sum(), 1e-12))
            for p, b in blocks.items()
        }
        kept: set[tuple[str, str]] = set()
        for pair in sorted(pairs, key=lambda p: -follows[p]):
            most -= blocks[pair].shape[1]
            if most >= 0:
                kept.add(pair)
        return [p for p in pairs if p in kept]

    @cached_property
    def _slices(self) -> Mapping[str | tuple[str, ...], slice]:
        """Which of the weights are a factor's, and a pair's."""
        found: dict[str | tuple[str, ...], slice] = {}
        start = 0
        widths: dict[str | tuple[str, ...], int] = {n: m.shape[1] for n, m in self._main.items()}
        widths |= {p: self._together(*p).shape[1] for p in self._pairs}
        for name, width in widths.items():
            found[name] = slice(start, start + width)
            start += width
        return found

    @cached_property
    def _draws(self) -> Draws:
        import numpy as np

        blocks = [*self._main.values(), *(self._together(*p) for p in self._pairs)]
        group = np.repeat(np.arange(len(blocks)), [b.shape[1] for b in blocks])
        is_pair = np.arange(len(blocks)) >= len(self._main)
        columns = Columns(np.hstack(blocks), group, is_pair)
        values, errors = (np.array(a, dtype=float) for a in (self._data.values, self._data.errors))
        noise = _NOISE_EXACT if self._data.exact else LARGEST_NOISE
        return draw(values, errors, columns, noise)

    def _effects(self, factor: Factor, draws: Draws) -> list[Effect]:
        cells = Counter(factor.cell(r[factor.name]) for r in self._data.rows if factor.name in r)
        reference = self._reference(factor, cells)
        values = [v for v in factor.shown() if factor.cell(v) != factor.cell(reference)]
        return [self._effect(factor, reference, value, cells, draws) for value in values]

    def _reference(self, factor: Factor, cells: Mapping[int, int]) -> Any:
        """The value asked for, where it was tried more than once; else the one tried most."""
        wanted = self._data.references.get(factor.name)
        known = wanted is not None and (not factor.levels or wanted in factor.levels)
        if known and cells.get(factor.cell(wanted), 0) > (0 if self._data.exact else 1):
            return wanted
        return max(factor.shown(), key=lambda v: cells.get(factor.cell(v), 0))

    def _effect(
        self, factor: Factor, reference: Any, value: Any, cells: Mapping[int, int], draws: Draws
    ) -> Effect:
        import numpy as np

        trials = cells.get(factor.cell(reference), 0), cells.get(factor.cell(value), 0)
        pairs = self._matched(factor, reference, value)
        note = self._untold(factor, reference, value, (*trials, pairs))
        if note is not None:
            return Effect(factor.name, reference, value, trials, pairs, note=note)
        drawn = draws.weights[:, self._slices[factor.name]] @ step_between(factor, reference, value)
        low, middle, high = (float(q) for q in np.quantile(drawn, [0.025, 0.5, 0.975]))
        return Effect(factor.name, reference, value, trials, pairs, middle, low, high)

    def _matched(self, factor: Factor, a: Any, b: Any) -> int:
        """How many pairs of trials differ in this choice, and in what hangs on it, alone."""
        ignored = {factor.name, *self._heirs[factor.name]}
        found: dict[str, Counter[int]] = {}
        for row in self._data.rows:
            if factor.name in row:
                others = repr(sorted((n, v) for n, v in row.items() if n not in ignored))
                found.setdefault(others, Counter())[factor.cell(row[factor.name])] += 1
        ours, theirs = factor.cell(a), factor.cell(b)
        return sum(min(cells[ours], cells[theirs]) for cells in found.values())

    def _untold(self, factor: Factor, a: Any, b: Any, counts: tuple[int, int, int]) -> str | None:
        """Why the trials cannot tell two values apart; None where they can.

        `counts`: of trials with the one and the other, and of pairs that differ in nothing else.
        """
        *trials, pairs = counts
        if min(trials) == 0:
            return "not tried"
        if min(trials) == 1 and factor.levels and not (self._data.exact and pairs):
            return "tried once"
        if self._told_apart(factor, a, b):
            return None
        others = self._confounded(factor, a, b)
        return f"not tried apart from {(others or ['the other choices'])[0]}"

    def _told_apart(self, factor: Factor, a: Any, b: Any) -> bool:
        """Whether the difference is a combination of rows, as far as single choices go."""
        import numpy as np

        width = sum(m.shape[1] for m in self._main.values())
        wanted = np.zeros(width + 1)
        where = self._slices[factor.name]
        wanted[where.start + 1 : where.stop + 1] = step_between(factor, a, b)
        rows = self._row_space
        return bool(np.abs(wanted - rows.T @ (rows @ wanted)).max() < 1e-6)

    @cached_property
    def _row_space(self) -> Array:
        """An orthonormal basis of the rows, of the mean and the factors' columns."""
        import numpy as np

        design = np.hstack([np.ones((len(self._data.rows), 1)), *self._main.values()])
        _, sizes, basis = np.linalg.svd(design, full_matrices=False)
        found: Array = basis[sizes > 1e-8 * sizes[0]]
        return found

    def _confounded(self, factor: Factor, a: Any, b: Any) -> list[str]:
        """The decisions that never had the same value under both."""
        sides: list[list[Row]] = [[], []]
        for row in self._data.rows:
            if factor.name in row:
                cell = factor.cell(row[factor.name])
                for side, value in zip(sides, (a, b), strict=True):
                    side.extend([row] if cell == factor.cell(value) else [])
        skipped = {factor.name, *self._heirs[factor.name]}
        skipped |= {n for n, heirs in self._heirs.items() if factor.name in heirs}
        names = [n for n in self._factors if n not in skipped]
        seen = {n: [{repr(r.get(n)) for r in side} for side in sides] for n in names}
        return [n for n in names if not seen[n][0] & seen[n][1]]

    def _importances(
        self, draws: Draws, effects: Sequence[Effect]
    ) -> tuple[tuple[Importance, ...], Importance]:
        import numpy as np

        own = {n: self._variance(draws, n) for n in self._factors}
        shared = {p: self._variance(draws, *p) for p in self._pairs}
        total = draws.noise + sum(own.values()) + sum(shared.values())
        total = np.maximum(total, 1e-300)
        found = []
        for factor in self._data.factors:
            name = factor.name
            if name not in self._factors:
                found.append(Importance(name, note=_single(factor, self._data.rows)))
                continue
            together = sum((v for p, v in shared.items() if name in p), np.zeros(len(total)))
            mine = [e for e in effects if e.decision == name]
            found.append(_importance(name, own[name] / total, together / total / 2, mine))
        return tuple(found), _quantiles("", draws.noise / total)

    def _variance(self, draws: Draws, *names: str) -> Array:
        """The variance over the space of what a factor, or a pair, adds; for every draw."""
        import numpy as np

        where = self._slices[names[0] if len(names) == 1 else names]
        spreads = [covariance(self._factors[n], paired=len(names) > 1) for n in names]
        spread = spreads[0] if len(names) == 1 else np.kron(spreads[0], spreads[1])
        weights = draws.weights[:, where]
        share = np.prod([self._open[n] for n in names], axis=0).mean()
        found: Array = np.einsum("ti,ij,tj->t", weights, spread, weights) * share
        return found


def _importance(name: str, own: Array, together: Array, effects: Sequence[Effect]) -> Importance:
    """A share; its interval begins at 0 where no effect is clear and the pairs add nothing."""
    notes = [e.note for e in effects]
    if notes and all(notes):
        return Importance(name, note=notes[0] if len(set(notes)) == 1 else "tried too seldom")
    found = _quantiles(name, own + together)
    if any(e.clear for e in effects):
        return found
    least = _quantiles(name, together).low
    return Importance(name, found.share, least, found.high)


def _quantiles(name: str, shares: Array) -> Importance:
    import numpy as np

    low, middle, high = (float(q) for q in np.quantile(shares, [0.025, 0.5, 0.975]))
    return Importance(name, middle, 0.0 if low < _NOTHING else low, high)


def _single(factor: Factor, rows: Sequence[Row]) -> str:
    return "one value tried" if any(factor.name in row for row in rows) else "not tried"
