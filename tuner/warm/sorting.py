"""Sorts an earlier study's trials: those that hold as they are, those that only hint, the others.

A trial is exact where the new study would make its model and measure it under the very keys under
which the old one did, so that no number could differ. Nothing is made, measured or written here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

from evaluators.base import Evaluator
from evaluators.verdicts import Judgement, Verdict
from search_spaces.candidates import Candidate, baseline_candidate
from search_spaces.space import Space
from search_spaces.vocabulary import Vocabulary
from tuner.engine.screening import twin_of
from tuner.execution.job import Reason
from tuner.passes.base import Pass
from tuner.pipeline.plan import Source, Stage
from tuner.pipeline.refusals import refusal
from tuner.search.judging import Judge, Numbers, next_look
from tuner.search.strategies.base import Result
from tuner.study.events import BASELINE, RUNG, TWIN, Json
from tuner.study.rows import StageRow, TrialRow
from tuner.warm.candidates import NotInSpace, carry_over
from tuner.warm.keys import Keys
from tuner.warm.numbers import asked_of, estimates_of, measurements_of
from tuner.warm.source import SourceStudy

_LEFT_OUT = {
    "failed": "failed for a reason that may pass",
    "interrupted": "not over",
    "running": "not over",
}


@dataclass(frozen=True)
class NewStudy:
    """The study that begins, and what it works with; as in `tuning.Parts`.

    `machine`: what the keys of times cover. `environment`: of `events.StudyStarted`.
    """

    name: str
    space: Space
    vocabulary: Vocabulary
    passes: Mapping[str, Pass]
    evaluators: Mapping[str, Evaluator]
    source: Source
    machine: Mapping[str, str]
    environment: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Exact:
    """A trial that holds as it is. `state`: as in `events.Told`; `stages`: as they are stored.

    `objectives`: canonical units, None for one that was not measured. A failed one has no numbers.
    `rungs`: fields of `events.RungReached`.
    """

    row: TrialRow
    candidate: Candidate
    state: str
    stages: Sequence[StageRow]
    numbers: Numbers = field(default_factory=Numbers)
    judgements: Sequence[Judgement] = ()
    objectives: tuple[float | None, ...] | None = None
    rungs: Sequence[Json] = ()


@dataclass(frozen=True, slots=True)
class Similar:
    """A trial that only hints: what of it is known, and why it is no more than that."""

    row: TrialRow
    candidate: Candidate
    result: Result
    cause: str


class LeftOut(Exception):
    """A trial says nothing about the new study; the message says why, for a person."""


class Sorter:
    """Sorts one study's trials for another. `baseline`: the new study's, where it has numbers."""

    def __init__(self, new: NewStudy, past: SourceStudy, baseline: Numbers | None) -> None:
        self._new = new
        self._past = past
        parts = (new.source, new.passes, new.evaluators, new.machine)
        self._keys = Keys(new.space, *parts)
        self._judge = Judge(new.space, new.vocabulary, new.evaluators)
        self._theirs = Judge(new.space, new.vocabulary, new.evaluators)
        self._theirs.baseline = Numbers(estimates_of(past.metrics.get(BASELINE, ())))
        self._judge.baseline = baseline or Numbers()

    @property
    def judge(self) -> Judge:
        """Judges as the new study does."""
        return self._judge

    def baseline(self) -> Exact | None:
        """The old baseline, where it holds for the new study; from then on trials are judged by it.

        None where it does not, or failed.
        """
        row = next((r for r in self._past.trials if r.number == BASELINE), None)
        if row is None or row.state != "baseline":
            return None
        candidate = baseline_candidate(self._new.space)
        stages = self._keys.stages(candidate)
        if self._difference(row, stages, self._new.space.evaluators) is not None:
            return None
        numbers = self._numbers(row, self._new.space.evaluators)
        if numbers is None:
            return None
        self._judge.baseline = numbers
        return Exact(row, candidate, "baseline", self._made(row), numbers)

    def sort(self, row: TrialRow) -> Exact | Similar:
        """What a trial is to the new study; LeftOut where it is nothing."""
        if row.state in _LEFT_OUT:
            raise LeftOut(_LEFT_OUT[row.state])
        task = self._new.space.task
        if self._past.info.space.get("question", {}).get("task", task) != task:
            raise LeftOut("for another task")
        try:
            candidate = carry_over(self._new.space, row.parameters, row.steps)
        except NotInSpace as why:
            raise LeftOut(str(why)) from why
        sorters = {
            "infeasible": self._failed,
            "screened": self._screened,
            "stopped": self._stopped,
        }
        return sorters.get(row.state, self._whole)(row, candidate)

    # Trials with every number

    def _whole(self, row: TrialRow, candidate: Candidate) -> Exact | Similar:
        if row.reason is not None:
            raise LeftOut("built, and not measured")
        evaluators = self._new.space.evaluators
        cause = self._difference(row, self._keys.stages(candidate), evaluators)
        numbers = None if cause else self._numbers(row, evaluators)
        if numbers is None or not self._can_judge(numbers):
            return self._similar(row, candidate, cause or "other statistics")
        judgements = self._judge.judge(numbers)
        if self._unfinished(judgements, numbers):
            return self._similar(row, candidate, "undecided, to be measured more often")
        state = "built" if self._new.space.build_only else "complete"
        values = self._judge.objectives(numbers)
        made, rungs = self._made(row), self._rungs(row)
        return Exact(row, candidate, state, made, numbers, judgements, values, rungs)

    def _can_judge(self, numbers: Numbers) -> bool:
        constraints = self._new.space.constraints
        known = len(self._judge.judge_known(numbers)) == len(constraints)
        return known and None not in self._judge.known_losses(numbers)

    def _unfinished(self, judgements: Sequence[Judgement], numbers: Numbers) -> bool:
        """Whether the new study would measure an undecided one in more processes."""
        names = {
            self._judge.evaluator_of(j.constraint)
            for j in judgements
            if j.verdict is Verdict.UNDECIDED
        }
        looks = (
            next_look(
                len(numbers.measurements[name]),
                self._judge.usual(name),
                undecided=True,
                near_front=False,
            )
            for name in names
        )
        return any(looks)

    # Trials with some numbers

    def _screened(self, row: TrialRow, candidate: Candidate) -> Exact | Similar:
        """Still screened, where what was measured of its twin still cannot fit."""
        names = self._measured(row)
        forms = self._with_twin(candidate)
        causes = [self._difference(row, (), names, forms)]
        numbers = None if any(causes) else self._numbers(row, names)
        if numbers is None:
            return self._similar(row, candidate, causes[0] or "other statistics")
        judgements = self._judge.judge_known(numbers)
        if all(j.verdict is not Verdict.INFEASIBLE for j in judgements):
            return self._similar(row, candidate, "screened by a limit that is gone")
        twin = self._rows(row, TWIN, RUNG)
        values = self._judge.known_objectives(numbers)
        return Exact(row, candidate, "screened", twin, numbers, judgements, values)

    def _with_twin(self, candidate: Candidate) -> list[tuple[Stage, ...]]:
        """The stages of a candidate, and of its un-tuned twin with little training and with all."""
        forms = [self._keys.stages(candidate)]
        twin = twin_of(candidate, baseline_candidate(self._new.space), self._new.space.model.flow)
        if twin is not None:
            forms += [self._keys.stages(twin.candidate, s) for s in (twin.shares, None)]
        return forms

    def _stopped(self, row: TrialRow, candidate: Candidate) -> Exact | Similar:
        """Still stopped, where the same is asked: what it lost against would win again."""
        last = self._last_rung(row)
        stages = self._keys.stages(candidate, {s.step: s.share for s in last})
        names = self._measured(row)
        cause = self._other_stage(last, stages) or self._difference(row, (), names, [stages])
        cause = cause or (None if self._asks_the_same else "stopped while other things were asked")
        numbers = None if cause else self._numbers(row, names)
        if numbers is None:
            return self._similar(row, candidate, cause or "other statistics")
        judgements = self._judge.judge_known(numbers)
        values = self._judge.known_objectives(numbers)
        return Exact(row, candidate, "stopped", last, numbers, judgements, values, self._rungs(row))

    def _last_rung(self, row: TrialRow) -> list[StageRow]:
        """The stages after the largest share of its training."""
        rungs = self._rows(row, RUNG)
        return [s for s in rungs if s.position // RUNG == rungs[-1].position // RUNG]

    def _rungs(self, row: TrialRow) -> Sequence[Json]:
        """What it had reached on its way, which others are held against where the same is asked."""
        return self._past.rungs.get(row.number, ()) if self._asks_the_same else ()

    def _measured(self, row: TrialRow) -> list[str]:
        known = self._past.keys.get(row.number, {})
        return [name for name in self._new.space.evaluators if name in known]

    @cached_property
    def _asks_the_same(self) -> bool:
        info, space = self._past.info, self._new.space
        pairs = ((info.objectives, space.objectives), (info.constraints, space.constraints))
        return all([a["text"] for a in old] == [b.text for b in new] for old, new in pairs)

    # Trials that failed for certain

    def _failed(self, row: TrialRow, candidate: Candidate) -> Exact:
        stages = self._keys.stages(candidate)
        if not self._fails_again(row, stages):
            raise LeftOut(f"failed in {row.where}, and may not here")
        return Exact(row, candidate, "infeasible", self._past.stages.get(row.number, ()))

    def _fails_again(self, row: TrialRow, stages: tuple[Stage, ...]) -> bool:
        if row.where is None or not self._has_same_limits(row.reason):
            return False
        steps = [stage.step for stage in stages]
        if row.where not in steps:
            return self._not_measured_again(row, stages, row.where)
        position = steps.index(row.where)
        known = {s.position: s.key for s in self._past.stages.get(row.number, ())}
        if position in known:
            return all(known.get(i) == stages[i].key for i in range(position + 1))
        found = refusal(stages, self._new.passes)  # it was refused before anything ran
        return found is not None and found.position == position

    def _has_same_limits(self, reason: str | None) -> bool:
        """Whether what the space allows, and how it checks, still is as it was for this reason."""
        limits = asdict(self._new.space.limits)
        relevant = {
            Reason.TIMEOUT: "time",
            Reason.OUT_OF_MEMORY: "memory",
            Reason.DEAD: "fidelity",
        }
        name = relevant.get(Reason(reason)) if reason else None
        known = self._past.info.space.get("limits", {})
        return name is None or (name in known and known[name] == limits[name])

    def _not_measured_again(self, row: TrialRow, stages: tuple[Stage, ...], where: str) -> bool:
        """Whether an evaluator that gave no numbers would give none of this model either."""
        if where not in self._new.space.evaluators or not self._asks_the_same:
            return False
        tried = self._tried.get((row.number, where), set())
        tried |= {self._past.keys.get(row.number, {}).get(where, "")}
        same = self._other_stage(self._made(row), stages) is None
        return same and not tried.isdisjoint(self._keys.measurements(stages, where))

    @cached_property
    def _tried(self) -> dict[tuple[int, str], set[str]]:
        """The keys under which measuring began, by trial and evaluator."""
        found: dict[tuple[int, str], set[str]] = {}
        origin = self._past.origin
        for event in origin.reader.events_of_kind(origin.study, "measure_started"):
            of = (event.body["number"], event.body["evaluator"])
            found.setdefault(of, set()).add(event.body["key"])
        return found

    # What differs

    def _difference(
        self,
        row: TrialRow,
        stages: tuple[Stage, ...],
        evaluators: Iterable[str],
        forms: Sequence[tuple[Stage, ...]] = (),
    ) -> str | None:
        """The first thing of which the new study would make or measure another one, in words.

        `forms`: the models as which it may have been measured, where they are not of `stages`.
        """
        causes = (self._other_key(row, forms or [stages], name) for name in evaluators)
        return self._other_stage(self._made(row), stages) or next(filter(None, causes), None)

    def _other_stage(self, made: Iterable[StageRow], stages: tuple[Stage, ...]) -> str | None:
        known = {s.position % RUNG: s.key for s in made}
        for position, stage in enumerate(stages):
            if known.get(position) != stage.key:
                return f"{stage.step} makes another model"
        return None

    def _other_key(
        self, row: TrialRow, forms: Iterable[tuple[Stage, ...]], evaluator: str
    ) -> str | None:
        key = self._past.keys.get(row.number, {}).get(evaluator)
        if key is None:
            return f"{evaluator} was not measured"
        same = any(key in self._keys.measurements(stages, evaluator) for stages in forms)
        return None if same else f"{evaluator} is measured otherwise"

    def _made(self, row: TrialRow) -> list[StageRow]:
        return self._rows(row, 0, TWIN)

    def _rows(self, row: TrialRow, first: int, end: int | None = None) -> list[StageRow]:
        """The stages that were made, from a position on, up to another."""
        stages = self._past.stages.get(row.number, ())
        done = [s for s in stages if s.outcome == "done" and s.position >= first]
        return [s for s in done if end is None or s.position < end]

    # Numbers

    def _numbers(self, row: TrialRow, evaluators: Iterable[str]) -> Numbers | None:
        """A trial's numbers as the new space asks for them; None where a statistic is lacking."""
        origin, wanted = self._past.origin, set(evaluators)
        keys = self._past.keys[row.number]
        rows = origin.reader.measurements(origin.study, row.number)
        last = [m for m in rows if m.evaluator in wanted and m.key == keys.get(m.evaluator)]
        known = Numbers(estimates_of(self._past.metrics.get(row.number, ())), measurements_of(last))
        new = self._new
        return asked_of(known, new.evaluators, new.space.evaluators, self._judge.statistics())

    def _similar(self, row: TrialRow, candidate: Candidate, cause: str) -> Similar:
        """What is known of it, judged beside its own study's baseline; LeftOut if it is nothing."""
        numbers = Numbers(estimates_of(self._past.metrics.get(row.number, ())))
        values = self._theirs.known_objectives(numbers)
        judgements = self._theirs.judge_known(numbers)
        if all(v is None for v in values) and not judgements:
            raise LeftOut("nothing of it is asked for now")
        violations = {j.constraint.text: j.violation for j in judgements}
        whole = [v for v in values if v is not None]
        if len(whole) == len(values) and row.state in ("complete", "built"):
            return Similar(row, candidate, Result(whole, violations), cause)
        made = self._last_rung(row) if row.state == "stopped" else ()
        share = min((s.share for s in made), default=1.0)
        result = replace(Result(None, violations), known=values, share=share)
        return Similar(row, candidate, result, cause)
