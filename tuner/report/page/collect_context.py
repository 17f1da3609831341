"""What every section of the report is collected from: a study, its database, and its trials.

Reads each thing once. Knows nothing of the sections.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from tuner.report.page.document import Column, Figure
from tuner.report.page.figures import NUMBER, Sql, figure
from tuner.report.words import metric_name, parameter_texts
from tuner.study.api import Study, Trial
from tuner.study.reader import StudyReader
from tuner.study.rows import MetricRow

MOST_TRIALS = 2000
"""Trials that go into the page one by one; of more, a sample."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A metric of the study's objectives and constraints.

    `name`: "latency", "latency.p95"; `statistic`: as the database has it. `direction`: "" where it
    is no objective. `unit`: "" where nothing was measured.
    """

    name: str
    metric: str
    statistic: str | None
    unit: str
    direction: str


class Context:
    """A study while its report is collected."""

    def __init__(self, study: Study, reader: StudyReader) -> None:
        self.study = study
        self.reader = reader
        self.sql = Sql(study.name)
        self._metrics: dict[int, list[MetricRow]] = {}

    @cached_property
    def trials(self) -> list[Trial]:
        """Every trial but the baseline, in order."""
        return self.study.trials

    @cached_property
    def baseline(self) -> Trial | None:
        """The unoptimised model, if it gave numbers."""
        return self.study.baseline

    @cached_property
    def by_number(self) -> dict[int, Trial]:
        """Trials by number, the baseline too."""
        found = {t.number: t for t in self.trials}
        return found if self.baseline is None else found | {self.baseline.number: self.baseline}

    @cached_property
    def front(self) -> list[Trial]:
        """The front, by the first objective."""
        return self.study.front

    @cached_property
    def best(self) -> Trial | None:
        """The chosen trial, or the best so far."""
        return self.study.best

    @cached_property
    def asked(self) -> list[Asked]:
        """The metrics that the study asks for, those of objectives first, each once."""
        found: dict[str, Asked] = {}
        for ask in (*self.study.info.objectives, *self.study.info.constraints):
            name = metric_name(ask["metric"], ask["statistic"])
            if name not in found:
                minimize = ask.get("minimize")
                direction = "" if minimize is None else "minimize" if minimize else "maximize"
                row = self._row(name)
                statistic = ask["statistic"] if row is None else row.statistic
                unit = "" if row is None else row.unit
                found[name] = Asked(name, ask["metric"], statistic, unit, direction)
        return list(found.values())

    def _row(self, name: str) -> MetricRow | None:
        trials = [*filter(None, [self.baseline]), *self.trials]
        return next((t.metrics[name] for t in trials if name in t.metrics), None)

    def unit(self, name: str) -> str:
        """The unit of a metric that was measured, "" otherwise."""
        known = next((a.unit for a in self.asked if a.name == name), None)
        if known is not None:
            return known
        row = self._row(name)
        return "" if row is None else row.unit

    def metrics(self, number: int) -> list[MetricRow]:
        """Every estimate of a trial, on every split."""
        if number not in self._metrics:
            self._metrics[number] = self.reader.metrics(self.study.name, number)
        return self._metrics[number]

    def metric_source(self, asked: Asked, number: str, split: str = "dev") -> str:
        """SQL for the value and interval of a metric; `number`: of the trial, or `:number`."""
        where = {"split": split, "metric": asked.metric, "statistic": asked.statistic}
        return self.sql.select("value, low, high", "tuner_metrics", f"number = {number}", **where)

    def metric_figure(self, asked: Asked, row: MetricRow | None) -> Figure | None:
        """A trial's metric with its interval; None where it was not measured."""
        if row is None:
            return None
        source = self.metric_source(asked, str(row.number), row.split)
        return figure(row.value, "quantity", source, unit=row.unit, ends=(row.low, row.high))

    def metric_column(self, asked: Asked) -> Column:
        """The metric as a column of trials."""
        return Column(
            asked.name,
            asked.name,
            "metric",
            asked.unit,
            "quantity",
            numeric=True,
            direction=asked.direction,
            source=self.metric_source(asked, NUMBER),
        )

    def decisions(self, trial: Trial) -> tuple[str, ...]:
        """All that was chosen for a trial, in words."""
        return tuple(parameter_texts([trial.parameters], all_of_them=True)[0])

    def count(self, view: str, *conditions: str, value: int) -> Figure:
        """How many rows of a view meet conditions."""
        return figure(value, "count", self.sql.select("COUNT(*)", view, *conditions))
