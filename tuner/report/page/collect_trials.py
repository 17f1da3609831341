"""The trials' table and the front plot: which trials go into the page, and what is said of each.

Knows nothing of how tables and plots are drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tuner.report.page.collect_context import MOST_TRIALS, Asked, Context
from tuner.report.page.document import (
    Axis,
    AxisLimit,
    Cell,
    Column,
    Front,
    FrontPoint,
    Trials,
    Value,
)
from tuner.report.page.figures import NUMBER, figure, text_of
from tuner.report.words import ending, parameter_texts, plural, value_text
from tuner.study.api import Trial
from tuner.study.rows import MetricRow

_LAST = 200  # trials that are always shown of a long study

Made = tuple[Column, Callable[[Trial], Cell | None]]


def shown_trials(context: Context) -> list[Trial]:
    """All trials up to `MOST_TRIALS`; else those that matter, the last, and a sample of the rest.

    The sample takes the same share of the trials of every outcome, evenly over the study.
    """
    trials = context.trials
    if len(trials) <= MOST_TRIALS:
        return trials
    numbers = _telling(context) | {t.number for t in trials[-_LAST:]}
    groups: dict[str, list[Trial]] = {}
    for trial in trials:
        if trial.number not in numbers:
            groups.setdefault(ending(trial.row.state, trial.row.verdict), []).append(trial)
    left, room = sum(map(len, groups.values())), max(0, MOST_TRIALS - len(numbers))
    for group in groups.values():
        count = max(1, len(group) * room // max(1, left))
        numbers |= {group[i * len(group) // count].number for i in range(count)}
    return [t for t in trials if t.number in numbers]


def _telling(context: Context) -> set[int]:
    """The chosen, the confirmed, and the front, evenly taken where that is very long."""
    front = [t.number for t in context.front]
    step = max(1, len(front) // (MOST_TRIALS // 2))
    found = {*front[::step], *context.study.confirmations}
    return found | ({context.best.number} if context.best is not None else set())


def collect_trials(context: Context, shown: Sequence[Trial]) -> Trials:
    """The table of the trials that are shown."""
    made = [*_outcome(context), *_decisions(context), *_metrics(context), *_rest(context)]
    rows = tuple(tuple(cell(trial) for _, cell in made) for trial in shown)
    total = context.count("tuner_trials", "role = 'trial'", value=len(context.trials))
    columns = tuple(column for column, _ in made)
    return Trials(columns, rows, len(shown), total, _sentence(context, shown))


def _sentence(context: Context, shown: Sequence[Trial]) -> str:
    if len(shown) == len(context.trials):
        return ""
    return (
        f"{plural(len(shown), 'trial')} of {len(context.trials):,} are shown: the front, what was "
        f"chosen and confirmed, the last {_LAST}, and an even sample of every other outcome."
    )


def _outcome(context: Context) -> list[Made]:
    best = None if context.best is None else context.best.number

    def of_trial(column: str) -> str:
        return context.sql.select(column, "tuner_trials", f"number = {NUMBER}")

    return [
        (Column("number", "#", "number", form="count"), lambda t: Cell(t.number, str(t.number))),
        (
            Column("state", "state", "state", source=of_trial("state")),
            lambda t: Cell(t.row.state, t.row.state),
        ),
        (
            Column("verdict", "verdict", "verdict", source=of_trial("verdict")),
            lambda t: None if t.row.verdict is None else Cell(t.row.verdict, t.row.verdict),
        ),
        (
            Column("front", "on the front", "flag", source=of_trial("on_front")),
            lambda t: _flag(value=t.row.on_front),
        ),
        (Column("chosen", "chosen", "flag"), lambda t: _flag(value=t.number == best)),
    ]


def _flag(*, value: bool) -> Cell:
    return Cell(value, "yes" if value else "")


def _decisions(context: Context) -> list[Made]:
    tried: dict[str, list[Any]] = {}
    for trial in context.trials:
        for name, value in trial.parameters.items():
            tried.setdefault(name, []).append(value)
    return [_decision(context, name, values) for name, values in tried.items()]


def _decision(context: Context, name: str, values: Sequence[Any]) -> Made:
    numeric = all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in values)
    column = "value_number" if numeric else "value"
    source = context.sql.select(column, "tuner_params", f"number = {NUMBER}", name=name)

    def cell(trial: Trial) -> Cell | None:
        if name not in trial.parameters:
            return None
        value = trial.parameters[name]
        text = value_text(value)
        return Cell(value if isinstance(value, (bool, int, float)) else text, text)

    return Column(name, name, "decision", numeric=numeric, source=source), cell


def _metrics(context: Context) -> list[Made]:
    return [(context.metric_column(asked), _metric_cell(asked)) for asked in context.asked]


def _metric_cell(asked: Asked) -> Callable[[Trial], Cell | None]:
    return lambda trial: _cell(trial.metrics.get(asked.name))


def _cell(row: MetricRow | None) -> Cell | None:
    if row is None or row.value is None:
        return None
    text = text_of("quantity", row.unit, row.value, row.low, row.high)
    return Cell(row.value, text, row.low, row.high)


def _rest(context: Context) -> list[Made]:
    violation = "SUM(CASE WHEN violation > 0 THEN violation ELSE 0 END)"
    missed = context.sql.select(violation, "tuner_constraints", f"number = {NUMBER}")
    seconds = context.sql.select("seconds", "tuner_trials", f"number = {NUMBER}")
    return [
        (
            Column("violation", "violation", "violation", form="number", source=missed),
            lambda t: _number(t.violation, "number") if t.constraints else None,
        ),
        (
            Column("seconds", "took", "seconds", "s", "duration", source=seconds),
            lambda t: _number(t.row.seconds, "duration"),
        ),
        (Column("origin", "taken over from", "text"), lambda t: _text(t.row.origin)),
        (Column("failure", "failure", "text"), lambda t: _text(failure_text(t))),
    ]


def _number(value: float | None, form: str) -> Cell | None:
    return None if value is None else Cell(value, text_of(form, "", value))


def _text(value: str | None) -> Cell | None:
    return None if value is None else Cell(value, value)


def failure_text(trial: Trial) -> str | None:
    """`out_of_memory in genai_builder: 5.1 GB of 4 GB`; None where it did not fail."""
    row = trial.row
    if row.reason is None:
        return None
    return f"{row.reason} in {row.where or 'it'}: {row.message or 'no message'}"


def collect_front(context: Context, shown: Sequence[Trial]) -> Front:
    """The trials that are shown, in the space of the objectives."""
    asked = [a for a in context.asked if a.direction]
    axes = tuple(_axis(context, a) for a in asked)
    numbered = [t for t in shown if any(a.name in t.metrics for a in asked)]
    texts = parameter_texts([t.parameters for t in numbered])
    points = (_point(context, t, asked, words) for t, words in zip(numbered, texts, strict=True))
    size = context.count("tuner_front", value=len(context.front))
    limits = tuple(_limits(context, asked))
    baseline = None if context.baseline is None else _point(context, context.baseline, asked, [])
    return Front(axes, tuple(points), limits, baseline, size, _front_sentence(context))


def _axis(context: Context, asked: Asked) -> Axis:
    label = f"{asked.name} ({'lower' if asked.direction == 'minimize' else 'higher'} is better)"
    source = context.metric_source(asked, NUMBER)
    return Axis(asked.name, label, asked.unit, "quantity", asked.direction, source)


def _point(
    context: Context, trial: Trial, asked: Sequence[Asked], words: Sequence[str]
) -> FrontPoint:
    chosen = context.best is not None and trial.number == context.best.number
    values = tuple(_cell(trial.metrics.get(a.name)) for a in asked)
    row = trial.row
    return FrontPoint(
        trial.number, row.state, row.verdict, row.on_front, chosen, values, tuple(words)
    )


def _limits(context: Context, asked: Sequence[Asked]) -> list[AxisLimit]:
    """A line per constraint on an objective's metric; relative ones as they came out."""
    places = {a.name: i for i, a in enumerate(asked)}
    judged = _judged(context)
    found = []
    for constraint in context.study.info.constraints:
        text = str(constraint["text"])
        axis = next((places[a.name] for a in context.asked if _same(a, constraint, places)), None)
        if axis is None or text not in judged:
            continue
        number, limit = judged[text]
        where: dict[str, Value] = {"number": number, "text": text}
        source = context.sql.select("limit_value", "tuner_constraints", **where)
        line = figure(limit, "quantity", source, unit=asked[axis].unit)
        upper = str(constraint.get("operator", "<")).startswith("<")
        found.append(AxisLimit(axis, text, line, upper))
    return found


def _same(asked: Asked, constraint: Mapping[str, Any], places: Mapping[str, int]) -> bool:
    ours = {asked.statistic, None} if asked.statistic in (None, "p50") else {asked.statistic}
    same = asked.metric == constraint["metric"] and constraint["statistic"] in ours
    return asked.name in places and same


def _judged(context: Context) -> dict[str, tuple[int, float]]:
    """Constraint -> a trial that was judged by it, and its limit."""
    found: dict[str, tuple[int, float]] = {}
    for trial in context.trials:
        for row in trial.constraints:
            if row.limit is not None:
                found.setdefault(row.text, (trial.number, row.limit))
    return found


def _front_sentence(context: Context) -> str:
    numbered = [t for t in context.trials if t.objectives is not None]
    fit = sum(t.feasible for t in numbered)
    return (
        f"{plural(len(numbered), 'trial')} with numbers, {fit:,} of them feasible, "
        f"{len(context.front):,} on the front."
    )
