"""How a study went: the best so far of every objective, and the front's size, over time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tuner.report.page.collect_context import Context
from tuner.report.page.document import Point, Progress, Series
from tuner.report.page.figures import literal, text_of
from tuner.report.words import metric_name


def collect_progress(context: Context) -> Progress:
    """The series; each is what its own SQL gives."""
    objectives = enumerate(context.study.info.objectives, 1)
    best = tuple(_best(context, position, objective) for position, objective in objectives)
    return Progress(best, _front_size(context))


def _best(context: Context, position: int, objective: Mapping[str, Any]) -> Series:
    """The best of an objective among the trials that are feasible, whenever it changed."""
    name = metric_name(objective["metric"], objective["statistic"])
    minimize = bool(objective["minimize"])
    best = f"{'MIN' if minimize else 'MAX'}(value) OVER (ORDER BY finished_at, number)"
    conditions = ("verdict = 'feasible'", "role = 'trial'", "state IN ('complete', 'built')")
    known = ("value IS NOT NULL", "finished_at IS NOT NULL")
    inner = context.sql.select(
        f"number, finished_at, value, {best} AS best",
        "tuner_objectives",
        f"position = {position}",
        *conditions,
        *known,
    )
    before = "LAG(best) OVER (ORDER BY finished_at, number)"
    source = (
        f"SELECT number, {_since(context)} AS at, best AS value FROM "
        f"(SELECT number, finished_at, best, {before} AS former FROM ({inner}) AS known) AS steps "
        "WHERE former IS NULL OR former <> best ORDER BY finished_at, number"
    )
    direction = "minimize" if minimize else "maximize"
    label = f"best {name} of the feasible trials"
    return _series(context, name, label, context.unit(name), "quantity", direction, source)


def _front_size(context: Context) -> Series:
    came = context.sql.select(
        "front_since AS finished_at, 1 AS change", "tuner_trials", "front_since IS NOT NULL"
    )
    went = context.sql.select(
        "front_until AS finished_at, -1 AS change", "tuner_trials", "front_until IS NOT NULL"
    )
    sizes = "SUM(SUM(change)) OVER (ORDER BY finished_at)"
    source = (
        f"SELECT NULL AS number, {_since(context)} AS at, {sizes} AS value FROM "
        f"({came} UNION ALL {went}) AS changes GROUP BY finished_at ORDER BY finished_at"
    )
    return _series(context, "front", "trials on the front", "", "count", "", source)


def _since(context: Context) -> str:
    return f"finished_at - {literal(context.study.info.created_at)}"


def _series(
    context: Context,
    name: str,
    label: str,
    unit: str,
    form: str,
    direction: str,
    source: str,
) -> Series:
    whole = form == "count"
    points = []
    for number, at, value in context.reader.rows(source):
        shown = int(value) if whole else float(value)
        points.append(Point(number, float(at), shown, text_of(form, unit, shown)))
    return Series(name, label, unit, form, direction, tuple(points), source)
