"""Verdicts against truth: a simulated machine whose latencies have known percentiles.

A study's worth of candidates is measured on it by the very code of the program: `alternate` and
`least_disturbed` make sessions, `timing` estimates, `judge` decides, `next_look` asks for more.
Beside each verdict stands that of the usual way. Knows nothing of real models.

A request takes base x process x autocorrelated noise x a rare long tail, all times the machine's
drift (a mean-reverting walk) and, now and then, a burst of foreign work. What a statistic of a
candidate truly is, is what it is on the machine at large: over all processes, without the bursts,
at the middle of the drift.
"""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from evaluators.base import Estimate, Json, Measurement, NotEnoughSamples
from evaluators.sessions import Block, SessionPlan, alternate, least_disturbed, samples_of
from evaluators.statistics import QUANTILES
from evaluators.timing import Timeline, timing
from evaluators.verdicts import Verdict, judge
from search_spaces.constraints import Constraint, Limit, Operator
from tuner.search.judging import next_look

PROCESS_SD, NOISE_SD, CORRELATION = 0.03, 0.03, 0.7
TAIL_SHARE, TAIL_MEAN = 0.02, 0.3
DRIFT_SECONDS = 120.0
BURST_EVERY = 30.0  # seconds between bursts, on average
KERNEL = 0.004

ANCHOR, LIMIT = 0.2, 0.1  # seconds
CANDIDATES, PROCESSES = 14, 3
NEAR_FRONT = 0.3  # of the candidates that may fit, so many are near the front too
USUAL_RUNS = 15
METRIC = "latency"


@dataclass(frozen=True)
class Kind:
    """What is asked of the candidates: the statistic, and whether the limit is relative."""

    statistic: str
    relative: bool
    requests: int  # of a block

    def __str__(self) -> str:
        return f"{self.statistic}, relative" if self.relative else self.statistic

    def constraint(self) -> Constraint:
        """Below LIMIT seconds, or below the same share of the baseline."""
        limit = Limit(0.0, LIMIT / ANCHOR) if self.relative else Limit(LIMIT, 0.0)
        return Constraint(str(self), METRIC, self.statistic, Operator.LT, limit)

    def base(self, ratio: float) -> float:
        """The base of a candidate whose true statistic is `ratio` times the limit."""
        return LIMIT * ratio / (1.0 if self.relative else TRUE[self.statistic])


KINDS = (Kind("p50", False, 3), Kind("p95", False, 16), Kind("p50", True, 3))


def true_quantile(share: float) -> float:
    """The quantile of latencies of base 1, over all processes, by bisection on the distribution."""
    low, high = 0.5, 10.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _below(middle) < share else (low, middle)
    return (low + high) / 2


def _below(value: float) -> float:
    """P(latency <= value): a log-normal part, and with the tail's share a longer one."""
    normal = statistics.NormalDist(0.0, math.hypot(PROCESS_SD, NOISE_SD))
    steps = 2000
    # The tail adds an exponential share; its quantiles at equal steps stand for it.
    added = (-TAIL_MEAN * math.log(1 - (i + 0.5) / steps) for i in range(steps))
    tail = sum(normal.cdf(math.log(value / (1 + a))) for a in added) / steps
    return (1 - TAIL_SHARE) * normal.cdf(math.log(value)) + TAIL_SHARE * tail


TRUE = {"p50": true_quantile(0.5)} | {name: true_quantile(q) for name, q in QUANTILES.items()}
"""Statistic -> what it truly is of a candidate of base 1."""


@dataclass
class Machine:
    """A clock, and how much slower than usual everything is at its time."""

    rng: random.Random
    drift_sd: float
    now: float = 0.0
    _drift: float = field(init=False)
    _burst: tuple[float, float, float] = field(init=False)  # from, until, how much slower

    def __post_init__(self) -> None:
        self._drift = self.rng.gauss(0, self.drift_sd)
        self._burst = self._burst_after(0.0)

    def factor(self) -> float:
        """How many times its usual time anything takes now."""
        while self.now >= self._burst[1]:
            self._burst = self._burst_after(self._burst[1])
        start, _, slower = self._burst
        return math.exp(self._drift) * (slower if self.now >= start else 1.0)

    def wait(self, seconds: float) -> None:
        """Let the time pass."""
        self.now += seconds
        kept = math.exp(-seconds / DRIFT_SECONDS)
        sd = self.drift_sd * math.sqrt(1 - kept * kept)
        self._drift = self._drift * kept + self.rng.gauss(0, sd)

    def kernel(self) -> float:
        """Run the calibration kernel."""
        seconds = KERNEL * math.exp(self.rng.gauss(0, 0.02)) * self.factor()
        self.wait(seconds)
        return seconds

    def _burst_after(self, time: float) -> tuple[float, float, float]:
        start = time + self.rng.expovariate(1 / BURST_EVERY)
        return start, start + self.rng.uniform(0.2, 4), self.rng.uniform(1.3, 3)


