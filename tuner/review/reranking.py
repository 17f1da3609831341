"""A new question answered from what a study has stored: nothing is run, nothing is written.

Every trial and the baseline are judged anew. The answer is a `Study` under the new question, so
that whatever prints or writes a study's answer prints and writes this one. Knows nothing of how it
is shown.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, TypeVar

from evaluators.base import Estimate
from evaluators.timed import TimedEvaluator
from evaluators.verdicts import Judgement, Verdict
from search_spaces.constraints import Constraint, Objective
from search_spaces.expressions import (
    ExpressionError,
    contradictions,
    parse_bound,
    parse_constraint,
    parse_objective,
)
from search_spaces.problems import listed
from tuner.report.words import metric_name
from tuner.review.evidence import Ask, CannotJudge, Evidence, Question
from tuner.search.front import add_to_front, dominates, in_order, reordered
from tuner.search.judging import Judge, Numbers, judgement_json, verdict_of
from tuner.study.api import Study, Trial
from tuner.study.events import BASELINE
from tuner.study.reader import StudyReader
from tuner.study.rows import ConfirmedRow, ConstraintRow, MeasurementRow, MetricRow

T = TypeVar("T")

_BRACKET = 3  # so many of the front's best are confirmed together; see `tuner.engine.confirming`
_WHOLE = ("complete", "built")


@dataclass(frozen=True, slots=True)
class Change:
    """What is asked anew, as the command line spells it.

    `constraints` and `bounds` are added to the study's own, or replace them with `drop`; each one
    on the same metric, statistic and direction replaces the study's own. `objectives` replace the
    study's where there are any.
    """

    constraints: Sequence[str] = ()
    bounds: Sequence[tuple[Literal["max", "min"], str]] = ()
    objectives: Sequence[str] = ()
    drop: bool = False


@dataclass
class Judged:
    """A trial under the new question; `judgements` of the constraints of which that is known."""

    trial: Trial
    numbers: Numbers
    judgements: Sequence[Judgement]
    objectives: Sequence[float | None]
    whole: bool  # trained to the end, and every constraint judged

    @property
    def verdict(self) -> Verdict | None:
        """The worst; infeasible may be known early, None: nothing speaks against it so far."""
        worst = verdict_of(self.judgements)
        if self.whole or (self.judgements and worst is Verdict.INFEASIBLE):
            return worst
        return None if self.trial.cut_short else Verdict.UNDECIDED

    @property
    def ruled_out(self) -> bool:
        """Whether it cannot fit."""
        return self.verdict is Verdict.INFEASIBLE

    @property
    def fits(self) -> bool:
        """Whether it may be on the front."""
        return self.whole and self.verdict is Verdict.FEASIBLE and None not in self.objectives


class Reranked(Study):
    """A study under another question.

    `original`: under its own. `replaced`: pairs of the study's own constraint and the one that
    stands for it now. `evidence`: what the numbers come from. `confirmed_winner`: whether the
    choice rests on held-out data.
    """

    def __init__(self, original: Study, reader: StudyReader, question: Question) -> None:
        super().__init__(reader, original.name)
        self.original = original
        self.question = question
        self.evidence = Evidence(original)
        self.replaced: Sequence[tuple[Constraint, Constraint]] = ()
        self.judged: Mapping[int, Judged] = {}

    @cached_property
    def measurements(self) -> Mapping[int, Sequence[MeasurementRow]]:
        """The study's: they are the same whatever is asked."""
        return self.original.measurements

    @property
    def confirmed_winner(self) -> bool:
        """Whether the chosen trial was confirmed on held-out data."""
        return self.best is not None and self.best.number in self.confirmations

    @property
    def undecided(self) -> list[Judged]:
        """The trials of which it cannot be told whether they fit, though all was measured."""
        return [j for j in self._tried if j.whole and j.verdict is Verdict.UNDECIDED]

    @property
    def unmeasured(self) -> list[Judged]:
        """Trials that may fit, but of which something that is asked for was not measured."""
        found = [j for j in self._tried if not j.trial.cut_short and not j.ruled_out]
        return [j for j in found if not j.whole or None in j.objectives]

    @property
    def untrained(self) -> list[Judged]:
        """Trials that were given up, and may fit the new question."""
        return [j for j in self._tried if j.trial.cut_short and not j.ruled_out]

    @property
    def _tried(self) -> list[Judged]:
        return [j for number, j in self.judged.items() if number != BASELINE]


