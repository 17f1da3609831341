"""A made-up study as a stream of events: what the engine would send, without running anything.

As a program, it writes such a study into a database until it is done or killed, and prints the
number of every event whose call has returned.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Engine

from tuner.study.database import open_engine
from tuner.study.events import (
    Confirmed,
    Event,
    Failed,
    Json,
    Judged,
    Measured,
    MeasureStarted,
    StageFinished,
    StageStarted,
    StudyStarted,
    StudyStopped,
    Told,
    TrialAsked,
)
from tuner.study.reader import StudyReader
from tuner.study.writer import StudyWriter

BASELINE = -1
OBJECTIVES: tuple[Json, ...] = (
    {"text": "minimize tpot", "metric": "tpot", "statistic": None, "minimize": True},
    {"text": "maximize accuracy", "metric": "accuracy", "statistic": None, "minimize": False},
)
LATENCY_LIMIT = 0.05
ACCURACY_LIMIT = 0.70


def started(study: str = "tones", *, resumed: bool = False) -> StudyStarted:
    return StudyStarted(
        study=study,
        resumed=resumed,
        space={
            "name": "quickstart",
            "path": "spaces/quickstart.yaml",
            "model": "org/tiny",
            "fingerprint": "f" * 64,
            "text": "model: org/tiny\n",
        },
        objectives=OBJECTIVES,
        constraints=tuple(
            {"text": text, "metric": metric, "statistic": None, "operator": operator}
            for text, metric, operator in (
                ("latency<50ms", "latency", "<"),
                ("accuracy>=baseline-2%", "accuracy", ">="),
            )
        ),
        settings={"strategy": "tpe", "trials": 200, "max_time": None, "seed": 0},
        environment={"machine": "x86_64", "cores": 2, "python": "3.11.9"},
    )


def asked(number: int, **parameters: Any) -> TrialAsked:
    steps = ({"id": "session", "pass": "session", "parameters": dict(parameters)},)
    role = "baseline" if number == BASELINE else "trial"
    return TrialAsked(number, role, f"candidate-{number}", parameters, steps)


def estimate(
    metric: str, value: float, *, statistic: str | None = None, unit: str = "s", spread: float = 0.1
) -> Json:
    return {
        "metric": metric,
        "statistic": statistic,
        "value": value,
        "low": value * (1 - spread),
        "high": value * (1 + spread),
        "unit": unit,
        "samples": 30,
    }


def measured(number: int, *estimates: Json, split: str = "dev", **changes: Any) -> Measured:
    fields: Json = {
        "evaluator": "latency",
        "key": "k" * 64,
        "cached": False,
        "seconds": 2.0,
        "detail": ({"samples": {"latency": [[0.04, 0.05]]}, "items": [], "conditions": {}},),
    }
    return Measured(number=number, split=split, estimates=estimates, **(fields | changes))


def stage(number: int, position: int, step: str, **changes: Any) -> StageFinished:
    fields: Json = {
        "pass_name": step,
        "key": f"{step}-{number}",
        "cached": False,
        "seconds": 3.0,
        "bytes": 1000,
        "peak_memory": 5_000_000_000,
        "log": None,
    }
    return StageFinished(number=number, position=position, step=step, **(fields | changes))


class Study:
    """A database with a study that events are sent to; its name is "tones" unless told."""

    def __init__(self, engine: Engine, name: str = "tones") -> None:
        self.engine = engine
        self.name = name
        self.reader = StudyReader(engine)

    def send(self, *events: Event) -> None:
        """What one command sends."""
        self.send_all(events)

    def send_all(self, events: Iterable[Event]) -> None:
        with StudyWriter(self.engine, self.name) as writer:
            for event in events:
                writer(event)


@dataclass
class Script:
    """A reproducible stream; the same seed gives the same events."""

    trials: int
    study: str = "tones"
    seed: int = 0
    _stored: set[str] = field(default_factory=set)
    _front: dict[int, tuple[float, float]] = field(default_factory=dict)

    def events(self) -> Iterator[Event]:
        self._random = random.Random(self.seed)
        yield started(self.study)
        yield from self._baseline()
        for number in range(self.trials):
            yield from self._trial(number)
        chosen = min(self._front, default=None)
        if chosen is not None:
            held_out = (estimate("accuracy", 0.71, unit="fraction"),)
            yield Confirmed(chosen, held_out, (estimate("accuracy", 0.74, unit="fraction"),))
        yield StudyStopped("trials", chosen, 100.0)

    def _baseline(self) -> Iterator[Event]:
        yield asked(BASELINE)
        yield from self._stages(BASELINE, ["genai_builder/fp32"])
        yield from self._measure(BASELINE, "fp32", 0.080, 0.021, 0.72)
        yield Told(BASELINE, "baseline", None, (), 12.0)

    def _trial(self, number: int) -> Iterator[Event]:
        draw = self._random
        r, precision = draw.choice([None, 4, 16, 64]), draw.choice(["fp32", "int8", "int4"])
        threads, block = draw.choice([1, 2]), draw.choice([32, 128])
        lora = {} if r is None else {"lora.r": r, "lora.learning_rate": 1e-4 * draw.randint(1, 9)}
        choices = {"lora": r is not None, **lora, "genai_builder.precision": precision}
        choices |= {"genai_builder.block_size": block, "session.threads": threads}
        yield asked(number, **choices)
        tuned = [] if r is None else [f"lora/{sorted(lora.values())}"]
        stages = [*tuned, f"genai_builder/{tuned}{precision}{block}", f"session/{threads}"]
        fate = draw.random()
        if fate < 0.06:
            yield from self._fail(number, stages, "out_of_memory", deterministic=True)
        elif fate < 0.10:
            yield from self._fail(number, stages, "killed", deterministic=False)
        else:
            yield from self._stages(number, stages)
            yield from self._finish(number, f"{stages}", precision, r or 0)

    def _finish(self, number: int, key: str, precision: str, r: int) -> Iterator[Event]:
        draw = self._random
        speed = {"fp32": 1.0, "int8": 0.5, "int4": 0.3}[precision] * draw.uniform(0.9, 1.3)
        tpot, latency = 0.02 * speed, 0.08 * speed
        accuracy = 0.62 + 0.002 * r + 0.05 * speed + draw.uniform(-0.05, 0.05)
        yield from self._measure(number, key, latency, tpot, accuracy)
        verdict = _verdict(latency, accuracy)
        yield Judged(number, verdict, _judgements(latency, accuracy))
        if verdict == "feasible":
            self._join(number, (tpot, accuracy))
        yield Told(number, "complete", (tpot, accuracy), tuple(self._front), 9.5)

    def _fail(
        self, number: int, stages: list[str], reason: str, *, deterministic: bool
    ) -> Iterator[Event]:
        yield from self._stages(number, stages[:-1])
        yield StageStarted(number, len(stages) - 1, "session", "session", stages[-1])
        message = f"{reason} <b>'at' \U0001f4a5"
        yield Failed(number, "session", reason, message, deterministic, f"logs/{number}.log")
        state = "infeasible" if deterministic else "failed"
        yield Told(number, state, None, tuple(self._front), 4.5)

    def _stages(self, number: int, keys: list[str]) -> Iterator[Event]:
        for position, key in enumerate(keys):
            name, cached = key.split("/")[0], key in self._stored
            self._stored.add(key)
            if not cached:
                yield StageStarted(number, position, name, name, key)
            seconds = 0.0 if cached else {"lora": 20.0, "genai_builder": 4.0}.get(name, 0.5)
            cost = {"cached": cached, "seconds": seconds, "log": f"logs/{key}.log"}
            yield stage(number, position, name, key=key, **cost)

    def _measure(
        self, number: int, key: str, latency: float, tpot: float, accuracy: float
    ) -> Iterator[Event]:
        yield MeasureStarted(number, "latency", key)
        times = (
            estimate("latency", latency, statistic="p50"),
            estimate("tpot", tpot, statistic="p50"),
        )
        detail = ({"samples": {"latency": [[latency] * 10]}, "items": [], "conditions": {}},)
        yield measured(number, *times, key=key, detail=detail)
        share = estimate("accuracy", accuracy, unit="fraction")
        yield measured(number, share, evaluator="accuracy", key=key)

    def _join(self, number: int, point: tuple[float, float]) -> None:
        if any(_dominates(other, point) for other in self._front.values()):
            return
        kept = {n: p for n, p in self._front.items() if not _dominates(point, p)}
        self._front = kept | {number: point}


def _dominates(a: tuple[float, float], b: tuple[float, float]) -> bool:
    return a[0] <= b[0] and a[1] >= b[1] and a != b


def _verdict(latency: float, accuracy: float) -> str:
    if latency >= LATENCY_LIMIT or accuracy < ACCURACY_LIMIT:
        return "infeasible"
    return "undecided" if latency > 0.95 * LATENCY_LIMIT else "feasible"


def _judgements(latency: float, accuracy: float) -> tuple[Json, ...]:
    slow = (latency - LATENCY_LIMIT) / (0.1 * LATENCY_LIMIT)
    wrong = (ACCURACY_LIMIT - accuracy) / (0.1 * ACCURACY_LIMIT)
    return tuple(
        {
            "text": text,
            "metric": metric,
            "statistic": None,
            "limit": limit,
            "value": value,
            "verdict": "infeasible" if violation > 0 else "feasible",
            "violation": violation,
        }
        for text, metric, limit, value, violation in (
            ("latency<50ms", "latency", LATENCY_LIMIT, latency, slow),
            ("accuracy>=baseline-2%", "accuracy", ACCURACY_LIMIT, accuracy, wrong),
        )
    )


def main(path: str, trials: int) -> None:
    script = Script(trials)
    with StudyWriter(open_engine(path), script.study) as writer:
        for count, event in enumerate(script.events(), start=1):
            writer(event)
            print(count, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
