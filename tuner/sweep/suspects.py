"""What may have changed between two nights, each on a scale on which it can be tested.

On that scale zero is no change and more is worse: the logarithm of a ratio, or a difference. Knows
nothing of how many such tests a night makes, and of words for them.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from statistics import NormalDist

from evaluators.shares import paired_mean
from evaluators.statistics import LEVEL, NORMAL, t_quantile
from evaluators.timing import DRIFT, Logarithm, moderated
from tuner.sweep.changes import Subject
from tuner.sweep.noise import ASSUMED, Noise, between_sessions
from tuner.sweep.records import Anchored, Measured, Triple, Watched

EXACT_TOLERANCE = 1e-3
"""By so much an exact number may differ without being named: files hold dates and versions."""

ANCHOR_FACTOR = 3.0
"""The anchor itself is held to a tolerance so many times as wide: the calibration kernel does not
ask of the machine what a model asks of it."""

_SESSIONS_OF_THE_KERNEL_DIFFER = 0.10
"""What the anchor's time over the kernel's differs by between sessions, until nights show it."""

_LARGE = 200  # degrees of freedom from which Student's t is the normal distribution


@dataclass(frozen=True, slots=True)
class Suspect:
    """A change that is to be tested.

    `centre`, `error`, `freedom`: the change on the scale of the module, its standard error and the
    degrees of freedom behind that; an error of 0 is an exact number. `least`: from where on, on the
    same scale, it is a regression (an improvement below `gain`, which is negative). `shown`: what
    is reported as the change, where that is not the centre. `fixed`, `each`: the part of the
    variance that no more processes would make smaller, and what a process adds to the rest.
    """

    subject: Subject
    measured: Measured
    before: Triple | None
    now: Triple | None
    factor: bool
    centre: float
    error: float
    freedom: float
    least: float
    gain: float
    how: str
    shown: float | None = None
    fixed: float = 0.0
    each: float | None = None

    @property
    def value(self) -> float:
        """The change that is reported, on the scale of the module."""
        return self.centre if self.shown is None else self.shown

    def half(self, level: float) -> float:
        """Half of the two-sided interval of a level."""
        return quantile(self.freedom, level) * self.error

    def interval(self, level: float) -> Triple:
        """The change and the ends of its interval as they are reported: a factor or a difference.

        The value itself is within.
        """
        half = self.half(level)
        low, high = min(self.value, self.centre - half), max(self.value, self.centre + half)
        if not self.measured.lower_is_better:
            low, high = -high, -low
        value = self.value if self.measured.lower_is_better else -self.value
        if not self.factor:
            return value, low, high
        return math.exp(value), math.exp(low), math.exp(high)

    def processes(self, level: float) -> int | None:
        """How many processes a night would tell whether it is a regression, if it is as it looks.

        None where no number would, or none below 100.
        """
        if self.each is None:
            return None
        needed = (abs(self.value - self.least) / quantile(_LARGE, level)) ** 2 - self.fixed
        count = math.inf if needed <= 0 else math.ceil(2 * self.each / needed)
        return int(count) if count < 100 else None


def quantile(freedom: float, level: float) -> float:
    """The two-sided quantile of Student's t."""
    return _quantile(max(1, min(int(freedom), _LARGE)), level)


@cache
def _quantile(freedom: int, level: float) -> float:
    if freedom == _LARGE:
        return NormalDist().inv_cdf((1 + level) / 2)
    return t_quantile(freedom, level)


def between_nights(
    now: Watched, before: Watched, noise: Callable[[str], Noise], least: float
) -> list[Suspect]:
    """What may have changed of a candidate that was watched on both nights."""
    earlier = {(m.name, _split(m)): m for m in before.metrics}
    found: dict[tuple[str, str], Suspect] = {}
    for measured in now.metrics:
        name = (measured.name, _split(measured))
        other = earlier.get(name)
        if other is None or name in found:
            continue
        if measured.kind == "timed":
            spread = noise(measured.name)
            logs = spread.ratio(now, measured), spread.ratio(before, other)
            suspect = _timed(measured, *logs, spread, least, across_nights=True)
        else:
            suspect = _other(measured, other, least)
        if suspect is not None:
            found[name] = suspect
    return list(found.values())


def between_answers(
    ours: Watched, theirs: Watched, names: list[str], noise: Callable[[str], Noise], least: float
) -> list[Suspect]:
    """By how much one candidate differs from another of the same night in these metrics."""
    found = []
    for name in names:
        measured, other = _of(ours, name), _of(theirs, name)
        if measured is None or other is None:
            continue
        if measured.kind == "timed":
            spread = noise(name)
            logs = spread.ratio(ours, measured), spread.ratio(theirs, other)
            suspect = _timed(measured, *logs, spread, least, across_nights=False)
        else:
            suspect = _other(measured, other, least)
        if suspect is not None:
            found.append(replace(suspect, subject="search"))
    return found


def of_the_anchor(now: Watched, before: Watched, least: float) -> list[Suspect]:
    """The anchor against the calibration kernel, where both nights recorded it."""
    earlier = {a.name: a for a in before.anchor}
    pairs = [(a, earlier[a.name]) for a in now.anchor if a.name in earlier]
    return [_anchor(a, b, least) for a, b in pairs if a.kernels and b.kernels]


def _split(measured: Measured) -> str:
    """A time does not depend on the split: the sessions of both are taken together."""
    return "" if measured.kind == "timed" else measured.split


