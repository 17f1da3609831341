"""How a night's changes are put into words, the same in every output.

Knows nothing of the syntax of any of them: what a user named is escaped by who writes it.
"""

from __future__ import annotations

from collections.abc import Iterable

from search_spaces.units import format_quantity
from tuner.sweep.changes import Cause, Change, Comparison, Event, Verdict
from tuner.sweep.records import EntryResult, Measured, Night, Watched

VERDICTS = {
    Verdict.REGRESSION: "regression",
    Verdict.IMPROVEMENT: "better",
    Verdict.CHANGED: "changed",
    Verdict.UNCHANGED: "no change seen",
    Verdict.UNDECIDED: "cannot tell",
}
"""A verdict as a person reads it."""

STATES = {
    "done": "done",
    "failed": "failed",
    "nothing_fits": "nothing fits",
    "skipped": "skipped",
    "unfinished": "unfinished",
}

_MARGIN = 1e-9


def plain(text: str) -> str:
    """A text on one line, without characters that a terminal or a file would obey."""
    spaced = "".join(c if c.isprintable() else " " for c in text)
    return " ".join(spaced.split())


def of_what(change: Change) -> str:
    """`latency of the answer of 2026-11-20`."""
    name = f"{change.metric} ({change.split})" if change.kind == "items" else change.metric
    if change.subject == "anchor":
        return f"{name} of the unoptimised model"
    if change.subject == "search":
        return f"{name} of tonight's answer beside that of {change.of_night}"
    return f"{name} of the answer of {change.of_night}"


def size_text(change: Change) -> str:
    """`1.42 times (1.31-1.55)`, or `-3.1 points (-5.0 to -1.2)`; without interval where exact."""
    if change.factor:
        digits = 3 if abs(change.size - 1) < 0.1 and change.exact else 2
        value, low, high = (f"{x:.{digits}f}" for x in (change.size, change.low, change.high))
        return f"{value} times" if change.exact else f"{value} times ({low}-{high})"
    scale, unit = (100, " points") if change.unit == "fraction" else (1, "")
    value, low, high = (f"{x * scale:+.3g}" for x in (change.size, change.low, change.high))
    if abs(change.size) < _MARGIN:
        value = "0"
    return f"{value}{unit}" if change.exact else f"{value}{unit} ({low} to {high})"


def change_text(change: Change) -> str:
    """How large a change is and what it means; `as before` where there is none at all."""
    if change.exact and change.verdict is Verdict.UNCHANGED:
        return "as before"
    return f"{size_text(change)}: {verdict_text(change)}"


def verdict_text(change: Change) -> str:
    """The verdict, and of what cannot be told what would tell it."""
    text = VERDICTS[change.verdict]
    if change.verdict is not Verdict.UNDECIDED:
        return text
    if change.processes is None:
        return f"{text}; more processes would not tell"
    return f"{text}; {change.processes} processes a night would"


def sentence(change: Change) -> str:
    """What became of a metric, with its interval and how sure it is."""
    sure = "" if change.exact else f", {change.confidence:.0%} sure".replace("%", " %")
    size = size_text(change)
    size = f"{size[:-1]}{sure})" if size.endswith(")") else size
    what = of_what(change)
    if change.subject == "search":
        return f"{what}: {size}"
    if change.factor:
        return f"{what} is {size.replace(' times', ' times what it was', 1)}"
    return f"{what} changed by {size}"


def message(change: Change, comparison: Comparison) -> str:
    """A regression, or another change, as one line with its likely cause."""
    head = sentence(change)
    if change.verdict is Verdict.UNDECIDED:
        return f"{head}; {verdict_text(change)}"
    if change.verdict is Verdict.UNCHANGED or change.subject == "search":
        return head
    return f"{head}; likely cause: {cause_text(comparison.causes.get(change.entry, ()))}"


