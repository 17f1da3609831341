"""Reading energy counters: a tree of files as the kernel's, which a process lets grow with time."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from evaluators import energy_counters
from evaluators.base import Artifact, Measurement, MeasurementError
from evaluators.energy import Energy

# A process of its own: a thread would wait for what is measured, and the counters with it.
METER = """
import json, os, sys, time
zones, started = json.loads(sys.argv[1]), time.perf_counter()
while True:
    seconds = time.perf_counter() - started
    for path, watts, wraps in zones:
        with open(path + "/next", "w") as file:
            file.write(f"{round(watts * seconds % wraps * 1e6)}\\n")
        os.replace(path + "/next", path + "/energy_uj")
    time.sleep(0.0005)
"""
OPTIONS: dict[str, Any] = {
    "prompt_tokens": 8,
    "new_tokens": 3,
    "batch": 1,
    "processes": 2,
    "blocks": 3,
    "seconds": 0.1,
    "warmup": 2,
}

Zone = Callable[..., Path]


@pytest.fixture
def zone(tmp_path: Path) -> Zone:
    """Makes a zone of a power-capping tree in `tmp_path`."""

    def make(folder: str, name: str, joules: float = 1.0, wraps: float = 262143.0) -> Path:
        path = tmp_path / folder
        path.mkdir()
        (path / "name").write_text(f"{name}\n")
        (path / "max_energy_range_uj").write_text(f"{round(wraps * 1e6)}\n")
        show(path, joules)
        return path

    return make


def show(path: Path, joules: float) -> None:
    """Let a zone's counter show so many joules, in one step, as the kernel's does."""
    (path / "next").write_text(f"{round(joules * 1e6)}\n")
    (path / "next").replace(path / "energy_uj")


@pytest.fixture
def growing(zone: Zone, tmp_path: Path) -> Iterator[Path]:
    """A tree whose package draws 40 W and wraps every 20 J, and whose memory draws 10 W."""
    package = zone("intel-rapl:0", "package-0", wraps=20.0)
    zones = [(str(package), 40.0, 20.0), (str(zone("intel-rapl:0:2", "dram")), 10.0, 1e9)]
    meter = subprocess.Popen([sys.executable, "-c", METER, json.dumps(zones)])
    while (package / "energy_uj").read_text() == "1000000\n":
        assert meter.poll() is None
        time.sleep(0.001)
    yield tmp_path
    meter.kill()
    meter.wait()


@pytest.fixture
def measured(growing: Path, tiny_genai: Path) -> Measurement:
    # 0.6 s in all: the package's counter, which wraps every 0.5 s, does so meanwhile.
    return Energy(growing).measure(Artifact("genai", tiny_genai), OPTIONS, None, "dev")


def test_energy_is_power_times_time(measured: Measurement) -> None:
    phases = measured.conditions["blocks"] + measured.conditions["idle"]
    joules, seconds = (sum(p[key] for p in phases) for key in ("joules", "seconds"))
    assert joules == pytest.approx(50.0 * seconds, rel=0.3)  # the meter may be late at both ends
    package, memory = (sum(p["by_counter"][c] for p in phases) for c in phases[0]["by_counter"])
    assert package + memory == pytest.approx(joules)
    assert package == pytest.approx(4 * memory, rel=0.3)


def test_a_sample_is_a_block_s_energy_for_each_of_its_requests(measured: Measurement) -> None:
    blocks = measured.conditions["blocks"]
    assert len(blocks) == 3
    expected = [[block["joules"] / block["requests"]] for block in blocks]
    assert measured.samples["energy"] == expected
    assert all(block["requests"] > 1 for block in blocks)


def test_idle_power_and_what_is_above_it_are_kept(measured: Measurement) -> None:
    conditions = measured.conditions
    assert [block["requests"] for block in conditions["idle"]] == [0, 0, 0]
    joules, seconds = (sum(b[key] for b in conditions["idle"]) for key in ("joules", "seconds"))
    assert conditions["idle_watts"] == pytest.approx(joules / seconds)
    whole, busy, requests = (
        sum(b[key] for b in conditions["blocks"]) for key in ("joules", "seconds", "requests")
    )
    above = (whole - joules / seconds * busy) / requests
    assert conditions["above_idle"] == pytest.approx(above)
    assert conditions["counters"] == ["package-0 (intel-rapl:0)", "dram (intel-rapl:0:2)"]
    assert json.loads(json.dumps(conditions)) == conditions


def test_the_interval_covers_both_processes(measured: Measurement) -> None:
    other = Measurement(
        {"energy": [[2 * x for x in block] for block in measured.samples["energy"]]}
    )
    found = Energy().summarise([measured, other], OPTIONS, "energy", None)
    assert found.low < found.value < found.high
    assert found.unit == "J"
    assert found.samples == 6
    assert found.high > 2 * found.low


def test_a_counter_that_wraps_goes_on(zone: Zone, tmp_path: Path) -> None:
    path = zone("intel-rapl:0", "package-0", joules=99.5, wraps=100.0)
    [counter] = energy_counters.counters(tmp_path)
    before = counter.read()
    show(path, 1.25)
    assert counter.drawn(before, counter.read()) == pytest.approx(1.75)
    show(path, 50.0)
    assert counter.drawn(1.25, counter.read()) == pytest.approx(48.75)


def test_a_counter_that_was_reset_is_no_number() -> None:
    counter = energy_counters.Counter("gpu-0", lambda: 0.0)
    with pytest.raises(MeasurementError, match="gpu-0 went back"):
        counter.drawn(5.0, 4.0)


def test_nothing_is_counted_twice(zone: Zone, tmp_path: Path) -> None:
    for folder, name in (
        ("intel-rapl:0", "package-0"),
        ("intel-rapl:0:0", "core"),
        ("intel-rapl:0:1", "uncore"),
        ("intel-rapl:0:2", "dram"),
        ("intel-rapl:1", "package-1"),
        ("intel-rapl:1:2", "dram"),
        ("intel-rapl:2", "psys"),
        ("intel-rapl-mmio:0", "package-0"),
    ):
        zone(folder, name)
    (tmp_path / "intel-rapl").mkdir()
    found = [counter.name for counter in energy_counters.counters(tmp_path)]
    assert found == [
        "package-0 (intel-rapl:0)",
        "dram (intel-rapl:0:2)",
        "package-1 (intel-rapl:1)",
        "dram (intel-rapl:1:2)",
    ]


def test_a_machine_that_counts_nothing_says_so(tmp_path: Path, tiny_genai: Path) -> None:
    reason = energy_counters.unavailable(tmp_path / "none")
    assert reason is not None
    assert "reports no energy: there is no intel-rapl zone in" in reason
    with pytest.raises(MeasurementError, match="energy cannot be measured here: this machine"):
        Energy(tmp_path).measure(Artifact("genai", tiny_genai), OPTIONS, None, "dev")


def test_counters_that_may_not_be_read_say_whose_permission_is_missing(
    zone: Zone, tmp_path: Path
) -> None:
    path = zone("intel-rapl:0", "package-0") / "energy_uj"
    assert energy_counters.unavailable(tmp_path) is None
    path.unlink()
    path.mkdir()  # cannot be read, for root neither
    reason = energy_counters.unavailable(tmp_path)
    assert reason is not None
    assert "ask for read permission of" in reason
    assert str(path) in reason
