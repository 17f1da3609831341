"""The trials of a study as one wide table: a row per trial, a column of one type per name.

Which columns there are is found by a first look at every trial (`Scan`), so that the rows can then
be made in parts. Knows nothing of files or SQL; pandas is imported where a frame is made.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from tuner.study.encoding import plain_text
from tuner.study.events import BASELINE
from tuner.study.rows import ConfirmedRow, MetricRow

if TYPE_CHECKING:
    import pandas as pd

    from tuner.study.api import Trial

Json = Mapping[str, Any]

_INT64 = 2**63


class Kind(StrEnum):
    """What a column holds; any of its values may be missing. Times: seconds since 1970 UTC."""

    TEXT = "text"
    INTEGER = "integer"
    FLOAT = "float"
    BOOLEAN = "boolean"
    TIME = "time"


@dataclass(frozen=True, slots=True)
class Column:
    """A column. `unit`: s, B, fraction, tokens/s, or empty where it has none."""

    name: str
    kind: Kind
    unit: str = ""


_OF_THE_TRIAL = (
    Column("number", Kind.INTEGER),
    Column("role", Kind.TEXT),
    Column("state", Kind.TEXT),
    Column("verdict", Kind.TEXT),
    Column("on_front", Kind.BOOLEAN),
    Column("chosen", Kind.BOOLEAN),
    Column("started_at", Kind.TIME),
    Column("finished_at", Kind.TIME),
    Column("seconds", Kind.FLOAT, "s"),
    Column("reason", Kind.TEXT),
    Column("message", Kind.TEXT),
    Column("failed_where", Kind.TEXT),
    Column("deterministic", Kind.BOOLEAN),
    Column("candidate", Kind.TEXT),
    Column("origin", Kind.TEXT),
)


@dataclass
class Scan:
    """What the trials have between them. `see` every trial once; then `columns` and `row`.

    Several values of a parameter that have no type in common become text, as `tuner_params` has
    them: `16`, `true`, `["q_proj", "v_proj"]`; whole and other numbers become floating point.
    """

    confirmations: Mapping[int, ConfirmedRow]
    chosen: int | None
    _parameters: dict[str, Kind | None] = field(default_factory=dict)
    _metrics: dict[str, str] = field(default_factory=dict)
    _confirmed: dict[str, str] = field(default_factory=dict)
    _constraints: dict[str, None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for row in self.confirmations.values():
            for estimate in (*row.estimates, *row.baseline):
                name = _name(estimate["metric"], estimate["statistic"])
                self._confirmed[name] = str(estimate["unit"])

    def see(self, trial: Trial) -> None:
        """Take note of what a trial has."""
        for name, value in trial.parameters.items():
            self._parameters[name] = _common(self._parameters.get(name), _kind(value))
        for name, metric in _metrics(trial):
            self._metrics[name] = metric.unit
        for constraint in trial.constraints:
            self._constraints[constraint.text] = None

    def columns(self) -> list[Column]:
        """The columns in the order of `row`; every name is there once."""
        found = list(_OF_THE_TRIAL)
        for name, kind in self._parameters.items():
            found.append(Column(f"params_{name}", kind or Kind.TEXT))
        for name, unit in self._metrics.items():
            found += _with_interval(f"metrics_{name}", unit)
        for name, unit in self._confirmed.items():
            found += _with_interval(f"confirmed_{name}", unit)
        if self.confirmations:
            found.append(Column("confirmed_verdict", Kind.TEXT))
        found += [Column(f"violation_{text}", Kind.FLOAT) for text in self._constraints]
        return list(_distinct(found))

    def row(self, trial: Trial) -> list[Any]:
        """A trial's values in the order of `columns`; None: it has none."""
        return [
            *self._of_the_trial(trial),
            *self._chosen(trial),
            *_intervals(self._metrics, dict(_metrics(trial))),
            *self._of_its_confirmation(trial),
            *self._violations(trial),
        ]

    def _of_the_trial(self, trial: Trial) -> list[Any]:
        row = trial.row
        values = {c.name: getattr(row, c.name, None) for c in _OF_THE_TRIAL}
        values |= {"chosen": row.number == self.chosen, "failed_where": row.where}
        return list(values.values())

    def _chosen(self, trial: Trial) -> Iterator[Any]:
        for name, kind in self._parameters.items():
            value = trial.parameters.get(name)
            if kind in (Kind.TEXT, None):
                yield plain_text(value)
            else:
                yield float(value) if kind is Kind.FLOAT and value is not None else value

    def _of_its_confirmation(self, trial: Trial) -> Iterator[Any]:
        row = self.confirmations.get(trial.number)
        estimates = self._estimates(trial, row)
        yield from _intervals(self._confirmed, {_name_of(e): _Ends(e) for e in estimates})
        if self.confirmations:
            yield None if row is None else row.verdict

    def _estimates(self, trial: Trial, row: ConfirmedRow | None) -> Sequence[Json]:
        """What was confirmed of it; of the baseline, what was measured beside the last."""
        if row is not None:
            return row.estimates
        rows = list(self.confirmations.values())
        return rows[-1].baseline if rows and trial.number == BASELINE else ()

    def _violations(self, trial: Trial) -> Iterator[float | None]:
        found = {c.text: c.violation for c in trial.constraints}
        for text in self._constraints:
            yield found.get(text)


