"""Which night it is: a new one, one that was cut off and goes on, and what each is compared with.

Knows nothing of what happens in a night.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from evaluators import machine
from search_spaces.problems import hint
from search_spaces.space import steps_of
from tuner.registry import vocabulary_of
from tuner.sweep.plan import Plan
from tuner.sweep.plan_entries import PlanEntry, checked_name
from tuner.sweep.records import Night

_STALE = 18 * 3600.0
"""A night that was cut off so many seconds ago is not continued by itself: another one is due."""

_ALWAYS = ("torch", "transformers", "onnxruntime", "onnxruntime-genai", "optuna", "numpy")
_GIT_PATIENCE = 10.0


_OVER = ("done", "nothing_fits", "skipped")


class NightError(Exception):
    """There is no such night, or it cannot be one; the message says what there is."""


def tonight(plan: Plan, known: Sequence[Night], asked: str | None, baseline: str | None) -> Night:
    """The night to work on: the one asked for, one that was cut off, else today's.

    `known`: all nights of the sweep, in the order in which they began. `baseline`: the night to
    compare with, in place of the latest one that was no regression. NightError.
    """
    if asked is not None:
        _check_name(asked)
    night = _continued(known, asked) or _new(plan, asked or _today())
    return _compared(night, known, baseline)


def pending(plan: Plan, night: Night, only: Sequence[str] = ()) -> list[PlanEntry]:
    """The plan's entries that have not ended on this night; those that failed are tried again.

    `only`: names of entries; none: all.
    """
    over = {entry.name for entry in night.entries if entry.state in _OVER}
    asked = [e for e in plan.entries if not only or e.name in only]
    return [e for e in asked if e.name not in over]


def _check_name(asked: str) -> None:
    try:
        checked_name(asked)
    except ValueError as error:
        raise NightError(f"a night's name: {error}") from None


def _continued(known: Sequence[Night], asked: str | None) -> Night | None:
    if asked is None:
        fresh = [n for n in known if n.finished is None and time.time() - n.started < _STALE]
        if fresh:
            return fresh[-1]
    name = asked or _today()
    return next((night for night in known if night.name == name), None)


def _compared(night: Night, known: Sequence[Night], baseline: str | None) -> Night:
    earlier = [n for n in known if n.name != night.name and n.started < night.started]
    if baseline is not None:
        names = [n.name for n in earlier]
        if baseline not in names:
            there = f"; there are {', '.join(names[-5:])}" if names else "; there is none before it"
            raise NightError(f"no earlier night {baseline!r}{hint(baseline, names)}{there}")
        return night if night.reference == baseline else replace(_again(night), reference=baseline)
    if night.reference is not None:
        return night
    good = [n.name for n in earlier if _is_reference(n)]
    return replace(night, reference=good[-1] if good else None)


def _again(night: Night) -> Night:
    """The night, not over: of another reference another answer has to be measured."""
    entries = (
        replace(e, state="unfinished") if e.state in ("done", "nothing_fits") else e
        for e in night.entries
    )
    return replace(night, finished=None, verdict=None, entries=tuple(entries))


def _is_reference(night: Night) -> bool:
    """Whether later nights may be compared with it: over, no regression, and with an answer."""
    whole = night.finished is not None and night.verdict != "regression"
    return whole and any(entry.answer is not None for entry in night.entries)


def _new(plan: Plan, name: str) -> Night:
    commit, dirty = _commit(plan.path.parent)
    return Night(
        name=name,
        sweep=plan.name,
        started=time.time(),
        finished=None,
        program=_version("tuner"),
        commit=commit,
        dirty=dirty,
        machine=machine.fingerprint(),
        versions=machine.versions(*_distributions(plan)),
        plan=plan.to_json(),
    )


def _distributions(plan: Plan) -> list[str]:
    """Every library that a step or an evaluator of the plan names, and the usual ones."""
    found = list(_ALWAYS)
    for entry in plan.entries:
        words = vocabulary_of(entry.space)
        steps = (s for item in entry.space.pipeline for s in steps_of(item))
        found += [library for step in steps for library in step.spec.libraries]
        measured = (words.evaluators[name] for name in entry.space.evaluators)
        found += [library for spec in measured for library in spec.libraries]
    return sorted(set(found))


def _today() -> str:
    return time.strftime("%Y-%m-%d")


def _commit(folder: Path) -> tuple[str | None, bool]:
    """The commit of the repository that the folder is in, and whether files differ from it."""
    head = _git(folder, "rev-parse", "HEAD")
    if head is None:
        return None, False
    return head, bool(_git(folder, "status", "--porcelain", "--untracked-files=no"))


def _git(folder: Path, *arguments: str) -> str | None:
    command = ["git", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_GIT_PATIENCE, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "not installed"
