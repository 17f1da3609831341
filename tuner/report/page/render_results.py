"""The page's sections of what was tried and what it gave: front, effects, trials, progress.

Each plot stands beside a table of what it draws. Knows nothing of where the numbers come from.
"""

from __future__ import annotations

from collections.abc import Sequence

from tuner.report.page.document import (
    Cell,
    Column,
    Document,
    Front,
    FrontPoint,
    MetricEffects,
    Progress,
    Series,
    Trials,
)
from tuner.report.page.render_html import (
    Html,
    box,
    escaped,
    figure,
    joined,
    listing,
    paragraphs,
    plot,
    table,
    tag,
    verdict,
)
from tuner.report.words import plural, short_names

_MANY = 60  # points, beyond which front.js draws the intervals of the front alone
_NUMBERS = ("number", "metric", "violation", "seconds")


def front(found: Front) -> Html:
    """The trials in the space of the objectives."""
    points = [*([found.baseline] if found.baseline else []), *found.points]
    if not points:
        return paragraphs([found.sentence or "No trial has numbers yet."])
    titles = ("trial", "verdict", "front", *(axis.name for axis in found.axes), "choices")
    rows = [_point(point) for point in points]
    numbers = range(3, 3 + len(found.axes))
    data = table(titles, rows, numbers=numbers, wide=[len(titles) - 1])
    whose = " of the front and the baseline" if len(points) > _MANY else ""
    says = f"{found.sentence} Bars are 95 % intervals{whose}; the line is the front."
    walk = "Click on a point to see its trial; arrow keys walk through them, Enter opens one."
    hint = tag("p", tag("small", walk), class_="needs-script muted")
    return joined(_axes(found), plot("front", says, data), hint)


def _axes(found: Front) -> Html:
    """Which two objectives are drawn, where there are more."""
    if len(found.axes) < 3:
        return Html()
    selects = []
    for name, at in (("x", 0), ("y", 1)):
        options = [
            tag("option", axis.name, value=i, selected=i == at) for i, axis in enumerate(found.axes)
        ]
        label = {"x": "across", "y": "upwards"}[name]
        selects.append(tag("label", label, tag("select", *options, id=f"front-{name}")))
    return tag("div", *selects, class_="bar needs-script")


def _point(point: FrontPoint) -> list[object]:
    place = "chosen" if point.chosen else "yes" if point.on_front else ""
    values = [_cell(value) for value in point.values]
    ended = verdict(point.verdict or point.state)
    return [_number(point.number), ended, place, *values, ", ".join(point.decisions)]


def _number(number: int) -> Html:
    return tag("a", number, href=f"#trial-{number}") if number >= 0 else escaped("baseline")


def _cell(cell: Cell | None) -> Html:
    if cell is None:
        return escaped("")
    value, bracket, interval = cell.text.partition(" (")
    return joined(value, tag("small", bracket + interval, class_="muted") if bracket else "")


def effects(found: Sequence[MetricEffects]) -> Html:
    """What each choice does to each metric."""
    return joined(*(_effect(index, metric) for index, metric in enumerate(found)))


def _effect(index: int, found: MetricEffects) -> Html:
    parts = [tag("h3", found.metric), *([tag("p", found.note)] if found.note else [])]
    parts.append(tag("p", tag("small", figure(found.results), " different results tell it.")))
    known = [line for line in found.effects if line.change is not None]
    if known:
        parts.append(plot(f"effects:{index}", _effects_say(found), _effects_table(found)))
    parts.append(_importances(found))
    if found.ruled_out:
        parts.append(tag("p", "Cannot change it: ", ", ".join(found.ruled_out), "."))
    return joined(*parts)


def _effects_say(found: MetricEffects) -> str:
    clear = [line for line in found.effects if line.clear and line.change is not None]
    what = "ratios" if found.ratio else "differences"
    count = sum(line.change is not None for line in found.effects)
    text = f"{found.metric}: the effects of {plural(count, 'change')} as {what} with intervals."
    if not clear or clear[0].change is None:
        return f"{text} None is clear."
    return f"{text} Clear: {len(clear)}; {clear[0].label}: {clear[0].change.text}."


def _effects_table(found: MetricEffects) -> Html:
    rows = [
        (
            line.label,
            figure(line.change),
            "yes" if line.clear else "no",
            f"{line.trials[0]} and {line.trials[1]}",
            f"{line.pairs}",
            line.note,
        )
        for line in found.effects
    ]
    titles = ("instead of -> this", "effect", "clear", "trials", "pairs", "")
    return table(titles, rows, numbers=(3, 4), wide=(0,))


def _importances(found: MetricEffects) -> Html:
    if not found.importances:
        return Html()
    rows = [(line.label, figure(line.share), line.note) for line in found.importances]
    rows += [("nothing that was varied", figure(found.rest), "")] if found.rest else []
    caption = f"Share of the variation of {found.metric} that each choice explains"
    return table(("choice", "share", ""), rows, caption=caption)