def is_told(change: Change) -> bool:
    """Whether it deserves a line of its own: all that is clear, and what the search may have lost.

    What cannot be told of an answer stands beside its numbers; of the anchor only what is clear
    matters.
    """
    clear = change.verdict in (Verdict.REGRESSION, Verdict.IMPROVEMENT)
    return clear or (change.verdict is Verdict.UNDECIDED and change.subject == "search")


def cause_text(causes: Iterable[Cause]) -> str:
    """The likeliest cause, and what is as likely, of those that say more than "the same bytes"."""
    found = [c for c in causes if c.kind != "stage"]
    if not found:
        return "nothing that is recorded changed"
    first = [c.text for c in found if c.rank == found[0].rank]
    more = f" and {len(first) - 2} more" if len(first) > 2 else ""
    return "; ".join(first[:2]) + more


def event_text(event: Event) -> str:
    """What happened to an entry."""
    return event.message


def headline(night: Night, comparison: Comparison) -> str:
    """The night's verdict in a sentence."""
    worse = len(comparison.regressions) + len(comparison.lost)
    failed = [e.name for e in night.entries if e.state == "failed"]
    if worse:
        text = f"{worse} regression{'s' * (worse > 1)} since {comparison.reference}"
    elif comparison.verdict == "failed":
        text = f"no regression was seen, but {', '.join(failed) or 'a part of an entry'} failed"
    elif comparison.reference is None:
        text = "the first night: there is nothing to compare with yet"
    elif not comparison.changes:
        text = f"nothing could be compared with {comparison.reference}"
    else:
        text = f"no regression since {comparison.reference}"
    return f"{text}{_counts(comparison)}"


def _counts(comparison: Comparison) -> str:
    counts = [
        (sum(c.subject != "anchor" for c in comparison.of(verdict)), VERDICTS[verdict])
        for verdict in (Verdict.IMPROVEMENT, Verdict.UNDECIDED, Verdict.UNCHANGED)
    ]
    said = [f"{count} {name}" for count, name in counts if count]
    return f" ({', '.join(said)})" if said else ""


def answer_of(entry: EntryResult) -> Watched | None:
    """The answer of an entry as it was measured on its night; else the reference's."""
    own = None if entry.answer is None else entry.watched_of(entry.answer.key)
    found = own or next(iter(entry.watched), None)
    return found if found is not None and found.state == "done" else None


def shown_metrics(entry: EntryResult, watched: Watched) -> list[Measured]:
    """The metrics that an entry asks for, objectives first, each once; no statistics beside."""
    found: dict[str, Measured] = {}
    for measured in watched.metrics:
        known = found.get(measured.name)
        if known is None or (known.split == "dev" and measured.split == "test"):
            found[measured.name] = measured
    names = [text.split()[-1] for text in entry.objectives if text.split()]
    first = [name for name in names if name in found]
    rest = [n for n in found if n not in first and "." not in n]
    return [found[name] for name in dict.fromkeys((*first, *rest))]


def value_text(measured: Measured) -> str:
    """`5.87 ms (5.71-6.02)` in the usual unit; without interval where it is a point."""
    if measured.value is None:
        return "none"
    text = format_quantity(measured.value, measured.unit)
    if measured.low is None or measured.high is None or measured.low == measured.high:
        return text
    low, high = (format_quantity(x, measured.unit) for x in (measured.low, measured.high))
    return f"{text} ({low} to {high})"


def ratio_text(measured: Measured) -> str:
    """`0.52 (0.50-0.55)`: to the unoptimised model; nothing where there is none."""
    if measured.ratio is None:
        return ""
    value, low, high = measured.ratio
    return f"{value:.2f} ({low:.2f}-{high:.2f})"


def answer_text(watched: Watched) -> str:
    """What was chosen, in short."""
    from tuner.report.words import parameter_texts

    [texts] = parameter_texts([dict(watched.parameters)], all_of_them=True)
    return ", ".join(texts) or "nothing to choose"
