"""The study of measurement errors: that its truths are true, and a small part of what it finds."""

from __future__ import annotations

import json
import multiprocessing
import random
import statistics
import sys
import time
from pathlib import Path

import onnx
import psutil
import pytest

from evaluators.base import Json

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

import measurement  # found on the path set above
import measurement_chain
import measurement_simulation as simulation
from measurement_chain import write_chain
from measurement_load import loaded
from measurement_machine import between_windows, pooled
from measurement_pairs import Bench, Effort, plan
from measurement_usual import ratio


@pytest.fixture(scope="module")
def verdicts() -> list[Json]:
    """Of 8 studies of each kind."""
    studies = (simulation.study(kind, 0.05, n) for kind in simulation.KINDS for n in range(8))
    return [verdict for study in studies for verdict in study["verdicts"]]


def test_decided_verdicts_are_right_and_the_usual_way_is_wrong_more_often(
    verdicts: list[Json],
) -> None:
    wrong = sum(v["wrong"] for v in verdicts)
    assert wrong <= 0.02 * len(verdicts)
    assert sum(v["usual_wrong"] for v in verdicts) > 5 * max(1, wrong)


def test_verdicts_are_given_where_the_limit_is_not_near(verdicts: list[Json]) -> None:
    far = [v for v in verdicts if abs(v["ratio"] - 1) > 0.25]
    decided = [v for v in far if v["verdict"] != "undecided"]
    assert len(decided) > 0.9 * len(far) > 30


def test_what_is_near_the_limit_gets_more_sessions(verdicts: list[Json]) -> None:
    near, far = (
        [v["sessions"] for v in verdicts if (abs(v["ratio"] - 1) < 0.05) is near]
        for near in (True, False)
    )
    assert statistics.fmean(near) > 1.5 * statistics.fmean(far)


@pytest.mark.parametrize(("statistic", "share"), [("p50", 0.50), ("p95", 0.95), ("p99", 0.99)])
def test_simulated_latencies_have_the_percentiles_that_are_said_to_be_true(
    statistic: str, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(simulation, "BURST_EVERY", 1e12)
    machine = simulation.Machine(random.Random(1), drift_sd=0.0)
    models = [simulation.Model(machine, 0.5) for _ in range(2000)]
    taken = [model.request() for model in models for _ in range(10)]
    below = statistics.fmean(t < 0.5 * simulation.TRUE[statistic] for t in taken)
    assert below == pytest.approx(share, abs=0.012)


def test_a_simulated_machine_drifts_by_as_much_as_it_is_told() -> None:
    machine = simulation.Machine(random.Random(1), drift_sd=0.05)
    factors = []
    for _ in range(4000):
        machine.wait(120)
        factors.append(machine.factor())
    undisturbed = [f for f in factors if f < 1.25]
    assert statistics.stdev(undisturbed) == pytest.approx(0.05, abs=0.005)
    assert 0.01 < sum(f > 1.25 for f in factors) / len(factors) < 0.1


def test_p99_of_too_few_samples_is_refused_with_what_it_needs() -> None:
    assert "p99 needs 299 samples or more" in simulation.refusal()


def test_the_usual_way_takes_noise_for_a_difference() -> None:
    rng = random.Random(3)
    differ = 0
    for seed in range(40):  # two processes whose levels differ by 5 % or so: the same model
        first, second = ([rng.gauss(level, 0.02) for _ in range(50)] for level in _levels(rng))
        found = ratio(first, second, "median", seed)
        differ += not found.low <= 1 <= found.high
    assert differ > 20
    same = ratio([1.0, 1.1, 1.2] * 9, [1.2, 1.0, 1.1] * 9, "mean", 0)
    assert same.low < 1 < same.high


def _levels(rng: random.Random) -> tuple[float, float]:
    return rng.gauss(1, 0.05), rng.gauss(1, 0.05)


def test_chains_of_one_seed_differ_by_their_extra_layers_alone(tmp_path: Path) -> None:
    for name, extra in (("base", 0.0), ("same", 0.0), ("slower", 0.05)):
        write_chain(tmp_path / name, extra, seed=1)
    base, same, slower = (tmp_path / n / "model.onnx" for n in ("base", "same", "slower"))
    assert base.read_bytes() == same.read_bytes()
    products = [
        sum(node.op_type == "Tanh" for node in onnx.load(path).graph.node)
        for path in (base, slower)
    ]
    assert products == [100, 105]


def test_a_pair_is_compared_both_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measurement_chain, "LAYERS", 20)
    effort = Effort(blocks=2, seconds=0.02, warmup=2, runs=(20, 10), rounds=20)
    with Bench(effort) as bench:
        record = bench.pair("ab", 3.0, 0, load=False)
        truth = bench.truth(3.0)
    assert truth["processor"] == pytest.approx(4, rel=0.3)
    assert record["ours"]["ratio"] > 1.5
    assert len(record["ours"]["sessions"]) >= 3
    assert list(record["usual"]) == ["median of 20", "mean of 20", "median of 10", "mean of 10"]
    assert record["usual"]["median of 20"]["ratio"] > 1.5
    assert record == json.loads(json.dumps(record))


