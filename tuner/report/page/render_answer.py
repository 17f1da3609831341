"""The page's first screen: which study this is, what it found, and how to use that.

Knows nothing of where the document's numbers come from.
"""

from __future__ import annotations

from tuner.report.page.document import (
    Answer,
    AnswerMetric,
    Document,
    Head,
    Limit,
    Nearest,
    PipelineStep,
    PriceList,
    Use,
)
from tuner.report.page.render_html import (
    Html,
    escaped,
    figure,
    joined,
    listing,
    paragraphs,
    table,
    tag,
    verdict,
)

_BETTER = {True: "better", False: "worse", None: "not clear"}


def head(document: Document) -> Html:
    """The study's name, how it stands, and what was asked of it."""
    found = document.head
    sources = tag(
        "button",
        "Sources",
        type="button",
        id="sources",
        aria_pressed="false",
        title="Show where each number comes from",
        class_="needs-script",
    )
    return tag(
        "header",
        tag("div", tag("h1", found.study), sources, class_="title"),
        tag("p", found.state_text, " ", _counts(found), ", ", figure(found.seconds), " in all."),
        tag("p", _question(found)),
        class_="head",
    )


def _counts(found: Head) -> Html:
    states = [joined(figure(c.count), " ", c.label) for c in found.states]
    trials = joined(figure(found.trials), " trial" if found.trials.value == 1 else " trials")
    return joined(trials, ": ", Html("; ".join(states))) if states else trials


def _listed(parts: list[Html]) -> Html:
    return Html(", ".join(parts))


def _question(found: Head) -> Html:
    asked = [tag("code", text) for text in (*found.objectives, *found.constraints)]
    night = [f"Night {found.night} of {found.sweep}. "] if found.night else []
    return tag("span", *night, "Asked: ", _listed(asked), " of ", _model(found.model))


def _model(model: str) -> Html:
    """A reference that may be long, with a hash at its end: on one line."""
    return tag("code", model, class_="model", title=model)


def answer(document: Document) -> Html:
    """What the study found: the chosen model, or why there is none and what is nearest."""
    found = document.answer
    parts = [tag("h2", found.title)]
    if found.use is not None:
        link = tag("a", "How to use it", href="#use")
        parts.append(tag("p", found.use.sentence, " ", link, "."))
    parts += [_pipeline(found), paragraphs([found.sentence])]
    if found.metrics:
        parts.append(_metrics(found))
    if found.causes:
        parts.append(_causes(found))
    if found.use is not None:
        parts.append(_use(found.use))
    parts.append(_values(found))
    parts += [_nearest(found.nearest), *map(_prices, found.prices)]
    if found.no_prices:
        parts.append(tag("p", found.no_prices))
    if found.mattered:
        parts += [tag("h3", "What mattered"), listing(found.mattered)]
    if found.notes:
        parts.append(tag("div", *(tag("p", note) for note in found.notes), class_="note"))
    return joined(*parts)


def _pipeline(found: Answer) -> Html:
    steps = [tag("li", _step(step)) for step in found.pipeline]
    return tag("ol", *steps, class_="pipeline", aria_label="The pipeline") if steps else Html()


def _values(found: Answer) -> Html:
    rows = [
        (step.name, p.name, p.text, "chosen by the search" if p.chosen else "fixed")
        for step in found.pipeline
        for p in step.parameters
    ]
    every = table(("step", "parameter", "value", ""), rows)
    return tag("details", tag("summary", "Every value of the pipeline"), every) if rows else Html()


def _step(step: PipelineStep) -> Html:
    values = [f"{p.name}={p.text}" for p in step.parameters if p.chosen]
    return joined(tag("b", step.name), " " if values else "", ", ".join(values))


def _metrics(found: Answer) -> Html:
    confirmed = any(m.confirmed is not None for m in found.metrics)
    limited = bool(found.limits)
    titles = ["metric", *(["limit"] if limited else []), "search"]
    titles += [
        *(["confirmed (held-out)"] if confirmed else []),
        "baseline",
        "against the baseline",
    ]
    rows = []
    for metric in found.metrics:
        row: list[object] = [_named(metric)]
        row += [_limits(metric, found.limits)] if limited else []
        row += [figure(metric.search)]
        row += [figure(metric.confirmed)] if confirmed else []
        row += [_baseline(metric), _change(metric)]
        rows.append(row)
    lost = [limit for limit in found.limits if limit.metric not in {m.name for m in found.metrics}]
    sentences = [tag("p", f"{limit.text}: {limit.sentence}") for limit in lost]
    return joined(
        table(titles, rows, stack=True, kind="asked confirmed" if confirmed else "asked"),
        *sentences,
    )


def _named(metric: AnswerMetric) -> Html:
    better = {"minimize": "lower is better", "maximize": "higher is better"}.get(metric.direction)
    small = tag("small", better) if better else ""
    return joined(metric.name, " ", small)


def _limits(metric: AnswerMetric, limits: tuple[Limit, ...]) -> Html:
    own = [limit for limit in limits if limit.metric == metric.name]
    return joined(*(tag("div", _limit(limit), title=limit.sentence) for limit in own))


def _limit(limit: Limit) -> Html:
    now = limit.confirmed or limit.verdict
    value = tag("span", limit.text, class_="figure", data_source=limit.limit.source)
    return joined(value, " ", verdict(now))


def _baseline(metric: AnswerMetric) -> Html:
    return figure(
        metric.baseline if metric.baseline_confirmed is None else metric.baseline_confirmed
    )


def _change(metric: AnswerMetric) -> Html:
    if metric.change is None:
        return figure(None)
    return joined(figure(metric.change), " ", tag("small", _BETTER[metric.better]))


def _use(use: Use) -> Html:
    parts = [tag("h3", "How to use it", id="use")]
    if use.snippet:
        parts.append(tag("pre", tag("code", use.snippet), tabindex=0, aria_label="Code"))
    if use.commands:
        lines = "\n".join(f"# {says}\n{command}" for command, says in use.commands)
        parts.append(tag("pre", tag("code", lines), tabindex=0, aria_label="Commands"))
    return joined(*parts)


def _nearest(nearest: tuple[Nearest, ...]) -> Html:
    if not nearest:
        return Html()
    names = [name for name, _ in nearest[0].metrics]
    rows = []
    for one in nearest:
        known = dict(one.metrics)
        values = [figure(known.get(name)) for name in names]
        rows.append((_trial(one.number), ", ".join(one.parameters), *values, listing(one.missed)))
    titles = ("trial", "choices", *names, "what it misses")
    return joined(tag("h3", "The nearest"), table(titles, rows, stack=True))


def _trial(number: int) -> Html:
    return tag("a", f"{number}", href=f"#trial-{number}") if number >= 0 else escaped("baseline")


def _prices(found: PriceList) -> Html:
    if not found.prices:
        return tag("p", found.sentence)
    names = [name for name, _ in found.prices[0].objectives]
    remarks = any(price.remark for price in found.prices)
    rows = [
        (
            price.limits,
            figure(price.relaxation),
            _trial(price.number),
            *(figure(dict(price.objectives).get(name)) for name in names),
            *([price.remark] if remarks else []),
        )
        for price in found.prices
    ]
    titles = ("at", "relaxed by (tolerances)", "trial", *names, *([""] if remarks else []))
    return joined(tag("h3", found.sentence), table(titles, rows, stack=True))


def _causes(found: Answer) -> Html:
    rows = [(cause.where, cause.message, figure(cause.count)) for cause in found.causes]
    return table(("where", "why", "trials"), rows, stack=True)
