"""What goes from the store after a night: what was not used for long, or is beyond a size.

What this night used stays, and so do the stages of the answers that nights to come are compared
with. The nights' results and their database are never touched.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from search_spaces.units import format_quantity
from tuner.pipeline.store import GcReport, Store, default_root
from tuner.sweep.plan import Retention
from tuner.sweep.records import Night


@dataclass(frozen=True, slots=True)
class Pruned:
    """What pruning did. `used`: how many entries stayed because this night used them."""

    report: GcReport
    used: int
    retention: Retention

    def __str__(self) -> str:
        freed, left = (
            format_quantity(float(b), "B") for b in (self.report.freed, self.report.bytes)
        )
        count = len(self.report.removed)
        text = (
            f"store: removed {count} of {count + self.report.kept} results ({freed}), {left} stay"
        )
        most = self.retention.max_size
        if most is not None and self.report.bytes > most:
            text += f": more than {format_quantity(float(most), 'B')}, as this night used them"
        return text


def prune(
    retention: Retention, store: Path | None, night: Night, known: Iterable[Night]
) -> Pruned | None:
    """Prune the store by the plan's retention; None where the plan has none. StoreError.

    `known`: all nights; the stages of what each watched, on the reference night and after it, stay.
    """
    if retention.max_age is None and retention.max_size is None:
        return None
    place = Store(store or default_root())
    used = {entry.key for entry in place.entries() if entry.used >= night.started}
    kept = used | set(_stages([night, *(n for n in known if n.name == night.reference)]))
    report = place.gc(max_age=retention.max_age, max_bytes=retention.max_size, keep=kept)
    return Pruned(report, len(used), retention)


def _stages(nights: Iterable[Night]) -> Iterable[str]:
    for night in nights:
        for entry in night.entries:
            for watched in entry.watched:
                yield from watched.stages.values()
