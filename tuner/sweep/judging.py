"""Whether a night is worse than another one: each watched candidate beside itself, and the search.

Times are compared by their ratios to the unoptimised model of their own night, never by themselves.
All tests of a night share one risk of a false alarm (Holm's procedure: Holm, "A simple sequentially
rejective multiple test procedure", 1979). Knows nothing of files and of how it is shown.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache

from tuner.sweep.causes import causes
from tuner.sweep.changes import Change, Comparison, Event, Verdict
from tuner.sweep.noise import Noise
from tuner.sweep.pairing import pairs
from tuner.sweep.records import REFERENCE, EntryResult, Night, Rules, Watched
from tuner.sweep.suspects import (
    EXACT_TOLERANCE,
    Suspect,
    between_answers,
    between_nights,
    of_the_anchor,
)

_LOOKS_LIKE = 0.90
"""A change that an interval of this level, alone, leaves no doubt about looks like one."""

_LAST_MOVED = 1.05
"""An anchor that took less than so many times as long, against the kernel, did not move."""


def judge(
    tonight: Night, reference: Night | None, rules: Rules, history: Sequence[Night] = ()
) -> Comparison:
    """What became better or worse since a night; without one, only what failed.

    `history`: all nights that are known, in any order; those before tonight show how sessions and
    nights differ when nothing changed. A regression is a change to the worse of which the whole
    interval lies beyond `rules.least`; the intervals of a night hold together with
    `rules.confidence`.
    """
    events = [event for entry in tonight.entries for event in _events(entry, reference)]
    if reference is None:
        return Comparison(tonight.name, None, rules, (), tuple(events))
    earlier = [night for night in history if night.started < tonight.started]
    earlier.sort(key=lambda night: night.started)
    noise = cache(lambda metric: Noise.of(metric, earlier or [reference]))
    tests = [
        test
        for entry in tonight.entries
        if (before := reference.entry(entry.name)) is not None
        for test in _tests(entry, before, reference, noise, rules)
    ]
    changes = _judged(tests, rules)
    found = {
        entry.name: causes(tonight, reference, entry.name)
        for entry in tonight.entries
        if entry.state not in ("skipped", "unfinished") and reference.entry(entry.name) is not None
    }
    return Comparison(tonight.name, reference.name, rules, tuple(changes), tuple(events), found)


@dataclass(frozen=True, slots=True)
class _Test:
    """A suspect of an entry. `counts`: whether it takes part in the night's verdict."""

    entry: str
    key: str
    of_night: str
    suspect: Suspect
    counts: bool = True
    otherwise: Verdict | None = None
    anchor: str | None = None


def _tests(
    entry: EntryResult,
    before: EntryResult,
    reference: Night,
    noise: Callable[[str], Noise],
    rules: Rules,
) -> Iterator[_Test]:
    for now, other in pairs(entry, before):
        anchors = of_the_anchor(now, other, rules.least)
        moved = {a.measured.name: _moved(a) for a in anchors}
        for suspect in between_nights(now, other, noise, rules.least):
            said = moved.get(suspect.measured.name) if suspect.measured.kind == "timed" else None
            yield _Test(entry.name, now.key, now.of_night, suspect, anchor=said)
        for suspect in anchors:
            yield _Test(entry.name, now.key, reference.name, suspect, counts=False)
    yield from _searched(entry, reference, noise, rules)


def _moved(anchor: Suspect) -> str:
    factor, low, high = anchor.interval(0.95)
    times = f"{factor:.2f} times as long ({low:.2f}-{high:.2f}), against a fixed computation"
    if 1 / _LAST_MOVED < factor < _LAST_MOVED:
        return f"the unoptimised model took as long as before ({times})"
    if low <= 1 <= high:
        return f"it is not known whether the unoptimised model moved too: it took {times}"
    return f"the unoptimised model moved too: it took {times}"


def _searched(
    entry: EntryResult, reference: Night, noise: Callable[[str], Noise], rules: Rules
) -> Iterator[_Test]:
    """Tonight's answer beside the reference's, both measured tonight.

    It is a worse one only if it is worse in something and better in nothing, and the other still
    meets the constraints.
    """
    theirs = next((w for w in entry.watched if w.label == REFERENCE), None)
    ours = None if entry.answer is None else entry.watched_of(entry.answer.key)
    if ours is None or theirs is None or ours.key == theirs.key:
        return
    if ours.state != "done" or theirs.state != "done":
        return
    names = [text.split(None, 1)[1] for text in entry.objectives if " " in text]
    suspects = between_answers(ours, theirs, names, noise, rules.least)
    better = any(s.value < 0 for s in suspects)
    worse = any(s.value > 0 for s in suspects)
    allowed = theirs.verdict == "feasible" or (theirs.verdict is None and not entry.constraints)
    clear = not (better and worse) and (better or allowed)
    for suspect in suspects:
        otherwise = None if clear or abs(suspect.value) < EXACT_TOLERANCE else Verdict.CHANGED
        counts = otherwise is None
        yield _Test(entry.name, ours.key, theirs.of_night, suspect, counts, otherwise)


