"""What it would cost to have something feasible: the nearest candidates, and prices of limits.

Pure: works on how far candidates are beyond their limits, and on their objectives. Knows nothing of
studies, and nothing of how it is shown.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from evaluators.base import Interval
from search_spaces.constraints import Constraint, Operator
from search_spaces.units import NUMBER, UNIT, to_canonical
from tuner.search.front import dominates

Parse = Callable[[str], Constraint]
"""Reads a constraint's text; ValueError where a metric cannot have such a limit."""

Distance = Callable[[Constraint], Interval]
"""How far above a constraint's limit a candidate is; see `evaluators.verdicts.distance`."""


@dataclass(frozen=True, slots=True)
class Need:
    """A candidate that does not fit.

    `missed`: constraint (its place in the question) -> by how many tolerances its limit must be
    relaxed so that the whole interval fits. `violations`: of every constraint, by the value, at
    least 0; None where that is not known. `losses`: the objectives, to be minimised; None likewise.
    """

    number: int
    missed: Mapping[int, float]
    violations: tuple[float | None, ...]
    losses: tuple[float | None, ...]

    @property
    def known(self) -> bool:
        """Whether everything that was asked for was measured."""
        return None not in self.violations and None not in self.losses

    @property
    def total(self) -> float:
        """The sum of the violations that are known."""
        return sum(v for v in self.violations if v is not None)

    @property
    def relaxation(self) -> float:
        """The sum of what its constraints must be relaxed by, in tolerances."""
        return sum(self.missed.values())


def excess(operator: Operator, distance: Interval) -> Interval:
    """How far beyond its limit something is, for an upper and for a lower limit alike."""
    if operator.is_upper:
        return distance
    return Interval(-distance.value, -distance.high, -distance.low)


def nearest_front(needs: Iterable[Need]) -> list[Need]:
    """The candidates that no other beats in every violation and every objective, nearest first.

    Of candidates of which not everything is known, those that no other beats in what is known of
    both: they stand beside the others, which cannot be compared with them.
    """
    rest = list(needs)
    kept = [n for n in rest if not any(_beats(other, n) for other in rest)]
    return sorted(kept, key=lambda n: (n.total, not n.known, n.number))


def _beats(one: Need, other: Need) -> bool:
    if one.known != other.known:
        return False
    ours, theirs = ((*n.violations, *n.losses) for n in (one, other))
    if [v is None for v in ours] != [v is None for v in theirs]:
        return False
    pairs = [(a, b) for a, b in zip(ours, theirs, strict=True) if a is not None and b is not None]
    a, b = [p[0] for p in pairs], [p[1] for p in pairs]
    return dominates(a, b) or (a == b and one.number < other.number)


def binding(needs: Sequence[Need]) -> list[frozenset[int]]:
    """The constraints that keep everything out, the cheapest to relax first.

    Each alone, where there are candidates that miss it alone. Where there are none, the one set of
    constraints that must be relaxed together, by the candidate that needs least. Candidates of
    which not everything is known count only where there are no others.
    """
    measured = [n for n in needs if n.known and n.missed] or [n for n in needs if n.missed]
    alone: dict[frozenset[int], float] = {}
    for need in measured:
        if len(need.missed) == 1:
            name = frozenset(need.missed)
            alone[name] = min(alone.get(name, math.inf), need.relaxation)
    if alone:
        return sorted(alone, key=lambda name: (alone[name], min(name)))
    least = min(measured, key=lambda n: (n.relaxation, n.number), default=None)
    return [] if least is None else [frozenset(least.missed)]


def staircase(needs: Sequence[Need], constraints: frozenset[int]) -> list[Need]:
    """The candidates that relaxing these constraints lets in, each better in something, in order.

    The next is let in by a looser limit and beaten by none before it. Candidates of which not
    everything is known come before the first that is, the nearest two at most: they may do better.
    """
    fitting = [n for n in needs if n.missed and constraints.issuperset(n.missed)]
    fitting.sort(key=lambda n: (n.relaxation, n.number))
    steps: list[Need] = []
    for need in (n for n in fitting if n.known):
        losses = [v for v in need.losses if v is not None]
        earlier = [[v for v in s.losses if v is not None] for s in steps]
        if not any(dominates(e, losses) or e == losses for e in earlier):
            steps.append(need)
    first = steps[0].relaxation if steps else math.inf
    unknown = [n for n in fitting if not n.known and n.relaxation < first]
    return unknown[:2] + steps


# The limit that lets a candidate in, as it would be written


_RELATIVE = re.compile(
    rf"(?P<before>(?P<factor>{NUMBER})(?P<percent>%?)\*)?baseline"
    rf"(?P<after>\*(?P<late>{NUMBER})(?P<late_percent>%?))?(?P<offset>[-+].*)?"
)
_DIGITS = 3
_TRIES = 50  # each twice as far: beyond that there is no limit to find
_WIDER = 0.01  # of a limit: what rounding it to one digit less may add


