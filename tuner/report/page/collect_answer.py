"""The answer of a study: what was chosen and how it compares, or what would fit, or why nothing.

Words are those of the terminal's answer. Knows nothing of how the page shows them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from tuner.report.answer import floor_lines, missed_text, why_chosen
from tuner.report.confirmation import bracket_lines, refuted_lines
from tuner.report.nothing_fits import headline, lacking, limits_text, remark_text
from tuner.report.page.collect_change import collect_change
from tuner.report.page.collect_context import Asked, Context
from tuner.report.page.collect_head import is_running, state_of
from tuner.report.page.document import (
    Answer,
    AnswerMetric,
    Cause,
    Figure,
    Limit,
    Nearest,
    Parameter,
    PipelineStep,
    Price,
    PriceList,
    Value,
)
from tuner.report.page.figures import equals, figure
from tuner.report.page.use import use_of
from tuner.report.why import Reason, clearest_lines
from tuner.report.words import metric_name, parameter_texts, plural, value_text
from tuner.review.shortfall import Price as RelaxedPrice
from tuner.review.shortfall import known_values, shortfall_of
from tuner.study.api import Trial
from tuner.study.events import BASELINE
from tuner.study.rows import ConstraintRow, MetricRow

Json = Mapping[str, Any]

_WIDE = 10**6  # characters: a line is not broken here
_NEAREST = 3
_CAUSES = 5
_OVER = ("finished", "failed")


def collect_answer(context: Context, found: Sequence[Reason]) -> Answer:
    """The answer; `found`: why metrics vary."""
    running = is_running(context)
    if context.best is not None:
        return _chosen(context, context.best, found, running=running)
    if context.study.nearest:
        return _nothing_fits(context, found, running=running)
    ended = [t for t in context.trials if t.row.finished_at is not None]
    if ended and len(ended) == len(context.study.failures):
        return _all_failed(context, running=running)
    if running:
        return Answer("running", "No answer yet", "A command works on the study now.")
    failed = _baseline_failure(context)
    sentence = f"{plural(len(ended), 'trial')} ended; none of them can be chosen."
    if not ended:
        sentence = "No trial was tried to its end." if context.trials else "Nothing was tried yet."
        sentence = failed or sentence
    return Answer("nothing_yet", "No answer yet", sentence)


def _chosen(context: Context, best: Trial, found: Sequence[Reason], *, running: bool) -> Answer:
    built = not context.front
    word = "Built" if built else "Chosen" if state_of(context)[0] in _OVER else "Best so far"
    title = f"{word}: trial {best.number}"
    why = why_chosen(context.study, best)
    prices, problem = _prices(context) if built else ((), None)
    return Answer(
        kind="running" if running else "chosen",
        title=title,
        sentence=f"{why[:1].upper()}{why[1:]}.",
        trial=best.number,
        decisions=context.decisions(best),
        pipeline=tuple(_step(best, step) for step in best.row.steps),
        metrics=tuple(_metric(context, best, asked) for asked in context.asked),
        limits=tuple(_limit(context, best, row) for row in best.constraints),
        notes=_notes(context, best),
        mattered=tuple(clearest_lines(found)),
        use=use_of(context.study, best),
        prices=prices,
        no_prices=problem,
    )


def _step(best: Trial, step: Json) -> PipelineStep:
    name = str(step.get("id") or step.get("pass"))
    parameters = step.get("parameters") or {}
    made = (
        Parameter(str(key), value_text(value), f"{name}.{key}" in best.parameters)
        for key, value in parameters.items()
    )
    return PipelineStep(name, str(step.get("pass")), tuple(made))


def _baseline_failure(context: Context) -> str | None:
    """Why there is nothing to compare with; None where the baseline has numbers, or was not run."""
    source = context.sql.select(
        "reason, failed_where, message", "tuner_trials", "reason IS NOT NULL", number=BASELINE
    )
    found = context.reader.rows(source)
    if context.baseline is not None or not found:
        return None
    reason, where, message = found[0]
    return f"The baseline gave no numbers: {reason} in {where}: {message}."


def _notes(context: Context, best: Trial) -> tuple[str, ...]:
    names = [asked.name for asked in context.asked]
    lines = [*floor_lines(context.study), *bracket_lines(context.study, names, _WIDE)]
    lines += filter(None, [_baseline_failure(context)])
    if context.front and context.study.confirmed is None:
        lines.append("These are the search's numbers: nothing was confirmed on held-out data.")
    if best.row.origin is not None:
        lines.append(f"Taken over from {best.row.origin}; it was not tried again here.")
    for trial in context.study.nearest:
        lines += refuted_lines(context.study, trial, _WIDE)
    return tuple(line.strip() for line in lines)


def _metric(context: Context, best: Trial, asked: Asked) -> AnswerMetric:
    search, before = best.metrics.get(asked.name), _baseline(context, asked)
    again, again_before = (_held_out(context, n, asked) for n in (best.number, BASELINE))
    pair = (again, again_before) if again is not None and again_before is not None else None
    ours, theirs = pair or (search, before)
    change = None if ours is None or theirs is None else collect_change(context, ours, theirs)
    direction = asked.direction or _wanted(context, asked)
    return AnswerMetric(
        name=asked.name,
        label=asked.name,
        unit=asked.unit,
        direction=asked.direction,
        search=context.metric_figure(asked, search),
        confirmed=context.metric_figure(asked, again),
        baseline=context.metric_figure(asked, before),
        baseline_confirmed=context.metric_figure(asked, again_before),
        change=change,
        better=_better(change, direction),
    )


def _baseline(context: Context, asked: Asked) -> MetricRow | None:
    return None if context.baseline is None else context.baseline.metrics.get(asked.name)


def _held_out(context: Context, number: int, asked: Asked) -> MetricRow | None:
    name = ("test", asked.metric, asked.statistic)
    rows = context.metrics(number)
    return next((m for m in rows if (m.split, m.metric, m.statistic) == name), None)


def _wanted(context: Context, asked: Asked) -> str:
    """The better direction of a metric that is limited only."""
    for constraint in context.study.info.constraints:
        if metric_name(constraint["metric"], constraint["statistic"]) == asked.name:
            upper = str(constraint.get("operator", "")).startswith("<")
            return "minimize" if upper else "maximize"
    return ""


def _better(change: Figure | None, direction: str) -> bool | None:
    """Whether a change is for the better for certain (True), for the worse (False), or neither."""
    if change is None or change.value is None or not direction:
        return None
    same = 1.0 if change.form == "ratio" else 0.0
    low = change.value if change.low is None else change.low
    high = change.value if change.high is None else change.high
    if low <= same <= high:
        return None
    return (high < same) == (direction == "minimize")


def _limit(context: Context, best: Trial, row: ConstraintRow) -> Limit:
    where: dict[str, Value] = {"number": best.number, "text": row.text}
    name, unit = metric_name(row.metric, row.statistic), ""
    if name in best.metrics:
        unit = best.metrics[name].unit
    figures = [
        figure(
            value,
            "quantity",
            context.sql.select(column, "tuner_constraints", **where),
            unit=unit,
        )
        for column, value in (("limit_value", row.limit), ("value", row.value))
    ]
    again = context.study.confirmations.get(best.number)
    confirmed = () if again is None else again.constraints
    verdict = next((c["verdict"] for c in confirmed if c["text"] == row.text), None)
    if row.verdict == "feasible":
        sentence = f"holds: it has {figures[1].text}, the limit is {figures[0].text}"
    else:
        sentence = missed_text(context.study, best, row)
    return Limit(row.text, name, figures[0], figures[1], row.verdict, verdict, sentence)


def _nothing_fits(context: Context, found: Sequence[Reason], *, running: bool) -> Answer:
    shortfall = shortfall_of(context.study)
    nearest = shortfall.nearest[:_NEAREST] or tuple(context.study.nearest[:_NEAREST])
    lists, problem = _prices(context)
    title = "Nothing is feasible so far" if running else "Nothing is feasible"
    first = _first(lists[0].sentence) if lists else f"Trial {nearest[0].number} comes nearest."
    return Answer(
        kind="running" if running else "nothing_fits",
        title=title,
        sentence=first,
        notes=(*floor_lines(context.study), *lacking(nearest)),
        mattered=tuple(clearest_lines(found)),
        nearest=tuple(_near(context, trial, texts) for trial, texts in _texts(nearest)),
        prices=lists,
        no_prices=problem,
    )


def _first(headline: str) -> str:
    """What a price list's headline says of the constraints, without what leads to the prices."""
    told, mark, _ = headline.removesuffix(":").rpartition(". ")
    return f"{told}." if mark else f"{headline.removesuffix(':')}."


