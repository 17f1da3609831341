"""What became of a night beside another one: changes, events, and the verdict of all of them.

Plain data. Knows nothing of how changes are judged or shown.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Literal

from tuner.sweep.records import Kind, Rules, Triple

Json = dict[str, Any]

REGRESSION_EXIT = 4
"""The exit code of a night with a regression."""

FAILED_EXIT = 1
"""The exit code of a night without a regression of which an entry failed."""


class Verdict(StrEnum):
    """What can be said of a change.

    changed: an exact number is another one, by less than a regression, or the search chose another
    trade-off. unchanged: no change is seen; the interval says how large a one may have been missed.
    undecided: it looks like a change, and might be none.
    """

    REGRESSION = "regression"
    IMPROVEMENT = "improvement"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    UNDECIDED = "undecided"


Subject = Literal["answer", "search", "anchor"]
"""What changed: the same candidate between two nights; what the search found, tonight's answer
beside the reference's, both measured tonight; the anchor itself, against the calibration kernel."""


@dataclass(frozen=True, slots=True)
class Change:
    """A metric now and before.

    `key`: the candidate's; of the search, tonight's answer's. `of_night`: the night that chose what
    it is compared with. `before`, `now`: the ratio to the anchor where `timed`, else the value;
    None of the anchor. `factor`: whether `size` is now over before, else it is now less before.
    `low`, `high`: the ends of its interval, `confidence` sure together with all others of the
    night; both are `size` where it is exact. `worse`: whether `size` is on the worse side.
    `processes`: how many processes a night would tell what is undecided; None: no number would.
    `anchor`: in words, whether the anchor moved meanwhile. `how`: what the change rests on.
    """

    entry: str
    subject: Subject
    key: str
    of_night: str
    metric: str
    split: str
    kind: Kind
    unit: str
    lower_is_better: bool
    before: Triple | None
    now: Triple | None
    factor: bool
    size: float
    low: float
    high: float
    confidence: float
    verdict: Verdict
    how: str
    processes: int | None = None
    anchor: str | None = None

    @property
    def worse(self) -> bool:
        """Whether it is on the worse side, for certain or not."""
        more = self.size > (1.0 if self.factor else 0.0)
        return more if self.lower_is_better else not more and self.size != float(self.factor)

    @property
    def exact(self) -> bool:
        """Whether there is no doubt about its size."""
        return self.low == self.size == self.high

    def to_json(self) -> Json:
        """Plain data."""
        return _finite(asdict(self))


EventKind = Literal["failed", "nothing_fits", "unbuildable", "limits", "unwatched", "repaired"]
"""failed: an entry gave no answer. nothing_fits: no candidate met the constraints. unbuildable: the
reference's answer can no longer be made or measured. limits: it no longer holds its constraints.
unwatched: there was nothing to compare. repaired: the entry works again."""


@dataclass(frozen=True, slots=True)
class Event:
    """What happened to an entry, beside its numbers. `message`: one sentence with the reason."""

    entry: str
    kind: EventKind
    regression: bool
    message: str

    @property
    def error(self) -> bool:
        """Whether the entry, or a part of it, gave no numbers."""
        return self.kind in ("failed", "unbuildable")


@dataclass(frozen=True, slots=True)
class Cause:
    """A likely cause, in words; `rank`: the smaller, the likelier. `kind`: what changed."""

    kind: Literal["machine", "option", "library", "program", "content", "stage", "none"]
    text: str
    rank: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """A night beside its reference; `reference` None: there was none, and nothing was compared.

    `causes`: of each entry, the likeliest first; in words, also where nothing regressed.
    """

    night: str
    reference: str | None
    rules: Rules
    changes: tuple[Change, ...] = ()
    events: tuple[Event, ...] = ()
    causes: Mapping[str, tuple[Cause, ...]] = field(default_factory=dict)

    def of(self, verdict: Verdict) -> tuple[Change, ...]:
        """The changes of a verdict."""
        return tuple(c for c in self.changes if c.verdict is verdict)

    @property
    def regressions(self) -> tuple[Change, ...]:
        """What became worse: of the answers and of the search; the anchor's is none of ours."""
        return tuple(c for c in self.of(Verdict.REGRESSION) if c.subject != "anchor")

    @property
    def lost(self) -> tuple[Event, ...]:
        """What worked on the reference night and does not any more."""
        return tuple(e for e in self.events if e.regression)

    @property
    def verdict(self) -> Literal["ok", "regression", "failed"]:
        """The night's: a regression before a failure."""
        if self.regressions or self.lost:
            return "regression"
        return "failed" if any(e.error for e in self.events) else "ok"

    @property
    def exit_code(self) -> int:
        """4 on a regression, 1 where an entry failed, else 0."""
        return {"ok": 0, "regression": REGRESSION_EXIT, "failed": FAILED_EXIT}[self.verdict]

    def of_entry(self, entry: str) -> tuple[tuple[Change, ...], tuple[Event, ...]]:
        """What concerns an entry."""
        changes = tuple(c for c in self.changes if c.entry == entry)
        return changes, tuple(e for e in self.events if e.entry == entry)

    def to_json(self) -> Json:
        """Plain data, for `--json` and for a file."""
        return {
            "night": self.night,
            "reference": self.reference,
            "rules": asdict(self.rules),
            "verdict": self.verdict,
            "changes": [change.to_json() for change in self.changes],
            "events": [asdict(event) for event in self.events],
            "causes": {name: [asdict(c) for c in found] for name, found in self.causes.items()},
        }


def _finite(values: Json) -> Json:
    """JSON has no NaN and no infinity."""
    return {
        k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in values.items()
    }