def parallel(document: Document) -> Html:
    """Every choice and metric of every trial at once; nothing where there is nothing to compare."""
    found = document.trials
    axes = [c for c in found.columns if c.kind in ("decision", "metric")]
    if len(found.rows) < 2 or len(axes) < 2:
        return Html()
    says = (
        f"{len(found.rows)} trials as lines over {len(axes)} axes, a choice or a metric each; "
        "the colour is the verdict, the thick line the chosen trial."
    )
    nothing = tag("option", "all trials", value="")
    select = tag("select", nothing, id="parallel-only")
    bar = tag("div", tag("label", "Bring out", select), class_="bar needs-script")
    place = tag(
        "div",
        class_="plot",
        id="plot-parallel",
        data_plot="parallel",
        role="group",
        tabindex=0,
        aria_label=says,
    )
    drawn = tag("figure", box(place, "Parallel coordinates"), tag("figcaption", says))
    data = tag("p", "The data: ", tag("a", "the table of trials", href="#trials"), ".")
    return joined(bar, tag("div", drawn, class_="drawn"), data)


def trials(found: Trials) -> Html:
    """The table of trials, a row each; scripts let it be sorted, filtered and opened."""
    if not found.rows:
        return paragraphs([found.sentence or "No trial has ended yet."])
    names = short_names(c.label for c in found.columns if c.kind == "decision")
    head = tag("tr", *(_title(c, names.get(c.label, c.label)) for c in found.columns))
    places = {column.name: i for i, column in reversed(list(enumerate(found.columns)))}
    rows = [_row(index, found.columns, row, places) for index, row in enumerate(found.rows)]
    listed = tag(
        "table", tag("thead", head), tag("tbody", *rows), class_="trials", id="trials-table"
    )
    paper = tag("p", "On paper: the first 40 rows; the file has all of them.", class_="paper muted")
    return joined(
        paragraphs([found.sentence]),
        _filters(found),
        box(listed, "Trials", "box tall"),
        paper if len(found.rows) > 40 else "",
    )


def _title(column: Column, name: str) -> Html:
    kind = "n" if column.kind in _NUMBERS else None
    label = tag("span", name, title=column.label if name != column.label else None)
    return tag("th", label, scope="col", class_=kind, data_columnsource=column.source)


def _row(
    index: int,
    columns: Sequence[Column],
    row: Sequence[Cell | None],
    places: dict[str, int],
) -> Html:
    cells = [_trial_cell(column, cell) for column, cell in zip(columns, row, strict=True)]
    first = next(i for i, column in enumerate(columns) if column.kind == "number")
    at = row[first]
    number = None if at is None else at.value
    chosen = row[places["chosen"]] if "chosen" in places else None
    mark = "chosen" if chosen is not None and chosen.value else None
    return tag(
        "tr",
        *cells,
        id=f"trial-{number}",
        class_=mark,
        data_row=index,
        data_number=None if number is None else str(number),
    )


def _trial_cell(column: Column, cell: Cell | None) -> Html:
    if column.kind == "number" and cell is not None:
        return tag("th", tag("a", cell.text, href=f"#trial-{cell.value}"), scope="row")
    if cell is None or cell.value is None:
        return tag("td")
    if column.kind == "flag":
        return tag("td", "yes" if cell.value else "")
    if column.kind == "verdict":
        return tag("td", verdict(cell.text))
    if column.kind == "text":
        return tag("td", cell.text, class_="long", title=cell.text)
    return tag("td", _cell(cell), class_="n" if column.kind in _NUMBERS else None)


def _filters(found: Trials) -> Html:
    text = tag("input", type="search", id="trials-text", placeholder="fp32 lora", size=16)
    selects = [_filter(found, kind) for kind in ("state", "verdict")]
    count = tag("output", id="trials-count", aria_live="polite")
    more = tag("button", "Show all", type="button", id="trials-all")
    return tag("div", tag("label", "Find", text), *selects, count, more, class_="bar needs-script")


def _filter(found: Trials, kind: str) -> Html:
    place = next((i for i, column in enumerate(found.columns) if column.kind == kind), None)
    cells = [] if place is None else [row[place] for row in found.rows]
    values = sorted({str(c.value) for c in cells if c is not None and c.value is not None})
    options = [tag("option", value, value=value) for value in values]
    select = tag("select", tag("option", "any", value=""), *options, id=f"trials-{kind}")
    return tag("label", kind.capitalize(), select)


def progress(found: Progress) -> Html:
    """The best so far of each objective, and the front's size, over time."""
    parts = []
    for index, series in enumerate((*found.best, found.front_size)):
        if series.points:
            name = f"progress:{index}"
            parts += [
                tag("h3", series.label),
                plot(name, _progress_says(series), _steps(series), low=True),
            ]
    return joined(*parts)


def _progress_says(series: Series) -> str:
    first, last = series.points[0], series.points[-1]
    if len(series.points) == 1:
        return f"{series.label}: {first.text}, and no change since."
    by = "" if last.number is None else f" by trial {last.number}"
    return f"{series.label}: from {first.text} to {last.text}{by} in {len(series.points)} steps."


def _steps(series: Series) -> Html:
    rows = [
        (f"{point.at:.1f}", "" if point.number is None else _number(point.number), point.text)
        for point in series.points
    ]
    source = tag("details", tag("summary", "Query"), tag("pre", series.source))
    titles = ("seconds since the start", "trial", series.label)
    return joined(table(titles, rows, numbers=(0, 2)), listing([source]))
