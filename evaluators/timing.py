"""Times out of sessions: values, intervals, and ratios that the machine's drift leaves alone.

A session gives blocks of a model and, next to each, a block of the anchor. The ratio of the two
does not change when the machine is slow for a while; the anchor's own level, known from every
session of a study, turns the ratio back into a time. Pure Python. Knows nothing of models or of
constraints.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from evaluators.base import Interval, Measurement, NotEnoughSamples, Samples
from evaluators.statistics import (
    BLOCK_STATISTICS,
    QUANTILES,
    order_statistics,
    require_samples,
    t_quantile,
)

PROCESSES_DIFFER = 0.05
"""What one model's times in two processes differ by (relative standard deviation), as long as a
study has not shown its own. Seen here: up to 11 % between the extremes of a few."""

_PRIOR_FREEDOM = 4  # what that assumption weighs, in degrees of freedom
_MOST_FREEDOM = 16  # what all other candidates together weigh at most
DRIFT = 0.06
"""What the machine's speed differs by between minutes, as assumed until it showed."""

SHARED_STATE = 120.0
"""Seconds in which sessions share the machine's state."""

_DRIFT_FREEDOM = 8

Session = Measurement
"""What was measured in one session."""


@dataclass(frozen=True, slots=True)
class Spread:
    """How the logarithms of values differ between sessions: a variance, and what it rests on."""

    variance: float
    freedom: float


@dataclass(frozen=True, slots=True)
class Logarithm:
    """An estimate of a logarithm: its variance, and the degrees of freedom behind that."""

    value: float
    variance: float
    freedom: float

    def interval(self) -> Interval:
        """The value itself (not its logarithm) with its 95 % interval."""
        half = t_quantile(max(1, int(self.freedom))) * math.sqrt(self.variance)
        return Interval(*(math.exp(x) for x in (self.value, self.value - half, self.value + half)))

    def plus(self, other: Logarithm) -> Logarithm:
        """The logarithm of the product of two independent values."""
        both = self.variance + other.variance
        parts = ((self.variance, self.freedom), (other.variance, other.freedom))
        # Welch and Satterthwaite's degrees of freedom for a sum of variances.
        below = sum(variance**2 / freedom for variance, freedom in parts)
        freedom = both**2 / below if below else self.freedom + other.freedom
        return Logarithm(self.value + other.value, both, freedom)


@dataclass
class Timeline:
    """Every session that an evaluator held in a study: what one of them can borrow from the others.

    `alone`: sessions of the anchor without a candidate. `beside`: a candidate's name -> its
    sessions beside the anchor.
    """

    alone: dict[str, Session] = field(default_factory=dict)
    beside: dict[str, dict[str, Session]] = field(default_factory=dict)

    def add(self, candidate: str, key: str, session: Session) -> None:
        """Remember a session under its key; one that is known already counts once."""
        if session.anchor:
            self.beside.setdefault(candidate, {})[key] = session
        else:
            self.alone.setdefault(key, session)

    def level(self, metric: str, statistic: str) -> Logarithm | None:
        """The logarithm of the anchor's value; None where it was never measured."""
        values = [_logs(samples, metric, statistic) for _, samples in self._anchors(metric)]
        if not values:
            return None
        found = moderated(values, Spread(PROCESSES_DIFFER**2, _PRIOR_FREEDOM))
        centre = statistics.median(statistics.median(logs) for logs in values)
        found = Logarithm(centre, found.variance * math.pi / 2, found.freedom)
        return found.plus(self._drift(metric, statistic))

    def _drift(self, metric: str, statistic: str) -> Logarithm:
        """By how much the machine of these sessions may differ from the machine at large.

        Sessions of the same few minutes share its state, however many they are.
        """
        spans: dict[int, list[float]] = {}
        for at, samples in self._anchors(metric):
            logs = _logs(samples, metric, statistic)
            spans.setdefault(int(at / SHARED_STATE), []).append(statistics.median(logs))
        means = [[statistics.median(values)] for values in spans.values()]
        found = moderated(means, Spread(DRIFT**2, _DRIFT_FREEDOM))
        return Logarithm(0.0, found.variance, found.freedom)

    def anchor(self, metric: str, statistic: str) -> Interval | None:
        """The anchor's own value; None where it was not measured, or too little for this."""
        if statistic in BLOCK_STATISTICS:
            level = self.level(metric, statistic)
            return None if level is None else level.interval()
        sessions = [Measurement(samples) for _, samples in self._anchors(metric)]
        try:
            return timing(sessions, metric, statistic, Timeline()).value if sessions else None
        except NotEnoughSamples:
            return None

    def samples(self, metric: str) -> int:
        """How many samples there are of the anchor."""
        return sum(len(block) for _, samples in self._anchors(metric) for block in samples[metric])

    def _anchors(self, metric: str) -> list[tuple[float, Samples]]:
        """When each session was held, in seconds, and the anchor's samples in it."""
        beside = [s for sessions in self.beside.values() for s in sessions.values()]
        found = [(_when(s), s.samples) for s in self.alone.values()]
        found += [(_when(s), s.anchor) for s in beside]
        return [(at, samples) for at, samples in found if metric in samples]

    def spread(self, metric: str, statistic: str) -> Spread:
        """How ratios to the anchor differ between one candidate's sessions, from all of them."""
        freedom, total = float(_PRIOR_FREEDOM), _PRIOR_FREEDOM * 2 * PROCESSES_DIFFER**2
        for sessions in self.beside.values():
            means = [statistics.median(log_ratios(s, metric, statistic)) for s in sessions.values()]
            if len(means) > 1:
                freedom += len(means) - 1
                total += (len(means) - 1) * statistics.variance(means)
        return Spread(total / freedom, min(freedom, _MOST_FREEDOM))


