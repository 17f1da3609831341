"""What failures teach: which decisions they have in common, so that nothing more is lost on them.

Evidence is what became of trials, told in their order; there is no other state, so a command that
goes on with a study learns the same lessons again. Knows nothing of strategies, or of how failures
come about.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from search_spaces.candidates import Candidate, plain
from search_spaces.space import Space
from search_spaces.vocabulary import Value
from tuner.execution.job import Reason
from tuner.search.causes import FEWEST, MOST, Pairs, Route, common
from tuner.study.events import Failed, LessonLearned

_FEW = 8  # failures without a lesson that every trial is looked at for; of more, every failure

_Kind = tuple[str, str]
"""Where trials failed, and the reason's code."""


@dataclass(frozen=True, slots=True)
class Lesson:
    """Candidates with these decisions fail. `last`: the last of the `failures` that taught it."""

    pairs: Pairs
    last: Failed
    failures: int


@dataclass(frozen=True, slots=True)
class _Past:
    """A trial that is over: its decisions, what it got past, and its failure if that is certain."""

    pairs: Pairs
    passed: frozenset[str]
    failed: Failed | None

    @property
    def kind(self) -> _Kind | None:
        """Where and why it failed."""
        return None if self.failed is None else (self.failed.where, self.failed.reason)


class Lessons:
    """The lessons of one study's failures.

    A lesson is one to three decisions such that at least three trials that have them failed for
    certain in one place for one reason, and none that has them got past it (see `causes.common`).
    Of such sets the one with most failures counts, then the smallest. A trial with those decisions
    that gets past the place after all refutes the lesson, and one that fails with another value of
    them widens it.

    A decision can be the cause of what fails in its own step or later; of what is refused before
    anything runs, any decision. One with a single value, or of a continuous range, is none.

    Beside that, no candidate is tried that shares the whole of a failed step with a failed one:
    the same passes with the same parameters on the same input, which fail in the same way.
    """

    def __init__(self, space: Space) -> None:
        self._route = Route.of(space)
        self._past: list[_Past] = []
        self._lessons: dict[_Kind, list[Lesson]] = {}  # by where and why
        self._prefixes: dict[str, set[Pairs]] = {}

    @property
    def lessons(self) -> tuple[Lesson, ...]:
        """Those that hold now."""
        return tuple(lesson for lessons in self._lessons.values() for lesson in lessons)

    def bars(self, candidate: Candidate) -> bool:
        """Whether what failed before says that this candidate would fail too."""
        pairs = candidate.decisions.items()
        if any(lesson.pairs <= pairs for lesson in self.lessons):
            return True
        return any(self._route.until(pairs, w) in failed for w, failed in self._prefixes.items())

    def learn(
        self,
        candidate: Candidate,
        failed: Failed | None = None,
        passed: Collection[str] | None = None,
    ) -> list[LessonLearned]:
        """Take in what became of a trial; the lessons that it teaches.

        `failed`: where and why it failed, None of a trial that did not. `passed`: the steps and
        evaluators that it got past, where those are not all before its end: a candidate that was
        screened got past its twin's, one of which nothing is known past none.
        """
        got = self._passed(candidate, failed) if passed is None else frozenset(passed)
        certain = failed if failed is not None and failed.deterministic else None
        past = _Past(frozenset(candidate.decisions.items()), got, certain)
        self._past.append(past)
        for where in got & self._prefixes.keys():
            self._prefixes[where].discard(self._route.until(past.pairs, where))
        if certain is not None:
            self._note_prefix(past, certain)
        known = {lesson.pairs for lesson in self.lessons}
        for kind in self._open(past):
            self._lessons[kind] = self._found(*kind)
        return [self._event(k) for k in self.lessons if k.pairs not in known]

    def _passed(self, candidate: Candidate, failed: Failed | None) -> frozenset[str]:
        """The steps of the candidate, and the evaluators, that come before its end."""
        route = self._route
        own = route.evaluators | {step.id for step in candidate.steps}
        if failed is None:
            return frozenset(own)
        if failed.where not in route.positions or self._early(failed.where, failed.reason):
            return frozenset()
        end = route.positions[failed.where]
        return frozenset(name for name in own if route.positions[name] < end)

    def _early(self, where: str, reason: str) -> bool:
        """Whether it may have been refused before anything ran, for what comes later."""
        return reason == Reason.REFUSED and where not in self._route.evaluators

    def _note_prefix(self, past: _Past, failed: Failed) -> None:
        """What comes to the failed step in the same way fails; not if that is everything."""
        route = self._route
        known = failed.where in route.positions and failed.where not in route.evaluators
        if not known or self._early(failed.where, failed.reason):
            return
        shared = route.until(past.pairs, failed.where)
        if any(name in route.telling for name, _ in shared):
            self._prefixes.setdefault(failed.where, set()).add(shared)

    def _open(self, newest: _Past) -> list[_Kind]:
        """The kinds of failure whose lessons the newest trial may change.

        Its own; those with a lesson that it refutes; and those with a few failures that no lesson
        explains: that it did not fail may show that they are no coincidence.
        """
        loose = Counter(p.kind for p in self._past if p.kind and not self._explained(p, p.kind))
        kinds = {kind for kind, count in loose.items() if FEWEST <= count <= _FEW}
        for kind, lessons in self._lessons.items():
            if kind[0] in newest.passed and any(k.pairs <= newest.pairs for k in lessons):
                kinds.add(kind)
        if newest.kind is not None and not self._explained(newest, newest.kind):
            kinds.add(newest.kind)
        return sorted(kind for kind in kinds if kind[0] in self._route.positions)

    def _explained(self, past: _Past, kind: _Kind) -> bool:
        return any(lesson.pairs <= past.pairs for lesson in self._lessons.get(kind, ()))

    def _found(self, where: str, reason: str) -> list[Lesson]:
        """The lessons in failures of one kind, the best supported first.

        A failure that a lesson explains is no evidence for the next one: where two causes are at
        work, what some of the failures of both happen to share is neither.
        """
        alike = {self._seen(p, where, reason): p for p in self._past if p.kind == (where, reason)}
        past = {self._seen(p, where, reason) for p in self._past if where in p.passed}
        bad, good = alike, [self._telling(pairs) for pairs in past]
        found: list[Lesson] = []
        while len(bad) >= FEWEST and (lesson := self._best(bad, good)) is not None:
            found.append(lesson)
            bad = {seen: p for seen, p in bad.items() if not lesson.pairs <= seen}
        return found

    def _best(self, bad: Mapping[Pairs, _Past], good: Sequence[Pairs]) -> Lesson | None:
        """The lesson that explains most of these failures; of equals the shortest."""
        trials = list(bad.values())
        lessons = []
        for pairs, indexes in common([self._telling(pairs) for pairs in bad], good):
            last, stated = trials[indexes[-1]].failed, self._route.stated(pairs)
            if last is not None and len(stated) <= MOST:
                lessons.append(Lesson(stated, last, len(indexes)))
        return min(lessons, key=_worth, default=None)

    def _seen(self, past: _Past, where: str, reason: str) -> Pairs:
        """The decisions that such a failure may depend on; those alike in them are one trial."""
        return past.pairs if self._early(where, reason) else self._route.until(past.pairs, where)

    def _telling(self, pairs: Pairs) -> Pairs:
        return frozenset(pair for pair in pairs if pair[0] in self._route.telling)

    def _event(self, lesson: Lesson) -> LessonLearned:
        pairs = {name: plain(value) for name, value in self._route.in_order(lesson.pairs)}
        words = " with ".join(f"{name}={_word(value)}" for name, value in pairs.items())
        last, count = lesson.last, lesson.failures
        text = f"{words}: {count} of {count} failed in {last.where} ({last.reason}: {last.message})"
        return LessonLearned(pairs, last.where, last.reason, last.message, count, text)


def _worth(lesson: Lesson) -> tuple[int, int, str]:
    """The smaller, the better; never equal, so that nothing depends on an order of sets."""
    return -lesson.failures, len(lesson.pairs), repr(sorted(lesson.pairs))


def _word(value: Value) -> str:
    """A value as a space file has it."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(plain(value))
