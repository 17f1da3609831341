"""A study small enough to work out by hand what each documented query must give, and three nights.

Two commands: the first tries trials 0 to 5 and ends, the second tries trial 6 and is in the middle
of trial 7.
"""

from __future__ import annotations

from collections.abc import Iterator

from scripted_study import BASELINE, Study, asked, estimate, measured, stage, started
from sqlalchemy import Engine, text

from tuner.study.events import (
    RUNG,
    TWIN,
    Confirmed,
    Event,
    Failed,
    Json,
    Judged,
    LessonLearned,
    RungReached,
    Screened,
    StageStarted,
    StudyStopped,
    Told,
)

NAME = "known 'study'; -- \"<b>\" %"
DAY = 86400.0
NOON = 20_000 * DAY + DAY / 2
"""When the first command began; the second began a day and an hour later."""

SHARE = 1 / 3
NIGHTS = {"nightly/2026-11-20/minilm": 0.5, "nightly/2026-11-21/minilm": 0.4}
"""Night -> the chosen trial's latency over the baseline's."""


def make_known(engine: Engine) -> None:
    """Write all of it."""
    study = Study(engine, NAME)
    study.send_all(_first_command())
    study.send_all(_second_command())
    for name, ratio in NIGHTS.items():
        Study(engine, name).send_all(_night(name, ratio))
    Study(engine, "nightly/2026-11-21/smollm2").send(started("nightly/2026-11-21/smollm2"))
    _set_times(engine)


def _first_command() -> Iterator[Event]:
    yield started(NAME)
    yield asked(BASELINE)
    yield stage(BASELINE, 0, "build", seconds=5.0, peak_memory=100)
    yield measured(BASELINE, estimate("tpot", 0.020, statistic="p50"), seconds=4.0)
    yield Told(BASELINE, "baseline", None, (), 9.0)
    yield from _fits(0, (0.010, 0.80), (0,), r="4")
    yield from _screened(1)
    yield from _stopped(2)
    yield from _undecided(3)
    yield from _failed(4)
    yield from _climbed(5)
    ours = (estimate("accuracy", 0.84, unit="fraction"),)
    yield Confirmed(5, ours, (estimate("accuracy", 0.70, unit="fraction"),))
    yield StudyStopped("trials", 5, 100.0)


def _second_command() -> Iterator[Event]:
    yield started(NAME, resumed=True)
    yield asked(6, r="16")
    yield stage(6, 0, "train", key="train-5", cached=True, seconds=0.0, peak_memory=None)
    yield stage(6, 1, "build", seconds=2.0, peak_memory=50)
    yield measured(6, estimate("tpot", 0.030, statistic="p50"), seconds=1.0)
    yield _judged(6, "infeasible", "feasible")
    yield Told(6, "complete", (0.030, 0.90), (5,), 3.0)
    yield asked(7, r="4")
    yield StageStarted(7, 0, "train_2", "train", "train-7")


def _fits(
    number: int, values: tuple[float, float], front: tuple[int, ...], *, r: str
) -> Iterator[Event]:
    yield asked(number, r=r)
    yield from _built(number, train=30.0)
    yield measured(number, estimate("tpot", values[0], statistic="p50"), seconds=2.0)
    yield _judged(number, "feasible", "feasible")
    yield Told(number, "complete", values, front, 40.0)


def _built(number: int, *, train: float) -> Iterator[Event]:
    yield stage(number, 0, "train", seconds=train, peak_memory=400)
    yield stage(number, 1, "build", seconds=5.0, peak_memory=200)


def _screened(number: int) -> Iterator[Event]:
    yield asked(number, r="4")
    yield stage(number, TWIN, "build", seconds=3.0, peak_memory=100)
    yield stage(number, TWIN + 1, "session", cached=True, seconds=0.0, peak_memory=None)
    cached: Json = {"cached": True, "seconds": 0.0}
    yield measured(number, estimate("tpot", 0.040, statistic="p50"), **cached)
    yield Screened(number, ("latency<50ms",))
    yield _judged(number, "infeasible")
    yield Told(number, "screened", (0.040, None), (0,), 5.0)


