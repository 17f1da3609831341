"""One database of studies that something is odd about, for everything that reads studies.

Each is a stream of events as the engine sends them. Knows nothing of who reads the studies.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, text

from tuner.study.database import open_engine
from tuner.study.events import (
    BASELINE,
    TWIN,
    Confirmed,
    Event,
    Failed,
    Json,
    Judged,
    Measured,
    MeasureStarted,
    Screened,
    StageFinished,
    StageStarted,
    StudyStarted,
    StudyStopped,
    Told,
    TrialAsked,
)
from tuner.study.writer import StudyWriter

NO_TRIAL = "no-trial"
BASELINE_ONLY = "baseline-only"
BASELINE_FAILED = "baseline-failed"
ALL_FAILED = "all-failed"
ALL_SCREENED = "all-screened"
NOTHING_FITS = "nothing-fits"
RUNNING = "running"
KILLED = "killed"
NO_NUMBERS = "no-numbers"
BUILT_ONLY = "built-only"
FOREIGN = "foreign-metrics"
MIXED = "mixed-types"
HOSTILE_TEXT = (
    "</script><script>alert(1)</script>\"'&|`*_[x](y)\n=cmd|' /C calc'!A0 \U0001f4a5\u202e"
)
HOSTILE = "=1+1 <img src=x onerror=alert(1)> \"'&| `#` \U0001f600\nsecond line"

OBJECTIVES: tuple[Json, ...] = (
    {"text": "minimize latency", "metric": "latency", "statistic": None, "minimize": True},
    {"text": "maximize accuracy", "metric": "accuracy", "statistic": None, "minimize": False},
)
CONSTRAINTS: tuple[Json, ...] = (
    {"text": "latency<50ms", "metric": "latency", "statistic": None, "operator": "<"},
    {"text": "accuracy>=70%", "metric": "accuracy", "statistic": None, "operator": ">="},
)
LIMITS = (0.05, 0.70)

_DEAD = "-2-1-"  # a process of this machine that started when no process of today did


def write_odd_studies(path: Path) -> dict[str, str]:
    """Write them all into a new SQLite database at `path`; study name -> what is odd about it.

    `RUNNING` and `NO_TRIAL` are open commands of this process, `KILLED` one of a process that is
    gone.
    """
    engine = open_engine(str(path))
    for name, (_, events) in _studies().items():
        with StudyWriter(engine, name) as writer:
            for event in events:
                writer(event)
    _kill(engine, KILLED)
    engine.dispose()
    return {name: odd for name, (odd, _) in _studies().items()}


def _studies() -> dict[str, tuple[str, Iterator[Event]]]:
    return {
        NO_TRIAL: ("a command has only begun", iter([_started(NO_TRIAL)])),
        BASELINE_ONLY: ("the baseline and no trial", _baseline_only()),
        BASELINE_FAILED: ("the baseline gave no numbers", _baseline_failed()),
        ALL_FAILED: ("every trial failed", _all_failed()),
        ALL_SCREENED: ("every trial was given up before it was trained", _all_screened()),
        NOTHING_FITS: ("no trial meets the constraints", _nothing_fits()),
        RUNNING: ("a command is in the middle of a trial", _running(RUNNING)),
        KILLED: ("its only command was killed in the middle of a trial", _running(KILLED)),
        NO_NUMBERS: ("metrics that are NaN and infinite", _no_numbers()),
        BUILT_ONLY: ("models that were built and not run", _built_only()),
        FOREIGN: ("metrics and passes that are not installed here", _foreign()),
        MIXED: ("a parameter is a number, a text, a list or nothing", _mixed()),
        HOSTILE: ("names and values that other programs would run", _hostile()),
    }


def _kill(engine: Engine, study: str) -> None:
    """Let the study's command be of a process that is gone."""
    with engine.begin() as connection:
        runs = "tune_runs r JOIN tune_studies s ON s.id = r.study_id WHERE s.name = :name"
        run, owner = connection.execute(
            text(f"SELECT r.id, r.owner FROM {runs}"), {"name": study}
        ).one()
        gone = owner.partition("-")[0] + _DEAD + "0" * 12
        connection.execute(
            text("UPDATE tune_runs SET owner = :owner WHERE id = :id"), {"owner": gone, "id": run}
        )


def _started(study: str, **space: Any) -> StudyStarted:
    described: Json = {
        "name": "odd",
        "path": "/nowhere/odd.yaml",
        "model": "org/tiny",
        "fingerprint": "f" * 64,
        "text": "model: org/tiny\ntask: text-classification\n",
    }
    settings = {"strategy": "tpe", "trials": 8, "max_time": None, "seed": 0}
    environment = {"machine": "x86_64", "cores": 2, "python": "3.11.9"}
    declared = (OBJECTIVES, CONSTRAINTS, settings, environment)
    return StudyStarted(study, False, described | space, *declared)


