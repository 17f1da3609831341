"""Makes figures: SQL over the public views that gives a number, and the number's text.

Knows nothing of what the numbers mean.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

from search_spaces.units import format_quantity
from tuner.report.page.document import Figure, Number, Value
from tuner.report.words import duration, interval_text

NUMBER = ":number"
"""Stands in a column's SQL, at its end, for a trial's number."""

UNKNOWN = "-"
"""The text of a number that is not known."""


class Sql:
    """SELECTs of one study over the public views, with every literal in them."""

    def __init__(self, study: str) -> None:
        self._study = study

    def select(self, columns: str, view: str, *conditions: str, **equal: Value) -> str:
        """`columns` of the rows of a view; `equal`: column -> its value, None for NULL."""
        where = [f"study = {literal(self._study)}"]
        where += [equals(name, value) for name, value in equal.items()]
        return f"SELECT {columns} FROM {view} WHERE {' AND '.join([*where, *conditions])}"

    @property
    def study(self) -> str:
        """The study's name as an SQL literal."""
        return literal(self._study)


def literal(value: Value) -> str:
    """A value as an SQL literal that SQLite and PostgreSQL read alike."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, (int, float)):
        return repr(value)
    return "'" + value.replace("'", "''") + "'"


def equals(column: str, value: Value) -> str:
    """The condition that a column has a value."""
    return f"{column} IS NULL" if value is None else f"{column} = {literal(value)}"


def within(column: str, values: Sequence[Value]) -> str:
    """The condition that a column has one of the values; never, where there are none."""
    return f"{column} IN ({', '.join(map(literal, values)) or 'NULL'})"


def at_number(source: str, number: int) -> str:
    """A column's SQL for one trial. Names may hold `:number` too, so only the end counts."""
    before, mark, after = source.rpartition(NUMBER)
    return f"{before}{number}{after}" if mark else source


def figure(
    value: Number | None,
    form: str,
    source: str,
    *,
    unit: str = "",
    ends: tuple[float | None, float | None] = (None, None),
    computed: str | None = None,
) -> Figure:
    """A figure with its text; `ends`: of its interval."""
    text = text_of(form, unit, value, *ends)
    return Figure(value, text, unit, form, source, *ends, computed)


def text_of(
    form: str,
    unit: str,
    value: Number | None,
    low: float | None = None,
    high: float | None = None,
) -> str:
    """A number as a person reads it.

    `form`: "quantity" (in its unit, with its interval), "duration", "count", "moment" (UTC),
    "share" (of 1), "ratio", "points" (a difference of fractions), "change" (a difference of
    others) or "number".
    """
    if value is None:
        return UNKNOWN
    if not math.isfinite(value):
        return str(value)
    ends = None if low is None or high is None else (low, high)
    if form == "quantity":
        return _quantity(value, ends, unit)
    if form in _PLAIN:
        return _PLAIN[form](value)
    one = _ONE[form]
    text = one(value, unit)
    if ends is None:
        return text
    left, right = (_bare(one(end, unit), text) for end in ends)
    return f"{text} ({left} to {right})"


def _bare(end: str, text: str) -> str:
    """The end of an interval without what it has in common with the value: `x`, ` points`."""
    end = end.removeprefix("x")
    suffix = text.partition(" ")[2]
    return end.removesuffix(f" {suffix}") if suffix else end


def _quantity(value: Number, ends: tuple[float, float] | None, unit: str) -> str:
    if ends is None or not all(map(math.isfinite, ends)):
        return format_quantity(value, unit)
    return interval_text({"value": value, "low": ends[0], "high": ends[1], "unit": unit})


def _moment(seconds: Number) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
    except (OverflowError, OSError, ValueError):
        return f"{seconds:.0f} s"


def _ratio(value: Number, unit: str) -> str:
    if not math.isfinite(value):
        return f"x{value}"
    if value >= 100 or value < 0.01:
        return f"x{value:.2g}"
    return f"x{value:.2f}" if value < 10 else f"x{value:.1f}"


def _points(value: Number, unit: str) -> str:
    if not math.isfinite(value):
        return f"{value:+} points"
    return f"{round(100 * value, 1) + 0.0:+.1f} points"


def _change(value: Number, unit: str) -> str:
    text = format_quantity(value, unit)
    return text if text.startswith("-") else f"+{text}"


def _share(value: Number, unit: str) -> str:
    return f"{round(100 * value)} %" if math.isfinite(value) else str(value)


_PLAIN: Mapping[str, Callable[[Number], str]] = {
    "duration": lambda seconds: duration(float(seconds)),
    "count": lambda count: f"{count:,}",
    "moment": _moment,
    "number": lambda number: f"{number:.3g}",
}
_ONE: Mapping[str, Callable[[Number, str], str]] = {
    "ratio": _ratio,
    "points": _points,
    "change": _change,
    "share": _share,
}