def _stopped(number: int) -> Iterator[Event]:
    """What it had after a share of its training would be the best of all."""
    yield asked(number, r="4")
    yield stage(number, RUNG, "train", seconds=10.0, peak_memory=400, share=SHARE)
    yield stage(number, RUNG + 1, "build", seconds=5.0, peak_memory=200)
    yield measured(number, estimate("tpot", 0.001, statistic="p50"), seconds=2.0)
    yield RungReached(number, SHARE, (0.001, 0.95), 0.0, 1, 1, promoted=False)
    yield _judged(number, "feasible", "feasible")
    yield Told(number, "stopped", (0.001, 0.95), (0,), 17.0)


def _undecided(number: int) -> Iterator[Event]:
    yield asked(number, r="16")
    yield from _built(number, train=30.0)
    yield measured(number, estimate("tpot", 0.005, statistic="p50"), seconds=2.0)
    yield _judged(number, "undecided", "feasible")
    yield Told(number, "complete", (0.005, 0.75), (0,), 37.0)


def _failed(number: int) -> Iterator[Event]:
    yield asked(number, r="64")
    yield StageStarted(number, 0, "build", "build", "build-4")
    yield Failed(number, "build", "out_of_memory", "too large", True, None)
    bad = {"r": "64"}
    yield LessonLearned(bad, "build", "out_of_memory", "too large", 3, "r=64 is too large")
    yield Told(number, "infeasible", None, (0,), 1.0)


def _climbed(number: int) -> Iterator[Event]:
    yield asked(number, r="16")
    yield stage(number, RUNG, "train", seconds=10.0, peak_memory=400, share=SHARE)
    yield RungReached(number, SHARE, (0.009, 0.80), 0.0, 0, 2, promoted=True)
    yield from _built(number, train=20.0)
    yield measured(number, estimate("tpot", 0.008, statistic="p50"), seconds=2.0)
    yield _judged(number, "feasible", "feasible")
    yield Told(number, "complete", (0.008, 0.85), (5,), 40.0)


def _judged(number: int, *verdicts: str) -> Judged:
    """By latency, and by accuracy where it was measured."""
    scaled = {"infeasible": 2.0, "undecided": 0.1, "feasible": -1.0}
    texts = ("latency<50ms", "accuracy>=baseline-2%")
    worst = next(v for v in scaled if v in verdicts)
    constraints = tuple(
        {
            "text": text,
            "metric": text.split("<")[0].split(">")[0],
            "statistic": None,
            "limit": 0.05,
            "value": 0.04,
            "verdict": verdict,
            "violation": scaled[verdict],
        }
        for text, verdict in zip(texts, verdicts, strict=False)
    )
    return Judged(number, worst, constraints)


def _night(name: str, ratio: float) -> Iterator[Event]:
    yield started(name)
    for number, latency, accuracy in ((BASELINE, 0.1, 0.8), (0, 0.1 * ratio, 0.6)):
        yield asked(number)
        told = None if number == BASELINE else [ratio, 0.9 * ratio, 1.1 * ratio]
        yield measured(number, estimate("latency", latency, statistic="p50") | {"ratio": told})
        share = estimate("accuracy", accuracy, unit="fraction")
        yield measured(number, share, evaluator="accuracy")
        state = "baseline" if number == BASELINE else "complete"
        values = None if number == BASELINE else (latency, accuracy)
        yield Told(number, state, values, () if number == BASELINE else (0,), 5.0)
    yield StudyStopped("trials", 0, 10.0)


def _set_times(engine: Engine) -> None:
    """Times that a test can know: the writer's are those of its clock."""
    first, second = "(SELECT MIN(id) FROM tune_runs)", "(SELECT MIN(id) + 1 FROM tune_runs)"
    begun = {first: (NOON, 100.0), second: (NOON + DAY + 3600, 50.0)}
    with engine.begin() as connection:
        for run, (at, seconds) in begun.items():
            change = (
                f"UPDATE tune_runs SET started_at = :at, last_event_at = :last WHERE id = {run}"
            )
            connection.execute(text(change), {"at": at, "last": at + seconds})