def rerank(study: Study, reader: StudyReader, change: Change) -> Reranked:
    """The study under the changed question.

    CannotJudge where the question cannot be read or its metrics were never measured; the message
    says what there is.
    """
    evidence = Evidence(study)
    try:
        question, replaced = _ask(evidence, change)
        _check_measured(evidence, question)
    except CannotJudge as error:
        if evidence.problem is None:
            raise
        why = f"the study's space can no longer be read: {evidence.problem}"
        raise CannotJudge(f"{error} ({why})") from error
    found = Reranked(study, reader, question)
    found.evidence, found.replaced = evidence, replaced
    _Rejudging(found, evidence.judge(question)).fill()
    return found


# The question


def _ask(
    evidence: Evidence, change: Change
) -> tuple[Question, Sequence[tuple[Constraint, Constraint]]]:
    added = _parsed(evidence, change)
    own = [] if change.drop else list(_own(evidence))
    constraints, replaced = _merged(evidence, own, added)
    for _, message in contradictions(constraints):
        raise CannotJudge(message)
    if not change.objectives:
        return Question(_own_objectives(evidence), tuple(constraints)), replaced
    words = evidence.vocabulary
    objectives = [
        _read(f"--objective {text!r}", parse_objective, text, words) for text in change.objectives
    ]
    unique = {(o.metric, o.statistic): o for o in objectives}
    return Question(tuple(unique.values()), tuple(constraints)), replaced


def _own(evidence: Evidence) -> Sequence[Constraint]:
    return _read("the study's own constraints", lambda: evidence.own_constraints)


def _own_objectives(evidence: Evidence) -> tuple[Objective, ...]:
    texts = [str(o["text"]) for o in evidence.study.info.objectives]
    where, words = "the study's own objectives", evidence.vocabulary
    return tuple(_read(where, parse_objective, text, words) for text in texts)


def _parsed(evidence: Evidence, change: Change) -> list[Constraint]:
    words = evidence.vocabulary
    found = [
        _read(f"--constraint {text!r}", parse_constraint, text, words)
        for text in change.constraints
    ]
    return found + [
        _read(f"--{kind} {text!r}", parse_bound, kind, text, words) for kind, text in change.bounds
    ]


def _read(where: str, parse: Callable[..., T], *arguments: Any) -> T:
    try:
        return parse(*arguments)
    except ExpressionError as error:
        raise CannotJudge(f"{where}: {error}") from error


def _merged(
    evidence: Evidence, own: Sequence[Constraint], added: Sequence[Constraint]
) -> tuple[list[Constraint], list[tuple[Constraint, Constraint]]]:
    """The study's own with those that were given; and which of them stand for which."""

    def place(constraint: Constraint) -> tuple[Any, ...]:
        return (*evidence.name(constraint), constraint.operator.is_upper)

    new = {place(c): c for c in added}
    replaced = [(c, new[place(c)]) for c in own if place(c) in new]
    kept = [new.pop(place(c)) if place(c) in new else c for c in own]
    kept = list({(place(c), c.limit, c.operator): c for c in kept}.values())
    changed = [(old, now) for old, now in replaced if old.text != now.text]
    return [*kept, *new.values()], changed


def _check_measured(evidence: Evidence, question: Question) -> None:
    """CannotJudge for a metric of which there is no number, or no baseline where that is needed."""
    study = evidence.study
    trials = [*study.trials, *filter(None, [study.baseline])]
    if not any(t.metrics for t in trials):
        return  # nothing was measured at all: that every trial failed is the answer
    every = [evidence.numbers(t, question) for t in trials]
    for ask in question.asks:
        if not any(evidence.name(ask) in numbers.estimates for numbers in every):
            raise CannotJudge(_never(evidence, ask, trials))
    baseline = every[-1] if study.baseline is not None else Numbers()
    for constraint in question.constraints:
        if constraint.limit.relative and evidence.name(constraint) not in baseline.estimates:
            raise CannotJudge(
                f"{constraint.text} is relative to the baseline, of which {constraint.metric} was "
                "not measured"
            )