def test_the_load_computes_meanwhile_and_is_gone_afterwards() -> None:
    others = set(multiprocessing.active_children())
    with loaded(seed=1):
        (process,) = set(multiprocessing.active_children()) - others
        computed = psutil.Process(process.pid)
        until = time.monotonic() + 20
        while sum(computed.cpu_times()[:2]) < 0.3 and time.monotonic() < until:
            time.sleep(0.05)
        assert sum(computed.cpu_times()[:2]) >= 0.3
    assert not computed.is_running()
    with loaded(None):
        assert set(multiprocessing.active_children()) <= others


def test_half_of_the_equal_pairs_are_loaded_and_none_of_the_others() -> None:
    assert [load for _, _, load in plan("aa", (0.0,), 4)] == [False, True, False, True]
    assert not any(load for _, _, load in plan("ab", (0.05, 0.03), 4))


def test_a_killed_run_is_resumed_and_other_parts_are_kept(tmp_path: Path) -> None:
    output = tmp_path / "m.md"
    records = output.with_suffix(".jsonl")
    arguments = ["--part", "verdicts", "--studies", "1", "--output", str(output)]
    measurement.main(arguments)
    whole = records.read_text().splitlines()
    kept = {"part": "aa", "extra": 0.0, "number": 0}
    # As a kill leaves it: a line is cut short. The last start is in there too.
    records.write_text("\n".join([*whole[:-1], whole[-1][:40]]))
    measurement.main([*arguments, "--resume"])
    again = [json.loads(line) for line in records.read_text().splitlines()]
    studies = [r for r in again if r["part"] == "verdicts"]
    assert studies == [r for r in map(json.loads, whole) if r["part"] == "verdicts"]
    assert "wrong" in output.read_text()
    measurement.Records(records, ["aa"]).add(kept)
    assert measurement.Records(records, ["verdicts"]).has(**kept)
    assert not measurement.Records(records, ["aa"]).has(part="aa")


def test_pairs_that_were_measured_otherwise_are_not_continued(tmp_path: Path) -> None:
    output = tmp_path / "m.md"
    arguments = ["--part", "verdicts", "--studies", "1", "--output", str(output)]
    measurement.main(arguments)
    measurement.main([*arguments, "--resume", "--blocks", "6"])  # there are no pairs yet
    measurement.Records(output.with_suffix(".jsonl"), []).add(_pair("aa", 0.0, 0, differ=False))
    with pytest.raises(SystemExit, match="give the same options"):
        measurement.main([*arguments, "--resume", "--blocks", "5"])


def test_the_page_counts_what_the_records_say(tmp_path: Path) -> None:
    records = measurement.Records(tmp_path / "m.jsonl", [])
    for number in range(4):
        records.add(_pair("aa", 0.0, number, differ=number == 3))
        records.add(_pair("ab", 0.05, number, differ=number < 3))
    records.add({"part": "truth", "extra": 0.05, "processor": 1.049, "clock": 1.051})
    measurement.main(["--part", "--output", str(tmp_path / "m.md")])
    page = (tmp_path / "m.md").read_text()
    assert "| ours | 1 of 4 [5%, 70%] | 0 of 2 [0%, 66%] | 1 of 2 [9%, 91%] |" in page
    assert "| 5% | ours | 4 of 4 [51%, 100%] | 3 of 4 [30%, 95%] | 0 of 4 [0%, 49%] |" in page
    assert "4.9% more processor time" in page


def _pair(part: str, extra: float, number: int, *, differ: bool) -> Json:
    way = {"ratio": 1.04, "low": 1.01, "high": 1.07, "differ": differ, "seconds": 2.0}
    session = {"at": 100.0 * number, "anchor": 0.01, "log_ratios": [0.0, 0.02], "disturbed": 0}
    return {
        "part": part,
        "extra": extra,
        "number": number,
        "load": number % 2 == 1,
        "ours": {**way, "sessions": [session, session]},
        "usual": {"median of 20": way},
    }


def test_spreads_within_groups_leave_out_what_groups_differ_by() -> None:
    assert pooled([[0.0, 2.0], [10.0, 12.0], [5.0]]) == pytest.approx(2**0.5)
    assert pooled([[1.0]]) is None


def test_the_drift_is_between_windows_of_time() -> None:
    def at(seconds: float, anchor: float) -> Json:
        return {"at": seconds, "anchor": anchor}

    held = [[at(0, 1.0), at(60, 1.0)], [at(130, 1.1), at(200, 1.1)]]
    assert between_windows(held) == pytest.approx(0.0674, abs=1e-3)
    assert between_windows(held[:1]) is None