def log_ratios(session: Session, metric: str, statistic: str) -> list[float]:
    """For each pair of blocks, the logarithm of the candidate's value over the anchor's."""
    ours, theirs = (_logs(s, metric, statistic) for s in (session.samples, session.anchor))
    return [a - b for a, b in zip(ours, theirs, strict=True)]


def moderated(sessions: Sequence[Sequence[float]], prior: Spread) -> Logarithm:
    """The mean of session means. Its variance is the largest of what three sources say.

    Those are: the sessions' own variance shrunk towards that of comparable ones (a moderated
    variance, after Smyth, 2004), the sessions' own as it is, and what the spread of blocks within
    sessions alone would give. A session that was disturbed therefore widens the interval, and
    sessions that happen to agree do not narrow it beyond what others show.
    """
    means = [statistics.median(values) for values in sessions]
    own = statistics.variance(means) if len(means) > 1 else 0.0
    freedom = prior.freedom + len(means) - 1
    shrunk = (prior.freedom * prior.variance + (len(means) - 1) * own) / freedom
    parts = [statistics.variance(v) / len(v) for v in sessions if len(v) > 1]
    variance = max(shrunk, own, statistics.fmean(parts) if parts else 0.0)
    return Logarithm(statistics.fmean(means), variance / len(means), freedom)


@dataclass(frozen=True, slots=True)
class Timing:
    """A statistic of a candidate's times.

    `ratio`: to the anchor's, where there was one; percentiles have none, for they do not move with
    the centre.
    """

    value: Interval
    ratio: Interval | None
    samples: int


def timing(sessions: Sequence[Session], metric: str, statistic: str, timeline: Timeline) -> Timing:
    """A candidate's (or the anchor's own) time out of its sessions; see the module.

    `statistic`: p50, mean and min are averages of the blocks' own, p90 and beyond are of all
    samples, scaled to the anchor's level. NotEnoughSamples below 29, 59 and 299
    samples for p90, p95 and p99.
    """
    count = sum(len(block) for s in sessions for block in s.samples[metric])
    if statistic in QUANTILES:
        require_samples(count, statistic)
    centre = statistic if statistic in BLOCK_STATISTICS else "p50"
    beside = [s for s in sessions if metric in s.anchor]
    level = timeline.level(metric, centre)
    if level is None or (not beside and not _are_the_anchors(sessions, timeline)):
        alone = [_logs(s.samples, metric, centre) for s in sessions]
        found = moderated(alone, Spread(PROCESSES_DIFFER**2, _PRIOR_FREEDOM))
        return Timing(_tail(sessions, metric, statistic, found), None, count)
    if not beside:
        ratio: Interval | None = Interval(1.0, 1.0, 1.0)
        value = _tail(sessions, metric, statistic, level)
    else:
        ratios = [log_ratios(s, metric, centre) for s in beside]
        found = moderated(ratios, timeline.spread(metric, centre))
        ratio = found.interval()
        value = _tail(beside, metric, statistic, found.plus(level), math.exp(level.value))
    return Timing(value, ratio if statistic in BLOCK_STATISTICS else None, count)


def _when(session: Session) -> float:
    return float(session.conditions.get("measured_at", 0.0))


def _are_the_anchors(sessions: Sequence[Session], timeline: Timeline) -> bool:
    known = list(timeline.alone.values())
    return all(session in known for session in sessions)


def _tail(
    sessions: Sequence[Session],
    metric: str,
    statistic: str,
    centre: Logarithm,
    level: float | None = None,
) -> Interval:
    """The statistic's interval: the centre's own, or that of a percentile around it.

    A percentile's order statistics hold for any distribution, but for independent samples. Those
    of a process are not, so both ends are widened by the relative half-width of the centre. With
    `level`, samples are first scaled to an anchor of that value.
    """
    found = centre.interval()
    if statistic in BLOCK_STATISTICS:
        return found
    factor = 1.0 if level is None else level / _anchor_of(sessions, metric)
    samples = sorted(x * factor for s in sessions for block in s.samples[metric] for x in block)
    low, at, high = order_statistics(len(samples), QUANTILES[statistic])
    spread = found.high / found.value
    return Interval(samples[at], samples[low] / spread, samples[high] * spread)


def _anchor_of(sessions: Sequence[Session], metric: str) -> float:
    """The anchor's value in these sessions.

    One for all of them: to scale each block by its own would add the anchor's noise to the tail.
    """
    logs = [statistics.median(_logs(s.anchor, metric, "p50")) for s in sessions]
    return math.exp(statistics.median(logs))


def _logs(samples: Mapping[str, Sequence[Sequence[float]]], metric: str, name: str) -> list[float]:
    found = [math.log(BLOCK_STATISTICS[name](block)) for block in samples[metric]]
    if len(found) < 2:
        raise NotEnoughSamples(f"an interval needs 2 blocks of samples or more, found {len(found)}")
    return found