def _texts(trials: Sequence[Trial]) -> list[tuple[Trial, tuple[str, ...]]]:
    texts = parameter_texts([t.parameters for t in trials], all_of_them=True)
    return [(trial, tuple(words)) for trial, words in zip(trials, texts, strict=True)]


def _near(context: Context, trial: Trial, words: tuple[str, ...]) -> Nearest:
    metrics = tuple(
        (a.name, context.metric_figure(a, trial.metrics.get(a.name))) for a in context.asked
    )
    missed = [
        missed_text(context.study, trial, c) for c in trial.constraints if c.verdict != "feasible"
    ]
    missed += refuted_lines(context.study, trial, _WIDE)
    return Nearest(trial.number, words, metrics, tuple(missed))


def _prices(context: Context) -> tuple[tuple[PriceList, ...], str | None]:
    """What relaxing limits would let in, and why that cannot be said, if it cannot."""
    shortfall = shortfall_of(context.study)
    several = len(shortfall.bindings) > 1
    lists = tuple(
        PriceList(
            binding.constraints,
            headline(binding, alternatives=several),
            tuple(_price(context, price) for price in binding.prices),
        )
        for binding in shortfall.bindings
    )
    return lists, shortfall.problem


def _price(context: Context, price: RelaxedPrice) -> Price:
    trial, objectives = price.trial, context.study.info.objectives
    missed = context.sql.select(
        "text, limit_value, value, violation", "tuner_constraints", number=trial.number
    )
    values = known_values(trial, objectives)
    found = []
    for position, objective in enumerate(objectives, 1):
        name = metric_name(objective["metric"], objective["statistic"])
        where: dict[str, Value] = {"number": trial.number, "position": position}
        source = context.sql.select("value", "tuner_objectives", **where)
        value = values[objective["text"]]
        shown = figure(value, "quantity", source, unit=context.unit(name))
        found.append((name, None if value is None else shown))
    relaxation = figure(
        price.relaxation, "number", missed, computed="tuner.review.shortfall.shortfall_of"
    )
    return Price(limits_text(price), trial.number, relaxation, tuple(found), remark_text(price))


def _all_failed(context: Context, *, running: bool) -> Answer:
    failures = context.study.failures
    causes = Counter((t.row.where, t.row.message) for t in failures)
    found = []
    for (where, message), count in causes.most_common(_CAUSES):
        conditions = (
            "role = 'trial'",
            "state IN ('failed', 'infeasible')",
            equals("failed_where", where),
            equals("message", message),
        )
        found.append(
            Cause(
                where or "",
                message or "",
                context.count("tuner_trials", *conditions, value=count),
            )
        )
    first = found[0]
    return Answer(
        kind="running" if running else "all_failed",
        title="Every trial failed so far" if running else "Every trial failed",
        sentence=f"{first.count.text} of {plural(len(failures), 'trial')} failed in {first.where}.",
        causes=tuple(found),
    )
