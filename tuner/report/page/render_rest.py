"""The page's sections of failures, data, environment and recipe: tables and texts, no plots.

Knows nothing of where the document's numbers come from.
"""

from __future__ import annotations

from tuner.report.page.document import (
    DataCheck,
    Document,
    Environment,
    Fact,
    FailureGroup,
    Recipe,
)
from tuner.report.page.render_html import (
    Html,
    figure,
    joined,
    listing,
    paragraphs,
    table,
    tag,
)

_AGAIN = {True: "would fail again", False: "may succeed another time", None: ""}


def failures(document: Document) -> Html:
    """What failed, by reason, and what the search learned from it."""
    found = document.failures
    said = tag("span", found.sentence, class_="figure text", data_source=found.total.source)
    parts = [tag("p", said)] if found.sentence else []
    if found.groups:
        titles = ("reason", "where", "trials", "what it said", "", "first")
        rows = [_group(group) for group in found.groups]
        parts.append(table(titles, rows, stack=True))
    if found.lessons:
        parts += [tag("h3", "What the search learned"), listing(found.lessons)]
    return joined(*parts)


def _group(group: FailureGroup) -> tuple[object, ...]:
    numbers = [tag("a", n, href=f"#trial-{n}") if n >= 0 else "baseline" for n in group.numbers]
    links = Html(" ").join(map(str, numbers))
    several = (group.messages.value or 0) > 1
    more = tag("small", " and others (", figure(group.messages), " in all)") if several else ""
    log = tag("div", tag("small", f"log: {group.log}")) if group.log else ""
    return (
        group.reason,
        group.where,
        figure(group.count),
        joined(group.message, more, log),
        _AGAIN[group.deterministic],
        Html(links),
    )


def data(found: DataCheck | None) -> Html:
    """The splits that were searched and confirmed on, and what is to be known of them."""
    if found is None:
        return Html()
    warnings = [finding for finding in found.findings if finding.warning]
    others = [finding.message for finding in found.findings if not finding.warning]
    notes = [tag("div", tag("p", w.message), class_="note") for w in warnings]
    rows = [
        (
            split.name,
            tag("span", split.rows, class_="figure", data_source=found.source),
            ", ".join(f"{label} {count}" for label, count in split.labels),
            split.floors,
        )
        for split in found.splits
    ]
    titles = ("part", "rows", "by label", "floors of accuracy")
    return joined(*notes, table(titles, rows, stack=True), listing(others))


def environment(found: Environment) -> Html:
    """Machine, versions, settings, and the commands that worked on the study."""
    parts = []
    for title, facts in (
        ("Machine", found.machine),
        ("Versions", found.versions),
        ("Settings", found.settings),
    ):
        if facts:
            parts.append(tag("div", tag("h3", title), _facts(facts, found.source)))
    parts = [tag("div", *parts, class_="side")]
    if found.commands:
        rows = [
            (figure(c.started), figure(c.seconds), c.reason or "did not say", c.owner)
            for c in found.commands
        ]
        titles = ("started", "worked", "ended", "process")
        parts += [tag("h3", "Commands"), table(titles, rows, stack=True)]
    if found.differences:
        width = max(len(one.texts) for one in found.differences)
        columns = ("", *(f"command {i + 1}" for i in range(width)))
        changes: list[tuple[str, ...]] = [(one.name, *one.texts) for one in found.differences]
        parts += [tag("h3", "What changed between commands"), table(columns, changes)]
    return joined(*parts)


def _facts(facts: tuple[Fact, ...], source: str) -> Html:
    rows = [
        (fact.name, tag("span", fact.text, class_="figure text", data_source=source))
        for fact in facts
    ]
    return table(("", ""), rows, kind="facts")


def recipe(found: Recipe) -> Html:
    """The chosen trial's recipe, and the space as it was written."""
    parts = [paragraphs([found.note])]
    if found.text:
        parts.append(tag("pre", tag("code", found.text), tabindex=0, aria_label="Recipe"))
    if found.space:
        name = (
            f"The space as it was written ({found.space_path})" if found.space_path else "The space"
        )
        text = tag("pre", tag("code", found.space), tabindex=0, aria_label="Space")
        parts.append(tag("details", tag("summary", name), text))
    return joined(*parts)