def _of(watched: Watched, name: str) -> Measured | None:
    found = [m for m in watched.metrics if m.name == name]
    # What the search did not see is the fairer judge.
    return next((m for m in found if m.split == "test"), found[0] if found else None)


def _timed(
    measured: Measured,
    now: Logarithm | None,
    before: Logarithm | None,
    noise: Noise,
    least: float,
    *,
    across_nights: bool,
) -> Suspect | None:
    if now is None or before is None:
        return None
    fixed = 2 * noise.nights.variance if across_nights else 0.0
    both = now.plus(Logarithm(-before.value, before.variance, before.freedom))
    change = noise.change(now, before) if across_nights else both
    sign = 1.0 if measured.lower_is_better else -1.0
    how = "each in turn with the unoptimised model, on its night"
    return Suspect(
        "answer", measured, _triple(before), _triple(now), True, sign * change.value,
        math.sqrt(change.variance), change.freedom, math.log1p(least), -math.log1p(least),
        how if across_nights else "both in turn with the unoptimised model, tonight",
        fixed=fixed, each=noise.sessions.variance,
    )  # fmt: skip


def _triple(found: Logarithm) -> Triple:
    half = quantile(found.freedom, LEVEL) * math.sqrt(found.variance)
    return math.exp(found.value), math.exp(found.value - half), math.exp(found.value + half)


def _other(measured: Measured, other: Measured, least: float) -> Suspect | None:
    """A change of a number that is no time. None where two nights' numbers say nothing.

    Raw seconds, rates and joules are the machine's as much as the model's.
    """
    if measured.value is None or other.value is None or measured.unit != other.unit:
        return None
    if measured.kind == "items" and _same_items(measured, other):
        return _items(measured, other, least)
    if measured.kind == "level" and measured.unit in ("s", "J", "tokens/s", "items/s"):
        return None
    if measured.unit == "fraction":
        return _difference(measured, other, least)
    return _quotient(measured, other, least)


def _same_items(measured: Measured, other: Measured) -> bool:
    same = measured.items_key == other.items_key and measured.items_key is not None
    return same and len(measured.outcomes) == len(other.outcomes) > 0


def _items(measured: Measured, other: Measured, least: float) -> Suspect:
    """By pairs: on the same rows, by those that became right or wrong."""
    now, before = ([float(x) for x in m.outcomes] for m in (measured, other))
    found = paired_mean(now, before, 1.0)
    turned = sum(a != b for a, b in zip(now, before, strict=True))
    sign = -1.0 if not measured.lower_is_better else 1.0
    limit = least * abs(statistics.fmean(before))
    return Suspect(
        "answer", measured, _value(other), _value(measured), False,
        sign * (found.low + found.high) / 2,
        (found.high - found.low) / (2 * NORMAL) if turned else 0.0, _LARGE, limit, -limit,
        f"row by row: {turned} of {len(now)} turned", shown=sign * found.value,
    )  # fmt: skip


def _value(measured: Measured) -> Triple:
    value = measured.value or 0.0
    low = value if measured.low is None else measured.low
    high = value if measured.high is None else measured.high
    return value, low, high


def _difference(measured: Measured, other: Measured, least: float) -> Suspect:
    now, before = _value(measured), _value(other)
    error = 0.0 if now == before else math.hypot(_error(now), _error(before))
    sign = 1.0 if measured.lower_is_better else -1.0
    limit = least * abs(before[0])
    return Suspect(
        "answer", measured, before, now, False, sign * (now[0] - before[0]), error, _LARGE, limit,
        -limit, "the same number" if now == before else "two intervals",
    )  # fmt: skip


def _quotient(measured: Measured, other: Measured, least: float) -> Suspect | None:
    """A change as a factor; None of what is not above 0."""
    now, before = _value(measured), _value(other)
    if min(*now, *before) <= 0:
        return None
    logs = [tuple(math.log(x) for x in triple) for triple in (now, before)]
    same = now == before or measured.kind == "exact"
    error = 0.0 if same else math.hypot(*(_error(triple) for triple in logs))
    sign = 1.0 if measured.lower_is_better else -1.0
    limit = math.log1p(least)
    how = "exact" if measured.kind == "exact" else "the same number" if same else "two intervals"
    return Suspect(
        "answer", measured, before, now, True, sign * (logs[0][0] - logs[1][0]), error, _LARGE,
        limit, -limit, how,
    )  # fmt: skip


def _error(triple: tuple[float, ...]) -> float:
    return (triple[2] - triple[1]) / (2 * NORMAL)


def _anchor(now: Anchored, before: Anchored, least: float) -> Suspect:
    spread = between_sessions((now.kernels, before.kernels), _SESSIONS_OF_THE_KERNEL_DIFFER)
    ours, theirs = (moderated([[x] for x in a.kernels], spread) for a in (now, before))
    drift = Logarithm(0.0, 2 * DRIFT**2, ASSUMED)
    change = ours.plus(Logarithm(-theirs.value, theirs.variance, theirs.freedom)).plus(drift)
    limit = math.log1p(ANCHOR_FACTOR * least)
    return Suspect(
        "anchor", _as_measured(now), None, None, True, change.value, math.sqrt(change.variance),
        change.freedom, limit, -limit, "against the calibration kernel, a fixed computation",
    )  # fmt: skip


def _as_measured(anchor: Anchored) -> Measured:
    """The anchor's time as a metric; in seconds, less is better, whatever the metric is."""
    return Measured(
        anchor.name, "dev", "timed", anchor.value, None, None, anchor.unit, True,
        len(anchor.kernels),
    )  # fmt: skip
