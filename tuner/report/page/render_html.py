"""HTML out of plain text: elements that escape what they are given, figures, tables, plots' places.

What is not `Html` already is text, whatever it contains. Knows nothing of studies.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

from tuner.report.page.document import Figure

_VOID = ("meta", "link", "br", "input")
_KNOWN_VERDICTS = ("feasible", "infeasible", "undecided", "failed")


class Html(str):
    """Text that is HTML already; everything else is escaped where it is put into an element."""

    __slots__ = ()


def escaped(text: object) -> Html:
    """Text as HTML, `Html` as it is."""
    return text if isinstance(text, Html) else Html(html.escape(str(text), quote=True))


def joined(*parts: object) -> Html:
    """Parts one after the other."""
    return Html("".join(escaped(part) for part in parts))


def tag(name: str, /, *children: object, **attributes: str | int | bool | None) -> Html:
    """An element. `class_` is the attribute class, `data_source` is data-source; None: left out."""
    found = "".join(_attribute(key, value) for key, value in attributes.items())
    if name in _VOID:
        return Html(f"<{name}{found}>")
    return Html(f"<{name}{found}>{joined(*children)}</{name}>")


def _attribute(key: str, value: str | int | bool | None) -> str:
    if value is None or value is False:
        return ""
    name = key.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{escaped(value)}"'


def figure(found: Figure | None, missing: str = "-") -> Html:
    """A number with its interval in small print; it carries the SQL that it comes from."""
    if found is None:
        return tag("span", missing, class_="muted")
    value, bracket, interval = found.text.partition(" (")
    rest = tag("span", bracket + interval, class_="interval") if bracket else Html()
    return tag(
        "span",
        value,
        rest,
        class_="figure",
        data_source=found.source,
        data_computed=found.computed,
    )


def verdict(word: str | None, missing: str = "") -> Html:
    """A verdict or a state, with a sign beside the colour."""
    if word is None:
        return escaped(missing)
    kind = word if word in _KNOWN_VERDICTS else "other"
    return tag("span", word, class_=f"verdict {kind}")


def table(
    titles: Sequence[object],
    rows: Iterable[Sequence[object]],
    *,
    caption: str = "",
    numbers: Sequence[int] = (),
    wide: Sequence[int] = (),
    stack: bool = False,
    kind: str | None = None,
    tall: bool = False,
) -> Html:
    """A table in a box that scrolls. `numbers`: the columns aligned to the right.

    `stack`: on a phone each row becomes a block of lines, so that nothing scrolls sideways; the
    first column is the row's heading. `tall`: the box has its own height, and scrolls that way too.
    """
    classes = ["n" if i in numbers else "wide" if i in wide else None for i in range(len(titles))]
    roles = {"role": "columnheader"} if stack else {}
    head = [
        tag("th", title, scope="col", class_=c, **roles)
        for title, c in zip(titles, classes, strict=True)
    ]
    body = [_row(titles, row, classes, stack=stack) for row in rows]
    names = " ".join(filter(None, ["stack" if stack else "", kind or ""]))
    group = {"role": "rowgroup"} if stack else {}
    found = tag(
        "table",
        tag("caption", caption) if caption else "",
        tag("thead", tag("tr", *head, role="row" if stack else None), **group)
        if any(titles)
        else "",
        tag("tbody", *body, **group),
        class_=names or None,
        role="table" if stack else None,
    )
    return box(found, caption or "table", "box tall" if tall else "box")


def _row(
    titles: Sequence[object], row: Sequence[object], classes: Sequence[str | None], *, stack: bool
) -> Html:
    cells = []
    for i, (title, cell) in enumerate(zip(titles, row, strict=True)):
        if i == 0 and stack:
            cells.append(tag("th", cell, scope="row", role="rowheader"))
        else:
            label = str(title) if stack and title else None
            role = "cell" if stack else None
            content = tag("div", cell) if stack and escaped(cell) else cell
            cells.append(tag("td", content, class_=classes[i], data_label=label, role=role))
    return tag("tr", *cells, role="row" if stack else None)


def box(content: Html, name: str, kind: str = "box") -> Html:
    """What may be wider than the page: it scrolls in a box of its own, by keyboard too."""
    return tag("div", content, class_=kind, tabindex=0, role="region", aria_label=name)


def plot(name: str, says: str, data: Html, *, low: bool = False, title: str = "The data") -> Html:
    """The place of the plot `name`: what it shows in one sentence, and its data as a table."""
    place = tag(
        "div",
        class_="plot low" if low else "plot",
        id=f"plot-{name}",
        data_plot=name,
        role="group",
        tabindex=0,
        aria_label=says,
    )
    return joined(
        tag("figure", tag("div", place, class_="drawn"), tag("figcaption", says)),
        tag("details", tag("summary", f"{title} as a table"), data),
    )


def section(name: str, title: str, *children: object) -> Html:
    """A section of the page with its heading."""
    heading = tag("h2", title, id=f"{name}-title")
    return tag("section", heading, *children, id=name, aria_labelledby=f"{name}-title")


def paragraphs(texts: Iterable[str], kind: str | None = None) -> Html:
    """A paragraph for each text that is not empty."""
    return joined(*(tag("p", text, class_=kind) for text in texts if text))


def listing(items: Iterable[object]) -> Html:
    """A list; nothing where there are no items."""
    found = [tag("li", item) for item in items]
    return tag("ul", *found) if found else Html()
