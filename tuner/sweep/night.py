"""Runs a night of a sweep: each entry's search, then the answers that are watched, afresh.

What is done is written down at once, so that the same command goes on after any end. Knows nothing
of how it is shown, and judges nothing.
"""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from evaluators.base import MeasurementError
from search_spaces.data import DataError
from search_spaces.problems import SpaceError
from search_spaces.space import Space
from tuner.engine.session import NO_WARM_START, Request
from tuner.engine.tuning import BaselineFailed
from tuner.models.errors import ModelError
from tuner.report.output import OutputError
from tuner.run import RunError, run
from tuner.study.api import Study
from tuner.study.database import open_engine
from tuner.study.events import Listener
from tuner.study.reader import StudyReader
from tuner.sweep import collecting
from tuner.sweep.calendar import pending
from tuner.sweep.collecting import Subject
from tuner.sweep.plan import Plan
from tuner.sweep.plan_entries import PlanEntry
from tuner.sweep.records import (
    REFERENCE,
    TONIGHT,
    EntryResult,
    Night,
    Watched,
    write_night,
)
from tuner.sweep.watching import watch_space, watch_steps

LATEST = "latest"
"""In the folder of results, hidden from git: for each entry, the last answer with its model."""

_OF_AN_ENTRY = (
    DataError,
    ModelError,
    RunError,
    OutputError,
    BaselineFailed,
    MeasurementError,
    SpaceError,
)
"""What ends an entry; the others go on. A store or database that cannot be used ends the night."""

Listen = Callable[[str, str], Sequence[Listener]]


class Busy(Exception):
    """Another command works on the sweep; the message says on which."""


