"""A metric of a trial against the baseline's, as a figure: the closest look that the database has.

Knows nothing of which trial matters.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from evaluators.base import Interval
from tuner.report.choices import RATIOS
from tuner.report.page import change
from tuner.report.page.collect_context import Context
from tuner.report.page.document import Figure, Value
from tuner.report.page.figures import equals, figure, literal
from tuner.study.rows import MetricRow

Compute = Callable[[Sequence[tuple[Any, ...]]], Interval | None]


def collect_change(context: Context, ours: MetricRow, theirs: MetricRow) -> Figure | None:
    """A ratio as it was measured in turn; else a ratio, or of other units a difference."""
    if ours.ratio is not None:
        where: dict[str, Value] = {
            "number": ours.number,
            "split": ours.split,
            "metric": ours.metric,
            "statistic": ours.statistic,
        }
        source = context.sql.select("ratio, ratio_low, ratio_high", "tuner_metrics", **where)
        return figure(ours.ratio[0], "ratio", source, ends=(ours.ratio[1], ours.ratio[2]))
    values = _values(context, ours, theirs)
    if ours.unit in RATIOS:
        return _computed(context, "ratio", "", values, change.ratio)
    form = "points" if ours.unit == "fraction" else "change"
    paired = None
    if ours.evaluator is not None:
        detail = _detail(context, ours, theirs)
        paired = _computed(context, form, ours.unit, detail, change.paired_gap)
    return paired or _computed(context, form, ours.unit, values, change.gap)


def _computed(
    context: Context, form: str, unit: str, source: str, compute: Compute
) -> Figure | None:
    found = compute(context.reader.rows(source))
    if found is None:
        return None
    name = f"{compute.__module__}.{compute.__name__}"
    ends = (found.low, found.high)
    return figure(found.value, form, source, unit=unit, ends=ends, computed=name)


def _values(context: Context, ours: MetricRow, theirs: MetricRow) -> str:
    """SQL for both rows, the trial's first."""
    source = context.sql.select(
        "value, low, high",
        "tuner_metrics",
        f"number IN ({theirs.number}, {ours.number})",
        split=ours.split,
        metric=ours.metric,
        statistic=ours.statistic,
    )
    return f"{source} ORDER BY number DESC"


def _detail(context: Context, ours: MetricRow, theirs: MetricRow) -> str:
    """SQL for the raw detail of both, the trial's first: of each the last that was measured."""
    columns = f"evaluator, {literal(ours.metric)} AS metric, detail"
    newest = (
        "NOT EXISTS (SELECT 1 FROM tuner_measurements n WHERE n.study = m.study AND "
        "n.number = m.number AND n.evaluator = m.evaluator AND n.split = m.split AND "
        "n.measured_at > m.measured_at)"
    )
    source = context.sql.select(
        columns,
        "tuner_measurements m",
        equals("evaluator", ours.evaluator),
        equals("split", ours.split),
        f"number IN ({theirs.number}, {ours.number})",
        newest,
    )
    return f"{source} ORDER BY number DESC"
