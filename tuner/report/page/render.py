"""A report as one HTML file: everything in it, nothing fetched, and nothing of it runs but ours.

Puts the sections together with style, script and the plotting library. A policy in the page lets
the browser run exactly these scripts, by their digests. Knows nothing of where the document's
numbers come from.
"""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import datetime
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from tuner.pipeline import store_owner
from tuner.report.page.document import Document, to_json
from tuner.report.page.render_answer import answer, head
from tuner.report.page.render_costs import quality, stages
from tuner.report.page.render_html import Html, figure, joined, section, tag
from tuner.report.page.render_rest import data, environment, failures, recipe
from tuner.report.page.render_results import effects, front, parallel, progress, trials

SCRIPTS = ("look.js", "plots.js", "front.js", "parallel.js", "charts.js", "table.js", "page.js")
"""The page's own scripts, in the order in which they are put together."""

_PLOTTED = ("front", "trials", "progress", "effects", "quality", "stages")
_ASSETS = "assets"
_TITLE = 90  # characters of a study's name in the window's title


def render(document: Document, *, script: str = "") -> str:
    """The whole page. `script`: JavaScript of the caller's that runs after the page's own."""
    scripts = [_plotly(), _own_script(), *([_plain(script)] if script else [])]
    page = tag(
        "html",
        tag("head", *_head(document, scripts)),
        tag("body", *_body(document), _data(document), *(_script(text) for text in scripts)),
        lang="en",
    )
    return f"<!doctype html>\n{page}\n"


def write(path: Path, page: str) -> None:
    """Write the page whole or not at all; until then `path` is what it was. OSError."""
    fresh = path.with_name(f".{path.name}-{store_owner.new_name()}")
    try:
        fresh.write_text(page, encoding="utf-8", errors="replace", newline="\n")
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)


def _head(document: Document, scripts: list[str]) -> list[Html]:
    digests = " ".join(f"'sha256-{_digest(text)}'" for text in scripts)
    policy = (
        f"default-src 'none'; script-src {digests}; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )
    name = document.head.study
    return [
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("title", f"{document.answer.title} - {name[:_TITLE]}"),
        tag("style", Html(_asset("page.css"))),
    ]


def _body(document: Document) -> list[Html]:
    sections = [
        ("answer", "Answer", answer(document)),
        ("front", "Front", front(document.front)),
        ("effects", "What each choice does", effects(document.effects)),
        ("parallel", "All choices at once", parallel(document)),
        ("trials", "Trials", trials(document.trials)),
        ("progress", "Progress", progress(document.progress)),
        ("quality", "Measurement quality", quality(document.quality)),
        ("stages", "Where the time went", stages(document.stages)),
        ("failures", "Failures", failures(document)),
        ("data", "Data", data(document.data)),
        ("environment", "Environment", environment(document.environment)),
        ("recipe", "Recipe", recipe(document.recipe)),
    ]
    shown = [(name, title, found) for name, title, found in sections if found]
    links = [tag("li", tag("a", title, href=f"#{name}")) for name, title, _ in shown]
    contents = tag("nav", tag("ul", *links), class_="contents", aria_label="Contents")
    main = tag("main", *(_section(*one) for one in shown), id="main")
    return [
        tag("a", "To the answer", href="#answer", class_="skip"),
        tag(
            "div",
            head(document),
            tag("div", contents, main, class_="columns"),
            _foot(document),
            class_="page",
        ),
        _dialogs(),
    ]


def _section(name: str, title: str, content: Html) -> Html:
    if name == "answer":  # its heading is the answer itself
        return tag("section", content, id=name, aria_label=title)
    return section(name, title, content)


def _foot(document: Document) -> Html:
    when = datetime.fromtimestamp(document.collected_at).astimezone()
    known = document.head
    event = ["after event ", figure(known.last_event), " of "] if known.last_event else ["from "]
    program = f", written by {known.program}" if known.program else ""
    text = joined(
        f"This page: {when:%Y-%m-%d %H:%M %Z}, ",
        *event,
        figure(known.last_event_at),
        ". The study began ",
        figure(known.created),
        f"; schema version {known.schema_version}{program}. ",
        "Intervals are 95 % intervals.",
    )
    return tag("footer", tag("p", tag("small", text)))


def _dialogs() -> Html:
    """The places of a trial's detail, of a number's source, and of what is read aloud."""
    close = tag("button", "Close", type="button", id="trial-close")
    steps = [
        tag("button", text, type="button", id=f"trial-{name}", aria_label=f"{name} trial")
        for name, text in (("previous", "\N{LEFTWARDS ARROW}"), ("next", "\N{RIGHTWARDS ARROW}"))
    ]
    top = tag(
        "div",
        tag("h2", id="trial-title"),
        tag("div", *steps, close, class_="buttons"),
        class_="top",
    )
    hide = tag("button", "Close", type="button", id="source-close")
    heading = tag("h2", "Where this number comes from", id="source-title")
    return joined(
        tag(
            "dialog",
            top,
            tag("div", class_="body", id="trial-body"),
            id="trial-dialog",
            aria_labelledby="trial-title",
        ),
        tag(
            "aside",
            tag("div", heading, hide, class_="top"),
            tag("div", id="source-body"),
            class_="source",
            id="source",
            hidden=True,
            aria_labelledby="source-title",
        ),
        tag("div", id="said", class_="said", role="status", aria_live="polite"),
    )


def _data(document: Document) -> Html:
    everything = to_json(document)
    found: dict[str, Any] = {name: everything[name] for name in _PLOTTED}
    found["study"] = document.head.study
    return tag("script", Html(_json(found)), type="application/json", id="page-data")


def _json(data: Any) -> str:
    """JSON that cannot end the element it stands in, nor begin a comment in it."""
    text = json.dumps(data, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _script(text: str) -> Html:
    return tag("script", Html(text))


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


@cache
def _own_script() -> str:
    return _plain("\n".join(_asset(name) for name in SCRIPTS))


@cache
def _plotly() -> str:
    """The plotting library as its package has it (4.8 MB, MIT licence)."""
    folder = resources.files("plotly") / "package_data"
    return _plain((folder / "plotly.min.js").read_text(encoding="utf-8"))


def _plain(script: str) -> str:
    """A script as a browser's parser will have it, or the digest would not be its own."""
    text = script.replace("\r\n", "\n").replace("\r", "\n")
    assert "</script" not in text.lower(), "it would end its own element"
    assert "<!--" not in text, "it would change how its end is found"
    return text


@cache
def _asset(name: str) -> str:
    return (resources.files(__package__) / _ASSETS / name).read_text(encoding="utf-8")
