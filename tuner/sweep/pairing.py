"""Which candidates two nights have in common. Knows nothing of what is compared of them."""

from __future__ import annotations

from tuner.sweep.records import REFERENCE, EntryResult, Watched


def pairs(entry: EntryResult, before: EntryResult) -> list[tuple[Watched, Watched]]:
    """Candidates that were measured on both nights: now, and before.

    The same pipeline, or the reference's answer as tonight's plan makes it: an option that the plan
    fixes otherwise makes it another pipeline, and the same answer.
    """
    found = []
    for now in entry.watched:
        other = before.watched_of(now.key)
        if other is None and now.label == REFERENCE and before.answer is not None:
            other = before.watched_of(before.answer.key)
        if other is not None and now.state == other.state == "done":
            found.append((now, other))
    return found
