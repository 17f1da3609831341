"""A night's summary, and the list of all nights, as Markdown.

What users named is escaped: it is text wherever it stands. Knows nothing of how nights are judged.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from urllib.parse import quote

from tuner.report.words import duration
from tuner.sweep.changes import Change, Comparison, Verdict
from tuner.sweep.records import EntryResult, Measured, Night, Watched
from tuner.sweep.wording import (
    STATES,
    answer_of,
    answer_text,
    cause_text,
    event_text,
    headline,
    message,
    plain,
    ratio_text,
    sentence,
    shown_metrics,
    size_text,
    value_text,
    verdict_text,
)

_SPECIAL = re.compile(r"([\\`*{}\[\]~|$]|(?<!\w)_|_(?!\w))")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "@": "&#64;"}


def escaped(text: str) -> str:
    """A text as Markdown that shows just that text, on one line."""
    text = "".join(_ENTITIES.get(c, c) for c in plain(text))
    text = text.replace("://", "&#58;//").replace("www.", "www&#46;")
    return _SPECIAL.sub(r"\\\1", text)


def summary(
    night: Night,
    comparison: Comparison,
    *,
    links: bool = True,
    plots: Mapping[str, Sequence[str]] | None = None,
    note: str | None = None,
) -> str:
    """The page of a night. `links`: whether its files lie beside it. `plots`: of each entry.

    `note`: a line at the end, such as why there are no plots.
    """
    parts = [
        *_head(night, comparison),
        *_regressions(comparison),
        *_entries(night, comparison, plots if links and plots is not None else {}),
        *_remarks(comparison),
        *_environment(night, comparison),
        *_again(night, links=links),
        *([note, ""] if note is not None else []),
    ]
    return "\n".join(parts).rstrip("\n") + "\n"


def _link(name: str) -> str:
    """A file's name in a link: none of it leads elsewhere."""
    return quote(name, safe="")


def _picture(name: str) -> str:
    return f"![{escaped(name)}]({_link(name)})\n"


def _head(night: Night, comparison: Comparison) -> Iterator[str]:
    yield f"# Sweep {escaped(night.sweep)}, night {escaped(night.name)}"
    yield ""
    text = escaped(headline(night, comparison))
    yield f"**{text[:1].upper()}{text[1:]}.**"
    yield ""
    if comparison.changes:
        rules = comparison.rules
        yield (
            f"A regression is a change to the worse of which the whole interval is beyond "
            f"{100 * rules.least:.3g} %; the intervals of all changes hold together with "
            f"{100 * rules.confidence:.3g} %. Times are compared by their ratio to the "
            "unoptimised model, which was measured in turn with them."
        )
        yield ""


def _regressions(comparison: Comparison) -> Iterator[str]:
    if not comparison.regressions and not comparison.lost:
        return
    yield "## Regressions"
    yield ""
    for event in comparison.lost:
        yield f"- **{escaped(event.entry)}**: {escaped(event_text(event))}"
    for change in comparison.regressions:
        yield f"- **{escaped(change.entry)}**: {escaped(sentence(change))}"
        if change.subject == "search":
            continue
        causes = comparison.causes.get(change.entry, ())
        yield f"  - likely cause: {escaped(cause_text(causes))}"
        if change.anchor is not None:
            yield f"  - {escaped(change.anchor)}"
        others = [c.text for c in causes if c.text not in cause_text(causes)]
        if others:
            yield f"  - also: {escaped('; '.join(others[:6]))}"
    yield ""


def _entries(
    night: Night, comparison: Comparison, plots: Mapping[str, Sequence[str]]
) -> Iterator[str]:
    for entry in night.entries:
        yield f"## {escaped(entry.name)}"
        yield ""
        yield escaped(_about(entry))
        yield ""
        rows = [row for w in entry.watched for row in _rows(entry, w, comparison)]
        since = escaped(comparison.reference or "")
        change = f"since {since}" if since else "change"
        heads = ("answer of", "metric", "value", "beside the unoptimised model", change, "verdict")
        if rows:
            yield from _table(heads, rows)
            yield ""
        yield from map(_picture, plots.get(entry.name, ()))


def _about(entry: EntryResult) -> str:
    answer = answer_of(entry)
    parts = [f"{STATES[entry.state]}", f"model {entry.model}"]
    if entry.device is not None:
        parts.append(f"device {entry.device}")
    if answer is not None:
        parts.append(f"answer: {answer_text(answer)}")
    elif entry.message:
        parts.append(entry.message)
    taken = f", {entry.taken_over} taken over" if entry.taken_over else ""
    return "; ".join([*parts, f"{entry.trials} trials{taken}, {duration(entry.seconds)}"])


