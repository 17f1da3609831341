"""One command's work on a study: start or continue it, try candidates, confirm the best.

The coordinator: the only place that talks to the strategy, to Optuna's tables and to the runner.
It prints nothing; whoever wants to know listens to its events.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from evaluators.base import Evaluator, Json
from evaluators.statistics import QUANTILES
from evaluators.timed import TimedEvaluator
from evaluators.verdicts import Judgement, Verdict
from search_spaces.candidates import Candidate, baseline_candidate, build, plain
from search_spaces.space import Space
from search_spaces.vocabulary import Value, Vocabulary
from tuner.confirming import Confirmer, bracket_of
from tuner.execution.making import Executor, Maker, OutOfTime, TrialFailed
from tuner.execution.measuring import Measurer, Run
from tuner.execution.trial import TrialRunner
from tuner.passes.base import Pass
from tuner.pipeline.plan import Source
from tuner.pipeline.store import Store
from tuner.search.distributions import candidate_distributions, external
from tuner.search.front import add_to_front, choose, dominates
from tuner.search.judging import Judge, Numbers, judgement_json, next_look, verdict_of
from tuner.search.strategies import FAILED_VIOLATION, Known, Result, make_strategy
from tuner.study.events import BASELINE, Event, Judged, Told, TrialAsked
from tuner.study.history import History, PastTrial
from tuner.study.ledger import Ledger


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
        self._strategy = make_strategy(parts.space, parts.vocabulary)
        self._seen: set[str] = set()
        self._front: dict[int, Sequence[float]] = {}
        self._built: dict[int, float] = {}  # trials that are not to be run: what they violate
        self._done = 0
        self._candidates: dict[int, Candidate] = {}
        self._baseline_run: Run | None = None
        self._confirmed = False
        self._winner: int | None = None  # by what was confirmed, where that is known
        deadline = None if seconds_left is None else parts.clock() + seconds_left
        self._maker = Maker(parts.store, parts.executor, deadline)
        self._runner = TrialRunner(
            parts.space, parts.source, parts.passes, parts.store, self._maker, parts.emit
        )
        self._measurer = Measurer(
            parts.space,
            parts.source,
            parts.passes,
            parts.evaluators,
            self._judge.statistics(),
            parts.machine,
            self._maker,
            parts.emit,
            self._reference,
        )

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
        past, limit = self._p.history, self._p.space.search.trials
        done = sum(t.finished for t in past.trials)
        spent = self._out_of_time() or (limit is not None and done >= limit)
        return spent and (bool(past.confirmed) or not any(t.feasible for t in past.trials))

    def _out_of_time(self) -> bool:
        deadline = self._maker.deadline
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
        """Choose by measuring the front's best and the baseline again; see `Confirmer`.

        Nothing is measured where an earlier command did so, and the front's best are the same.
        """
        if not self._front:
            return
        self._confirmed = True
        past = self._p.history
        if past.confirmed.issuperset(bracket_of(self._front)) and past.chosen in self._front:
            self._winner = past.chosen
            return
        self._maker.deadline = None  # the answer is owed, and costs a known little
        parts = self._p
        confirmer = Confirmer(
            parts.space,
            parts.vocabulary,
            parts.evaluators,
            tuple(parts.source.data_keys),
            self._measurer,
            self.model_of,
            parts.emit,
        )
        self._winner = confirmer.winner(self._front, self._reference())

    def _reference(self) -> Run | None:
        """The baseline's finished stages; None where it failed."""
        if self._baseline_run is None and self._judge.baseline.estimates:
            self._baseline_run = self.model_of(BASELINE)
            for name, measurements in self._judge.baseline.measurements.items():
                self._measurer.recall(name, self._baseline_run, measurements)
        return self._baseline_run

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
        """As any candidate, and every time in full: it limits, and gauges, them all."""
        run = self._baseline_run = self._runner.build(BASELINE, candidate)
        try:
            return self._measure(run, in_full=True)
        except TrialFailed:
            self._baseline_run = None
            raise

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
            candidate = self._strategy.propose(number, Known(self._seen))
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
            self._p.emit(Judged(number, verdict, tuple(judgement_json(j) for j in judgements)))
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

    def _measure(self, run: Run, *, in_full: bool = False) -> Numbers:
        """Every evaluator's estimates; times by a first look of one session, unless `in_full`.

        The first that fails is the trial's failure; of a model that is only built, the others are
        measured all the same.
        """
        numbers = Numbers()
        failures: list[TrialFailed] = []
        for name in self._p.space.evaluators:
            look = self._usual(name) if in_full else self._first_look(name)
            try:
                numbers = self._measure_one(run, name, look, numbers)
            except TrialFailed as failed:
                failures.append(failed)
                if self._p.space.build_only:
                    continue
                raise
        if failures:
            raise failures[0]
        return numbers

    def _measure_one(self, run: Run, name: str, processes: int, known: Numbers) -> Numbers:
        """What is known, with an evaluator's numbers from so many processes."""
        reading = self._measurer.measure(run, name, range(processes))
        estimates = {(e.metric, e.statistic): e for e in reading.estimates}
        return Numbers(
            {**known.estimates, **estimates}, {**known.measurements, name: reading.measurements}
        )

    def _settle(self, run: Run, numbers: Numbers) -> tuple[list[Judgement], Numbers]:
        """Judge; measure more where a constraint is undecided, or the front may be reached."""
        while True:
            judgements = self._judge.judge(numbers)
            wanted = self._worth_measuring(judgements, numbers)
            if not wanted:
                return judgements, numbers
            for name, processes in wanted.items():
                numbers = self._measure_one(run, name, processes, numbers)

    def _worth_measuring(self, judgements: Sequence[Judgement], numbers: Numbers) -> dict[str, int]:
        """Evaluator -> the processes that it should measure in, where those are more than it did.

        A clear loser stays with a first look; see `next_look`.
        """
        undecided = {
            self._judge.evaluator_of(j.constraint)
            for j in judgements
            if j.verdict is Verdict.UNDECIDED
        }
        names = set(undecided)
        if verdict_of(judgements) is not Verdict.INFEASIBLE and self._may_reach_front(numbers):
            names |= {name for name in self._p.space.evaluators if self._is_timed(name)}
        looks = {
            name: next_look(
                len(numbers.measurements[name]),
                self._usual(name),
                undecided=name in undecided,
                near_front=name in names,
            )
            for name in sorted(names)
        }
        return {name: processes for name, processes in looks.items() if processes}

    def _may_reach_front(self, numbers: Numbers) -> bool:
        timed = [name for name in self._p.space.evaluators if self._is_timed(name)]
        hopes = self._judge.hopes(numbers, timed)
        return not any(dominates(losses, hopes) for losses in self._front.values())

    def _first_look(self, evaluator: str) -> int:
        """The processes of a first look: one for times, unless a percentile needs the samples."""
        metrics = self._p.evaluators[evaluator].spec.metrics
        statistics = self._judge.statistics()
        asked = {statistic for metric in metrics for statistic in statistics[metric.name]}
        needs_samples = not asked.isdisjoint(QUANTILES)
        return 1 if self._is_timed(evaluator) and not needs_samples else self._usual(evaluator)

    def _is_timed(self, evaluator: str) -> bool:
        return isinstance(self._p.evaluators[evaluator], TimedEvaluator)

    def _usual(self, evaluator: str) -> int:
        """The processes in which an evaluator measures in full."""
        return self._p.evaluators[evaluator].processes(self._p.space.evaluators[evaluator])

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
