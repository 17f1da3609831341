"""Sessions with real processes: what is asked of them, in which order, and what goes wrong."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from evaluators.base import Artifact, DeadModel, Json, MeasurementError
from evaluators.sessions import (
    DISTURBED,
    Block,
    SessionPlan,
    alternate,
    hold,
    least_disturbed,
    samples_of,
)

PLAN = SessionPlan(blocks=4, requests=3, seconds=0.0, warmup=2)


class Counter:
    """Writes down who was asked, and when."""

    def __init__(self, model: Artifact) -> None:
        self._name = model.path.name
        self._log = model.path.parent / "log.txt"

    def request(self) -> Mapping[str, float]:
        with self._log.open("a") as file:
            file.write(f"{self._name} {os.getpid()}\n")
        return {"latency": {"slow": 2.0, "quick": 1.0}[self._name]}

    def conditions(self) -> Json:
        return {"name": self._name}


def artifacts(folder: Path) -> tuple[Artifact, Artifact]:
    return Artifact("toy", folder / "quick"), Artifact("toy", folder / "slow")


def test_blocks_alternate_in_the_order_abba_and_each_model_has_a_process(tmp_path: Path) -> None:
    model, anchor = artifacts(tmp_path)
    found = hold(Counter, model, anchor, PLAN)
    assert found.samples == {"latency": [[1.0] * 3] * 4}
    assert found.anchor == {"latency": [[2.0]] * 4}
    assert (found.conditions["name"], found.conditions["baseline"]["name"]) == ("quick", "slow")
    lines = [line.split() for line in (tmp_path / "log.txt").read_text().splitlines()]
    names = [name for name, _ in lines][4:]  # after the warm-up of both
    assert names[:8] == [*["quick"] * 3, "slow", "slow", *["quick"] * 3]
    processes = {name: {pid for n, pid in lines if n == name} for name in ("quick", "slow")}
    assert [len(pids) for pids in processes.values()] == [1, 1]
    assert str(os.getpid()) not in processes["quick"] | processes["slow"]


def test_without_an_anchor_the_model_is_measured_alone(tmp_path: Path) -> None:
    model, _ = artifacts(tmp_path)
    found = hold(Counter, model, None, PLAN)
    assert found.samples == {"latency": [[1.0] * 3] * 4}
    assert found.anchor == {}


def test_a_block_lasts_as_long_as_it_should(tmp_path: Path) -> None:
    model, _ = artifacts(tmp_path)
    found = hold(Counter, model, None, SessionPlan(2, 1, 0.05, 1))
    assert all(block["seconds"][0] >= 0.05 for block in found.conditions["blocks"])
    assert all(len(block) > 1 for block in found.samples["latency"])


@pytest.mark.parametrize("kind", [MeasurementError, DeadModel])
def test_a_model_that_cannot_be_loaded_is_said_and_leaves_nothing(
    tmp_path: Path, kind: type[MeasurementError]
) -> None:
    model, anchor = artifacts(tmp_path)

    def open_or_fail(artifact: Artifact) -> Counter:
        if artifact == anchor:
            raise kind("it is broken")
        return Counter(artifact)

    before = children()
    with pytest.raises(kind, match="the baseline beside it: it is broken"):
        hold(open_or_fail, model, anchor, PLAN)
    with pytest.raises(kind, match=r"^it is broken"):
        hold(open_or_fail, anchor, model, PLAN)
    assert children() == before


def test_a_model_whose_process_ends_is_said(tmp_path: Path) -> None:
    class Fatal(Counter):
        def request(self) -> Mapping[str, float]:
            os._exit(3)

    model, _ = artifacts(tmp_path)
    with pytest.raises(MeasurementError, match="ended with code 3"):
        hold(Fatal, model, None, PLAN)


class Scripted:
    """A player without a process; every block takes no time."""

    def ask(self, *question: object) -> Block:
        return Block({"latency": [1.0] * 3}, 0.0, 0.0)


def test_pairs_beside_a_slow_kernel_are_repeated() -> None:
    kernel = iter([1.0, 1.0, *[1.0, 1.0], *[1.0, 3.0], *[1.0, 1.0], *[1.0] * 20])
    pairs = alternate([Scripted(), Scripted()], PLAN, lambda: next(kernel))
    # The slow kernel ends the second pair, and begins the third.
    assert [pair.disturbance > DISTURBED for pair in pairs] == [0, 1, 1, 0, 0, 0]
    kept = least_disturbed(pairs, 4)
    assert [pairs.index(pair) for pair in kept] == [0, 3, 4, 5] or len(kept) == 4
    assert all(pair.disturbance <= DISTURBED for pair in kept)
    assert len(samples_of(kept, 1)["latency"]) == 4


def test_on_a_machine_that_is_never_quiet_the_quietest_pairs_count() -> None:
    noise = iter([1.0, 1.0, *[2.0 + 0.1 * (i % 7) for i in range(40)]])
    pairs = alternate([Scripted()], PLAN, lambda: next(noise))
    assert len(pairs) == 2 * PLAN.blocks
    kept = least_disturbed(pairs, 4)
    worst = max(pair.disturbance for pair in kept)
    assert sum(pair.disturbance < worst for pair in pairs) <= 4


def children() -> set[int]:
    time.sleep(0.05)
    return {
        int(path.name)
        for path in Path("/proc").iterdir()
        if path.name.isdigit() and _parent(path) == os.getpid()
    }


def _parent(path: Path) -> int:
    try:
        return int((path / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0
