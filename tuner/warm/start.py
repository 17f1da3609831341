"""Lets a study begin with what earlier ones found.

Trials that hold as they are become trials of the new study, by the events that it would have sent
itself; others that are near enough become hints for its strategy. What each study gave is one
event, and all of it one transaction. Knows nothing of how trials are sorted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from evaluators.verdicts import Verdict
from search_spaces.candidates import Candidate, plain
from tuner.execution.measuring import estimate_json
from tuner.report.words import plural
from tuner.search.front import add_to_front
from tuner.search.judging import judgement_json, verdict_of
from tuner.search.strategies.base import Result
from tuner.study.events import (
    BASELINE,
    Event,
    Failed,
    Json,
    Judged,
    Listener,
    Measured,
    RungReached,
    Screened,
    StageFinished,
    StageStarted,
    Told,
    TrialAsked,
    WarmStarted,
)
from tuner.study.history import load_history
from tuner.study.reader import StudyReader
from tuner.study.rows import StageRow, StudyRow, TrialRow
from tuner.study.writer import StudyWriter
from tuner.warm.candidates import NotInSpace, carry_over
from tuner.warm.edits import question
from tuner.warm.sorting import Exact, LeftOut, NewStudy, Similar, Sorter
from tuner.warm.source import Origin, SourceStudy, read_source, taken_over

Hint = tuple[Candidate, Result, str]
"""A candidate, what a similar study found of it, and the origin "STUDY#NUMBER"."""

_REASONS = 3  # that a line names
_MACHINE = ("cpu", "cores", "system")


def warm_start(
    new: NewStudy,
    origins: Sequence[Origin],
    reader: StudyReader,
    writer: StudyWriter,
    tell: Listener,
) -> list[Hint]:
    """Take over what these studies give, each once, and return every hint that the study has.

    `writer` has written StudyStarted; it gets every event, `tell` (who shows the study's progress)
    only WarmStarted. A trial of a candidate that the study has already is left out. The hints of
    sources that earlier commands took over come from the study's own log.
    """
    for origin in origins:
        if origin.label not in taken_over(reader, new.name):
            tell(_Import(new, reader, writer, read_source(origin)).run())
    return _hints(new, reader)


def _hints(new: NewStudy, reader: StudyReader) -> list[Hint]:
    found = [h for e in reader.events_of_kind(new.name, "warm_started") for h in e.body["hints"]]
    return [hint for data in found if (hint := _hint(new, data)) is not None]


def _hint(new: NewStudy, data: Mapping[str, Any]) -> Hint | None:
    try:
        candidate = carry_over(new.space, data["parameters"], data["steps"])
    except NotInSpace:  # a newer program reads the space otherwise
        return None
    result = Result(
        data["objectives"], data["violations"], known=tuple(data["known"]), share=data["share"]
    )
    return candidate, result, data["origin"]


def _hint_json(similar: Similar, origin: str) -> Json:
    result = similar.result
    return {
        "origin": origin,
        "parameters": plain(similar.candidate.decisions),
        "steps": [step.to_json() for step in similar.candidate.steps],
        "objectives": None if result.objectives is None else list(result.objectives),
        "violations": dict(result.violations),
        "known": list(result.known),
        "share": result.share,
    }


@dataclass
class _Import:
    """Takes over one study's trials.

    `known`: keys of the candidates that the study has; `next`: the next trial's number.
    """

    new: NewStudy
    reader: StudyReader
    writer: StudyWriter
    past: SourceStudy
    known: set[str] = field(default_factory=set)
    next: int = 0
    front: dict[int, Sequence[float]] = field(default_factory=dict)
    exact: int = 0
    hints: list[Json] = field(default_factory=list)
    causes: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)

    def run(self) -> WarmStarted:
        """All of it or, where this command is killed, nothing."""
        there = self.reader.trials(self.new.name)
        self.known |= {row.candidate for row in there if row.number != BASELINE}
        self.next = max((row.number for row in there), default=BASELINE) + 1
        history = load_history(self.reader, self.new.name)
        sorter = Sorter(self.new, self.past, history.baseline)
        self.front = {
            row.number: sorter.judge.losses([v for v in row.objectives if v is not None])
            for row in there
            if row.on_front and row.objectives is not None
        }
        with self.writer.batch():
            if history.baseline is None:
                self._baseline(sorter)
            for row in self.past.trials:
                if row.number != BASELINE:
                    self._trial(sorter, row)
            event = self._event()
            self.writer(event)
        return event

    def _baseline(self, sorter: Sorter) -> None:
        found = sorter.baseline()
        if found is not None:
            self._write(_begun(BASELINE, found, self._origin(BASELINE, found.row.origin)))
            self._write(self._ended(BASELINE, found, ()))

    def _trial(self, sorter: Sorter, row: TrialRow) -> None:
        try:
            found = sorter.sort(row)
        except LeftOut as why:
            self.left_out[str(why)] += 1
            return
        if found.candidate.key in self.known:
            self.left_out["in the study already"] += 1
            return
        self.known.add(found.candidate.key)
        origin = self._origin(row.number, row.origin)
        if isinstance(found, Similar):
            self.causes[found.cause] += 1
            self.hints.append(_hint_json(found, origin))
            return
        number, self.next = self.next, self.next + 1
        self._note_front(number, found, sorter)
        self._write(_begun(number, found, origin))
        self._write(self._ended(number, found, tuple(self.front)))
        self.exact += 1

    def _origin(self, number: int, earlier: str | None) -> str:
        """Where it was tried: of one that was taken over itself, where that came from."""
        return earlier or f"{self.past.info.name}#{number}"

    def _note_front(self, number: int, found: Exact, sorter: Sorter) -> None:
        whole = [v for v in found.objectives or () if v is not None]
        feasible = verdict_of(found.judgements) is Verdict.FEASIBLE
        if found.state in ("complete", "built") and feasible:
            self.front = add_to_front(self.front, number, sorter.judge.losses(whole))

    def _write(self, events: Iterable[Event]) -> None:
        for event in events:
            self.writer(event)

    def _ended(self, number: int, found: Exact, front: tuple[int, ...]) -> Iterator[Event]:
        """What was measured and made of it, and that it is over."""
        yield from self._measured(number, found)
        row = found.row
        if found.state == "infeasible":
            yield Failed(
                number, row.where or "", row.reason or "", row.message or "", True, row.log
            )
        elif found.state == "screened":
            missed = [
                j.constraint.text for j in found.judgements if j.verdict is Verdict.INFEASIBLE
            ]
            yield Screened(number, tuple(missed))
        for rung in found.rungs:
            values = tuple(rung["objectives"])
            yield RungReached(**(rung | {"number": number, "objectives": values}))
        if found.state not in ("infeasible", "baseline"):
            verdicts = tuple(judgement_json(j) for j in found.judgements)
            yield Judged(number, verdict_of(found.judgements), verdicts)
        yield Told(number, found.state, found.objectives, front, 0.0)

    def _measured(self, number: int, found: Exact) -> Iterator[Measured]:
        keys, numbers = self.past.keys.get(found.row.number, {}), found.numbers
        for name, measurements in numbers.measurements.items():
            metrics = {m.name for m in self.new.evaluators[name].spec.metrics}
            estimates = [e for e in numbers.estimates.values() if e.metric in metrics]
            detail = tuple(m.to_json() for m in measurements)
            what = tuple(estimate_json(e) for e in estimates)
            yield Measured(number, name, "dev", keys[name], True, 0.0, what, detail)

    def _event(self) -> WarmStarted:
        return WarmStarted(
            self.past.origin.label,
            self.exact,
            len(self.hints),
            dict(self.left_out),
            self._text(),
            tuple(self.hints),
        )

    def _text(self) -> str:
        origin, similar = self.past.origin, len(self.hints)
        causes = _circumstances(self.past.info, self.new) or self.causes
        parts = [f"{similar} similar ({_listed(causes)})"] if similar else []
        left = sum(self.left_out.values())
        parts += [f"{left} left out ({_listed(self.left_out)})"] if left else []
        if origin.continues:
            trials = self.exact + similar + left
            edited = f" (edited: {'; '.join(origin.edits)})" if origin.edits else ""
            valid = f"{self.exact} of {plural(trials, 'trial')} still valid"
            return ", ".join([f"continues {origin.label}{edited}: {valid}", *parts])
        exact = f"{plural(self.exact, 'trial')} exact"
        return ", ".join([f"warm start from {origin.label}: {exact}", *parts])


def _begun(number: int, found: Exact, origin: str) -> Iterator[Event]:
    """That it was asked for, and its stages."""
    candidate = found.candidate
    role = "baseline" if number == BASELINE else "trial"
    steps = tuple(step.to_json() for step in candidate.steps)
    yield TrialAsked(number, role, candidate.key, plain(candidate.decisions), steps, origin)
    for stage in found.stages:
        yield _stage(number, stage)


def _stage(number: int, stage: StageRow) -> Event:
    """A stage that was made, for it is in the store; or one that gave no result."""
    what = (number, stage.position, stage.step, stage.pass_name, stage.key)
    if stage.outcome != "done":
        return StageStarted(*what, stage.share)
    return StageFinished(*what, True, 0.0, stage.bytes or 0, None, stage.log, stage.share)


def _circumstances(before: StudyRow, new: NewStudy) -> list[str]:
    """What was otherwise around the earlier study: machine, versions of libraries, model, data."""
    old, now = before.environment, new.environment
    found = []
    if any(old.get(name) != now.get(name) for name in _MACHINE):
        theirs, ours = (", ".join(_machine_words(e, old, now)) for e in (old, now))
        found.append(f"other machine: {theirs} instead of {ours}")
    found += [
        f"{name} {old[name]} instead of {now[name]}"
        for name in now
        if name not in _MACHINE and name in old and old[name] != now[name]
    ]
    asked, asks = before.space.get("question", {}), question(new.space, new.source)
    if "model" in asked and asked["model"] != asks["model"]:
        found.append("another model")
    if "data_keys" in asked and asked["data_keys"] != asks["data_keys"]:
        found.append("other data")
    return found


def _machine_words(machine: Mapping[str, Any], *both: Mapping[str, Any]) -> Iterator[str]:
    """What differs of a machine, in words."""
    for name in _MACHINE:
        if len({str(m.get(name)) for m in both}) > 1:
            value = machine.get(name, "unknown")
            yield f"{value} cores" if name == "cores" else str(value)


def _listed(reasons: Mapping[str, int] | Sequence[str]) -> str:
    """The commonest reasons, each with its count where there are several."""
    if not isinstance(reasons, Counter):
        return "; ".join(reasons)
    named = reasons.most_common(_REASONS)
    alone = len(reasons) == 1
    texts = [reason if alone else f"{count} {reason}" for reason, count in named]
    more = sum(reasons.values()) - sum(count for _, count in named)
    return "; ".join([*texts, f"{more} for other reasons"] if more else texts)