class Model:
    """A model in a process of its own: a `Player`."""

    def __init__(self, machine: Machine, base: float) -> None:
        self._machine = machine
        self._usual = base * math.exp(machine.rng.gauss(0, PROCESS_SD))
        self._noise = machine.rng.gauss(0, NOISE_SD)

    def request(self) -> float:
        """Seconds of one request."""
        rng = self._machine.rng
        fresh = NOISE_SD * math.sqrt(1 - CORRELATION**2)
        self._noise = CORRELATION * self._noise + rng.gauss(0, fresh)
        tail = rng.expovariate(1 / TAIL_MEAN) if rng.random() < TAIL_SHARE else 0.0
        seconds = self._usual * math.exp(self._noise) * (1 + tail) * self._machine.factor()
        self._machine.wait(seconds)
        return seconds

    def ask(self, *question: Any) -> Block:
        """The answer to ("block", seconds, requests)."""
        _, seconds, _ = question
        taken = [self.request()]
        while sum(taken) < seconds:
            taken.append(self.request())
        return Block({METRIC: taken}, sum(taken), 0.0)


def session(
    machine: Machine, base: float, anchor: float | None, session_plan: SessionPlan
) -> Measurement:
    """What `hold` would measure of a model beside the anchor, or alone."""
    machine.wait(machine.rng.uniform(0.5, 3))  # loading
    models = [Model(machine, base)] + ([] if anchor is None else [Model(machine, anchor)])
    kept = least_disturbed(alternate(models, session_plan, machine.kernel), session_plan.blocks)
    beside = {} if anchor is None else samples_of(kept, 1)
    return Measurement(samples_of(kept, 0), conditions={"measured_at": machine.now}, anchor=beside)


@dataclass
class Study:
    """Candidates of one kind on one machine, each judged as the tuner would, and the usual way."""

    kind: Kind
    machine: Machine

    def __post_init__(self) -> None:
        self._plan = SessionPlan(4, self.kind.requests, 0.1, 10)
        self._timeline = Timeline()
        alone = [session(self.machine, ANCHOR, None, self._plan) for _ in range(PROCESSES)]
        for number, found in enumerate(alone):
            self._timeline.add("baseline", f"baseline {number}", found)
        self._baseline = self._estimate(alone)
        self._usual_limit = LIMIT
        if self.kind.relative:
            self._usual_limit = self._usual(ANCHOR) * LIMIT / ANCHOR

    def run(self) -> list[Json]:
        """A record of every candidate. The true ratio to the limit is within 8 % for half."""
        found = []
        for number in range(CANDIDATES):
            spread = self.machine.rng.choice((0.5, 0.08))
            ratio = math.exp(self.machine.rng.uniform(-spread, spread))
            verdict, sessions = self._judged(number, self.kind.base(ratio))
            usual = self._usual(self.kind.base(ratio)) < self._usual_limit
            decided = verdict is not Verdict.UNDECIDED
            found.append(
                {
                    "ratio": round(ratio, 4),
                    "verdict": str(verdict),
                    "wrong": decided and (verdict is Verdict.FEASIBLE) != (ratio < 1),
                    "sessions": sessions,
                    "usual_wrong": usual != (ratio < 1),
                }
            )
            self.machine.wait(self.machine.rng.uniform(2, 40))  # building the next one
        return found

    def _judged(self, number: int, base: float) -> tuple[Verdict, int]:
        """The last verdict on a candidate, and the sessions that it took."""
        held: list[Measurement] = []
        look = 1
        while look:
            while len(held) < look:
                held.append(session(self.machine, base, ANCHOR, self._plan))
                self._timeline.add(f"{number}", f"{number}/{len(held)}", held[-1])
            verdict = judge(self.kind.constraint(), self._estimate(held), self._baseline).verdict
            undecided = verdict is Verdict.UNDECIDED
            near = verdict is not Verdict.INFEASIBLE and self.machine.rng.random() < NEAR_FRONT
            look = next_look(len(held), PROCESSES, undecided=undecided, near_front=near)
        return verdict, len(held)

    def _estimate(self, held: Sequence[Measurement]) -> Estimate:
        found = timing(held, METRIC, self.kind.statistic, self._timeline)
        value = found.value
        ends = (value.value, value.low, value.high)
        return Estimate(METRIC, self.kind.statistic, *ends, "s", found.samples, found.ratio)

    def _usual(self, base: float) -> float:
        """The statistic of one block of runs in one process."""
        model = Model(self.machine, base)
        taken = sorted(model.request() for _ in range(USUAL_RUNS))
        if self.kind.statistic == "p50":
            return statistics.median(taken)
        rank = math.ceil(QUANTILES[self.kind.statistic] * USUAL_RUNS)
        return taken[rank - 1]


def study(kind: Kind, drift: float, seed: int) -> Json:
    """The record of one simulated study."""
    machine = Machine(random.Random(f"{kind} {drift} {seed}"), drift)
    key = {"part": "verdicts", "kind": str(kind), "drift": drift, "number": seed}
    return {**key, "verdicts": Study(kind, machine).run()}


def refusal() -> str:
    """What is said of p99 after one session of 4 blocks of 16 requests."""
    machine = Machine(random.Random(0), 0.0)
    held = [session(machine, LIMIT, ANCHOR, SessionPlan(4, 16, 0.1, 10))]
    timeline = Timeline()
    timeline.add("0", "0/1", held[0])
    try:
        timing(held, METRIC, "p99", timeline)
    except NotEnoughSamples as error:
        return str(error)
    raise AssertionError("p99 of 64 samples was given a number")
