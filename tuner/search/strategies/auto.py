"""The search that counts seconds: what promises most feasible hypervolume for what it costs.

A Gaussian process per metric says what a candidate may be worth and whether it may fit; the
engine's outlook says what it would cost, given what is made already. Late choices under a good
early part cost little and so are tried first. Before anything is feasible, the chance to be so
counts. Knows nothing of how candidates run, or of what stages there are.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from search_spaces.candidates import Candidate
from search_spaces.constraints import Objective
from search_spaces.space import Choices, Space
from search_spaces.vocabulary import Value
from tuner.search.acquisition import expected_gain, front_of
from tuner.search.features import Features
from tuner.search.gaussian import Array
from tuner.search.pool import Pool
from tuner.search.strategies.base import (
    Known,
    Result,
    Setting,
    Strategy,
    default_first,
    derived_seed,
    first_unseen,
)
from tuner.search.surrogate import Models, Record, Surrogate

_POOL = 190
_DRAWN = 70  # of the pool, drawn over the whole space
_BLOCK = 8  # trials that share their draws
_PARENTS = 16
_FEW = 8  # choices of which each is tried early
_LAST = 200  # candidates that the first ones are to be unlike
_REFINED = (30, 30)  # candidates near the best ones, in each round
_WAITING = 2.0  # how much dearer a candidate is that would wait for another one's stage
_OVERHEAD = 0.5  # seconds
_NO_GAIN = 1e-9  # of the hypervolume: what is not told apart from nothing
_DOUBTED, _DOUBT = 4, 2.5  # every so many trials the models count as so much less certain,
_DOUBTED_FROM = 30  # from this one on: a short study has no time for doubts
_EVEN = 0.5  # the power of the cost where trials are what is limited


class AutoStrategy(Strategy):
    """The defaults first, then a few diverse and cheap candidates, then by expected gain."""

    name: ClassVar[str] = "auto"
    thrifty: ClassVar[bool] = True

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self._features = Features(self.space)
        self._surrogate = Surrogate(self.space, self._features, setting.depends)
        self._pool = Pool(self.space)
        self._choices = {
            (name, value)
            for name, domain in self._features.domains.items()
            if isinstance(domain, Choices) and len(domain.values) <= _FEW
            for value in domain.values
        }
        self._draws: tuple[int, list[Candidate]] = (-1, [])
        self.power = _EVEN if self.space.search.max_time is None else 1.0

    def tell(self, candidate: Candidate, result: Result) -> None:
        """Learn from a result, whole or partial."""
        self._surrogate.learn(candidate, result)

    def recall(self, candidate: Candidate, result: Result, origin: str) -> None:
        """Learn from another study's result; how much it tells of this one is fitted."""
        self._surrogate.learn(candidate, result, origin)

    def propose(self, number: int, known: Known) -> Candidate | None:
        """The defaults; then the best of the pool that is not excluded, or any that is not."""
        first = default_first(self.space, known)
        if first is not None:
            return first
        rng = random.Random(derived_seed(self.seed, number, "auto"))
        for ranked in (self._explore, self._exploit):
            found = (c for c in ranked(rng, number, known) if not known.excludes(c))
            chosen = next(found, None)
            if chosen is not None:
                return chosen
        return first_unseen(self.space, self.seed, number, known)

    # The beginning

    def _explore(self, rng: random.Random, number: int, known: Known) -> list[Candidate]:
        """Candidates unlike those before and cheap, the best first; none once enough is known.

        At first all; then those with a choice that none had yet: what it does nobody can say.
        """
        records = self._surrogate.records
        before = [r.candidate for r in records[-_LAST:]] + list(known.pending)
        unseen = self._unseen(known)
        first = len(records) < self._first_trials() or all(r.failed for r in records)
        if not first and (not unseen or len(records) >= self._most_first_trials()):
            return []
        whole = None if first else self._pool.whole
        drawn = list(whole or self._drawn(rng, number))
        if len(drawn) > _POOL:
            drawn = rng.sample(drawn, _POOL)
        if before:
            drawn = drawn + self._pool.varied(rng, before, before, _DRAWN)
        if not first:
            drawn = [c for c in drawn if unseen & c.decisions.items()]
        if not drawn:
            return []
        rows = np.array([self._features.row(c.decisions) for c in drawn])
        tried = np.array([self._features.row(c.decisions) for c in before] or rows[:1])
        away = np.sqrt(np.square(rows[:, None, :] - tried[None, :, :]).sum(axis=2)).min(axis=1)
        news = np.array([len(unseen & c.decisions.items()) for c in drawn])
        scores = np.log(away + 1e-6) + np.log1p(news)
        scores -= 0.5 * np.log(self.costs(drawn, known.pending))
        return [drawn[i] for i in np.argsort(-scores, kind="stable")]

    def _unseen(self, known: Known) -> set[tuple[str, Value]]:
        """The choices that no candidate of this study had yet."""
        tried = [r.candidate for r in self._surrogate.records if r.own] + list(known.pending)
        seen = {pair for candidate in tried for pair in candidate.decisions.items()}
        return self._choices - seen

    def _most_first_trials(self) -> int:
        """So many trials may go by until every choice was tried once."""
        return self.trials // 2 if self.trials is not None else 3 * self._first_trials()

    def _first_trials(self) -> int:
        wanted = min(8, 4 + len(self._features.names) // 3)
        return wanted if self.trials is None else max(3, min(wanted, self.trials // 3))

    # By expected gain

    def _exploit(self, rng: random.Random, number: int, known: Known) -> list[Candidate]:
        ranking = _Ranking(self._surrogate.records)
        models = self._surrogate.models(ranking.ranks, known.pending)
        doubted = number >= _DOUBTED_FROM and number % _DOUBTED == 0
        doubt = _DOUBT if doubted else 1.0
        score = _Score(self, models, ranking.front, known, doubt)
        pool = self._candidates(rng, number, ranking, known)
        if not pool:
            return []
        scores = score(pool)
        for count in _REFINED if self._pool.whole is None else ():
            order = np.argsort(-scores, kind="stable")
            near = self._pool.near(rng, [pool[i] for i in order[:5]], count)
            pool, scores = pool + near, np.append(scores, score(near))
        return [pool[i] for i in np.argsort(-scores, kind="stable")]

    def _candidates(
        self, rng: random.Random, number: int, ranking: _Ranking, known: Known
    ) -> list[Candidate]:
        parents = ranking.parents[:_PARENTS]
        whole = self._pool.whole
        if whole is not None:
            left = [c for c in whole if c.key not in known.keys]
            if len(left) <= _POOL:
                return left
            near = self._pool.varied(rng, parents, ranking.parents, _POOL // 2)
            return rng.sample(left, _POOL) + near
        drawn = self._drawn(rng, number)
        varied = self._pool.varied(rng, parents, ranking.parents, _POOL - len(drawn))
        hints = [r.candidate for r in self._surrogate.records if not r.own][:20]
        return drawn + varied + hints

    def _drawn(self, rng: random.Random, number: int) -> list[Candidate]:
        """Draws over the whole space, the same for a few trials: building candidates takes time."""
        block = number // _BLOCK
        if self._draws[0] != block:
            own = random.Random(derived_seed(self.seed, block, "draws"))
            self._draws = (block, self._pool.drawn(own, _DRAWN))
        return self._draws[1]

    def costs(self, candidates: Sequence[Candidate], pending: Sequence[Candidate]) -> Array:
        """The seconds that each is expected to take, and a second for the trial itself."""
        seconds = np.array([self.setting.outlook.seconds(c) for c in candidates])
        for other in pending:
            theirs = self.setting.outlook.seconds(other)
            waits = [_would_wait(c, other) for c in candidates]
            seconds = np.where(waits & (seconds > 0.5 * theirs), seconds * _WAITING, seconds)
        found: Array = np.maximum(seconds, 0.0) + _OVERHEAD
        return found

    def row(self, candidate: Candidate) -> list[float]:
        """The numbers by which the surrogate knows a candidate."""
        return self._surrogate.row(candidate)

    def reference(self, front: Sequence[Record]) -> Array:
        """What the hypervolume is measured from: a limit on an objective, else the worst that fits.

        At least a tenth of the front's extent beyond the front.
        """
        fitting = np.array([r.losses for r in self._surrogate.records if r.feasible], dtype=float)
        points = np.array([r.losses for r in front], dtype=float)
        extent = fitting.max(axis=0) - fitting.min(axis=0)
        extent = np.where(extent > 0, extent, np.maximum(np.abs(fitting[0]) * 0.1, 1e-12))
        least = points.max(axis=0) + 0.1 * extent
        worst = np.maximum(np.quantile(fitting, 0.9, axis=0), least)
        limits = [_limit(self.space, objective) for objective in self.space.objectives]
        found: Array = np.array(
            [w if b is None else max(b, m) for w, b, m in zip(worst, limits, least, strict=True)]
        )
        return found


def _limit(space: Space, objective: Objective) -> float | None:
    """The loss that a constraint of the space admits at most; None without such a constraint."""
    for constraint in space.constraints:
        same = (constraint.metric, constraint.statistic) == (objective.metric, objective.statistic)
        bounds = constraint.operator.is_upper == objective.minimize
        if same and bounds and not constraint.limit.relative:
            return constraint.limit.offset * (1 if objective.minimize else -1)
    return None


def _would_wait(candidate: Candidate, other: Candidate) -> bool:
    """Whether a candidate begins with the very stage that another one begins with."""
    if not candidate.steps or not other.steps:
        return False
    one, two = candidate.steps[0], other.steps[0]
    return one.id == two.id and one.parameters == two.parameters


class _Ranking:
    """The results in the order of what they are worth as parents."""

    def __init__(self, records: Sequence[Record]) -> None:
        feasible = [i for i, r in enumerate(records) if r.feasible]
        points = [[v for v in records[i].losses if v is not None] for i in feasible]
        front = [feasible[i] for i in front_of(points)]
        rest = sorted(
            (i for i in range(len(records)) if i not in set(front)),
            key=lambda i: (records[i].failed, records[i].missed, -i),
        )
        order = front + rest
        self.front = [records[i] for i in front]
        self.parents = [records[i].candidate for i in order]
        self.ranks = [0] * len(records)
        for rank, index in enumerate(order):
            self.ranks[index] = rank


class _Score:
    """The logarithm of the expected gain per cost; of the chance to fit while nothing does."""

    def __init__(
        self,
        strategy: AutoStrategy,
        models: Models,
        front: Sequence[Record],
        known: Known,
        doubt: float = 1.0,
    ) -> None:
        self._strategy = strategy
        self._models = models
        self._pending = known.pending
        self._doubt = doubt
        self._front = np.array([r.losses for r in front], dtype=float)
        if len(front):
            self._reference = strategy.reference(front)
            self._unit = float(np.prod(self._reference - self._front.min(axis=0))) or 1.0

    def __call__(self, candidates: Sequence[Candidate]) -> Array:
        rows = np.array([self._strategy.row(c) for c in candidates])
        predicted = self._models.predict(rows, self._doubt)
        scores = predicted.feasible
        if len(self._front):
            means, deviations = predicted.losses, predicted.deviations
            gain = expected_gain(means, deviations, self._front, self._reference)
            scores = scores + np.log(gain / self._unit + _NO_GAIN)
        costs = self._strategy.costs(candidates, self._pending)
        found: Array = scores - self._strategy.power * np.log(costs)
        return found
