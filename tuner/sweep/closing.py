"""Ends a night: judges it, writes its results and the index of all nights, prunes the store.

Knows nothing of how a night is run.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from tuner.sweep.changes import Comparison
from tuner.sweep.judging import judge
from tuner.sweep.outputs import write_index, write_night
from tuner.sweep.plan import Plan
from tuner.sweep.records import Night, read_nights
from tuner.sweep.records import write_night as write_record
from tuner.sweep.retention import Pruned, prune


@dataclass(frozen=True, slots=True)
class Closed:
    """A night that was judged. `pruned`: what went from the store; None: nothing had to."""

    night: Night
    comparison: Comparison
    pruned: Pruned | None


def close(plan: Plan, night: Night, store: Path | None) -> Closed:
    """Judge a night, keep the verdict, and write all its results. OSError, StoreError.

    The verdict of one that is not over yet is not kept. The store is pruned once, when it is over.
    """
    known = read_nights(plan.results)
    reference = next((n for n in known if n.name == night.reference), None)
    comparison = judge(night, reference, plan.rules, known)
    before = next((n.verdict for n in known if n.name == night.name), None)
    if night.finished is not None:
        night = replace(night, verdict=comparison.verdict)
        write_record(plan.results / night.name, night)
    history = [night if n.name == night.name else n for n in known]
    write_night(plan.results / night.name, night, comparison, history)
    write_index(plan.results)
    new = night.finished is not None and before is None
    return Closed(night, comparison, prune(plan.retention, store, night, history) if new else None)
