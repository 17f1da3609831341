"""How far a ratio to the anchor may be off: between the sessions of a night, and between nights.

Few sessions cannot show how much sessions differ, and one night cannot show how much nights differ:
each begins with an assumption, and what the nights before have shown replaces it. Knows nothing of
verdicts.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from evaluators.statistics import t_quantile
from evaluators.timing import PROCESSES_DIFFER, Logarithm, Spread, moderated
from tuner.sweep.records import Measured, Night, Watched

NIGHTS_DIFFER = 0.03
"""What the ratio of one candidate differs by between nights on which nothing changed, beyond what
sessions differ by (standard deviation of its logarithm), as long as nights have not shown it."""

ASSUMED = 4
"""What an assumption weighs, in degrees of freedom: as much as five nights or sessions."""

MOST = 16
"""What all that was shown weighs at most, so that a change of habits is noticed."""

_REAL = 3.0
"""A step between two nights by so many times what was expected is a change, and no noise."""


@dataclass(frozen=True, slots=True)
class Noise:
    """Of a metric: how its log ratios differ between sessions, and between nights.

    Over all entries together, as it is one machine that makes them differ; what an entry's own
    sessions show beyond that is added by `moderated`.
    """

    sessions: Spread
    nights: Spread

    @classmethod
    def of(cls, metric: str, nights: Sequence[Night]) -> Noise:
        """What these nights show, the earliest first; without any, what is assumed.

        Nights of a regression say nothing about how nights differ on which nothing changed.
        """
        watched = [w for night in nights for entry in night.entries for w in entry.watched]
        sessions = between_sessions(w.sessions(metric) for w in watched)
        calm = [night for night in nights if night.verdict != "regression"]
        return cls(sessions, _between_nights(metric, calm, sessions))

    def ratio(self, watched: Watched, measured: Measured) -> Logarithm | None:
        """The logarithm of a candidate's ratio on one night; None where none was measured."""
        sessions = watched.sessions(measured.name)
        if sessions:
            return moderated([[x] for x in sessions], self.sessions)
        if measured.ratio is None or min(measured.ratio) <= 0:
            return None
        return from_interval(measured.ratio)

    def change(self, now: Logarithm, before: Logarithm) -> Logarithm:
        """The logarithm of the ratio of two nights' ratios."""
        drift = Logarithm(0.0, 2 * self.nights.variance, self.nights.freedom)
        return now.plus(Logarithm(-before.value, before.variance, before.freedom)).plus(drift)


def between_sessions(
    groups: Iterable[Sequence[float]], assumed: float = math.sqrt(2) * PROCESSES_DIFFER
) -> Spread:
    """The variance of logarithms within groups, pooled with an assumed standard deviation."""
    freedom, total = float(ASSUMED), ASSUMED * assumed**2
    for group in groups:
        if len(group) > 1:
            freedom += len(group) - 1
            total += (len(group) - 1) * statistics.variance(group)
    return Spread(total / freedom, min(freedom, MOST))


def from_interval(triple: tuple[float, float, float]) -> Logarithm:
    """A logarithm from a value and its 95 % interval, all above 0.

    The interval was Student's with the freedom that a few sessions have.
    """
    value, low, high = (math.log(x) for x in triple)
    freedom = ASSUMED + 2
    error = max(high - value, value - low) / t_quantile(freedom)
    return Logarithm(value, error**2, freedom)


def _between_nights(metric: str, nights: Sequence[Night], sessions: Spread) -> Spread:
    """From the steps of each candidate from a night to the next on which it was watched."""
    freedom, total = float(ASSUMED), ASSUMED * NIGHTS_DIFFER**2
    for step, explained in _steps(metric, nights, sessions):
        if step**2 <= _REAL**2 * (2 * NIGHTS_DIFFER**2 + explained):
            freedom += 1
            total += (step**2 - explained) / 2
    return Spread(max(total / freedom, (NIGHTS_DIFFER / 2) ** 2), min(freedom, MOST))


def _steps(metric: str, nights: Sequence[Night], sessions: Spread) -> Iterator[tuple[float, float]]:
    """Each step of a log ratio, with the variance that its two nights' sessions explain."""
    last: dict[tuple[str, str], Logarithm] = {}
    for night in nights:
        for entry in night.entries:
            for watched in entry.watched:
                logs = watched.sessions(metric)
                if not logs:
                    continue
                mean = statistics.fmean(logs)
                found = Logarithm(mean, sessions.variance / len(logs), len(logs))
                before = last.get((entry.name, watched.key))
                if before is not None:
                    yield found.value - before.value, found.variance + before.variance
                last[entry.name, watched.key] = found
