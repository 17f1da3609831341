"""The final bracket: the front's best and the baseline, measured again on held-out data.

A search takes the best of many noisy numbers, which flatters them. The winner is therefore chosen
by fresh ones: times in fresh processes, in turn with the baseline, accuracy on the test split.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from evaluators.base import Estimate, Evaluator, Measurement
from evaluators.parts import parts_of
from evaluators.timed import TimedEvaluator
from evaluators.verdicts import Verdict
from search_spaces.space import Space
from search_spaces.vocabulary import Vocabulary
from tuner.execution.making import TrialFailed
from tuner.execution.measuring import Measurer, Run, estimate_json
from tuner.execution.trial import insist
from tuner.search.front import in_order, reordered
from tuner.search.judging import Judge, Numbers, judgement_json, verdict_of
from tuner.study.events import Confirmed, Event

_BRACKET = 3  # so many of the front's best are measured again
_FIRST = 1000  # processes of the confirmation are numbered from here


def bracket_of(front: Mapping[int, Sequence[float]]) -> list[int]:
    """The front's best, which are measured again together."""
    return in_order(front)[:_BRACKET]


@dataclass
class _Member:
    """A model that is measured again. `failed`: it gave no numbers this time."""

    run: Run
    estimates: list[Estimate] = field(default_factory=list)
    measurements: dict[str, Sequence[Measurement]] = field(default_factory=dict)
    failed: bool = False

    def numbers(self) -> Numbers:
        return Numbers({(e.metric, e.statistic): e for e in self.estimates}, self.measurements)


@dataclass
class Confirmer:
    """Confirms trials of one space.

    `splits`: those that the data has. `model_of`: a trial's finished stages.
    """

    space: Space
    vocabulary: Vocabulary
    evaluators: Mapping[str, Evaluator]
    splits: Sequence[str]
    measurer: Measurer
    model_of: Callable[[int], Run]
    emit: Callable[[Event], None]

    def winner(self, front: Mapping[int, Sequence[float]], baseline: Run | None) -> int | None:
        """The trial to choose by confirmed numbers; None where none of the front holds.

        `front`: trial -> its objectives by the search, to be minimised. The best few are measured
        together; the others only where those fail a constraint for certain. What is undecided on
        the held-out data is chosen where nothing holds for certain.
        """
        order = in_order(front)
        for start in range(0, len(order), _BRACKET):
            bracket = order[start : start + _BRACKET]
            confirm = partial(self._confirm, bracket, front, baseline)
            found = insist(self.measurer.maker.store, confirm)
            for verdict in (Verdict.FEASIBLE, Verdict.UNDECIDED):
                losses = {n: values for n, (v, values) in found.items() if v is verdict}
                if losses:
                    return reordered(front, losses)[0]
        return None

    def _confirm(
        self, bracket: Sequence[int], front: Mapping[int, Sequence[float]], baseline: Run | None
    ) -> dict[int, tuple[Verdict, Sequence[float]]]:
        """Trial -> its verdict, and its objectives, to be minimised."""
        members = [_Member(self.model_of(number)) for number in bracket]
        before = None if baseline is None else _Member(baseline)
        for name in filter(self._can_confirm, self.space.evaluators):
            if isinstance(self.evaluators[name], TimedEvaluator):
                self._measure_in_turn(name, members, before)
            else:
                self._measure_each(name, [*members, *([] if before is None else [before])])
        judge = Judge(self.space, self.vocabulary, self.evaluators)
        judge.baseline = Numbers() if before is None else before.numbers()
        return {
            number: self._judge(judge, number, member, front[number])
            for number, member in zip(bracket, members, strict=True)
        }

    def _measure_in_turn(
        self, name: str, members: Sequence[_Member], before: _Member | None
    ) -> None:
        runs = [member.run for member in members]
        processes = self._processes(name)
        readings = self.measurer.measure_together(runs, name, "test", processes, own=True)
        for member, reading in zip(members, readings, strict=True):
            member.estimates += reading.estimates
            member.measurements[name] = reading.measurements
        if before is not None:
            before.estimates += self.measurer.anchor_estimates(name, "test")

    def _measure_each(self, name: str, members: Sequence[_Member]) -> None:
        for member in members:
            try:
                runs, processes = [member.run], self._processes(name)
                [reading] = self.measurer.measure_together(runs, name, "test", processes, own=True)
            except TrialFailed as failed:
                if not failed.failure.deterministic:
                    raise
                member.failed = True
                continue
            member.estimates += reading.estimates
            member.measurements[name] = reading.measurements

    def _processes(self, name: str) -> range:
        options = self.space.evaluators[name]
        parts = parts_of(self.evaluators[name], options, self.measurer.source.rows.get("test", 0))
        count = max(parts, self.evaluators[name].processes(options))
        return range(_FIRST, _FIRST + count)

    def _can_confirm(self, name: str) -> bool:
        """Whether there is what it measures on: a text of its own, or data that was held back."""
        spec, options = self.evaluators[name].spec, self.space.evaluators[name]
        reads = self.space.data is not None and spec.reads_rows(options)
        return not reads or "test" in self.splits

    def _judge(
        self, judge: Judge, number: int, member: _Member, search: Sequence[float]
    ) -> tuple[Verdict, Sequence[float]]:
        numbers = member.numbers()
        judgements = judge.judge_known(numbers)
        verdict = Verdict.INFEASIBLE if member.failed else verdict_of(judgements)
        before = tuple(estimate_json(e) for e in judge.baseline.estimates.values())
        estimates = tuple(estimate_json(e) for e in member.estimates)
        judged = tuple(judgement_json(j) for j in judgements)
        self.emit(Confirmed(number, estimates, before, verdict, judged))
        known = judge.known_losses(numbers)
        return verdict, [s if k is None else k for k, s in zip(known, search, strict=True)]
