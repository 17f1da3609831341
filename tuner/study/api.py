"""A study as Python code reads it: its trials, its front, its best.

Everything is read from the database; nothing is kept that a running command could outdate.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuner.search.front import choose, in_order, reordered
from tuner.study.events import BASELINE, TWIN
from tuner.study.reader import StudyReader
from tuner.study.rows import (
    ConfirmedRow,
    ConstraintRow,
    MeasurementRow,
    MetricRow,
    StageRow,
    StudyRow,
    TrialRow,
)

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class Trial:
    """A candidate that was tried. `metrics` by name ("latency", "latency.p95"), canonical units."""

    row: TrialRow
    metrics: Mapping[str, MetricRow]
    constraints: tuple[ConstraintRow, ...]

    @property
    def number(self) -> int:
        """The trial's number, Optuna's too; -1 for the baseline."""
        return self.row.number

    @property
    def parameters(self) -> Mapping[str, Any]:
        """What the strategy chose, by decision name."""
        return self.row.parameters

    @property
    def objectives(self) -> tuple[float, ...] | None:
        """The objectives' values in the space's order; None where there are no numbers."""
        if self.row.objectives is None or None in self.row.objectives:
            return None
        return tuple(v for v in self.row.objectives if v is not None)

    @property
    def known_objectives(self) -> tuple[float | None, ...]:
        """As `objectives`, None in it for one that was not measured; empty where there are none.

        Of a trial that was stopped, those after the share of its training that it had.
        """
        return self.row.objectives or ()

    @property
    def cut_short(self) -> bool:
        """Whether it was given up before it was trained, or before it was trained to the end."""
        return self.row.state in ("screened", "stopped")

    @property
    def feasible(self) -> bool:
        """Whether every constraint holds for certain."""
        return self.row.verdict == "feasible"

    @property
    def violation(self) -> float:
        """The sum of the scaled violations of the constraints that do not hold."""
        return sum(max(0.0, c.violation or 0.0) for c in self.constraints)


class Study:
    """A study in a database. Reading it costs a few queries, made when first needed."""

    def __init__(self, reader: StudyReader, name: str, stop_reason: str | None = None) -> None:
        self._reader = reader
        self.name = name
        self.stop_reason = stop_reason
        self.output: Path | None = None  # the answer's folder, where this process wrote one

    def load(self) -> None:
        """Read everything now, so that the study can be used after its database was closed."""
        _ = self.info, self._all, self.confirmations, self.seconds, self._stages
        _ = self.data_check
        if self.best is None or not self.front:
            _ = self.measurements  # what would fit, and at which limits, is worked out from them

    @cached_property
    def info(self) -> StudyRow:
        """What the study's last command declared: space, objectives, constraints, environment."""
        return self._reader.study(self.name)

    @cached_property
    def _all(self) -> list[Trial]:
        return self._read(None)

    def _read(self, numbers: range | None) -> list[Trial]:
        metrics: dict[int, dict[str, MetricRow]] = {}
        for metric in self._reader.metrics(self.name, numbers=numbers):
            if metric.split == "dev":
                metrics.setdefault(metric.number, {}).update(_named(metric))
        constraints: dict[int, list[ConstraintRow]] = {}
        for constraint in self._reader.constraints(self.name, numbers=numbers):
            constraints.setdefault(constraint.number, []).append(constraint)
        return [
            Trial(row, metrics.get(row.number, {}), tuple(constraints.get(row.number, ())))
            for row in self._reader.trials(self.name, numbers)
        ]

    def trial(self, number: int) -> Trial | None:
        """One trial, or the baseline (-1), without reading the others; None where there is none."""
        there = self.__dict__.get("_all")
        found = self._read(range(number, number + 1)) if there is None else there
        return next((t for t in found if t.number == number), None)

    @cached_property
    def trials(self) -> list[Trial]:
        """Every trial but the baseline, in order."""
        return [t for t in self._all if t.number != BASELINE]

    @property
    def baseline(self) -> Trial | None:
        """The unoptimised model, if it gave numbers."""
        return next((t for t in self._all if t.number == BASELINE and t.metrics), None)

    @property
    def front(self) -> list[Trial]:
        """The feasible trials that no other beats in every objective, by the first objective."""
        front = [t for t in self.trials if t.row.on_front]
        return sorted(front, key=lambda t: (self.losses(t), t.number))

    @property
    def best(self) -> Trial | None:
        """The trial that was chosen by what was confirmed on held-out data.

        Before that, the front's trial nearest to the best of every objective. None: nothing is
        feasible, in the search or in the confirmation. Without a front, of models that were built
        only the one that misses least, else the first.
        """
        front = {t.number: t for t in self.front}
        if self.confirmations.keys() & front.keys():
            return front.get(self.info.chosen) if self.info.chosen is not None else None
        number = choose({n: self.losses(t) for n, t in front.items()})
        if number is not None:
            return front[number]
        built = [t for t in self.trials if t.row.state == "built"]
        return min(built, key=lambda t: (t.objectives is None, t.violation), default=None)

    @property
    def nearest(self) -> list[Trial]:
        """Trials with numbers that are not feasible, those that miss least first.

        What was feasible in the search and not when it was confirmed is one of them, and what was
        given up before it was trained, by the constraints that were measured of it.
        """
        gone = {n for n, row in self.confirmations.items() if row.verdict == "infeasible"}
        measured = [t for t in self.trials if t.objectives is not None or t.cut_short]
        missed = [t for t in measured if not t.feasible or t.number in gone]
        return sorted(missed, key=lambda t: (t.violation, t.cut_short, self.losses(t), t.number))

    @property
    def failures(self) -> list[Trial]:
        """Trials that gave no numbers."""
        return [t for t in self.trials if t.row.state in ("failed", "infeasible")]

    @cached_property
    def confirmations(self) -> Mapping[int, ConfirmedRow]:
        """The front's best by number, measured again on held-out data with the baseline."""
        return {row.number: row for row in self._reader.confirmations(self.name)}

    @property
    def confirmed(self) -> ConfirmedRow | None:
        """What was confirmed of the best trial."""
        best = self.best
        return None if best is None else self.confirmations.get(best.number)

    @cached_property
    def measurements(self) -> Mapping[int, Sequence[MeasurementRow]]:
        """What was measured of every trial and the baseline, raw, by number. May be large."""
        found: dict[int, list[MeasurementRow]] = {}
        for row in self._reader.measurements(self.name):
            found.setdefault(row.number, []).append(row)
        return found

    @cached_property
    def data_check(self) -> Mapping[str, Any] | None:
        """What the last command found in the data: the fields of `events.DataChecked`, as JSON.

        None where the space has no data, or no command has looked at it yet.
        """
        found = self._reader.last_event(self.name, "data_checked")
        return None if found is None else found.body

    @property
    def orders(self) -> tuple[list[int], list[int]]:
        """The trials that were confirmed, best first: by the search, and by what was confirmed."""
        front = {t.number: self.losses(t) for t in self.front}
        again = {
            n: self._losses_of(row, front[n]) for n, row in self.confirmations.items() if n in front
        }
        if not again:
            return [], []
        return [n for n in in_order(front) if n in again], reordered(front, again)

    def _losses_of(self, row: ConfirmedRow, search: Sequence[float]) -> list[float]:
        """A confirmation's objectives, to be minimised; the search's where one was not measured."""
        values = {(e["metric"], e["statistic"]): e["value"] for e in row.estimates}
        plain = {metric: v for (metric, s), v in values.items() if s in (None, "p50")}
        found = []
        for objective, known in zip(self.info.objectives, search, strict=True):
            name = objective["metric"], objective["statistic"]
            value = values.get(name, plain.get(name[0]) if name[1] is None else None)
            found.append(known if value is None else value if objective["minimize"] else -value)
        return found

    @cached_property
    def seconds(self) -> float:
        """How long commands have worked on the study."""
        return self._reader.seconds_spent(self.name)

    @cached_property
    def _stages(self) -> list[StageRow]:
        return self._reader.stages(self.name)

    def stages(self, number: int | None = None) -> list[StageRow]:
        """The stages of one trial, or of all."""
        if number is not None and "_stages" not in self.__dict__:
            return self._reader.stages(self.name, number)
        return [s for s in self._stages if number is None or s.number == number]

    def notices(self, number: int) -> tuple[str, ...]:
        """What passes told of a trial's stages, such as how many texts were cut; `step: text`."""
        events = self._reader.events_of_kind(self.name, "stage_finished", number)
        told = (
            f"{event.body['step']}: {text}"
            for event in events
            if event.body["position"] < TWIN  # what the model is made of
            for text in event.body.get("notices", ())
        )
        return tuple(dict.fromkeys(told))

    def losses(self, trial: Trial) -> tuple[float, ...]:
        """A trial's objectives as numbers to be minimised."""
        pairs = zip(trial.objectives or (), self.info.objectives, strict=False)
        return tuple(v if o["minimize"] else -v for v, o in pairs)

    def parts(self, size: int) -> Iterator[list[Trial]]:
        """Every trial and the baseline, in the order of their numbers, at most `size` at a time.

        Read from the database part by part: nothing is kept.
        """
        for first in range(BASELINE, self._reader.last_number(self.name) + 1, size):
            numbers = range(first, first + size)
            yield self._read(numbers)

    def trials_dataframe(self, *, baseline: bool = False) -> pd.DataFrame:
        """One row per trial in the order of their numbers; the columns are in docs/database.md.

        `number`, `state`, `verdict`, times, failures; `params_NAME`; `metrics_NAME` with `_low` and
        `_high`, the ends of the 95 % interval; `confirmed_NAME` by held-out data;
        `violation_CONSTRAINT`. Metrics are in canonical units, which `attrs["units"]` names.
        `baseline`: begin with a row for the unoptimised model, number -1.
        """
        from tuner.study.frames import Scan, dataframe

        trials = [t for t in self._all if baseline or t.number != BASELINE]
        return dataframe(Scan(self.confirmations, self.info.chosen), trials, self.name)


def _named(metric: MetricRow) -> dict[str, MetricRow]:
    """The metric under its name with the statistic; the median without it, too."""
    if metric.statistic is None:
        return {metric.metric: metric}
    names = {f"{metric.metric}.{metric.statistic}": metric}
    return names | ({metric.metric: metric} if metric.statistic == "p50" else {})