@dataclass(frozen=True, slots=True)
class _Form:
    """How a limit is written around its one number that is to change."""

    head: str
    tail: str
    number: float
    signed: bool  # a number that follows "baseline"
    scale: float | None  # of the number in the metric's unit; None: it is part of the factor

    def text(self, number: Decimal) -> str:
        if self.signed and not number:
            return self.head
        return f"{self.head}{number:{'+' if self.signed else ''}f}{self.tail}"


def relaxed(constraint: Constraint, unit: str, distance: Distance, parse: Parse) -> str | None:
    """The constraint with the tightest limit, to 2 or 3 digits, that a candidate meets for certain.

    `unit`: the metric's. The limit is rounded to the safe side: judged by the text that is
    returned, the candidate is feasible. In the form in which it was written: one relative to the
    baseline stays so. None where no such limit can be written.
    """
    form = _form(constraint, unit)
    upward = 1 if constraint.operator.is_upper else -1
    above = excess(constraint.operator, distance(constraint))

    def fits(number: Decimal) -> bool:
        try:
            found = parse(form.text(number))
        except ValueError:
            return False
        high = excess(found.operator, distance(found)).high
        return high < 0 or (high == 0 and found.operator in (Operator.LE, Operator.GE))

    needed: float | None
    if form.scale is None:
        needed = _factor_needed(form, upward, fits)
    else:
        needed = form.number + upward * above.high / form.scale
    if needed is None:
        return None
    chosen = _rounded(needed, upward, fits)
    return None if chosen is None else form.text(chosen)


def _form(constraint: Constraint, unit: str) -> _Form:
    left, right = _split(constraint)
    match = _RELATIVE.fullmatch(right)
    if match is None:
        found = re.search(rf"(?:{UNIT})?$", right)
        name = found[0] if found is not None else ""
        return _Form(
            left, name, _amount(constraint.limit.offset, name, unit), False, _one(name, unit)
        )
    limit, before = constraint.limit, match["before"] or ""
    multiplied = bool(before or match["after"])
    if match["offset"] and limit.offset:
        name = re.sub(rf"[-+]{NUMBER}", "", match["offset"])
    elif unit == "fraction" and not multiplied:
        name = "%"
    else:
        return _factor_form(left, limit.factor, multiplied)
    head = f"{left}{before}baseline{match['after'] or ''}"
    return _Form(head, name, _amount(limit.offset, name, unit), True, _one(name, unit))


def _factor_form(left: str, factor: float, multiplied: bool) -> _Form:
    if multiplied:
        return _Form(left, "*baseline", factor, False, None)
    return _Form(f"{left}baseline", "%", (factor - 1) * 100, True, None)


def _split(constraint: Constraint) -> tuple[str, str]:
    """`latency<` and `50ms`."""
    left, right = constraint.text.split(constraint.operator, 1)
    return f"{left}{constraint.operator}", right


def _one(name: str, unit: str) -> float:
    return to_canonical(1.0, name or None, unit, "") if name else 1.0


def _amount(offset: float, name: str, unit: str) -> float:
    return offset / _one(name, unit)


def _factor_needed(form: _Form, upward: int, fits: Callable[[Decimal], bool]) -> float | None:
    """The number at which the candidate begins to fit, to 4 digits, on the side where it does."""
    nothing = -100.0 if form.signed else 0.0  # of the baseline; no limit is at or below it
    step = max(abs(form.number), 1e-3) / 100
    inside, outside = form.number, form.number
    for _ in range(_TRIES):
        if fits(_decimal(inside)):
            break
        outside, inside = inside, max(inside + upward * step, (inside + nothing) / 2)
        step *= 2
    else:
        return None
    while abs(inside - outside) > 1e-4 * max(abs(inside), abs(outside)):
        middle = (inside + outside) / 2
        if fits(_decimal(middle)):
            inside = middle
        else:
            outside = middle
    return inside


def _decimal(number: float) -> Decimal:
    return Decimal(repr(number))


def _rounded(needed: float, upward: int, fits: Callable[[Decimal], bool]) -> Decimal | None:
    """The number rounded to the side where it fits; two digits where that adds next to nothing."""
    place = 0 if needed == 0 else math.floor(math.log10(abs(needed)))
    for digits in (_DIGITS - 1, _DIGITS, _DIGITS + 1):
        grain = Decimal(1).scaleb(place - digits + 1)
        ticks = math.ceil(upward * Decimal(repr(needed)) / grain)
        for more in (0, 1, 2):  # a strict limit, or a last digit of binary numbers
            number = upward * (ticks + more) * grain
            added = abs(float(number) - needed) <= _WIDER * abs(needed)
            if (added or digits >= _DIGITS) and fits(number):
                return _short(number)
    return None


def _short(number: Decimal) -> Decimal:
    """Without zeros at the end: 56.0 as 56, and 1.2E+3 as 1200."""
    whole = number.to_integral_value()
    return whole if number == whole else number.normalize()
