"""One command's work on a study: start or continue it, try candidates, confirm the best.

The coordinator: the only place that talks to the strategy, to Optuna's tables and to the runner.
It prints nothing; whoever wants to know listens to its events.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from evaluators.base import Estimate, Evaluator, Json
from evaluators.verdicts import Judgement, Verdict
from search_spaces.candidates import Candidate, baseline_candidate, build, plain
from search_spaces.space import Space
from search_spaces.vocabulary import Value, Vocabulary
from tuner.execution.trial import (
    Executor,
    OutOfTime,
    Reading,
    Run,
    TrialFailed,
    TrialRunner,
    estimate_json,
)
from tuner.passes.base import Pass
from tuner.pipeline.plan import Source
from tuner.pipeline.store import Store
from tuner.search.distributions import candidate_distributions, external
from tuner.search.front import add_to_front, choose
from tuner.search.judging import Judge, Numbers, verdict_of
from tuner.search.strategies import FAILED_VIOLATION, Result, make_strategy
from tuner.study.events import BASELINE, Confirmed, Event, Judged, Told, TrialAsked
from tuner.study.history import History, PastTrial
from tuner.study.ledger import Ledger

_SEARCH_ROUNDS = 3  # an undecided time is measured in up to this many times the usual processes
_CONFIRMING = 1000  # processes of the confirmation are numbered from here


class BaselineFailed(Exception):
    """A constraint relative to the baseline cannot be judged: the baseline gave no numbers."""


@dataclass(frozen=True)
class Parts:
    """What a tuning works with."""

    space: Space
    vocabulary: Vocabulary
    passes: Mapping[str, Pass]
    evaluators: Mapping[str, Evaluator]
    source: Source
    machine: Mapping[str, str]
    store: Store
    executor: Executor
    ledger: Ledger
    history: History
    emit: Callable[[Event], None]
    clock: Callable[[], float] = time.monotonic


class Tuning:
    """Tries candidates until the budget is spent. `seconds_left` None: no limit."""

    def __init__(self, parts: Parts, seconds_left: float | None) -> None:
        self._p = parts
        self._judge = Judge(parts.space, parts.vocabulary, parts.evaluators)
        self._strategy = make_strategy(parts.space)
        self._seen: set[str] = set()
        self._front: dict[int, Sequence[float]] = {}
        self._built: dict[int, float] = {}  # trials that are not to be run: what they violate
        self._done = 0
        self._candidates: dict[int, Candidate] = {}
        deadline = None if seconds_left is None else parts.clock() + seconds_left
        self._runner = TrialRunner(
            parts.space,
            parts.source,
            parts.passes,
            parts.evaluators,
            self._judge.statistics(),
            parts.machine,
            parts.store,
            parts.executor,
            parts.emit,
            deadline,
            baseline_candidate(parts.space),
        )

    @property
    def chosen(self) -> int | None:
        """The number of the chosen trial; None while nothing is feasible.

        Of models that are built only, the one that misses least, else the first.
        """
        if not self._front and self._built:
            return min(self._built, key=lambda number: (self._built[number], number))
        return choose(self._front)

    @property
    def finished(self) -> bool:
        """Whether earlier work spent the budget and confirmed the best, if anything is feasible."""
        past, limit = self._p.history, self._p.space.search.trials
        done = sum(t.finished for t in past.trials)
        spent = self._out_of_time() or (limit is not None and done >= limit)
        return spent and (past.confirmed is not None or not any(t.feasible for t in past.trials))

    def _out_of_time(self) -> bool:
        deadline = self._runner.deadline
        return deadline is not None and self._p.clock() >= deadline

    def search(self) -> str:
        """Go on until the budget is spent; why it ended: trials, max_time or exhausted."""
        try:
            self._baseline()
            for past in self._p.history.trials:
                self._replay(past)
            return self._loop()
        except OutOfTime:
            return "max_time"

    def model_of(self, number: int) -> Run:
        """The finished stages of a trial, made again where the store has lost them."""
        return self._runner.build(number, self._candidates[number], again=True)

    def confirm(self) -> None:
        """Measure the chosen model and the baseline again, in turn, in fresh processes.

        Accuracy is measured on the test split, which the search never saw.
        """
        self._runner.deadline = None  # the answer is owed, and costs a known little
        chosen = self.chosen
        if chosen not in self._front or self._p.history.confirmed == chosen:
            return
        runs = [self.model_of(chosen)]
        if BASELINE in self._candidates and self._judge.baseline.estimates:
            runs.append(self.model_of(BASELINE))
        found: list[list[Estimate]] = [[] for _ in runs]
        for name in self._p.space.evaluators:
            if not self._can_confirm(name):
                continue
            for estimates, reading in zip(found, self._measure_again(runs, name), strict=True):
                estimates.extend(reading.estimates)
        as_json = [tuple(estimate_json(e) for e in estimates) for estimates in found]
        self._p.emit(Confirmed(chosen, as_json[0], as_json[1] if len(as_json) > 1 else ()))

    def _measure_again(self, runs: Sequence[Run], evaluator: str) -> list[Reading]:
        processes = self._processes(evaluator, 1, start=_CONFIRMING)
        return self._runner.measure_together(runs, evaluator, "test", processes)

    def _can_confirm(self, evaluator: str) -> bool:
        needs_data = self._p.evaluators[evaluator].spec.needs_labels
        return not needs_data or "test" in self._p.source.data_keys

    # The baseline

    def _baseline(self) -> None:
        candidate = baseline_candidate(self._p.space)
        self._candidates[BASELINE] = candidate
        known = self._p.history.baseline
        if known is not None:
            self._judge.baseline = known
            return
        started = self._p.clock()
        self._p.emit(TrialAsked(BASELINE, "baseline", candidate.key, {}, _steps(candidate)))
        try:
            self._judge.baseline = self._measure_baseline(candidate)
            state = "baseline"
        except TrialFailed as failure:
            self._p.emit(failure.event(BASELINE))
            state = "failed"
            self._require_no_baseline(failure)
        self._p.emit(Told(BASELINE, state, None, (), self._p.clock() - started))

    def _measure_baseline(self, candidate: Candidate) -> Numbers:
        """As any candidate; twice as long what a constraint is relative to: it limits them all."""
        run = self._runner.build(BASELINE, candidate)
        limits = {
            self._judge.evaluator_of(c) for c in self._p.space.constraints if c.limit.relative
        }
        return self._measure(run, dict.fromkeys(limits, 2))

    def _require_no_baseline(self, failure: TrialFailed) -> None:
        relative = [c.text for c in self._p.space.constraints if c.limit.relative]
        if relative:
            raise BaselineFailed(
                f"the baseline failed ({failure}), and {relative[0]} is relative to it"
            ) from failure

    # The search

    def _replay(self, past: PastTrial) -> None:
        if not past.finished and self._out_of_time():
            raise OutOfTime
        candidate = rebuild(self._p.space, past.decisions)
        self._candidates[past.number] = candidate
        self._seen.add(candidate.key)
        if not past.finished:
            self._try(past.number, candidate)
            return
        self._learn(past.number, candidate, past.result, past.feasible)
        if past.built:
            self._built[past.number] = _missed(past.result)
        self._begin_in_ledger(past.number, candidate)
        self._finish_in_ledger(past.number, past.result)

    def _loop(self) -> str:
        limit = self._p.space.search.trials
        while limit is None or self._done < limit:
            if self._out_of_time():
                return "max_time"
            number = len(self._candidates) - 1  # the baseline is not counted
            candidate = self._strategy.propose(number, self._seen)
            if candidate is None:
                return "exhausted"
            self._candidates[number] = candidate
            self._seen.add(candidate.key)
            self._try(number, candidate)
        return "trials"

    def _try(self, number: int, candidate: Candidate) -> None:
        started = self._p.clock()
        decisions = plain(candidate.decisions)
        self._p.emit(TrialAsked(number, "trial", candidate.key, decisions, _steps(candidate)))
        self._begin_in_ledger(number, candidate)
        run = None
        try:
            run = self._runner.build(number, candidate)
            judgements, numbers = self._settle(run, self._measure(run))
        except TrialFailed as failed:
            self._p.emit(failed.event(number))
            result, feasible = self._failure(failed), False
            state = "failed" if result.transient else self._end("infeasible", run)
            note: str | None = str(failed)
        else:
            verdict = verdict_of(judgements)
            self._p.emit(Judged(number, verdict, tuple(_judgement(j) for j in judgements)))
            violations = {j.constraint.text: j.violation for j in judgements}
            result = Result(self._judge.objectives(numbers), violations)
            feasible, state = verdict is Verdict.FEASIBLE, self._end("complete", run)
            note = None
        self._learn(number, candidate, result, feasible)
        if state == "built":
            self._built[number] = _missed(result)
        seconds = self._p.clock() - started
        values = None if result.objectives is None else tuple(result.objectives)
        self._p.emit(Told(number, state, values, tuple(self._front), seconds))
        self._finish_in_ledger(number, result, note)

    def _end(self, usual: str, run: Run | None) -> str:
        """How a trial ended: of a model that is not to be run, that it was built is enough."""
        return "built" if run is not None and self._p.space.build_only else usual

    def _measure(self, run: Run, rounds: Mapping[str, int] | None = None) -> Numbers:
        """Every evaluator's estimates. `rounds`: evaluator -> times its usual processes.

        The first that fails is the trial's failure; of a model that is only built, the others are
        measured all the same.
        """
        estimates: dict[tuple[str, str | None], Estimate] = {}
        measurements = {}
        failures: list[TrialFailed] = []
        for name in self._p.space.evaluators:
            processes = self._processes(name, (rounds or {}).get(name, 1))
            try:
                reading = self._runner.measure(run, name, processes)
            except TrialFailed as failed:
                failures.append(failed)
                if self._p.space.build_only:
                    continue
                raise
            estimates |= {(e.metric, e.statistic): e for e in reading.estimates}
            measurements[name] = reading.measurements
        if failures:
            raise failures[0]
        return Numbers(estimates, measurements)

    def _processes(self, evaluator: str, rounds: int, start: int = 0) -> range:
        """Numbers of processes to measure in; rounds count only where there are several."""
        usual = self._p.evaluators[evaluator].processes(self._p.space.evaluators[evaluator])
        return range(start, start + (usual * rounds if usual > 1 else 1))

    def _settle(self, run: Run, numbers: Numbers) -> tuple[list[Judgement], Numbers]:
        """Judge; where a time is undecided, measure it in more processes, up to a cap."""
        for rounds in range(2, _SEARCH_ROUNDS + 2):
            judgements = self._judge.judge(numbers)
            undecided = self._worth_measuring(judgements)
            if not undecided or rounds > _SEARCH_ROUNDS:
                break
            for name in undecided:
                reading = self._runner.measure(run, name, self._processes(name, rounds))
                more = {(e.metric, e.statistic): e for e in reading.estimates}
                again = {**numbers.measurements, name: reading.measurements}
                numbers = Numbers({**numbers.estimates, **more}, again)
        return judgements, numbers

    def _worth_measuring(self, judgements: Sequence[Judgement]) -> list[str]:
        """Evaluators of undecided constraints that more processes can decide."""
        names = {
            self._judge.evaluator_of(j.constraint)
            for j in judgements
            if j.verdict is Verdict.UNDECIDED
        }
        return sorted(name for name in names if len(self._processes(name, 1)) > 1)

    def _failure(self, failed: TrialFailed) -> Result:
        if not failed.failure.deterministic:
            return Result(None, {}, transient=True)
        constraints = self._p.space.constraints
        return Result(None, {c.text: FAILED_VIOLATION for c in constraints})

    def _learn(self, number: int, candidate: Candidate, result: Result, feasible: bool) -> None:
        self._done += 1
        self._strategy.tell(candidate, result)
        if feasible and result.objectives is not None:
            losses = self._judge.losses(result.objectives)
            self._front = add_to_front(self._front, number, losses)

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


def _missed(result: Result) -> float:
    """By how much the constraints are violated in all; infinite where that was not measured."""
    if result.objectives is None:
        return math.inf
    return sum(max(0.0, violation) for violation in result.violations.values())


def _judgement(judgement: Judgement) -> Json:
    constraint = judgement.constraint
    return {
        "text": constraint.text,
        "metric": constraint.metric,
        "statistic": constraint.statistic,
        "limit": judgement.limit,
        "value": judgement.value,
        "verdict": judgement.verdict,
        "violation": judgement.violation,
    }