def _rows(entry: EntryResult, watched: Watched, comparison: Comparison) -> Iterator[Sequence[str]]:
    whose = watched.of_night
    if watched.state == "failed":
        yield (whose, "", "", "", "", f"failed: {watched.message}")
        return
    changes = {
        (c.metric, c.split if c.kind != "timed" else ""): c
        for c in comparison.of_entry(entry.name)[0]
        if c.subject == "answer" and c.key == watched.key
    }
    for measured in shown_metrics(entry, watched):
        split = "" if measured.kind == "timed" else measured.split
        named = split if measured.kind in ("items", "level") else ""
        change = changes.get((measured.name, split))
        found = ("", "") if change is None else (size_text(change), verdict_text(change))
        name = f"{measured.name} ({named})" if named else measured.name
        yield (whose, name, value_text(measured), ratio_text(measured), *found)


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield "| " + " | ".join(heads) + " |"
    yield "|" + "---|" * len(heads)
    for row in rows:
        yield "| " + " | ".join(escaped(cell) for cell in row) + " |"


def _remarks(comparison: Comparison) -> Iterator[str]:
    """What is no regression and should be known: the anchor, the search, what happened."""
    said = [f"{e.entry}: {event_text(e)}" for e in comparison.events if not e.regression]
    said += [f"{c.entry}: {message(c, comparison)}" for c in comparison.changes if _told(c)]
    if said:
        yield "## Also"
        yield ""
        yield from (f"- {escaped(text)}" for text in said)
        yield ""


def _told(change: Change) -> bool:
    if change.subject == "search":
        return change.verdict is not Verdict.REGRESSION
    return change.verdict in (Verdict.IMPROVEMENT, Verdict.CHANGED) or (
        change.subject == "anchor" and change.verdict is Verdict.REGRESSION
    )


def _environment(night: Night, comparison: Comparison) -> Iterator[str]:
    yield "## Environment"
    yield ""
    rows = [(name, value) for name, value in night.machine.items()]
    commit = "none" if night.commit is None else night.commit
    rows.append(("program", night.program))
    rows.append(("commit", f"{commit}{' with changes' if night.dirty else ''}"))
    rows += [(name, version or "not installed") for name, version in night.versions.items()]
    yield from _table(("what", "found"), rows)
    yield ""
    differing: dict[str, list[str]] = {}
    for entry, causes in comparison.causes.items():
        differing.setdefault("; ".join(cause.text for cause in causes), []).append(entry)
    for text, entries in differing.items():
        since = escaped(comparison.reference or "")
        yield f"- what differs from {since} for {escaped(', '.join(entries))}: {escaped(text)}"
    if differing:
        yield ""


def _again(night: Night, *, links: bool) -> Iterator[str]:
    began = datetime.fromtimestamp(night.started, UTC).strftime("%Y-%m-%d %H:%M UTC")
    yield "## Again"
    yield ""
    yield f"Began {began}. Each answer is a space with every value fixed:"
    yield ""
    for entry in night.entries:
        if entry.answer is None:
            continue
        name = f"{entry.name}.recipe.yaml"
        shown = f"[{escaped(name)}]({_link(name)})" if links else escaped(name)
        study = escaped(entry.study)
        yield f"- {escaped(entry.name)}: `tune --space` {shown}; its search is the study {study}"
    yield ""


def index(nights: Sequence[Night], verdicts: Mapping[tuple[str, str], str]) -> str:
    """All nights, the latest first, by entries. `verdicts`: of (night, entry), in words."""
    names = list(dict.fromkeys(entry.name for night in nights for entry in night.entries))
    title = nights[-1].sweep if nights else "no night yet"
    lines = [f"# Sweep {escaped(title)}: {len(nights)} nights", ""]
    rows = []
    for night in reversed(nights):
        link = f"[{escaped(night.name)}]({_link(night.name)}/summary.md)"
        cells = [escaped(_cell(night, name, verdicts)) for name in names]
        rows.append([link, escaped(night.verdict or "not over"), *cells])
    heads = ("night", "verdict", *(escaped(name) for name in names))
    lines += ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def _cell(night: Night, name: str, verdicts: Mapping[tuple[str, str], str]) -> str:
    entry = night.entry(name)
    if entry is None:
        return ""
    shown = main_metric(entry)
    number = STATES[entry.state] if shown is None else f"{shown.name} {ratio_text(shown)}"
    verdict = verdicts.get((night.name, name), "")
    return f"{number}; {verdict}" if verdict else number


def main_metric(entry: EntryResult) -> Measured | None:
    """The first metric of an entry's answer that has a ratio to the unoptimised model."""
    answer = answer_of(entry)
    if answer is None:
        return None
    return next((m for m in shown_metrics(entry, answer) if m.ratio is not None), None)
