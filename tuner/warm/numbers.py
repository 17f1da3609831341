"""What a study has stored of a trial, as the estimates that another space asks for.

Knows nothing of keys, and so not of whether the numbers hold in that space.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from evaluators.base import Estimate, Evaluator, Interval, Measurement, MeasurementError
from search_spaces.vocabulary import Value
from tuner.search.judging import Numbers
from tuner.study.rows import MeasurementRow, MetricRow

Statistics = Mapping[str, Sequence[str | None]]


def estimates_of(rows: Iterable[MetricRow]) -> dict[tuple[str, str | None], Estimate]:
    """The estimates by metric and statistic; those that are no number are left out."""
    found = {}
    for row in rows:
        value, low, high = row.value, row.low, row.high
        if value is None or low is None or high is None:
            continue
        ratio = None if row.ratio is None else Interval(*row.ratio)
        parts = (value, low, high, row.unit, row.samples, ratio)
        found[row.metric, row.statistic] = Estimate(row.metric, row.statistic, *parts)
    return found


def measurements_of(rows: Iterable[MeasurementRow]) -> dict[str, list[Measurement]]:
    """What every process measured on the data of the search, by evaluator."""
    return {
        row.evaluator: [Measurement.from_json(detail) for detail in row.detail]
        for row in rows
        if row.split == "dev"
    }


def asked_of(
    known: Numbers,
    evaluators: Mapping[str, Evaluator],
    options: Mapping[str, Mapping[str, Value]],
    statistics: Statistics,
) -> Numbers | None:
    """The same measurements, with the statistics that a space asks for; None where one is lacking.

    A statistic that was not asked for before is worked out from the raw samples.
    """
    estimates: dict[tuple[str, str | None], Estimate] = {}
    for name, measurements in known.measurements.items():
        engine = evaluators[name]
        reported = {metric for metric, _ in known.estimates}
        for metric in (m.name for m in engine.spec.metrics if m.name in reported):
            for statistic in statistics[metric]:
                found = known.estimates.get((metric, statistic))
                try:
                    estimates[metric, statistic] = found or engine.summarise(
                        measurements, options[name], metric, statistic
                    )
                except MeasurementError:
                    return None
    return Numbers(estimates, known.measurements)
