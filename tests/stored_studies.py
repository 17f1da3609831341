"""Studies with made-up numbers in a real database, over the shipped quick start's space.

Raw measurements, estimates and verdicts fit together as the engine would have left them.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Engine

from evaluators import all_evaluators
from evaluators.base import Estimate, Measurement
from evaluators.timed import TimedEvaluator
from evaluators.timing import Timeline
from evaluators.verdicts import Verdict
from search_spaces import Overrides, find_space, parse_space
from search_spaces.candidates import build, plain
from search_spaces.catalog import read_text
from search_spaces.space import Choices
from tuner.registry import vocabulary
from tuner.search.front import add_to_front
from tuner.search.judging import Judge, Numbers, judgement_json, verdict_of
from tuner.study.api import Study
from tuner.study.events import (
    BASELINE,
    Confirmed,
    Event,
    Failed,
    Judged,
    Measured,
    StudyStarted,
    StudyStopped,
    Told,
    TrialAsked,
)
from tuner.study.reader import StudyReader
from tuner.study.writer import StudyWriter

ITEMS = 120
Json = dict[str, Any]


@dataclass
class Model:
    """What a made-up model does: seconds of a request, and which of the items it gets right.

    `state`: "complete", "screened" (its accuracy was never measured), "stopped" or "failed".
    `held_out`: the accuracy with which it was confirmed; None: it was not.
    """

    latency: float
    accuracy: float
    state: str = "complete"
    sessions: int = 3
    held_out: float | None = None


@dataclass
class Maker:
    """Writes a study of models. `text` None: the quick start's own."""

    engine: Engine
    constraints: Sequence[str] = ()
    objectives: Sequence[str] = ("maximize accuracy", "minimize tpot")
    name: str = "made"
    noise: float = 0.02
    seed: int = 0
    text: str | None = None
    _timeline: Timeline = field(default_factory=Timeline)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._path = find_space("quickstart").absolute()
        self._text = read_text(self._path)
        settings = (f"constraints={list(self.constraints)}".replace("'", '"'),)
        overrides = Overrides(objectives=tuple(self.objectives), settings=settings)
        self.space = parse_space(self._text, self._path, vocabulary(), overrides).space
        self._judge = Judge(self.space, vocabulary(), all_evaluators())

    def study(self, baseline: Model | None, *models: Model) -> Study:
        """The study, read back."""
        with StudyWriter(self.engine, self.name) as writer:
            for event in self._events(baseline, models):
                writer(event)
        return Study(StudyReader(self.engine), self.name)

    def _events(self, baseline: Model | None, models: Sequence[Model]) -> list[Event]:
        self._front: dict[int, Sequence[float]] = {}
        events: list[Event] = [self._started(), self._asked(BASELINE)]
        if baseline is None:
            events += [
                Failed(BASELINE, "latency", "error", "no numbers", True, None),
                Told(BASELINE, "failed", None, (), 1.0),
            ]
        else:
            found, numbers = self._measure(BASELINE, baseline, None)
            self._judge.baseline = numbers
            events += [*found, Told(BASELINE, "baseline", None, (), 1.0)]
        for number, model in enumerate(models):
            events += self._trial(number, model, baseline)
        left = set(self._front)
        for number, model in enumerate(models):
            if model.held_out is not None:
                confirmed, verdict = self._confirm(number, model, baseline)
                events += confirmed
                left -= {number} if verdict == "infeasible" else set()
        return [*events, StudyStopped("trials", min(left, default=None), 9.0)]

    def _started(self) -> StudyStarted:
        space: Json = {
            "name": "quickstart",
            "path": str(self._path),
            "model": self.space.model.text,
            "fingerprint": "f" * 64,
            "text": self._text if self.text is None else self.text,
        }
        asks = ("text", "metric", "statistic")
        constraints = tuple(
            {name: getattr(c, name) for name in asks} | {"operator": str(c.operator)}
            for c in self.space.constraints
        )
        objectives = tuple(
            {name: getattr(o, name) for name in asks} | {"minimize": o.minimize}
            for o in self.space.objectives
        )
        settings = {"strategy": "auto", "trials": 14, "max_time": 480.0, "seed": 0}
        return StudyStarted(self.name, False, space, objectives, constraints, settings, {})

    def _asked(self, number: int) -> TrialAsked:
        def any_of(decision: Any) -> Any:
            domain = decision.domain
            assert isinstance(domain, Choices)
            return self._random.choice(domain.values)

        candidate = build(self.space, any_of)
        role = "baseline" if number == BASELINE else "trial"
        decisions = {} if number == BASELINE else plain(candidate.decisions)
        steps = tuple(step.to_json() for step in candidate.steps)
        return TrialAsked(number, role, candidate.key, decisions, steps)

    def _trial(self, number: int, model: Model, baseline: Model | None) -> list[Event]:
        asked = self._asked(number)
        if model.state == "failed":
            failed = Failed(number, "genai_builder", "error", "it broke", True, None)
            return [asked, failed, Told(number, "infeasible", None, tuple(self._front), 1.0)]
        found, numbers = self._measure(number, model, baseline)
        judgements = self._judge.judge_known(numbers)
        verdict = verdict_of(judgements)
        judged = Judged(number, verdict, tuple(judgement_json(j) for j in judgements))
        losses = self._judge.known_losses(numbers)
        if model.state == "complete" and verdict == "feasible" and None not in losses:
            known = [v for v in losses if v is not None]
            self._front = add_to_front(self._front, number, known)
        pairs = zip(losses, self.space.objectives, strict=True)
        values = tuple(None if v is None else v if o.minimize else -v for v, o in pairs)
        return [asked, *found, judged, Told(number, model.state, values, tuple(self._front), 1.0)]

    def _measure(
        self, number: int, model: Model, baseline: Model | None, split: str = "dev"
    ) -> tuple[list[Event], Numbers]:
        """The events of its measurements, and what they say."""
        asked = {o.metric for o in self.space.objectives}
        asked |= {c.metric for c in self.space.constraints}
        key = f"{split}-{number}"
        raw = {"latency": self._sessions(model, None if number == BASELINE else baseline, key)}
        if model.state != "screened":
            share = model.accuracy if split == "dev" or model.held_out is None else model.held_out
            raw["accuracy"] = [_answers(share)]
        if "size" in asked:
            raw["size"] = [Measurement({"size": [[2e8 * model.latency]]})]
        events: list[Event] = []
        estimates: dict[tuple[str, str | None], Estimate] = {}
        for evaluator, measurements in raw.items():
            found = self._estimates(evaluator, measurements)
            estimates |= {(e.metric, e.statistic): e for e in found}
            detail = tuple(m.to_json() for m in measurements)
            texts = tuple(estimate_json(e) for e in found)
            events.append(Measured(number, evaluator, split, key, False, 1.0, texts, detail))
        return events, Numbers(estimates, raw)

    def _sessions(self, model: Model, baseline: Model | None, key: str) -> list[Measurement]:
        sessions = []
        for process in range(model.sessions):
            slow = self._random.lognormvariate(0.0, self.noise)
            anchor = {} if baseline is None else self._samples(baseline.latency * slow)
            own = self._samples(model.latency * slow * self._random.lognormvariate(0, self.noise))
            session = Measurement(own, conditions={"measured_at": 1000.0 * process}, anchor=anchor)
            self._timeline.add(key, f"{key}/{process}", session)
            sessions.append(session)
        return sessions

    def _samples(self, seconds: float) -> dict[str, list[list[float]]]:
        def block(share: float) -> list[float]:
            return [share * seconds * self._random.lognormvariate(0, self.noise) for _ in range(16)]

        return {"latency": [block(1.0) for _ in range(4)], "tpot": [block(0.1) for _ in range(4)]}

    def _estimates(self, evaluator: str, measurements: list[Measurement]) -> list[Estimate]:
        engine = all_evaluators()[evaluator]
        if isinstance(engine, TimedEvaluator):
            names = ("latency", "tpot")
            asks = self._judge.statistics()
            return [
                engine.estimate(measurements, name, statistic, self._timeline)
                for name in names
                for statistic in asks[name]
            ]
        if evaluator == "size":
            value = measurements[0].samples["size"][0][0]
            return [Estimate("size", None, value, value, value, "B", 1)]
        options = self.space.evaluators[evaluator]
        return [engine.summarise(measurements, options, "accuracy", None)]

    def _confirm(
        self, number: int, model: Model, baseline: Model | None
    ) -> tuple[list[Event], Verdict]:
        assert baseline is not None, "what is confirmed is confirmed beside it"
        before, theirs = self._measure(BASELINE, baseline, None, "test")
        events, numbers = self._measure(number, model, baseline, "test")
        judge = Judge(self.space, vocabulary(), all_evaluators())
        judge.baseline = theirs
        judgements = judge.judge_known(numbers)
        ours, others = (
            tuple(estimate_json(e) for e in n.estimates.values()) for n in (numbers, theirs)
        )
        judged, verdict = tuple(judgement_json(j) for j in judgements), verdict_of(judgements)
        return [*before, *events, Confirmed(number, ours, others, verdict, judged)], verdict


def estimate_json(estimate: Estimate) -> Json:
    ratio = estimate.ratio
    return {
        "metric": estimate.metric,
        "statistic": estimate.statistic,
        "value": estimate.value,
        "low": estimate.low,
        "high": estimate.high,
        "unit": estimate.unit,
        "samples": estimate.samples,
        "ratio": None if ratio is None else [ratio.value, ratio.low, ratio.high],
    }


def _answers(share: float) -> Measurement:
    """Answers to the items, the first of them right: a better model is right where others are."""
    right = round(share * ITEMS)
    predicted = ["joy" if i < right else "fear" for i in range(ITEMS)]
    return Measurement(items=[{"label": "joy", "predicted": p, "scores": {}} for p in predicted])


def random_models(seed: int, count: int) -> list[Model]:
    """Some of everything."""
    draw = random.Random(seed)
    states = ["complete"] * 6 + ["screened", "stopped", "failed"]
    return [
        Model(
            draw.uniform(0.02, 0.2),
            draw.uniform(0.3, 0.95),
            draw.choice(states),
            draw.choice([1, 2, 3]),
        )
        for _ in range(count)
    ]
