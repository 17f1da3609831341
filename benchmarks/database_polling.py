"""Whether a dashboard that reads slows a study that writes.

Rounds of the same study of cheap trials, each run twice: alone, and with a dashboard in another
process that asks all documented queries every second. Which goes first alternates. The study is the
engine's own loop with Optuna's tables and ours; its passes cost next to nothing, so that nearly all
of its time is work on the database and around it.

    python benchmarks/database_polling.py study FOLDER TRIALS SEED
    python benchmarks/database_polling.py poll FOLDER

are the two processes.
"""

from __future__ import annotations

import json
import math
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from evaluators.base import Json
from evaluators.statistics import t_quantile

if TYPE_CHECKING:
    from sqlalchemy import Engine

_EVERY = 1.0  # second
_ROUND = 15.0  # seconds that a run of the study should take
_FIRST = 200  # trials of the run that tells how many a round has
_STUDY = "study"


def measure(minutes: float, trials: int | None = None) -> Json:
    """Rounds for about so many minutes: their times, polls, and the slowdown with its interval.

    `trials` of a run; None: as many as take a quarter of a minute.
    """
    end, rounds = time.monotonic() + 60 * minutes, list[Json]()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if trials is None:
            trials = round(_FIRST * _ROUND / _run_study(folder / "first", _FIRST, 0))
        while time.monotonic() < end or len(rounds) < 3:
            rounds.append(_round(folder, trials, len(rounds)))
    logs = [math.log(r["polled_s"] / r["alone_s"]) for r in rounds]
    return {"trials": trials, "rounds": rounds, "slowdown": _interval(logs)}


def _round(folder: Path, trials: int, number: int) -> Json:
    """Both runs, of the same seed; each in a folder of its own."""
    found: Json = {}
    for polled in ((False, True), (True, False))[number % 2]:
        place = folder / f"{number}-{polled}"
        if polled:
            found |= _polled(place, trials, number)
        else:
            found["alone_s"] = _run_study(place, trials, number)
    print(json.dumps(found), file=sys.stderr, flush=True)
    return found


def _polled(folder: Path, trials: int, seed: int) -> Json:
    folder.mkdir(parents=True)
    command = [sys.executable, __file__, "poll", str(folder)]
    dashboard = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=_one_thread())
    try:
        seconds = _run_study(folder, trials, seed)
    finally:
        dashboard.send_signal(signal.SIGINT)
        told, _ = dashboard.communicate(timeout=60)
    polls: Json = json.loads(told)
    return {"polled_s": seconds} | polls


def _run_study(folder: Path, trials: int, seed: int) -> float:
    """Seconds that the study's search took, in a process of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, __file__, "study", str(folder), str(trials), str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=_one_thread())
    return float(done.stdout)


def _one_thread() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1"}


def _interval(logs: Sequence[float]) -> Json:
    """The mean ratio less one and its 95 % interval, by Student's t over the rounds."""
    mean, error = statistics.fmean(logs), statistics.stdev(logs) / math.sqrt(len(logs))
    half = t_quantile(len(logs) - 1) * error
    ends = {"value": mean, "low": mean - half, "high": mean + half}
    return {name: math.expm1(end) for name, end in ends.items()}


def _study(folder: Path, trials: int, seed: int) -> None:
    """The first process: prints the seconds."""
    import warnings

    import optuna
    from engine_cost import engine_ms

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    print(engine_ms(folder, trials, seed, "random") * trials / 1000)


def _poll(folder: Path) -> None:
    """The second process: asks until it is interrupted, then prints what that took."""
    spent: list[float] = []
    try:
        _ask_for_ever(folder / "ours.db", spent)
    except KeyboardInterrupt:
        middle = statistics.median(spent) if spent else None
        told = {"polls": len(spent), "poll_s": middle, "poll_cpu_s": time.process_time()}
        print(json.dumps(told))


def _ask_for_ever(database: Path, spent: list[float]) -> None:
    """Ask every query of the document each second; `spent` gets the seconds of each round."""
    from database_times import documented_queries, parameters
    from sqlalchemy import text

    queries, engine = documented_queries(), _opened(database)
    while True:
        began = time.perf_counter()
        with engine.connect() as connection:
            for query in queries.values():
                connection.execute(text(query), parameters(_STUDY, time.time())).all()
        spent.append(time.perf_counter() - began)
        time.sleep(max(0.0, _EVERY - spent[-1]))


def _opened(database: Path) -> Engine:
    """The database, as soon as there is one with tables in it."""
    from tuner.study.database import DatabaseError, open_engine

    while True:
        try:
            return open_engine(str(database), read_only=True)
        except DatabaseError:
            time.sleep(0.1)


if __name__ == "__main__":
    if sys.argv[1] == "study":
        _study(Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
    else:
        _poll(Path(sys.argv[2]))
