"""The index of studies, and pages that say one sentence, as HTML.

Everything that comes from a study or a request is escaped. Knows nothing of HTTP.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from html import escape
from urllib.parse import quote

from tuner.report.words import duration
from tuner.study.rows import StudySummary

_REFRESH = 10  # seconds, while a study runs

_STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }
body { max-width: 70rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.4rem }
.box { overflow-x: auto }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
th, td { text-align: left; padding: .4rem .8rem; border-bottom: 1px solid #8886 }
td { vertical-align: top; white-space: nowrap }
td:first-child { overflow-wrap: anywhere; white-space: normal; min-width: 12rem }
.number { text-align: right }
nav a { margin-right: 1rem; white-space: nowrap }
"""


def index_page(
    studies: Sequence[StudySummary],
    running: Collection[str],
    optunas: Mapping[str, str],
    *,
    with_optuna: bool,
) -> str:
    """A table of the studies in their order; it loads itself anew while one runs.

    `optunas`: study's name -> its page in optuna-dashboard.
    """
    if studies:
        head = "".join(f"<th scope=col>{name}</th>" for name in _COLUMNS)
        rows = "".join(_row(s, optunas.get(s.name), s.name in running) for s in studies)
        body = f"<div class=box><table><thead><tr>{head}</tr></thead>{rows}</table></div>"
    else:
        body = "<p>This database holds no studies yet.</p>"
    links = '<a href="/dashboard">optuna-dashboard</a>' if with_optuna else _WITHOUT
    refresh = f'<meta http-equiv=refresh content="{_REFRESH}">' if running else ""
    return _page("Studies", f"<nav>{links}</nav>{body}", refresh)


def message_page(title: str, message: str) -> str:
    """A page with one sentence, and a way back."""
    return _page(title, f'<p>{escape(message)}</p><p><a href="/">All studies</a></p>')


def report_address(study: str) -> str:
    """Where a study's report is on the site, whatever its name is."""
    if study.strip(".") == "":  # browsers take such a part of a path for a way up
        return f"/report/?study={quote(study, safe='')}"
    return f"/report/{quote(study, safe='')}"


_COLUMNS = (
    "Report",
    "State",
    "Trials",
    "Feasible",
    "Front",
    "Answer",
    "Worked on",
    "Last event",
    "More",
)
_WITHOUT = (
    "<span>optuna-dashboard is not installed (pip install 'tuner[dashboard]'); the reports need "
    "nothing</span>"
)


def _row(study: StudySummary, optunas: str | None, is_running: bool) -> str:
    link = f'<a href="{escape(report_address(study.name))}">{escape(study.name)}</a>'
    answer = "none" if study.chosen is None else f"trial {study.chosen}"
    when = datetime.fromtimestamp(study.last_event_at).strftime("%Y-%m-%d %H:%M")
    state = "running" if is_running else "not running"
    numbers = (f"{study.trials:,}", f"{study.feasible:,}", f"{study.front:,}")
    model = escape((study.model or "").partition("#")[0])  # without the digest that may follow
    cells = [f"<td>{link}<br>{model}</td>", f"<td>{state}</td>"]
    cells += [f"<td class=number>{n}</td>" for n in numbers]
    cells += [f"<td>{text}</td>" for text in (answer, duration(study.seconds), when)]
    other = "" if optunas is None else f'<a href="{escape(optunas)}">optuna-dashboard</a>'
    cells.append(f"<td>{other}</td>")
    return f"<tr>{''.join(cells)}</tr>"


def _page(title: str, body: str, head: str = "") -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"{head}<title>{escape(title)} - tune</title><style>{_STYLE}</style></head>"
        f"<body><main><h1>{escape(title)}</h1>{body}</main></body></html>"
    )
