"""A made-up study as the stream of events that the engine would send; nothing is run.

It has some of everything: stages made and stages found in the store, un-tuned twins, rungs,
screened, stopped and failed trials, lessons, a confirmation, raw measurements of a few kB. Knows
nothing of databases.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass, field

from tuner.study.events import (
    BASELINE,
    RUNG,
    TWIN,
    Confirmed,
    DataChecked,
    Event,
    Failed,
    Json,
    Judged,
    LessonLearned,
    Measured,
    MeasureStarted,
    RungReached,
    Screened,
    StageFinished,
    StageStarted,
    StudyStarted,
    StudyStopped,
    Told,
    TrialAsked,
)

_LATENCY, _ACCURACY = 0.05, 0.7  # the limits
_SPEED = {"fp32": 1.0, "int8": 0.5, "int4": 0.3}
_SECONDS = {"lora": 20.0, "genai_builder": 4.0, "session": 0.2}
_ITEMS = 60

_OBJECTIVES: tuple[Json, ...] = (
    {"text": "minimize tpot", "metric": "tpot", "statistic": None, "minimize": True},
    {"text": "maximize accuracy", "metric": "accuracy", "statistic": None, "minimize": False},
)
_CONSTRAINTS: tuple[Json, ...] = (
    {"text": "latency<50ms", "metric": "latency", "statistic": None, "operator": "<"},
    {"text": "accuracy>=70%", "metric": "accuracy", "statistic": None, "operator": ">="},
)


@dataclass
class MadeUpStudy:
    """A reproducible stream; the same seed gives the same events."""

    name: str
    trials: int
    seed: int = 0
    _stored: set[str] = field(default_factory=set)
    _front: dict[int, tuple[float, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def started(self) -> StudyStarted:
        """The first event of every command."""
        space = {"name": "made-up", "model": "org/tiny", "fingerprint": _key(self.name)}
        settings = {"strategy": "auto", "trials": self.trials, "max_time": None, "seed": 0}
        environment = {"machine": "x86_64", "cores": 2, "python": "3.11.9"}
        space |= {"path": "made-up.yaml", "text": "# made up\n" * 200}
        return StudyStarted(
            self.name, False, space, _OBJECTIVES, _CONSTRAINTS, settings, environment
        )

    def running(self, number: int) -> Iterator[Event]:
        """A command that goes on with the study and is in the middle of a trial."""
        yield self.started()
        yield TrialAsked(number, "trial", _key("running"), {"lora": False}, _steps({}))
        yield StageStarted(number, 0, "session", "session", _key("running"))

    def events(self) -> Iterator[Event]:
        """All of them, from the start of a command to its end."""
        yield self.started()
        yield DataChecked({"splits": {}, "labels": {}, "findings": []}, {})
        yield TrialAsked(BASELINE, "baseline", _key("baseline"), {}, _steps({}))
        yield from self._measure(BASELINE, _key("baseline"), 0.08, 0.72)
        yield Told(BASELINE, "baseline", None, (), 12.0)
        for number in range(self.trials):
            yield from self._trial(number)
        yield from self._confirm()
        yield StudyStopped("trials", min(self._front, default=None), 100.0)

    def _confirm(self) -> Iterator[Event]:
        for number in sorted(self._front)[:3]:
            ours = _estimate("accuracy", self._front[number][1], None, "fraction")
            yield Confirmed(number, (ours,), (_estimate("accuracy", 0.72, None, "fraction"),))

    def _trial(self, number: int) -> Iterator[Event]:
        draw = self._random
        r, precision = draw.choice([0, 4, 16, 64]), draw.choice(sorted(_SPEED))
        choices: Json = {"lora": r > 0} | ({"lora.r": r} if r else {})
        choices |= {"genai_builder.precision": precision}
        choices |= {"genai_builder.block_size": draw.choice([32, 64, 128])}
        choices |= {"session.intra_op_num_threads": draw.choice([1, 2])}
        choices |= {"lora.learning_rate": draw.uniform(1e-4, 1e-3)} if r else {}
        text = str(sorted(choices.items()))
        yield TrialAsked(number, "trial", _key(text), choices, _steps(choices))
        latency = 0.08 * _SPEED[precision] * draw.uniform(0.9, 1.3)
        accuracy = 0.66 + 0.001 * r + 0.05 * _SPEED[precision] + draw.uniform(-0.05, 0.05)
        fate = draw.random()
        if fate < 0.08:
            yield from self._fail(number, choices, deterministic=fate < 0.05)
        elif r and latency > 1.7 * _LATENCY:
            yield from self._screen(number, choices, latency)
        elif r and fate < 0.3:
            yield from self._stop(number, choices, latency, accuracy)
        else:
            yield from self._complete(number, choices, latency, accuracy)

    def _complete(
        self, number: int, choices: Json, latency: float, accuracy: float
    ) -> Iterator[Event]:
        yield from self._stages(number, choices)
        yield from self._measure(number, _key(str(choices)), latency, accuracy)
        judged = _judged(number, latency, accuracy)
        yield judged
        if judged.verdict == "feasible":
            self._join(number, (latency / 4, accuracy))
        yield Told(number, "complete", (latency / 4, accuracy), tuple(self._front), 9.5)

    def _screen(self, number: int, choices: Json, latency: float) -> Iterator[Event]:
        untrained = {k: v for k, v in choices.items() if not k.startswith("lora")}
        yield from self._stages(number, untrained, first=TWIN)
        yield from self._measure(number, _key(str(untrained)), latency, None)
        yield Screened(number, ("latency<50ms",))
        yield _judged(number, latency, None)
        yield Told(number, "screened", (latency / 4, None), tuple(self._front), 4.5)

    def _stop(self, number: int, choices: Json, latency: float, accuracy: float) -> Iterator[Event]:
        part = choices | {"share": 1 / 3}
        yield from self._stages(number, part, first=RUNG, share=1 / 3)
        yield from self._measure(number, _key(str(part)), latency, accuracy)
        values = (latency / 4, accuracy)
        yield RungReached(number, 1 / 3, values, 0.0, 3, 5, False)
        yield _judged(number, latency, accuracy)
        yield Told(number, "stopped", values, tuple(self._front), 7.5)

    def _fail(self, number: int, choices: Json, *, deterministic: bool) -> Iterator[Event]:
        yield StageStarted(number, 0, "genai_builder", "genai_builder", _key(str(choices)))
        reason, state = ("error", "infeasible") if deterministic else ("killed", "failed")
        log = f"tuned/logs/{number:05}-genai_builder.log"
        message = f"{reason}: the builder ended without a model"
        yield Failed(number, "genai_builder", reason, message, deterministic, log)
        if deterministic and number % 5 == 0:
            bad = {"genai_builder.block_size": choices["genai_builder.block_size"]}
            yield LessonLearned(bad, "genai_builder", reason, message, 3, "block_size fails")
        yield Told(number, state, None, tuple(self._front), 4.5)

    def _stages(
        self, number: int, choices: Json, *, first: int = 0, share: float = 1.0
    ) -> Iterator[Event]:
        steps = [name for name in _SECONDS if any(c.startswith(f"{name}.") for c in choices)]
        before = ""
        for place, step in enumerate(steps):
            own = {name: v for name, v in choices.items() if name.split(".")[0] in (step, "share")}
            before = key = _key(f"{before} {step} {own}")
            cached, position = key in self._stored, first + place
            self._stored.add(key)
            if not cached:
                yield StageStarted(number, position, step, step, key, share)
            yield StageFinished(
                number,
                position,
                step,
                step,
                key,
                cached,
                seconds=0.0 if cached else share * _SECONDS[step],
                bytes=90_000_000,
                peak_memory=None if cached else 1_500_000_000,
                log=None if cached else f"tuned/logs/{number:05}-{step}.log",
                share=share,
            )

    def _measure(
        self, number: int, key: str, latency: float, accuracy: float | None
    ) -> Iterator[Event]:
        yield MeasureStarted(number, "latency", key)
        times = tuple(
            _estimate(name, share * latency, "p50", "s") | {"ratio": [share, 0.9, 1.1]}
            for name, share in (("latency", 1.0), ("ttft", 0.3), ("tpot", 0.25))
        )
        detail = (self._times(latency), self._times(latency))
        yield Measured(number, "latency", "dev", key, False, 7.0, times, detail)
        size = (_estimate("size", 9e7, None, "B"),)
        sized = ({"samples": {"size": [[9e7]]}, "items": [], "conditions": {"files": 6}},)
        yield Measured(number, "size", "dev", _key(key), True, 0.0, size, sized)
        if accuracy is not None:
            share = (_estimate("accuracy", accuracy, None, "fraction"),)
            items = [self._item(accuracy) for _ in range(_ITEMS)]
            answers = ({"samples": {}, "items": items, "conditions": {"device": "CPU"}},)
            yield Measured(number, "accuracy", "dev", key, False, 3.0, share, answers)

    def _times(self, latency: float) -> Json:
        blocks = [[latency * self._random.lognormvariate(0, 0.02)] for _ in range(24)]
        conditions = {"cpu": "AMD EPYC", "cores": 2, "threads": 2, "versions": {"ort": "1.31.1"}}
        return {"samples": {"latency": blocks}, "items": [], "conditions": conditions, "anchor": {}}

    def _item(self, accuracy: float) -> Json:
        right = self._random.random() < accuracy
        scores = {name: -self._random.expovariate(1.0) for name in ("joy", "fear", "anger")}
        return {"label": "joy", "predicted": "joy" if right else "fear", "scores": scores}

    def _join(self, number: int, point: tuple[float, float]) -> None:
        if any(_dominates(other, point) for other in self._front.values()):
            return
        kept = {n: p for n, p in self._front.items() if not _dominates(point, p)}
        self._front = kept | {number: point}


def _key(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _steps(choices: Json) -> tuple[Json, ...]:
    """Recipes as long as real ones are."""
    defaults = {f"option_{i}": None for i in range(12)}
    return tuple({"id": s, "pass": s, "parameters": defaults | choices} for s in _SECONDS)


def _estimate(metric: str, value: float, statistic: str | None, unit: str) -> Json:
    ends = {"value": value, "low": 0.97 * value, "high": 1.03 * value}
    return {"metric": metric, "statistic": statistic, **ends, "unit": unit, "samples": 30}


def _dominates(a: tuple[float, float], b: tuple[float, float]) -> bool:
    return a[0] <= b[0] and a[1] >= b[1] and a != b


def _judged(number: int, latency: float, accuracy: float | None) -> Judged:
    """The verdicts; undecided within 3 % of a limit."""
    judgements = [_judgement(_CONSTRAINTS[0], _LATENCY, latency, latency / _LATENCY - 1)]
    if accuracy is not None:
        by = 1 - accuracy / _ACCURACY
        judgements.append(_judgement(_CONSTRAINTS[1], _ACCURACY, accuracy, by))
    verdicts = {j["verdict"] for j in judgements}
    worst = next(v for v in ("infeasible", "undecided", "feasible") if v in verdicts)
    return Judged(number, worst, tuple(judgements))


def _judgement(constraint: Json, limit: float, value: float, by: float) -> Json:
    verdict = "undecided" if abs(by) < 0.03 else "infeasible" if by > 0 else "feasible"
    fields = {name: constraint[name] for name in ("text", "metric", "statistic")}
    return fields | {"limit": limit, "value": value, "verdict": verdict, "violation": 10 * by}
