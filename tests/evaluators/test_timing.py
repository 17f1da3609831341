"""Times out of sessions: by how much they are off, and how often their intervals hold the truth."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Sequence

import pytest

from evaluators.base import Measurement, NotEnoughSamples
from evaluators.statistics import STATISTICS
from evaluators.timing import Timeline, timing

TRUTH, ANCHOR = 0.050, 0.080
PROCESS, BLOCK, REQUEST = 0.04, 0.03, 0.02


class Machine:
    """One whose speed differs from session to session, alike for all that is measured in one."""

    def __init__(self, seed: int, drift: float) -> None:
        self.random = random.Random(seed)
        self.drift = drift
        self.clock = 0.0

    def session(
        self, value: float | None, anchor: float | None = ANCHOR, *, blocks: int = 4
    ) -> Measurement:
        """A session of a model beside the anchor; of the anchor alone where `value` is None."""
        self.clock += 150
        factors = [self.random.gauss(0, self.drift)] * blocks
        factors = [math.exp(f + self.random.gauss(0, self.drift / 2)) for f in factors]
        beside = {}
        if value is not None and anchor is not None:
            beside = {"latency": self.blocks(anchor, factors)}
        own = self.blocks(ANCHOR if value is None else value, factors)
        return Measurement({"latency": own}, (), {"measured_at": self.clock}, beside)

    def blocks(self, value: float, factors: Sequence[float]) -> list[list[float]]:
        process = value * math.exp(self.random.gauss(0, PROCESS))
        centres = [process * f * math.exp(self.random.gauss(0, BLOCK)) for f in factors]
        return [[c * math.exp(self.random.gauss(0, REQUEST)) for _ in range(5)] for c in centres]


def study(machine: Machine, *, candidates: int = 4, sessions: int = 3) -> Timeline:
    """What a study knows after its baseline and some candidates."""
    timeline = Timeline()
    for number in range(3):
        timeline.add("baseline", f"b{number}", machine.session(None))
    for candidate in range(candidates):
        for number in range(sessions):
            value = TRUTH * (1 + 0.1 * candidate)
            timeline.add(f"c{candidate}", f"{candidate}/{number}", machine.session(value))
    return timeline


@pytest.mark.parametrize("sessions", [1, 3, 6])
@pytest.mark.parametrize("drift", [0.0, 0.2])
def test_ratios_hold_the_truth_whatever_the_machine_does(sessions: int, drift: float) -> None:
    held = []
    for seed in range(400):
        machine = Machine(seed, drift)
        timeline = study(machine, candidates=2)
        ours = [machine.session(TRUTH) for _ in range(sessions)]
        for number, session in enumerate(ours):
            timeline.add("ours", str(number), session)
        found = timing(ours, "latency", "p50", timeline).ratio
        assert found is not None
        held.append(found.low <= TRUTH / ANCHOR <= found.high)
    assert statistics.fmean(held) >= 0.94


def test_times_hold_the_truth_while_the_machine_drifts() -> None:
    held, alone = [], []
    for seed in range(300):
        machine = Machine(seed, 0.08)
        timeline = study(machine)
        ours = [machine.session(TRUTH) for _ in range(2)]
        for number, session in enumerate(ours):
            timeline.add("ours", str(number), session)
        found = timing(ours, "latency", "p50", timeline).value
        held.append(found.low <= TRUTH <= found.high)
        raw = statistics.fmean(s for session in ours for b in session.samples["latency"] for s in b)
        alone.append(abs(math.log(raw / TRUTH)) - abs(math.log(found.value / TRUTH)))
    assert statistics.fmean(held) >= 0.94
    assert statistics.fmean(alone) > 0.01  # it is nearer to the truth than the raw times are


def test_more_sessions_narrow_the_interval() -> None:
    def width(sessions: int) -> float:
        found = []
        for seed in range(40):
            machine = Machine(seed, 0.1)
            timeline = study(machine)
            ours = [machine.session(TRUTH) for _ in range(sessions)]
            ratio = timing(ours, "latency", "p50", timeline).ratio
            assert ratio is not None
            found.append(ratio.high - ratio.low)
        return statistics.fmean(found)

    assert width(9) < 0.6 * width(3) < 0.6 * width(1)


def test_a_session_in_a_burst_widens_the_interval() -> None:
    machine = Machine(0, 0.0)
    timeline = study(machine)
    quiet = [machine.session(TRUTH) for _ in range(3)]
    burst = [*quiet[:2], machine.session(2 * TRUTH)]
    widths = []
    for sessions in (quiet, burst):
        ratio = timing(sessions, "latency", "p50", timeline).ratio
        assert ratio is not None
        widths.append(ratio.high / ratio.low)
    assert widths[1] > 1.5 * widths[0]


def test_the_baseline_is_its_own_measure() -> None:
    machine = Machine(1, 0.1)
    timeline = study(machine)
    found = timing(list(timeline.alone.values()), "latency", "p50", timeline)
    assert found.ratio is not None
    assert (found.ratio.low, found.ratio.value, found.ratio.high) == (1.0, 1.0, 1.0)
    assert found.value.low < ANCHOR < found.value.high


def test_a_model_without_a_baseline_has_a_time_and_no_ratio() -> None:
    sessions = [Machine(seed, 0.02).session(TRUTH, None) for seed in range(3)]
    found = timing(sessions, "latency", "p50", Timeline())
    assert found.ratio is None
    assert found.value.low < TRUTH < found.value.high
    assert found.samples == 60


def test_tails_hold_the_truth() -> None:
    spread = math.sqrt(PROCESS**2 + BLOCK**2 + REQUEST**2)
    truth = TRUTH * math.exp(spread * statistics.NormalDist().inv_cdf(0.95))
    held = []
    for seed in range(300):
        machine = Machine(seed, 0.0)
        timeline = study(machine, candidates=1)
        ours = [machine.session(TRUTH, blocks=6) for _ in range(3)]
        found = timing(ours, "latency", "p95", timeline).value
        held.append(found.low <= truth <= found.high)
    assert statistics.fmean(held) >= 0.94


def test_the_statistics_differ_as_they_should() -> None:
    measurement = Measurement({"latency": [[1.0, 1.0, 4.0], [1.0, 1.0, 4.0]]})

    def value(statistic: str) -> float:
        return timing([measurement] * 2, "latency", statistic, Timeline()).value.value

    assert value("p50") == pytest.approx(1.0)
    assert value("mean") == pytest.approx(2.0)
    assert value("min") == pytest.approx(1.0)


def test_every_declared_statistic_can_be_computed() -> None:
    machine = Machine(2, 0.05)
    sessions = [machine.session(TRUTH, blocks=20) for _ in range(3)]
    timeline = study(machine)
    for statistic in STATISTICS:
        found = timing(sessions, "latency", statistic, timeline).value
        assert 0 < found.low <= found.value <= found.high


def test_a_single_block_has_no_interval() -> None:
    with pytest.raises(NotEnoughSamples, match="2 blocks of samples or more, found 1"):
        timing([Measurement({"latency": [[1.0] * 100]})], "latency", "p50", Timeline())


def test_a_percentile_of_few_samples_is_refused() -> None:
    few = Measurement({"latency": [[1.0] * 29, [1.0] * 29]})
    with pytest.raises(NotEnoughSamples, match="p95 needs 59 samples or more, found 58"):
        timing([few], "latency", "p95", Timeline())


def test_the_same_session_counts_once() -> None:
    machine = Machine(3, 0.1)
    timeline = study(machine, candidates=1)
    before = timeline.level("latency", "p50")
    [(key, session), *_] = timeline.beside["c0"].items()
    timeline.add("c0", key, session)
    assert timeline.level("latency", "p50") == before


def test_a_percentile_has_no_ratio_of_the_centre_and_the_baselines_is_its_own() -> None:
    machine = Machine(4, 0.05)
    timeline = study(machine)
    ours = [machine.session(TRUTH, blocks=6) for _ in range(3)]
    assert timing(ours, "latency", "p95", timeline).ratio is None
    tail, centre = (timeline.anchor("latency", s) for s in ("p95", "p50"))
    assert tail is not None
    assert centre is not None
    assert tail.value > centre.value
    assert Timeline().anchor("latency", "p95") is None
    few = Timeline()
    few.add("baseline", "0", machine.session(None, blocks=2))
    assert few.anchor("latency", "p95") is None
