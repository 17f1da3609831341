"""The page results/database.md out of what was measured. Measures nothing."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

from evaluators.base import Json

TARGET_MS = 200.0
"""What a documented query may take."""

INTRODUCTION = """# The study database at scale, and while it is read

Written by `benchmarks/database.py`; the figures are in `database.json`. What it measures and why is
told in `docs/database.md`."""


def page(found: Mapping[str, Json]) -> str:
    """The page in Markdown: a section for every part that was measured."""
    sections = {"scale": _scale, "polling": _polling}
    text = [INTRODUCTION]
    text += [section(found[name]) for name, section in sections.items() if name in found]
    return "\n\n".join(text) + "\n"


def _scale(found: Json) -> str:
    databases: Mapping[str, Json] = found["databases"]
    sizes = "; ".join(
        f"{name}: {d['bytes'] / 1e9:.2f} GB, filled in {d['fill_s']:.0f} s, all queries once over: "
        f"{sum(q['wall_ms'] for q in d['queries']) / 1000:.2f} s"
        for name, d in databases.items()
    )
    slow = [
        f"{q['title']} ({name})"
        for name, d in databases.items()
        for q in d["queries"]
        if q["wall_ms"] >= TARGET_MS
    ]
    verdict = "none" if not slow else ", ".join(slow)
    how = (
        f"The queries of `docs/database.md` on a study of {found['large']:,} trials, with other "
        f"studies in the same database. {sizes}. The shortest of five, as an SQLAlchemy client "
        "sees it, with all rows fetched; CPU is that of the client's process, which for SQLite "
        f"does all the work. {_origin(found)}"
    )
    commands = (
        "Commands as whole processes on the SQLite database, start-up included; STUDY is the "
        "large one. `tune list` is the shortest of five, the others ran once."
    )
    parts = [f"## {found['trials']:,} trials in {found['studies']} studies", _prose(how)]
    parts += [_queries(databases), f"{TARGET_MS:.0f} ms or more: {verdict}.", _prose(commands)]
    return "\n\n".join([*parts, _commands(next(iter(databases.values()))["commands"])])


def _queries(databases: Mapping[str, Json]) -> str:
    titles = ["query", "rows"]
    for name in databases:
        titles += [f"{name}, ms", *(["CPU, ms"] if name == "SQLite" else [])]
    columns = [{q["title"]: q for q in d["queries"]} for d in databases.values()]
    rows = []
    for title, query in columns[0].items():
        cells = [title, f"{query['rows']:,}"]
        for name, column in zip(databases, columns, strict=True):
            cells.append(f"{column[title]['wall_ms']:.1f}")
            cells += [f"{column[title]['cpu_ms']:.1f}"] if name == "SQLite" else []
        rows.append(cells)
    return _table(titles, rows)


def _commands(commands: Sequence[Json]) -> str:
    rows = [
        [f"`{c['title']}`", f"{c['lines']:,}", f"{c['wall_s']:.2f}", f"{c['cpu_s']:.2f}"]
        for c in commands
    ]
    return _table(["command", "lines", "wall, s", "CPU, s"], rows)


def _polling(found: Json) -> str:
    rounds, slow = found["rounds"], found["slowdown"]
    rows = [
        [
            str(number),
            f"{r['alone_s']:.2f}",
            f"{r['polled_s']:.2f}",
            f"{r['polled_s'] / r['alone_s']:.3f}",
            str(r["polls"]),
            "-" if r["poll_s"] is None else f"{1000 * r['poll_s']:.0f}",
        ]
        for number, r in enumerate(rounds, start=1)
    ]
    titles = ["round", "alone, s", "polled, s", "ratio", "polls", "one poll, ms"]
    how = (
        f"A study of {found['trials']} cheap trials on SQLite, alone and beside a process that "
        f"runs all {found['queries']} documented queries every second; rounds alternate. Nearly "
        "all of the study's time is work on the database and around it, so that a study of real "
        f"models is slowed by less. {_origin(found)}"
    )
    result = (
        f"Slowdown by the geometric mean of the rounds: {slow['value']:+.1%}, 95 % interval "
        f"{slow['low']:+.1%} to {slow['high']:+.1%} (wanted: below 2 %)."
    )
    return "\n\n".join(["## A dashboard that polls", _prose(how), _table(titles, rows), result])


def _origin(found: Json) -> str:
    machine: Json = found["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    load = f"load average {found['load'][0]:.1f} at the start and {found['load'][1]:.1f} at the end"
    return f"{machine['cpu']}, {machine['cores']} cores, {load}; {versions}; {found['date']}."


def _prose(text: str) -> str:
    return textwrap.fill(text, 100, break_long_words=False, break_on_hyphens=False)


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(cells) + " |" for cells in (titles, ["---"] * len(titles), *rows)]
    return "\n".join(lines)
