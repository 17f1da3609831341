"""Pairs of models whose true difference is known, compared in both ways, one record a pair.

Ours is what `tune compare --measure` does: `compare` on sessions, each a job of the evaluator
`latency`. The usual way is `measurement_usual`. Both in turn, on the same models, at the same time.
Knows nothing of files or tables.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from measurement_chain import TOKENS, WORK_JOB, write_chain
from measurement_load import loaded
from measurement_usual import BLOCK_JOB, CENTRES, ratio

from evaluators import machine
from evaluators.base import Artifact, Interval, Json, Measurement
from evaluators.comparison import LOOKS, compare
from evaluators.measure import MEASURE_JOB
from evaluators.timing import log_ratios
from search_spaces.vocabulary import Value
from tuner.execution.job import Job
from tuner.execution.workers import Workers

PRELOAD = ("onnxruntime", "evaluators.measure", "measurement_chain", "measurement_usual")
METRIC, STATISTIC = "latency", "p50"


@dataclass(frozen=True)
class Effort:
    """How much is measured.

    `sessions`: the most of a comparison; its looks beyond that are left out. `runs`: counts of
    requests in the usual way's block, each of which is reported. `rounds`: requests of each model
    for the true ratio.
    """

    blocks: int
    seconds: float
    warmup: int
    runs: tuple[int, ...]
    rounds: int
    sessions: int = LOOKS[-1]

    def options(self) -> dict[str, Value]:
        """The options of the evaluator `latency`."""
        return {
            "prompt_tokens": TOKENS,
            "batch": 1,
            "processes": 1,
            "blocks": self.blocks,
            "requests": 1,
            "seconds": self.seconds,
            "warmup": self.warmup,
        }


class Bench:
    """Chains on disk, and the processes to measure them in. Use as a context manager."""

    def __init__(self, effort: Effort, seed: int = 0) -> None:
        self.effort = effort
        self.seed = seed
        self._folder = tempfile.TemporaryDirectory()
        self._root = Path(self._folder.name)
        self._models: dict[str, Artifact] = {}
        self._workers = Workers(PRELOAD)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._workers.close()
        self._folder.cleanup()

    def truth(self, extra: float) -> Json:
        """The record of how much longer a chain with `extra` work really takes.

        By processor time on one thread, where none waits for another, and by the clock on all.
        """
        found: Json = {"part": "truth", "extra": extra}
        for name, threads in (("processor", 1), ("clock", None)):
            payload = {
                "models": [self._chain(e, threads).to_json() for e in (0.0, extra)],
                "options": self.effort.options(),
                "rounds": self.effort.rounds,
            }
            found[name] = round(self._run(WORK_JOB, payload)[name], 5)
        return found

    def pair(self, part: str, extra: float, number: int, *, load: bool) -> Json:
        """The record of one pair: a chain, and the same with `extra` work, compared both ways."""
        base, candidate = self._chain(0.0), self._chain(extra, copy=1)
        ways: dict[str, Callable[[], Json]] = {
            "ours": lambda: self._ours(base, candidate),
            "usual": lambda: self._usual(base, candidate, number),
        }
        # Every other quiet pair, and every other loaded one, starts with the usual way.
        order = list(ways) if number // 2 % 2 == 0 else list(reversed(ways))
        key: Json = {"part": part, "extra": extra, "number": number, "load": load}
        with loaded(self.seed + number if load else None):
            found = {name: ways[name]() for name in order}
        return {**key, "first": order[0], "machine_load": machine.load(), **found}

    def _chain(self, extra: float, threads: int | None = None, copy: int = 0) -> Artifact:
        """A chain in a folder of its own; one of the same work may have a second `copy`."""
        name = f"{extra} {threads} {copy}"
        if name not in self._models:
            self._models[name] = write_chain(self._root / name, extra, self.seed, threads)
        return self._models[name]

    def _ours(self, base: Artifact, candidate: Artifact) -> Json:
        payload = {
            "evaluator": "latency",
            "model": candidate.to_json(),
            "options": self.effort.options(),
            "data": None,
            "split": "dev",
            "reference": base.to_json(),
        }
        held: list[Measurement] = []

        def session(number: int) -> Measurement:
            held.append(Measurement.from_json(self._run(MEASURE_JOB, payload)))
            return held[-1]

        started = time.monotonic()
        looks = [look for look in LOOKS if look <= self.effort.sessions]
        found = compare(session, METRIC, STATISTIC, looks)
        seconds = time.monotonic() - started
        return {
            **_said(found.ratio, found.differ),
            "seconds": round(seconds, 3),
            "sessions": [_session(m) for m in held],
        }

    def _usual(self, base: Artifact, candidate: Artifact, number: int) -> Json:
        most = max(self.effort.runs)
        started = time.monotonic()
        blocks = []
        for model in (base, candidate):
            payload = {
                "model": model.to_json(),
                "options": self.effort.options(),
                "warmup": self.effort.warmup,
                "runs": most,
            }
            blocks.append(self._run(BLOCK_JOB, payload)["latency"])
        whole = time.monotonic() - started
        found: Json = {}
        for runs in self.effort.runs:
            first, second = (block[:runs] for block in blocks)
            seconds = whole - sum(sum(block[runs:]) for block in blocks)
            for centre in CENTRES:
                interval = ratio(first, second, centre, number)
                differ = not interval.low <= 1 <= interval.high
                said = {**_said(interval, differ), "seconds": round(seconds, 3)}
                found[f"{centre} of {runs}"] = said
        return found

    def _run(self, entry: str, payload: Mapping[str, object]) -> Json:
        job = Job(entry, dict(payload), self._root / "log.txt", exclusive=True)
        outcome = self._workers.run(job)
        if outcome.value is None:
            raise RuntimeError(f"{entry}: {outcome.failure}")
        return outcome.value


def plan(part: str, extras: tuple[float, ...], count: int) -> Iterator[tuple[float, int, bool]]:
    """(extra work, number, whether the machine is loaded) of every pair of a part.

    Every other pair of an A/A study is loaded, none of an A/B study.
    """
    for extra in extras:
        for number in range(count):
            yield extra, number, part == "aa" and number % 2 == 1


def _said(interval: Interval, differ: bool) -> Json:
    ends = {"ratio": interval.value, "low": interval.low, "high": interval.high}
    return {name: round(value, 5) for name, value in ends.items()} | {"differ": differ}


def _session(found: Measurement) -> Json:
    """What the machine's figures need: when, the anchor's level, the ratio of every block."""
    blocks = [statistics.median(block) for block in found.anchor[METRIC]]
    return {
        "at": round(float(found.conditions["measured_at"]), 1),
        "anchor": round(statistics.median(blocks), 7),
        "log_ratios": [round(x, 5) for x in log_ratios(found, METRIC, STATISTIC)],
        "disturbed": found.conditions["disturbed"],
    }