def _asked(number: int, parameters: Json | None = None) -> TrialAsked:
    chosen = {"lora.r": 4 * number, "session.threads": 1 + number % 2}
    values = chosen if parameters is None else parameters
    steps: list[Json] = []
    for name, value in values.items():
        step, _, key = name.partition(".")
        steps.append({"id": step, "pass": step, "parameters": {key: value} if key else {}})
    role = "baseline" if number == BASELINE else "trial"
    shown = {} if number == BASELINE else values
    return TrialAsked(number, role, f"candidate-{number}", shown, tuple(steps))


def _estimate(metric: str, value: float, unit: str, statistic: str | None = None) -> Json:
    ends = {"low": 0.9 * value, "high": 1.1 * value}
    names = {"metric": metric, "statistic": statistic, "unit": unit, "samples": 30}
    return names | {"value": value, "ratio": None} | ends


def _measured(
    number: int, latency: float, accuracy: float | None, split: str = "dev"
) -> list[Event]:
    samples = {"latency": [[latency, latency], [latency, 1.1 * latency]]}
    detail = ({"samples": samples, "items": [], "conditions": {"measured_at": 1000.0}},)
    times = (_estimate("latency", latency, "s", "p50"),)
    key = f"{split}-{number}"
    events: list[Event] = [Measured(number, "latency", split, key, False, 2.0, times, detail)]
    if accuracy is not None:
        share = (_estimate("accuracy", accuracy, "fraction"),)
        raw: tuple[Json, ...] = ({"samples": {}, "items": [], "conditions": {}},)
        events.append(Measured(number, "accuracy", split, key, False, 1.0, share, raw))
    return events


def _judged(number: int, latency: float, accuracy: float | None) -> Judged:
    judgements, worst = [], "feasible"
    for declared, limit, value in zip(CONSTRAINTS, LIMITS, (latency, accuracy), strict=True):
        excess = None if value is None else value - limit
        violation = None if excess is None else 10 * (excess if limit < 0.1 else -excess)
        holds = violation is not None and violation <= 0
        verdict = "undecided" if violation is None else "feasible" if holds else "infeasible"
        worst = min(worst, verdict, key=["infeasible", "undecided", "feasible"].index)
        names = {k: declared[k] for k in ("text", "metric", "statistic")}
        numbers = {"limit": limit, "value": value, "violation": violation}
        judgements.append(names | numbers | {"verdict": verdict})
    return Judged(number, worst, tuple(judgements))


def _tried(
    number: int, latency: float, accuracy: float, front: tuple[int, ...], parameters: Json | None
) -> Iterator[Event]:
    yield _asked(number, parameters)
    for position, step in enumerate(_asked(number, parameters).steps):
        key = f"{step['id']}-{number}"
        yield StageStarted(number, position, step["id"], step["pass"], key)
        cost = (False, 1.5, 1000, 5_000_000, f"logs/{number}.log")
        yield StageFinished(number, position, step["id"], step["pass"], key, *cost)
    yield from _measured(number, latency, accuracy)
    yield _judged(number, latency, accuracy)
    yield Told(number, "complete", (latency, accuracy), front, 4.0)


def _baseline() -> Iterator[Event]:
    yield _asked(BASELINE, {})
    yield from _measured(BASELINE, 0.08, 0.75)
    yield Told(BASELINE, "baseline", None, (), 3.0)


def _baseline_only() -> Iterator[Event]:
    yield _started(BASELINE_ONLY)
    yield from _baseline()
    yield StudyStopped("interrupted", None, 4.0)


def _baseline_failed() -> Iterator[Event]:
    yield _started(BASELINE_FAILED)
    yield _asked(BASELINE, {})
    yield Failed(BASELINE, "latency", "crashed", "it ended with signal 11", False, "logs/b.log")
    yield Told(BASELINE, "failed", None, (), 3.0)
    yield StudyStopped("error", None, 4.0)


def _failed(
    number: int, message: str, reason: str = "error", front: tuple[int, ...] = ()
) -> Iterator[Event]:
    yield _asked(number)
    yield StageStarted(number, 0, "lora", "lora", f"lora-{number}")
    yield Failed(number, "lora", reason, message, number % 2 == 0, f"logs/{number}.log")
    yield Told(number, "infeasible" if number % 2 == 0 else "failed", None, front, 2.0)


def _all_failed() -> Iterator[Event]:
    yield _started(ALL_FAILED)
    yield from _baseline()
    for number, reason in enumerate(("error", "out_of_memory", "timeout")):
        yield from _failed(number, f"rank {number} is not to be had", reason)
    yield StudyStopped("trials", None, 9.0)


def _all_screened() -> Iterator[Event]:
    yield _started(ALL_SCREENED)
    yield from _baseline()
    for number in range(3):
        yield _asked(number)
        cost = (False, 1.5, 1000, 5_000_000, None)
        yield StageFinished(number, TWIN, "session", "session", f"twin-{number}", *cost)
        yield from _measured(number, 0.06 + 0.01 * number, None)
        yield _judged(number, 0.06 + 0.01 * number, None)
        yield Screened(number, ("latency<50ms",))
        yield Told(number, "screened", (0.06 + 0.01 * number, None), (), 2.0)
    yield StudyStopped("trials", None, 9.0)


