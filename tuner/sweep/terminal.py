"""What a night came to, on a terminal of 80 columns. Knows nothing of files."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from tuner.sweep.changes import Comparison, Verdict
from tuner.sweep.records import EntryResult, Night, Watched
from tuner.sweep.wording import (
    STATES,
    change_text,
    event_text,
    headline,
    is_told,
    message,
    plain,
    shown_metrics,
    value_text,
)

WIDTH = 80

_HEADS = {
    Verdict.REGRESSION: "REGRESSION",
    Verdict.IMPROVEMENT: "better",
    Verdict.UNDECIDED: "cannot tell",
}


def terminal_lines(night: Night, comparison: Comparison) -> list[str]:
    """A block per entry, what changed, then the verdict; no line over 80 columns."""
    found: list[str] = []
    for entry in night.entries:
        found += _entry(entry, comparison)
    for head, text in _messages(comparison):
        found += _wrapped(f"{head} {text}")
    return [*found, *_wrapped(headline(night, comparison))]


def _entry(entry: EntryResult, comparison: Comparison) -> Iterator[str]:
    """What was measured of each answer: the reference's, and tonight's where it is another one."""
    shown = [watched for watched in entry.watched if watched.state == "done"]
    if not shown:
        reason = f": {entry.message}" if entry.message else ""
        yield from _wrapped(f"{entry.name}: {STATES[entry.state]}{reason}")
        return
    for watched in shown:
        whose = f", the answer of {watched.of_night}" if len(shown) > 1 else ""
        yield from _wrapped(f"{entry.name}{whose}")
        yield from _metrics(entry, watched, comparison)


def _metrics(entry: EntryResult, watched: Watched, comparison: Comparison) -> Iterator[str]:
    changes = {
        c.metric: c
        for c in comparison.of_entry(entry.name)[0]
        if c.subject == "answer" and c.key == watched.key
    }
    for measured in shown_metrics(entry, watched):
        ratio = measured.ratio
        what = value_text(measured) if ratio is None else f"{ratio[0]:.2f} of the baseline"
        change = changes.get(measured.name)
        since = f"; {change_text(change)}" if change is not None else ""
        yield from _wrapped(f"{measured.name} {what}{since}", indent="  ")


def _messages(comparison: Comparison) -> Iterator[tuple[str, str]]:
    for event in comparison.events:
        if event.kind in ("failed", "nothing_fits") and not event.regression:
            continue  # the entry's block has said so
        head = "REGRESSION" if event.regression else "error" if event.error else "note"
        yield head, f"{event.entry}: {event_text(event)}"
    for verdict, head in _HEADS.items():
        for change in comparison.of(verdict):
            if is_told(change):
                name = "anchor" if change.subject == "anchor" else head
                yield name, f"{change.entry}: {message(change, comparison)}"


def _wrapped(text: str, indent: str = "") -> list[str]:
    more = indent + "  "
    return textwrap.wrap(plain(text), WIDTH, initial_indent=indent, subsequent_indent=more)
