"""The text form of constraints and objectives: `latency<50ms`, `accuracy>=baseline-2%`.

Knows the declared metrics and their units; knows nothing of files, and measures nothing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from search_spaces.constraints import Constraint, Limit, Objective, Operator
from search_spaces.problems import hint, listed, short
from search_spaces.units import (
    NUMBER,
    UNIT,
    UnitError,
    format_quantity,
    needs_unit,
    parse_quantity,
    to_canonical,
    usual_unit,
)
from search_spaces.vocabulary import MetricSpec, Vocabulary


class ExpressionError(ValueError):
    """Not a constraint or an objective; one sentence that says what was expected."""


_OPERATOR = re.compile(r"(<=|>=|=<|=>|==|!=|<|>|=|≤|≥)")
_MEANT = {"=<": "<=", "=>": ">=", "≤": "<=", "≥": ">="}
_NAME = re.compile(r"([A-Za-z_]\w*)(?:\.(\w+))?")
_ABSOLUTE = re.compile(rf"{NUMBER}(?:{UNIT})?")
_RELATIVE = re.compile(
    rf"(?:({NUMBER})(%?)\*)?baseline(?:\*({NUMBER})(%?))?(?:([+-])((?![+-]){NUMBER})({UNIT})?)?"
)
_LIMITS = (
    "a number with a unit, or one relative to the baseline such as baseline-2% or 0.5*baseline"
)


def parse_constraint(text: str, vocabulary: Vocabulary) -> Constraint:
    """`METRIC[.STATISTIC] OP LIMIT`; spaces do not matter. ExpressionError otherwise."""
    compact = "".join(text.split())
    parts = _OPERATOR.split(compact)
    if len(parts) != 3:
        raise ExpressionError(_not_one_comparison(text, parts))
    left, sign, right = parts
    if _ABSOLUTE.fullmatch(left) and _NAME.fullmatch(right):
        turned = sign.translate(str.maketrans("<>≤≥", "><≥≤"))
        raise ExpressionError(f"write the metric first: {right}{turned}{left}")
    metric, statistic = parse_metric(left, vocabulary)
    operator = _operator(sign, left, right, metric)
    limit = _limit(left, operator, right, metric)
    _check_possible(compact, limit, metric)
    return Constraint(compact, metric.name, statistic, operator, limit)


def parse_bound(kind: Literal["max", "min"], text: str, vocabulary: Vocabulary) -> Constraint:
    """`latency=50ms` as an upper bound ("max") or a lower bound ("min"), both inclusive."""
    name, equals, limit = text.partition("=")
    if not equals or not limit.strip() or _OPERATOR.search(limit) or "<" in name or ">" in name:
        raise ExpressionError(f"found {short(text)}, expected METRIC=LIMIT such as latency=50ms")
    sign = Operator.LE if kind == "max" else Operator.GE
    return parse_constraint(f"{name}{sign}{limit}", vocabulary)


def parse_objective(text: str, vocabulary: Vocabulary) -> Objective:
    """`minimize METRIC[.STATISTIC]` or `maximize ...`. ExpressionError otherwise.

    An objective against what the metric calls better is refused.
    """
    words = text.split()
    if len(words) != 2 or words[0] not in ("minimize", "maximize"):
        near = hint(words[0], ("minimize", "maximize")) if words else ""
        raise ExpressionError(
            f"found {short(text)}, expected minimize METRIC or maximize METRIC{near}"
        )
    metric, statistic = parse_metric(words[1], vocabulary)
    better = "minimize" if metric.lower_is_better else "maximize"
    if words[0] != better:
        which = "lower" if metric.lower_is_better else "higher"
        raise ExpressionError(f"{metric.name} is better when {which}; write {better} {words[1]}")
    name = metric.name if statistic is None else f"{metric.name}.{statistic}"
    return Objective(f"{better} {name}", metric.name, statistic, metric.lower_is_better)


def parse_tolerance(text: str, metric: MetricSpec) -> float:
    """A tolerance for violations of a constraint on `metric`, in its canonical unit, above zero."""
    amount = _amount(text, metric, proposal="{}")
    if amount <= 0:
        raise ExpressionError(f"a tolerance is above zero; found {text}")
    return amount


def contradictions(constraints: Sequence[Constraint]) -> list[tuple[int, str]]:
    """Pairs of absolute constraints that nothing can satisfy together.

    Each as the index of the later constraint and a sentence that names both.
    """
    found = []
    for index, later in enumerate(constraints):
        for earlier in constraints[:index]:
            if _exclude(earlier, later):
                message = f"{later.text} contradicts {earlier.text}: nothing can satisfy both"
                found.append((index, message))
    return found


def _exclude(one: Constraint, other: Constraint) -> bool:
    same = (one.metric, one.statistic) == (other.metric, other.statistic)
    if not same or one.limit.relative or other.limit.relative:
        return False
    if one.operator.is_upper == other.operator.is_upper:
        return False
    upper, lower = (one, other) if one.operator.is_upper else (other, one)
    if lower.limit.offset == upper.limit.offset:
        return (lower.operator, upper.operator) != (Operator.GE, Operator.LE)
    return lower.limit.offset > upper.limit.offset


def _not_one_comparison(text: str, parts: Sequence[str]) -> str:
    if len(parts) > 3:
        return f"{short(text)} compares more than once; write one constraint for each bound"
    return f"{short(text)} compares nothing, expected METRIC OP LIMIT such as latency<50ms"


def parse_metric(text: str, vocabulary: Vocabulary) -> tuple[MetricSpec, str | None]:
    """`METRIC[.STATISTIC]`: the metric, and the statistic where it is not the metric's default.

    ExpressionError where there is no such metric or statistic.
    """
    match = _NAME.fullmatch(text)
    if match is None:
        raise ExpressionError(f"found {short(text)}, expected METRIC or METRIC.STATISTIC")
    name, statistic = match[1], match[2]
    found = vocabulary.metric(name)
    if found is None:
        known = [m.name for e in vocabulary.evaluators.values() for m in e.metrics]
        raise ExpressionError(
            f"unknown metric {short(name)}, expected {listed(known)}{hint(name, known)}"
        )
    metric = found[1]
    if statistic is None:
        return metric, None
    if statistic not in metric.statistics:
        raise ExpressionError(_unknown_statistic(metric, statistic))
    return metric, None if statistic == metric.statistics[0] else statistic


def _unknown_statistic(metric: MetricSpec, statistic: str) -> str:
    if not metric.statistics:
        return f"{metric.name} has no statistics; write {metric.name} instead of .{statistic}"
    near = hint(statistic, metric.statistics)
    return (
        f"{metric.name} has no statistic {short(statistic)}, "
        f"expected {listed(metric.statistics)}{near}"
    )


def _operator(sign: str, left: str, right: str, metric: MetricSpec) -> Operator:
    if sign in ("<", "<=", ">", ">="):
        return Operator(sign)
    meant = _MEANT.get(sign) or ("<=" if metric.lower_is_better else ">=")
    raise ExpressionError(f"{sign!r} is no comparison of limits; write {left}{meant}{right}")


def _limit(left: str, operator: Operator, right: str, metric: MetricSpec) -> Limit:
    relative = _RELATIVE.fullmatch(right)
    if relative is not None:
        return _relative(relative, metric)
    if not right:
        raise ExpressionError(f"the limit is missing after {left}{operator}; expected {_LIMITS}")
    if not _ABSOLUTE.match(right):
        near = hint(re.split(r"[-+*]", right)[0], ("baseline",))
        raise ExpressionError(f"{short(right)} is no limit; expected {_LIMITS}{near}")
    return Limit(_amount(right, metric, proposal=f"{left}{operator}{{}}"))


def _amount(text: str, metric: MetricSpec, proposal: str) -> float:
    """A quantity in the metric's unit; `proposal` holds {} where the amended text goes."""
    try:
        number, unit = parse_quantity(text)
        if unit is None and needs_unit(metric.unit):
            amended = proposal.format(f"{text}{usual_unit(metric.unit)}")
            raise ExpressionError(f"{text} has no unit; did you mean {amended}?")
        return to_canonical(number, unit, metric.unit, metric.name)
    except UnitError as error:
        raise ExpressionError(str(error)) from None


