"""One command's work on a study: start or continue it, try candidates, confirm the best.

The coordinator: the only place that talks to the strategy, to Optuna's tables and to the workers.
It prints nothing; whoever wants to know listens to its events. Several workers of this command,
and other commands, may work on the study at the same time: each asks and tells in its turn, and
takes in first what the others did.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from evaluators.base import Json
from search_spaces.candidates import Candidate, baseline_candidate, build, plain
from search_spaces.counting import measure
from search_spaces.space import Space
from search_spaces.vocabulary import Value
from tuner.engine.confirming import bracket_of
from tuner.engine.crew import Crew
from tuner.engine.trying import Ending, Trier
from tuner.execution.making import OutOfTime, TrialFailed
from tuner.execution.measuring import Run
from tuner.search.distributions import candidate_distributions, external
from tuner.search.front import add_to_front, choose
from tuner.search.lessons import Lessons
from tuner.search.strategies import Known, Result, Strategy
from tuner.study.cooperation import Cooperation
from tuner.study.events import BASELINE, Event, Told, TrialAsked
from tuner.study.history import PastTrial
from tuner.study.ledger import Ledger

_WAIT = 0.2  # seconds between looks at what other commands do


class BaselineFailed(Exception):
    """A constraint relative to the baseline cannot be judged: the baseline gave no numbers."""


@dataclass(frozen=True)
class Parts:
    """What a tuning works with. `retry_failed`: what failed is tried again, whatever was learnt."""

    space: Space
    strategy: Strategy
    crew: Crew
    ledger: Ledger
    cooperation: Cooperation
    emit: Callable[[Event], None]
    retry_failed: bool = False
    clock: Callable[[], float] = time.monotonic


class Tuning:
    """Tries candidates until the budget is spent."""

    def __init__(self, parts: Parts) -> None:
        self._p = parts
        self._lessons = Lessons(parts.space)
        self._candidates: dict[int, Candidate] = {}
        self._keys: set[str] = set()
        self._pending: dict[int, Candidate] = {}  # being tried now, here or by other commands
        self._queue: list[int] = []  # cut off, and to be tried again
        self._others: Mapping[int, str] | None = None  # states, as they were last seen
        self._imported: set[int] = set()
        self._front: dict[int, Sequence[float]] = {}
        self._built: dict[int, float] = {}  # trials that are not to be run: what they violate
        self._measured = False  # whether any candidate has all its objectives
        self._screened: dict[int, float] = {}  # trials that were not trained: what they violate
        self._reason: str | None = None  # why no more is asked
        self._confirmed = False
        self._winner: int | None = None  # by what was confirmed, where that is known
        parts.crew.begin(lambda: self._front, self._reference)

    @property
    def chosen(self) -> int | None:
        """The number of the chosen trial; None while nothing is feasible.

        By what was confirmed, once that is known. Of models that are built only, the one that
        misses least, else the first.
        """
        if not self._front and self._built:
            return min(self._built, key=lambda number: (self._built[number], number))
        return self._winner if self._confirmed else choose(self._front)

    @property
    def finished(self) -> bool:
        """Whether earlier work spent the budget and confirmed the best, if anything is feasible."""
        past, limit = self._p.cooperation.load(), self._p.space.search.trials
        own = [t for t in past.trials if not t.imported]
        done = sum(t.finished and not self._is_retried(t) for t in own)
        spent = self._p.crew.is_out_of_time() or (limit is not None and done >= limit)
        feasible = any(t.feasible for t in past.trials)
        return spent and (bool(past.confirmed) or not feasible or not self._owes_confirmation)

    @property
    def _owes_confirmation(self) -> bool:
        """Whether numbers may flatter: not where there is one candidate, and no data kept back.

        A night's numbers are compared with other nights': they want the second look's, too.
        """
        tools = self._p.crew.tools
        kept_back = "test" in tools.source.data_keys
        return kept_back or tools.night is not None or measure(self._p.space).candidates != 1

    def search(self) -> str:
        """Go on until the budget is spent; why it ended: trials, max_time or exhausted."""
        try:
            self._baseline()
            self._p.crew.work(self._ask, self._try)
            self._finish_with_others()
            self._price()
        except OutOfTime:
            return "max_time"
        return self._reason or "trials"

    def model_of(self, number: int) -> Run:
        """The finished stages of a trial, made again where the store has lost them."""
        return self._p.crew.lead.build(number, self._candidates[number], again=True)

    def confirm(self) -> None:
        """Choose by measuring the front's best and the baseline again; see `Confirmer`.

        Nothing is measured where it was done before, and the front's best are the same.
        """
        if not self._front or not self._owes_confirmation:
            return
        self._confirmed = True
        past = self._p.cooperation.load()
        if past.confirmed.issuperset(bracket_of(self._front)) and past.chosen in self._front:
            self._winner = past.chosen
            return
        self._p.crew.no_deadline()  # the answer is owed, and costs a known little
        confirmer = self._p.crew.confirmer(self.model_of)
        self._winner = confirmer.winner(self._front, self._reference())

    def _reference(self) -> Run | None:
        """The baseline's finished stages; None where it failed."""
        return self._p.crew.reference(lambda: self.model_of(BASELINE))

    # The baseline

    def _baseline(self) -> None:
        candidate = self._candidates[BASELINE] = baseline_candidate(self._p.space)
        while True:
            with self._turn():
                known = self._p.cooperation.load().baseline
                if known is not None:
                    self._p.crew.judge.baseline = known
                    return
                if self._p.cooperation.news().get(BASELINE) != "running":
                    asked = TrialAsked(BASELINE, "baseline", candidate.key, {}, _steps(candidate))
                    self._p.emit(asked)
                    break
            self._wait()
        self._measure_baseline(candidate)

    def _measure_baseline(self, candidate: Candidate) -> None:
        started, state = self._p.clock(), "baseline"
        try:
            self._p.crew.measure_baseline(candidate)
        except TrialFailed as failure:
            self._p.emit(failure.event(BASELINE))
            state = "failed"
            self._require_no_baseline(failure)
        self._p.emit(Told(BASELINE, state, None, (), self._p.clock() - started))

    def _require_no_baseline(self, failure: TrialFailed) -> None:
        relative = [c.text for c in self._p.space.constraints if c.limit.relative]
        if relative:
            raise BaselineFailed(
                f"the baseline failed ({failure}), and {relative[0]} is relative to it"
            ) from failure

    # Asking

    def _ask(self) -> int | None:
        """The number of the next trial to try; None: no more is to be tried."""
        with self._turn():
            self._take_news()
            if self._p.crew.is_out_of_time():
                self._reason = "max_time"
            elif self._queue:
                return self._begin(self._queue.pop(0))
            elif self._is_spent():
                self._reason = "trials"
            elif self._reason is None:
                return self._propose()
            return None

    def _is_spent(self) -> bool:
        limit = self._p.space.search.trials
        tried = len(self._candidates) - 1 - len(self._imported)  # the baseline is not counted
        return limit is not None and tried >= limit

    def _propose(self) -> int | None:
        number = len(self._candidates) - 1
        known = Known(self._keys, self._lessons.bars, tuple(self._pending.values()))
        candidate = self._p.strategy.propose(number, known)
        if candidate is None:
            self._reason = "exhausted"
            return None
        self._candidates[number] = candidate
        self._keys.add(candidate.key)
        return self._begin(number)

    def _begin(self, number: int) -> int:
        candidate = self._pending[number] = self._candidates[number]
        decisions = plain(candidate.decisions)
        self._p.emit(TrialAsked(number, "trial", candidate.key, decisions, _steps(candidate)))
        self._begin_in_ledger(number, candidate)
        return number

    # Trying and telling

    def _try(self, trier: Trier, number: int, *, whole: bool = False) -> None:
        started = self._p.clock()
        ending = trier.attempt(number, self._candidates[number], whole=whole)
        with self._turn():
            self._take_news()
            self._learn(number, ending)
            told = ending.result.objectives or ending.result.known or None
            values = None if told is None else tuple(told)
            seconds = self._p.clock() - started
            self._p.emit(Told(number, ending.state, values, tuple(self._front), seconds))
            failed = ending.failed
            note = None if failed is None else f"{failed.where}: {failed.message}"
            self._finish_in_ledger(number, ending.result, note)

    def _learn(self, number: int, ending: Ending) -> None:
        """Take a result into account, once."""
        candidate, result = self._candidates[number], ending.result
        self._pending.pop(number, None)
        self._p.strategy.tell(candidate, result)
        if not result.transient:
            passed = () if ending.state == "screened" else None
            for lesson in self._lessons.learn(candidate, ending.failed, passed):
                self._p.emit(lesson)
        missed = sum(max(0.0, violation) for violation in result.violations.values())
        if ending.state == "screened":
            self._screened[number] = missed
        if result.objectives is not None:
            self._measured = True
        if ending.state == "built":
            self._built[number] = math.inf if result.objectives is None else missed
        if ending.feasible and result.objectives is not None:
            losses = self._p.crew.judge.losses(result.objectives)
            self._front = add_to_front(self._front, number, losses)

    # What others did, before or meanwhile

    def _take_news(self) -> None:
        """Take in what changed of the trials that are not this command's, if anything did."""
        states, before = self._p.cooperation.news(), self._others
        changed = {n for n, s in states.items() if before is None or before.get(n) != s}
        self._others = states
        if not changed - {BASELINE}:
            return
        history = self._p.cooperation.load()
        self._p.crew.learn(history, forget_failures=self._p.retry_failed)
        for past in history.trials:
            if past.number in changed:
                self._take(past, first=before is None)

    def _take(self, past: PastTrial, *, first: bool) -> None:
        candidate = self._candidates.get(past.number) or rebuild(self._p.space, past.decisions)
        self._candidates[past.number] = candidate
        self._keys.add(candidate.key)
        if past.imported:
            self._imported.add(past.number)
        self._begin_in_ledger(past.number, candidate)
        if past.state == "running":
            self._pending[past.number] = candidate
        elif not past.finished or (first and self._is_retried(past)):
            self._pending.pop(past.number, None)
            self._queue.append(past.number)
        elif past.number not in self._queue:
            ending = Ending(past.state, past.result, past.feasible, past.failed)
            self._learn(past.number, ending)
            self._finish_in_ledger(past.number, past.result)

    def _is_retried(self, past: PastTrial) -> bool:
        """Whether a new command tries again what failed: for a reason that may have passed."""
        return past.result.transient or (self._p.retry_failed and past.result.failed)

    def _finish_with_others(self) -> None:
        """Wait for what other commands try, and try it in their place where they die."""
        while self._reason != "max_time":
            number = self._ask()
            if number is not None:
                self._try(self._p.crew.lead, number)
            elif self._pending and self._reason != "max_time":
                self._wait()
            else:
                return

    def _price(self) -> None:
        """Where every candidate was screened, train the one that missed least.

        Else nobody could say what relaxing a constraint would buy.
        """
        if self._measured or not self._screened or self._p.crew.is_out_of_time():
            return
        with self._turn():
            number = min(self._screened, key=lambda n: (self._screened[n], n))
            del self._screened[number]
            self._begin(number)
        self._try(self._p.crew.lead, number, whole=True)

    def _turn(self) -> AbstractContextManager[None]:
        return self._p.cooperation.turn("ask", self._p.crew.look)

    def _wait(self) -> None:
        self._p.crew.look()
        time.sleep(_WAIT)

    def _begin_in_ledger(self, number: int, candidate: Candidate) -> None:
        distributions = candidate_distributions(self._p.space, candidate)
        parameters = external(candidate.decisions)
        self._p.ledger.begin(number, parameters, distributions, candidate.key)

    def _finish_in_ledger(self, number: int, result: Result, note: str | None = None) -> None:
        self._p.ledger.finish(
            number, result.objectives, result.violations, transient=result.transient, note=note
        )


def rebuild(space: Space, decisions: Mapping[str, object]) -> Candidate:
    """The candidate that took these decisions (values as stored: lists for tuples)."""
    return build(space, lambda decision: _stored(decisions[decision.name]))


def _stored(value: object) -> Value:
    if isinstance(value, list):
        return tuple(_stored(v) for v in value)
    result: Value = value  # type: ignore[assignment]  # JSON has no other types
    return result


def _steps(candidate: Candidate) -> tuple[Json, ...]:
    return tuple(step.to_json() for step in candidate.steps)
