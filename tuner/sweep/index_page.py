"""The page of all nights: one HTML file without a script, readable on a phone, light and dark.

Knows nothing of how nights are judged.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from urllib.parse import quote

from tuner.report.words import duration
from tuner.sweep.markdown import main_metric
from tuner.sweep.plots import Point, ratios
from tuner.sweep.records import EntryResult, Night
from tuner.sweep.wording import STATES, answer_of, answer_text, plain, ratio_text

_FILES = (("summary.md", "summary"), ("results.csv", "table"), ("night.json", "record"))
_CLASSES = {
    "regression": "bad", "failed": "bad", "better": "good", "ok": "good", "cannot tell": "unsure",
}  # fmt: skip
_WIDTH, _HEIGHT, _EDGE = 180, 44, 5

_STYLE = """
:root { color-scheme: light dark; --ink: #1a1a1a; --soft: #595959; --line: #d4d4d4;
  --back: #fff; --bad: #b3261e; --good: #17692f; --unsure: #7a5200; --plot: #1d4ed8; }
@media (prefers-color-scheme: dark) { :root { --ink: #ececec; --soft: #b0b0b0; --line: #444;
  --back: #161616; --bad: #ff9a90; --good: #7fd99a; --unsure: #f0c060; --plot: #8fb4ff; } }
body { font: 16px/1.45 system-ui, sans-serif; color: var(--ink); background: var(--back);
  margin: 0 auto; padding: 1rem; max-width: 75rem; overflow-wrap: anywhere; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
p { max-width: 45rem; } .soft { color: var(--soft); font-size: .875rem; }
.bad { color: var(--bad); font-weight: 600; } .good { color: var(--good); }
.unsure { color: var(--unsure); }
a { color: inherit; }
.wide { overflow-x: auto; } table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .45rem .8rem .45rem 0;
  border-bottom: 1px solid var(--line); min-width: 7rem; }
thead th { color: var(--soft); font-weight: 600; font-size: .875rem; }
tbody th { font-weight: 600; }
.whole { white-space: nowrap; }
td > div, th > div { font-weight: normal; }
svg { display: block; color: var(--plot); } svg .axis { color: var(--line); }
.plots { display: grid; grid-template-columns: repeat(auto-fill, minmax(13rem, 1fr)); gap: 1rem; }
figure { margin: 0; } figcaption { font-size: .875rem; }
a:focus-visible, .wide:focus-visible { outline: 2px solid var(--plot); outline-offset: 2px; }
@media print { .wide { overflow: visible; } }
"""


def index_page(nights: Sequence[Night], verdicts: Mapping[tuple[str, str], str]) -> str:
    """All nights by entries. `verdicts`: of (night, entry), in words."""
    nights = sorted(nights, key=lambda night: night.started)
    title = f"Sweep {nights[-1].sweep}" if nights else "Sweep: no night yet"
    parts = [
        "<!doctype html>", '<html lang="en">', "<head>", '<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; style-src 'unsafe-inline'\">",
        f"<title>{_text(title)}</title>", f"<style>{_STYLE}</style>", "</head>", "<body>", "<main>",
        f"<h1>{_text(title)}</h1>", *_intro(nights), *_plots(nights), *_table(nights, verdicts),
        "</main>", "</body>", "</html>",
    ]  # fmt: skip
    return "\n".join(parts) + "\n"


def _text(text: str) -> str:
    return escape(plain(text), quote=True)


def _intro(nights: Sequence[Night]) -> Iterator[str]:
    if not nights:
        yield "<p>Nothing was run yet.</p>"
        return
    last = nights[-1]
    verdict = last.verdict or "not over"
    yield (
        f"<p>The last of {len(nights)} night{'s' * (len(nights) > 1)}, "
        f'<a href="{_link(last, "summary.md")}">{_text(last.name)}</a>: '
        f'<span class="{_class(verdict)}">{_text(verdict)}</span>.</p>'
    )


def _link(night: Night, name: str) -> str:
    return escape(f"{quote(night.name, safe='')}/{quote(name)}", quote=True)


def _class(verdict: str) -> str:
    return _CLASSES.get(verdict, "soft")


def _plots(nights: Sequence[Night]) -> Iterator[str]:
    figures = []
    for name in _entries(nights):
        lines = ratios(name, nights)
        if lines:
            metric, points = next(iter(lines.items()))
            figures.append(_figure(name, metric, points, nights))
    if figures:
        yield "<h2>The answers over the nights</h2>"
        yield '<div class="plots">'
        yield from figures
        yield "</div>"


def _entries(nights: Sequence[Night]) -> list[str]:
    return list(dict.fromkeys(entry.name for night in nights for entry in night.entries))


def _figure(name: str, metric: str, points: Sequence[Point], nights: Sequence[Night]) -> str:
    first, last = (points[i][1][0] for i in (0, -1))
    where = [nights[points[i][0]].name for i in (0, -1)]
    words = f"{metric}, times the unoptimised model: {first:.2f} on {where[0]}"
    words += f", {last:.2f} on {where[1]}" if len(points) > 1 else ""
    return (
        f"<figure>{_picture(points, len(nights), words)}"
        f'<figcaption>{_text(name)}<div class="soft">{_text(words)}</div></figcaption></figure>'
    )


def _picture(points: Sequence[Point], count: int, words: str) -> str:
    """A line over the nights with the intervals as bars, from 0 up; the numbers are in the table.

    A sketch of a few lines: a plotting library's would be larger than the page.
    """
    top = max(ratio[2] for _, ratio in points) or 1.0
    step = (_WIDTH - 2 * _EDGE) / max(1, count - 1)

    def x(place: int) -> float:
        return _EDGE + place * step

    def y(value: float) -> float:
        return _HEIGHT - _EDGE - (_HEIGHT - 2 * _EDGE) * value / top

    bars = " ".join(f"M{x(p):.1f} {y(r[1]):.1f}V{y(r[2]):.1f}" for p, r in points)
    line = " ".join(f"{x(p):.1f},{y(r[0]):.1f}" for p, r in points)
    dots = "".join(
        f'<circle cx="{x(p):.1f}" cy="{y(r[0]):.1f}" r="2.5" fill="currentColor"/>'
        for p, r in points
    )
    floor = _HEIGHT - _EDGE
    return (
        f'<svg role="img" aria-label="{_text(words)}" width="{_WIDTH}" height="{_HEIGHT}" '
        f'viewBox="0 0 {_WIDTH} {_HEIGHT}">'
        f'<path class="axis" d="M0 {floor}H{_WIDTH}" stroke="currentColor"/>'
        f'<path d="{bars}" stroke="currentColor" opacity=".5"/>'
        f'<polyline points="{line}" fill="none" stroke="currentColor" stroke-width="1.5"/>'
        f"{dots}</svg>"
    )


def _table(nights: Sequence[Night], verdicts: Mapping[tuple[str, str], str]) -> Iterator[str]:
    if not nights:
        return
    names = _entries(nights)
    yield "<h2>Every night</h2>"
    yield (
        '<p class="soft">Times are shown beside the unoptimised model, measured in turn with it on '
        "the same night: 0.5 is twice as fast. In brackets the 95 % interval. The verdict compares "
        "the night with its reference.</p>"
    )
    yield '<div class="wide" tabindex="0" role="region" aria-label="Every night"><table>'
    heads = "".join(f'<th scope="col">{_text(name)}</th>' for name in names)
    yield f'<thead><tr><th scope="col">night</th>{heads}</tr></thead><tbody>'
    for night in reversed(nights):
        cells = (_cell(night.entry(name), verdicts.get((night.name, name), "")) for name in names)
        yield f"<tr>{_night(night)}{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
    yield "</tbody></table></div>"


def _night(night: Night) -> str:
    verdict = night.verdict or "not over"
    began = datetime.fromtimestamp(night.started, UTC).strftime("%Y-%m-%d %H:%M UTC")
    files = " ".join(f'<a href="{_link(night, name)}">{text}</a>' for name, text in _FILES)
    compared = f"compared with {_text(night.reference)}" if night.reference else "the first"
    return (
        f'<th scope="row">{_text(night.name)} '
        f'<span class="{_class(verdict)}">{_text(verdict)}</span>'
        f'<div class="soft">{began}; {compared}</div><div class="soft">{files}</div></th>'
    )


def _cell(entry: EntryResult | None, verdict: str) -> str:
    if entry is None:
        return ""
    answer, shown = answer_of(entry), main_metric(entry)
    said = f'<div class="{_class(verdict)}">{_text(verdict)}</div>' if verdict else ""
    if answer is None:
        state = "bad" if entry.state == "failed" else "soft"
        reason = f'<div class="soft">{_text(entry.message)}</div>' if entry.message else ""
        return f'<span class="{state}">{_text(STATES[entry.state])}</span>{reason}{said}'
    number = (
        ""
        if shown is None
        else f'{_text(shown.name)} <span class="whole">{_text(ratio_text(shown))}</span>'
    )
    about = f'<div class="soft">{_text(answer_text(answer))}</div>'
    return f'{number or "done"}{said}{about}<div class="soft">{duration(entry.seconds)}</div>'