def _relative(match: re.Match[str], metric: MetricSpec) -> Limit:
    before, before_percent, after, after_percent, sign, number, unit = match.groups()
    if before and after:
        raise ExpressionError("the baseline is multiplied twice; write one factor")
    factor = float(before or after or 1) / (100 if before_percent or after_percent else 1)
    offset = 0.0
    if number:
        signed = f"{sign}{number}{unit or ''}"
        if unit == "%" and metric.unit != "fraction":
            if before or after:
                either = (factor * _part(signed), factor + _part(signed) - 1)
                meant = " or ".join(f"{f:g}*baseline" for f in either)
                raise ExpressionError(f"a factor with a percentage is ambiguous; write {meant}")
            factor *= _part(signed)
        else:
            offset = _amount(signed, metric, proposal="baseline{}")
    if factor <= 0:
        raise ExpressionError("the limit would be nothing of the baseline; expected more than 0 %")
    return Limit(offset, factor)


def _part(percentage: str) -> float:
    """`+10%` as 1.1."""
    # Rounded, as 1 + 0.1 is not quite 1.1 in binary and the limit is shown to people.
    return round(1 + float(percentage.removesuffix("%")) / 100, 12)


def _check_possible(text: str, limit: Limit, metric: MetricSpec) -> None:
    """ExpressionError for a limit that the metric cannot have."""
    if metric.unit == "fraction":
        if limit.relative and abs(limit.offset) <= 1:
            return
        if not limit.relative and 0 <= limit.offset <= 1:
            return
        bare = not limit.relative and "%" not in text and 1 < limit.offset <= 100
        near = f"; did you mean {limit.offset:g}%?" if bare else ""
        raise ExpressionError(f"{text}: {metric.name} is between 0 and 1 (0 % and 100 %){near}")
    if metric.unit and not limit.relative and limit.offset <= 0:
        amount = format_quantity(limit.offset, metric.unit)
        raise ExpressionError(f"{text}: {metric.name} is always above zero; found {amount}")