@dataclass(frozen=True, slots=True)
class _Ends:
    """A confirmed estimate with the names that a row of metrics has."""

    estimate: Json

    @property
    def value(self) -> float | None:
        return _number(self.estimate["value"])

    @property
    def low(self) -> float | None:
        return _number(self.estimate["low"])

    @property
    def high(self) -> float | None:
        return _number(self.estimate["high"])


def dataframe(scan: Scan, trials: Iterable[Trial], study: str) -> pd.DataFrame:
    """The trials, which the scan has not seen yet, as a data frame with typed columns.

    Times are `datetime64[us, UTC]`, whole numbers that may be missing `Int64`. In `attrs`: the
    study's name, and the unit of every column that has one.
    """
    import pandas as pd

    kept = list(trials)
    for trial in kept:
        scan.see(trial)
    columns = scan.columns()
    rows = [scan.row(trial) for trial in kept]
    series = {
        column.name: _series([row[position] for row in rows], column.kind)
        for position, column in enumerate(columns)
    }
    frame = pd.DataFrame(series, columns=[c.name for c in columns])
    frame.attrs = {"study": study, "units": {c.name: c.unit for c in columns if c.unit}}
    return frame


def _series(values: list[Any], kind: Kind) -> pd.Series[Any]:
    import pandas as pd

    missing = any(v is None for v in values)
    if kind is Kind.TIME:
        micro = [None if v is None else round(v * 1e6) for v in values]
        numbers = pd.Series(micro, dtype="Int64")
        return pd.to_datetime(numbers, unit="us", utc=True).astype("datetime64[us, UTC]")
    if kind is Kind.INTEGER:
        return pd.Series(values, dtype="Int64" if missing else "int64")
    if kind is Kind.BOOLEAN:
        return pd.Series(values, dtype="boolean" if missing else "bool")
    return pd.Series(values, dtype="float64" if kind is Kind.FLOAT else "str")


def _metrics(trial: Trial) -> Iterator[tuple[str, MetricRow]]:
    """Each metric once, the median under the metric's own name."""
    for metric in dict.fromkeys(trial.metrics.values()):
        yield _name(metric.metric, metric.statistic), metric


def _name(metric: str, statistic: str | None) -> str:
    return metric if statistic in (None, "p50") else f"{metric}.{statistic}"


def _name_of(estimate: Json) -> str:
    return _name(estimate["metric"], estimate["statistic"])


def _intervals(names: Iterable[str], found: Mapping[str, Any]) -> Iterator[float | None]:
    for name in names:
        has = found.get(name)
        yield from (None, None, None) if has is None else (has.value, has.low, has.high)


def _with_interval(name: str, unit: str) -> list[Column]:
    return [Column(f"{name}{end}", Kind.FLOAT, unit) for end in ("", "_low", "_high")]


def _distinct(columns: Sequence[Column]) -> Iterator[Column]:
    """A metric `x_low` beside the lower end of `x`: what comes later gets an underscore more."""
    taken: set[str] = set()
    for column in columns:
        name = column.name
        while name in taken:
            name += "_"
        taken.add(name)
        yield Column(name, column.kind, column.unit)


def _kind(value: Any) -> Kind | None:
    """The kind of one value; None where there is none."""
    if value is None:
        return None
    if isinstance(value, bool):
        return Kind.BOOLEAN
    if isinstance(value, int):
        return Kind.INTEGER if -_INT64 <= value < _INT64 else Kind.TEXT
    return Kind.FLOAT if isinstance(value, float) else Kind.TEXT


def _common(one: Kind | None, other: Kind | None) -> Kind | None:
    """The kind that holds the values of both."""
    if one is None or other is None or one is other:
        return one or other
    numbers = {Kind.INTEGER, Kind.FLOAT}
    return Kind.FLOAT if {one, other} == numbers else Kind.TEXT


def _number(value: Any) -> float | None:
    return None if value is None else float(value)