def _nothing_fits() -> Iterator[Event]:
    yield _started(NOTHING_FITS)
    yield from _baseline()
    for number in range(4):
        yield from _tried(number, 0.06 + 0.01 * number, 0.6 + 0.02 * number, (), None)
    yield StudyStopped("trials", None, 20.0)


def _running(study: str) -> Iterator[Event]:
    yield _started(study)
    yield from _baseline()
    yield from _tried(0, 0.03, 0.72, (0,), None)
    yield _asked(1)
    yield StageStarted(1, 0, "lora", "lora", "lora-1")
    yield MeasureStarted(1, "latency", "dev-1")


def _no_numbers() -> Iterator[Event]:
    yield _started(NO_NUMBERS)
    yield from _baseline()
    yield _asked(0)
    yield from _measured(0, float("inf"), float("nan"))
    yield Judged(0, "undecided", ())
    yield Told(0, "complete", (float("inf"), float("nan")), (), 1.0)
    yield StudyStopped("trials", None, 5.0)


def _built_only() -> Iterator[Event]:
    yield _started(BUILT_ONLY)
    for number in range(2):
        yield _asked(number)
        size = (_estimate("size", 1e6 * (1 + number), "B"),)
        yield Measured(number, "size", "dev", f"size-{number}", False, 0.1, size, ())
        yield Told(number, "built", None, (), 1.0)
    yield StudyStopped("trials", None, 5.0)


def _foreign() -> Iterator[Event]:
    """As on the machine of a dashboard, where the plug-ins of the study are not installed."""
    started = _started(FOREIGN, text="model: m\ntask: text-generation\npipeline: [elsewhere]\n")
    objective: Json = {"text": "maximize wit", "metric": "wit", "statistic": None}
    constraint: Json = {"text": "cost<20ms", "metric": "cost", "statistic": None, "operator": "<"}
    settings, environment = started.settings, started.environment
    declared = ((objective | {"minimize": False},), (constraint,), settings, environment)
    yield StudyStarted(FOREIGN, False, started.space, *declared)
    names = {k: constraint[k] for k in ("text", "metric", "statistic")}
    for number in range(4):
        wit, cost = 3.0 + number, 0.01 * (1 + number)
        yield _asked(number, {"elsewhere.depth": number, "elsewhere": True})
        found = (_estimate("wit", wit, ""), _estimate("cost", cost, "s"))
        raw = ({"samples": {"wit": [[wit]]}, "items": [], "conditions": {}},)
        yield Measured(number, "muse", "dev", f"muse-{number}", False, 0.1, found, raw)
        fits = "feasible" if cost < 0.02 else "infeasible"
        numbers = {"limit": 0.02, "value": cost, "violation": 50 * (cost - 0.02)}
        yield Judged(number, fits, (names | numbers | {"verdict": fits},))
        yield Told(number, "complete", (wit,), (0,), 1.0)
    yield StudyStopped("trials", 0, 9.0)


def _mixed() -> Iterator[Event]:
    yield _started(MIXED)
    yield from _baseline()
    values: list[Any] = [16, 0.5, "all-linear", ["q_proj", "v_proj"], None, True]
    for number, value in enumerate(values):
        speed, share = 0.03 + 0.001 * number, 0.72 + 0.01 * number
        parameters = {"lora": number != 4, "lora.targets": value, "session.threads": 1}
        yield from _tried(number, speed, share, tuple(range(number + 1)), parameters)
    yield StudyStopped("trials", 0, 30.0)


def _hostile() -> Iterator[Event]:
    environment = {"machine": HOSTILE_TEXT, "python": "3.11.9"}
    started = _started(HOSTILE, name=HOSTILE_TEXT, model=HOSTILE_TEXT, path=f"/{HOSTILE_TEXT}")
    declared = (started.objectives, started.constraints, started.settings, environment)
    yield StudyStarted(HOSTILE, False, started.space, *declared)
    yield from _baseline()
    for number in range(3):
        parameters = {"lora.note": f"{HOSTILE_TEXT}{number}", f"lora.<b>{number}</b>|=1": "-1+1"}
        speed, share = 0.03 + 0.001 * number, 0.72 + 0.01 * number
        yield from _tried(number, speed, share, tuple(range(number + 1)), parameters)
    yield from _failed(3, HOSTILE_TEXT, front=(0, 1, 2))
    held_out = (_estimate("latency", 0.031, "s", "p50"), _estimate("accuracy", 0.71, "fraction"))
    before = (_estimate("latency", 0.08, "s", "p50"), _estimate("accuracy", 0.75, "fraction"))
    yield Confirmed(1, held_out, before, "feasible", _judged(1, 0.031, 0.71).constraints)
    yield StudyStopped("trials", 1, 30.0)