def _never(evidence: Evidence, ask: Ask, trials: Sequence[Trial]) -> str:
    measured = list(dict.fromkeys(m.metric for t in trials for m in t.metrics.values()))
    if ask.metric in measured:
        name = metric_name(*evidence.name(ask))
        why = evidence.why_not(ask) or "the raw measurements do not give it"
        return f"{name} cannot be had from what is stored: {why}"
    return f"{ask.metric} was never measured in this study; measured were {listed(measured, 'and')}"


# What it would take to be surer


@dataclass(frozen=True, slots=True)
class Effort:
    """What would tell whether an undecided trial meets a constraint, by the numbers so far.

    `unit`: what is counted, "session" or "item"; `had` and `needed` in all, roughly. `needed` None:
    so near to the limit that no reasonable number would tell.
    """

    number: int
    constraint: str
    unit: str
    had: int
    needed: int | None


_MOST = 100  # times what was measured: more is not reasonable


def efforts(reranked: Reranked) -> list[Effort]:
    """What would tell, for each constraint on which what may join the front is undecided."""
    judge = reranked.evidence.judge(reranked.question)
    front = [reranked.losses(trial) for trial in reranked.front]
    return [
        _effort(reranked.evidence, judge, judged, judgement.constraint)
        for judged in reranked.undecided
        if not any(dominates(losses, _losses_of(judge, judged)) for losses in front)
        for judgement in judged.judgements
        if judgement.verdict is Verdict.UNDECIDED
    ]


def _losses_of(judge: Judge, judged: Judged) -> Sequence[float]:
    """To be minimised; as good as can be where something was not measured."""
    return [-math.inf if v is None else v for v in judge.known_losses(judged.numbers)]


def _effort(evidence: Evidence, judge: Judge, judged: Judged, constraint: Constraint) -> Effort:
    """An interval shrinks with the root of the number: it must end where the limit begins."""
    beyond = judge.distance(constraint, judged.numbers)
    assert beyond is not None, "it was judged"
    away = abs(beyond.value)
    half = beyond.high - beyond.value if beyond.value < 0 else beyond.value - beyond.low
    times = (half / away) ** 2 if away else math.inf
    evaluator = judge.evaluator_of(constraint)
    if isinstance(evidence.evaluators[evaluator], TimedEvaluator):
        unit, had = "session", evidence.sessions(judged.trial, evaluator)
    else:
        unit, had = "item", judged.numbers.estimates[judge.name(constraint)].samples
    needed = max(had + 1, math.ceil(had * times)) if times <= _MOST else None
    return Effort(judged.trial.number, constraint.text, unit, had, needed)


# Judging anew