def _judged(tests: Sequence[_Test], rules: Rules) -> list[Change]:
    """Every test with its verdict; regressions and improvements each share the risk (Holm)."""
    risk = 1 - rules.confidence
    open_ones = [t for t in tests if t.counts and t.suspect.error > 0]
    worse, last = _holm([t.suspect for t in open_ones], risk, +1)
    better, _ = _holm([t.suspect for t in open_ones], risk, -1)
    changes = []
    for test in tests:
        suspect = test.suspect
        if not test.counts and test.otherwise is None:  # the anchor: a remark on all of its entry
            level = 1 - 2 * risk / max(1, sum(not t.counts for t in tests))
            verdict = _verdict_at(suspect, level)
        elif suspect.error == 0:
            level, verdict = 1.0, _exact_verdict(suspect)
        elif id(suspect) in worse:
            level, verdict = worse[id(suspect)], Verdict.REGRESSION
        elif id(suspect) in better:
            level, verdict = better[id(suspect)], Verdict.IMPROVEMENT
        else:
            level, verdict = last, _unsure(suspect)
        changes.append(_change(test, verdict, level, rules))
    return changes


def _holm(suspects: Sequence[Suspect], risk: float, side: int) -> tuple[dict[int, float], float]:
    """Which changes are beyond their limit on a side, each with the level of its interval.

    And the level at which the rest was tested. Each step tests all that are left at the level that
    is theirs together; what is found makes the next step's wider.
    """
    found: dict[int, float] = {}
    while True:
        left = [s for s in suspects if id(s) not in found]
        level = 1 - 2 * risk / max(1, len(left))
        more = [s for s in left if _beyond(s, level, side)]
        if not more:
            return found, level
        found |= {id(s): level for s in more}


def _beyond(suspect: Suspect, level: float, side: int) -> bool:
    half = suspect.half(level)
    if side > 0:
        return suspect.centre - half > suspect.least and suspect.value > suspect.least
    return suspect.centre + half < suspect.gain and suspect.value < suspect.gain


def _verdict_at(suspect: Suspect, level: float) -> Verdict:
    if _beyond(suspect, level, +1):
        return Verdict.REGRESSION
    return Verdict.IMPROVEMENT if _beyond(suspect, level, -1) else _unsure(suspect)


def _unsure(suspect: Suspect) -> Verdict:
    """Beyond a limit and, taken alone, hardly chance, but not for certain; or nothing."""
    beyond = suspect.value > suspect.least or suspect.value < suspect.gain
    seen = beyond and abs(suspect.centre) > suspect.half(_LOOKS_LIKE)
    return Verdict.UNDECIDED if seen else Verdict.UNCHANGED


def _exact_verdict(suspect: Suspect) -> Verdict:
    if suspect.value > suspect.least:
        return Verdict.REGRESSION
    if suspect.value < suspect.gain:
        return Verdict.IMPROVEMENT
    return Verdict.CHANGED if abs(suspect.value) > EXACT_TOLERANCE else Verdict.UNCHANGED


def _change(test: _Test, verdict: Verdict, level: float, rules: Rules) -> Change:
    suspect, measured = test.suspect, test.suspect.measured
    size, low, high = suspect.interval(level) if suspect.error else _point(suspect)
    verdict = test.otherwise or verdict
    undecided = verdict is Verdict.UNDECIDED
    return Change(
        test.entry, suspect.subject, test.key, test.of_night, measured.name, measured.split,
        measured.kind, measured.unit, measured.lower_is_better, suspect.before, suspect.now,
        suspect.factor, size, low, high, 1.0 if suspect.error == 0 else rules.confidence, verdict,
        suspect.how, suspect.processes(level) if undecided else None, test.anchor,
    )  # fmt: skip


def _point(suspect: Suspect) -> tuple[float, float, float]:
    value = suspect.value if suspect.measured.lower_is_better else -suspect.value
    value = value + 0.0  # no minus zero
    return (math.exp(value),) * 3 if suspect.factor else (value,) * 3


def _events(entry: EntryResult, reference: Night | None) -> Iterator[Event]:
    """What became of an entry and of the answers that it watches."""
    before = None if reference is None else reference.entry(entry.name)
    worked = before is not None and before.state == "done"
    reason = "" if entry.message is None else f": {entry.message}"
    if entry.state == "failed":
        yield Event(entry.name, "failed", worked, f"it failed{reason}")
    elif entry.state == "nothing_fits":
        yield Event(entry.name, "nothing_fits", worked, f"nothing fits the constraints{reason}")
    elif entry.state == "done" and before is not None and not worked:
        yield Event(entry.name, "repaired", False, f"it works again; {before.state} before")
    for watched in entry.watched:
        yield from _watched_events(entry, watched, before)
    if worked and entry.state == "done" and before is not None and not pairs(entry, before):
        known = any(w.state == "failed" for w in entry.watched)
        if not known:
            yield Event(entry.name, "unwatched", False, "no answer was measured on both nights")


def _watched_events(
    entry: EntryResult, watched: Watched, before: EntryResult | None
) -> Iterator[Event]:
    whose = f"the answer of {watched.of_night}"
    if watched.state == "failed":
        lost = watched.label == REFERENCE
        message = f"{whose} can no longer be made or measured: {watched.message or 'no reason'}"
        yield Event(entry.name, "unbuildable" if lost else "failed", lost, message)
    elif watched.label == REFERENCE and watched.verdict == "infeasible" and before is not None:
        other = before.watched_of(watched.key)
        if other is not None and other.verdict == "feasible":
            message = f"{whose} no longer meets its constraints ({', '.join(entry.constraints)})"
            yield Event(entry.name, "limits", False, message)