@dataclass
class NightRunner:
    """Works on a night. `known`: the sweep's other nights, in the order in which they began.

    `listen`: the listeners of an entry's search or watch, by its name and what it does ("search",
    "watch 2026-11-20"). `tell`: called with each entry that has ended.
    """

    plan: Plan
    night: Night
    known: Sequence[Night]
    store: Path | None = None
    listen: Listen = lambda _entry, _what: ()
    tell: Callable[[EntryResult], None] = lambda _entry: None
    _reader: StudyReader = field(init=False)

    @property
    def folder(self) -> Path:
        """Where the night's record and results lie."""
        return self.plan.results / self.night.name

    def pending(self, only: Sequence[str] = ()) -> list[PlanEntry]:
        """The entries that have not ended yet; those that failed are tried again."""
        return pending(self.plan, self.night, only)

    def run(self, only: Sequence[str] = ()) -> Night:
        """Run what is pending, and return the night. Busy, StoreError, DatabaseError."""
        with _alone(self.plan.results):
            entries = self.pending(only)
            if entries:
                self._keep(replace(self.night, finished=None, verdict=None))
            engine = open_engine(self.plan.db)
            self._reader = StudyReader(engine)
            try:
                for entry in entries:
                    self._entry(entry)
            finally:
                engine.dispose()
            over = all(self._state(e) not in (None, "unfinished") for e in self.plan.entries)
            if over and self.night.finished is None:
                self._keep(replace(self.night, finished=time.time()))
        return self.night

    def _state(self, entry: PlanEntry) -> str | None:
        found = self.night.entry(entry.name)
        return None if found is None else found.state

    def _keep(self, night: Night) -> None:
        self.night = night
        write_night(self.folder, night)

    # An entry

    def _entry(self, entry: PlanEntry) -> None:
        started = time.monotonic()
        blank = self._blank(entry)
        if entry.unavailable is not None:
            self._end(replace(blank, state="skipped", message=entry.unavailable))
            return
        before = self.night.entry(entry.name)
        spent = before.seconds if before is not None and before.state == "unfinished" else 0.0
        self._keep(self.night.with_entry(replace(blank, seconds=spent)))

        def passed() -> float:
            return spent + time.monotonic() - started

        try:
            result = self._search(entry)
            result = replace(result, seconds=passed())
        except _OF_AN_ENTRY as error:
            result = replace(blank, state="failed", message=str(error), seconds=passed())
        state = result.state
        self._keep(self.night.with_entry(replace(result, state="unfinished")))
        for subject in self._subjects(entry, result):
            found = self._watch(entry, subject, result.watched)
            result = replace(result, watched=(*result.watched, found), seconds=passed())
            self._keep(self.night.with_entry(replace(result, state="unfinished")))
        self._end(replace(result, state=state))

    def _blank(self, entry: PlanEntry) -> EntryResult:
        names = (entry.name, entry.space.name, entry.space.model.text, entry.device)
        return EntryResult(*names, self._study(entry), "unfinished")

    def _end(self, result: EntryResult) -> None:
        self._keep(self.night.with_entry(result))
        if result.answer is not None:
            path = self.folder / f"{result.name}.recipe.yaml"
            path.write_text(result.answer.recipe, encoding="utf-8")
        self.tell(result)

    def _study(self, entry: PlanEntry) -> str:
        return f"{self.plan.name}/{self.night.name}/{entry.name}"

    def _search(self, entry: PlanEntry) -> EntryResult:
        started = time.monotonic()
        earlier = self._earlier(entry)
        study = self._run(
            entry.space,
            entry.text,
            study=self._study(entry),
            warm_start=(NO_WARM_START if earlier is None else earlier,),
            output=self.plan.results / LATEST / entry.name,
            workers=entry.workers,
            listeners=self.listen(entry.name, "search"),
        )
        return collecting.searched(entry, study, time.monotonic() - started, self.folder)

    def _run(self, space: Space, text: str, **options: Any) -> Study:
        return run(Request(space, text, db=self.plan.db, store=self.store, **options))

    def _earlier(self, entry: PlanEntry) -> str | None:
        """The study of the latest earlier night that searched this entry."""
        there = {study.name for study in self._reader.studies()}
        before = [n for n in self.known if n.started < self.night.started]
        found = (night.entry(entry.name) for night in before)
        return next((e.study for e in reversed(list(found)) if e and e.study in there), None)

    # What is watched

    def _subjects(self, entry: PlanEntry, result: EntryResult) -> list[Subject]:
        """The reference night's answer, and tonight's if it is another one."""
        found = []
        reference = self._reference(entry)
        if reference is not None and reference.answer is not None:
            night = str(self.night.reference)
            found.append(Subject(reference.answer, REFERENCE, night))
        if result.answer is not None and result.answer.key not in {s.answer.key for s in found}:
            found.append(Subject(result.answer, TONIGHT, self.night.name))
        return found

    def _reference(self, entry: PlanEntry) -> EntryResult | None:
        night = next((n for n in self.known if n.name == self.night.reference), None)
        return None if night is None else night.entry(entry.name)

    def _watch(self, entry: PlanEntry, subject: Subject, done: Sequence[Watched]) -> Watched:
        steps = watch_steps(entry, subject.answer.steps)
        same = next((w for w in done if w.state == "done" and _same(w.steps, steps)), None)
        if same is not None:  # the plan made both the same: measured once
            answer = subject.answer
            found = replace(same, key=answer.key, parameters=answer.parameters)
            return replace(found, label=subject.label, of_night=subject.of_night)
        name = f"{self._study(entry)}/watch-{subject.answer.key[:12]}"
        try:
            study = self._run(
                *watch_space(entry, steps, self.folder),
                study=name,
                warm_start=(NO_WARM_START,),
                night=self.night.name,
                listeners=self.listen(entry.name, f"watch {subject.of_night}"),
            )
        except _OF_AN_ENTRY as error:
            return collecting.failed_to_watch(subject, name, str(error))
        return collecting.watched(entry, subject, Study(self._reader, study.name), self._reader)


def _same(one: Sequence[Mapping[str, Any]], other: Sequence[Mapping[str, Any]]) -> bool:
    """Whether two lists of steps make the same model; ids do not matter."""
    parts = [[(s["pass"], s["parameters"]) for s in steps] for steps in (one, other)]
    return parts[0] == parts[1]


@contextmanager
def _alone(results: Path) -> Iterator[None]:
    """Nobody else works on these results; the kernel lets go of who died. Busy."""
    folder = results / LATEST
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ".gitignore").write_text("*\n", encoding="utf-8")
    with (folder / ".lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Busy(f"another command works on {results}; wait until it has ended") from None
        yield