@dataclass
class _Rejudging:
    """Fills a `Reranked` with rows as they would be under its question."""

    target: Reranked
    judge: Judge
    front: dict[int, Sequence[float]] = field(default_factory=dict)

    def fill(self) -> None:
        original = self.target.original
        known = [*original.trials, *filter(None, [original.baseline])]
        judged = {t.number: j for t in known if (j := self._judged(t)) is not None}
        for number in sorted(judged):
            if number != BASELINE and judged[number].fits:
                losses = self.judge.losses([v or 0.0 for v in judged[number].objectives])
                self.front = add_to_front(self.front, number, losses)
        confirmations = {n: self._confirmed(row) for n, row in original.confirmations.items()}
        target = self.target
        target.judged = judged
        target.confirmations = confirmations
        target._all = [self._row(t, judged.get(t.number)) for t in known]
        target.info = replace(
            original.info,
            objectives=tuple(asdict(o) for o in target.question.objectives),
            constraints=tuple(_constraint_json(c) for c in target.question.constraints),
            chosen=self._winner(confirmations),
        )

    def _judged(self, trial: Trial) -> Judged | None:
        """None of a trial that failed, or is not over."""
        if trial.number != BASELINE and trial.row.state not in _WHOLE and not trial.cut_short:
            return None
        evidence, question = self.target.evidence, self.target.question
        numbers = evidence.numbers(trial, question)
        sure = [j for j in self.judge.judge_known(numbers) if evidence.sure(trial, j.constraint)]
        losses = self.judge.known_losses(numbers)
        pairs = zip(losses, question.objectives, strict=True)
        objectives = [None if v is None else v if o.minimize else -v for v, o in pairs]
        whole = not trial.cut_short and len(sure) == len(question.constraints)
        return Judged(trial, numbers, sure, objectives, whole)

    def _row(self, trial: Trial, judged: Judged | None) -> Trial:
        if judged is None:
            return replace(trial, row=replace(trial.row, on_front=False))
        values = tuple(judged.objectives)
        row = replace(
            trial.row,
            objectives=None if all(v is None for v in values) else values,
            verdict=None if judged.verdict is None else str(judged.verdict),
            on_front=trial.number in self.front,
        )
        constraints = tuple(
            ConstraintRow(number=trial.number, **judgement_json(j)) for j in judged.judgements
        )
        return Trial(row, self._metrics(trial, judged.numbers.estimates.values()), constraints)

    def _metrics(self, trial: Trial, estimates: Iterable[Estimate]) -> Mapping[str, MetricRow]:
        """What was stored, and the statistics that were worked out."""
        metrics = dict(trial.metrics)
        for e in estimates:
            name = metric_name(e.metric, e.statistic)
            if name in metrics:
                continue
            [spec, _] = self.target.evidence.vocabulary.metric(e.metric) or (None, None)
            ends = (e.value, e.low, e.high, e.unit, e.samples)
            evaluator = None if spec is None else spec.name
            metrics[name] = MetricRow(trial.number, evaluator, "dev", e.metric, e.statistic, *ends)
        return metrics

    def _confirmed(self, row: ConfirmedRow) -> ConfirmedRow:
        """What was confirmed, judged anew; what gave no numbers then gives none now."""
        if row.verdict == "infeasible" and not any(
            c["verdict"] == "infeasible" for c in row.constraints
        ):
            return row
        judge, numbers = self.target.evidence.confirmed(row, self.target.question)
        judgements = judge.judge_known(numbers)
        found = tuple(judgement_json(j) for j in judgements)
        return replace(row, verdict=str(verdict_of(judgements)), constraints=found)

    def _winner(self, confirmations: Mapping[int, ConfirmedRow]) -> int | None:
        """As the search would choose: by what was confirmed where all of a bracket was.

        Elsewhere by the search's numbers, without what the held-out data refuted.
        """
        order = in_order(self.front)
        for start in range(0, len(order), _BRACKET):
            bracket = order[start : start + _BRACKET]
            verdicts = {n: confirmations[n].verdict for n in bracket if n in confirmations}
            left = [n for n in bracket if verdicts.get(n) != Verdict.INFEASIBLE]
            if len(verdicts) < len(bracket) and left:
                return left[0]
            for verdict in (Verdict.FEASIBLE, Verdict.UNDECIDED):
                again = {
                    n: self._losses(n, confirmations[n]) for n in left if verdicts[n] == verdict
                }
                if again:
                    return reordered(self.front, again)[0]
        return None

    def _losses(self, number: int, row: ConfirmedRow) -> Sequence[float]:
        judge, numbers = self.target.evidence.confirmed(row, self.target.question)
        known, search = judge.known_losses(numbers), self.front[number]
        return [s if k is None else k for k, s in zip(known, search, strict=True)]


def _constraint_json(constraint: Constraint) -> dict[str, Any]:
    return {
        "text": constraint.text,
        "metric": constraint.metric,
        "statistic": constraint.statistic,
        "operator": str(constraint.operator),
    }
