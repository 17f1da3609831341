"""What a report's sections are made of: figures, cells, columns and series, with their sources.

Knows nothing of the sections.
"""

from __future__ import annotations

from dataclasses import dataclass

Number = int | float
Value = int | float | str | bool | None


@dataclass(frozen=True, slots=True)
class Figure:
    """A number that is shown, its interval if it has one, and where it comes from.

    `value`, `low`, `high`: in the canonical `unit` (s, B, fraction, tokens/s, ... or ""); None: not
    known. `form`: how `text` was made of them (`tuner.report.page.figures.text_of`). `source`: SQL
    over the public views, for SQLite and PostgreSQL. Where `computed` is None its first row is
    exactly `value`, or `value, low, high`; else it selects the rows from which the public function
    that `computed` names works the figure out.
    """

    value: Number | None
    text: str
    unit: str
    form: str
    source: str
    low: float | None = None
    high: float | None = None
    computed: str | None = None


@dataclass(frozen=True, slots=True)
class Cell:
    """A place in a table: its value as it sorts, its text, and the interval of a metric.

    In JSON a list: `[value, text]` or `[value, text, low, high]`.
    """

    value: Value
    text: str
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table. `source`: SQL with `:number` for the trial; None: no figures in it.

    `kind`: "number" (the trial's), "state", "verdict", "flag" (true or false), "decision",
    "metric", "violation", "seconds" or "text". A decision with `numeric` holds numbers only, so
    that it may have an axis. `direction`: "minimize", "maximize" or "" of a metric. `form`: how its
    texts are made, as of a `Figure`; "" where they are the value itself.
    """

    name: str
    label: str
    kind: str
    unit: str = ""
    form: str = ""
    numeric: bool = False
    direction: str = ""
    source: str | None = None


@dataclass(frozen=True, slots=True)
class Point:
    """A step of a series: `at` seconds after the study began; `number`: of a trial."""

    number: int | None
    at: float
    value: float
    text: str


@dataclass(frozen=True, slots=True)
class Series:
    """Values over time, each of which holds until the next.

    `source`: SQL whose rows are the points, in order: `number, at, value`.
    """

    name: str
    label: str
    unit: str
    form: str
    direction: str
    points: tuple[Point, ...]
    source: str


@dataclass(frozen=True, slots=True)
class Count:
    """How many there are of something: `complete`, 12. `name` is the word in the database."""

    name: str
    label: str
    count: Figure
