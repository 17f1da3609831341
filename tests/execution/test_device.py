"""One measurement has the device at a time, whoever asks for it; other jobs give way and go on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from process_looks import PATIENCE, descendants_of, is_alive, kill, marked, stat_of, wait_until

from tuner.execution.device import LOOK, Device
from tuner.execution.job import Job, Outcome, Reason
from tuner.execution.workers import Workers

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="worker processes need Linux")

HERE = str(Path(__file__).parent)

COMMAND = """
import json, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from tuner.execution.job import Job
from tuner.execution.workers import Workers
with Workers() as workers:
    for entry, payload, limits in json.loads(sys.argv[3]):
        outcome = workers.run(Job("worker_jobs:" + entry, payload, Path(sys.argv[2]), **limits))
        failure = outcome.failure and outcome.failure.message
        took = [outcome.seconds, outcome.waited, outcome.paused]
        print(json.dumps([outcome.value, failure, took]), flush=True)
"""

ENDLESS = 10**9


@dataclass
class Command:
    """A coordinator in a process of its own. `mark`: in the environment of all its processes."""

    process: subprocess.Popen[str]
    mark: str

    def results(self) -> list[tuple[Any, str | None, dict[str, float]]]:
        """Of each of its jobs the value, the failure's message, and what it took."""
        output, _ = self.process.communicate(timeout=3 * PATIENCE)
        lines = [json.loads(line) for line in output.splitlines()]
        names = ("seconds", "waited", "paused")
        return [(value, told, dict(zip(names, took, strict=True))) for value, told, took in lines]

    def kill(self) -> None:
        """As `kill -9` does."""
        self.process.kill()
        self.process.wait()


class Bench:
    """Where commands train and measure on one device."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.counters = [folder / f"counter{i}" for i in range(3)]
        self.commands: list[Command] = []

    def train(self, steps: int = ENDLESS, **limits: Any) -> tuple[str, dict[str, Any], Any]:
        """A job whose processes count, each in its file."""
        return "train", {"counters": self._paths, "steps": steps}, limits

    def measure(self, seconds: float, name: str = "m") -> tuple[str, dict[str, Any], Any]:
        """A job that reads the counters at its start and at its end."""
        payload = {"counters": self._paths, "seconds": seconds}
        payload["started"] = str(self.folder / f"{name}.started")
        return "measure", payload, {"exclusive": True}

    def measure_when_told(self, seconds: float) -> Callable[[], None]:
        """A command that measures as soon as the function returned here is called."""
        ready, told = self.folder / "ready", self.folder / "told"
        wait = {"ready": str(ready), "file": str(told)}
        self.start(("wait_for", wait, {}), self.measure(seconds))
        wait_until(ready.exists)
        return told.touch

    def start(self, *jobs: tuple[str, dict[str, Any], Any]) -> Command:
        """A command that runs these jobs one after another."""
        mark = uuid.uuid4().hex
        log = str(self.folder / f"{mark}.txt")
        arguments = [sys.executable, "-c", COMMAND, HERE, log, json.dumps(jobs)]
        environment = os.environ | {"TEST_MARK": mark}
        process = subprocess.Popen(arguments, env=environment, stdout=subprocess.PIPE, text=True)
        self.commands.append(Command(process, mark))
        return self.commands[-1]

    def started(self, name: str = "m") -> int:
        """Wait until a measurement runs; its process."""
        file = self.folder / f"{name}.started"
        wait_until(lambda: file.exists() and file.read_text() != "")
        return int(file.read_text())

    def counts(self) -> list[int]:
        """How far the processes of `train` have come."""
        return [int.from_bytes(c.read_bytes(), "big") if c.exists() else 0 for c in self.counters]

    def wait_for_steps(self, steps: int = 20) -> None:
        """Wait until all of them have come that much further."""
        before = self.counts()
        wait_until(lambda: all(b - a >= steps for a, b in zip(before, self.counts(), strict=True)))

    @property
    def _paths(self) -> list[str]:
        return [str(c) for c in self.counters]


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setenv("TUNER_DEVICE_LOCK", str(tmp_path / "locks"))
    bench = Bench(tmp_path)
    yield bench
    for command in bench.commands:
        command.process.kill()
        command.process.communicate()


# Jobs of several commands


def test_training_stands_still_while_another_command_measures_and_goes_on_after_it(
    bench: Bench,
) -> None:
    bench.start(bench.train())
    bench.wait_for_steps()
    ((value, failure, took),) = bench.start(bench.measure(0.5)).results()
    assert failure is None
    assert len(value["before"]) == 3
    assert min(value["before"]) > 0
    assert value["after"] == value["before"]
    assert took["paused"] == 0
    bench.wait_for_steps()


def test_training_begins_after_a_measurement_that_runs(bench: Bench) -> None:
    measurer = bench.start(bench.measure(1.0))
    bench.started()
    ((_, failure, took),) = bench.start(bench.train(5)).results()
    ((value, _, _),) = measurer.results()
    assert failure is None
    assert value["after"] == []
    assert took["waited"] > 0
    assert took["paused"] == 0


def test_two_measurements_never_run_at_once(bench: Bench) -> None:
    jobs = [bench.measure(0.05, "a")] * 5
    commands = [bench.start(*jobs) for _ in range(3)]
    spans = sorted(value["span"] for c in commands for value, _, _ in c.results())
    assert len(spans) == 15
    assert all(end <= start for (_, end), (start, _) in pairwise(spans))


def test_training_goes_on_when_the_measuring_command_is_killed(bench: Bench) -> None:
    bench.start(bench.train())
    bench.wait_for_steps()
    measurer = bench.start(bench.measure(60))
    bench.started()
    before = bench.counts()
    time.sleep(0.2)
    assert bench.counts() == before
    measurer.kill()
    bench.wait_for_steps()


def test_nothing_outlives_a_killed_command_whose_job_stands_still(bench: Bench) -> None:
    trainer = bench.start(bench.train())
    bench.wait_for_steps()
    bench.start(bench.measure(60))
    bench.started()
    stopped = [pid for pid in marked(trainer.mark) if state(pid) == "T"]
    assert len(stopped) == 3
    trainer.kill()
    wait_until(lambda: marked(trainer.mark) == [])
    assert not any(is_alive(pid) for pid in stopped)


def test_a_job_that_stands_still_and_is_resumed_by_somebody_is_stopped_again(
    bench: Bench,
) -> None:
    trainer = bench.start(bench.train())
    bench.wait_for_steps()
    bench.start(bench.measure(60))
    bench.started()
    stopped = [pid for pid in marked(trainer.mark) if state(pid) == "T"]
    before = bench.counts()

    def resumed() -> bool:  # again and again: they may be stopped before they have done anything
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
        return all(b > a for a, b in zip(before, bench.counts(), strict=True))

    wait_until(resumed)
    wait_until(lambda: [state(pid) for pid in stopped] == ["T"] * 3)


def test_pauses_count_against_no_limit_and_are_told(bench: Bench) -> None:
    measure = bench.measure_when_told(2.2)
    trainer = bench.start(bench.train(600, time_limit=2))
    bench.wait_for_steps()
    measure()
    ((value, failure, took),) = trainer.results()
    assert (value, failure) == ({"steps": 600}, None)
    assert 0.6 <= took["seconds"] <= 2.2
    assert 2 < took["paused"] < PATIENCE


def state(pid: int) -> str:
    return (stat_of(pid) or ["gone"])[0]


# A job of this process beside them


@pytest.fixture
def workers() -> Iterator[Workers]:
    with Workers() as workers:
        yield workers


Run = Callable[..., Outcome]


@pytest.fixture
def run(bench: Bench, workers: Workers) -> Run:
    """Run one of the bench's jobs here."""

    def run(job: tuple[str, dict[str, Any], Any], **more: Any) -> Outcome:
        entry, payload, limits = job
        log = bench.folder / "log.txt"
        return workers.run(Job(f"worker_jobs:{entry}", payload, log, **limits), **more)

    return run


def test_the_studys_deadline_ends_a_job_that_stands_still(bench: Bench, run: Run) -> None:
    measure = bench.measure_when_told(60)

    def measure_once_it_runs() -> None:
        if min(bench.counts()) > 0:
            measure()

    started = time.monotonic()
    outcome = run(bench.train(), deadline=started + 4, on_tick=measure_once_it_runs)
    assert outcome.failure is not None
    assert outcome.failure.reason is Reason.DEADLINE
    assert 0 < outcome.paused < PATIENCE
    assert time.monotonic() - started < PATIENCE


@pytest.mark.parametrize("exclusive", [True, False])
def test_deadline_and_ticks_hold_while_a_job_waits_for_the_device(
    bench: Bench, run: Run, exclusive: bool
) -> None:
    bench.start(bench.measure(60))
    bench.started()
    ticks: list[int] = []
    job = bench.measure(0, "other") if exclusive else bench.train(1)
    outcome = run(job, deadline=time.monotonic() + 1, on_tick=lambda: ticks.append(1))
    assert outcome.failure is not None
    assert outcome.failure.reason is Reason.DEADLINE
    assert len(ticks) >= 2
    assert not (bench.folder / "other.started").exists()


def test_waiting_counts_against_no_limit_and_is_told(bench: Bench, run: Run) -> None:
    bench.start(bench.measure(1.5))
    bench.started()
    entry, payload, limits = bench.measure(0.1, "other")
    outcome = run((entry, payload, limits | {"time_limit": 1.2}))
    assert outcome.failure is None
    assert outcome.waited > 0.1
    assert 0.1 <= outcome.seconds < 1.2


def test_what_a_tick_raises_while_a_job_stands_still_ends_it(bench: Bench, run: Run) -> None:
    class Cancelled(Exception):
        pass

    def measure_then_cancel() -> None:
        if not bench.commands and min(bench.counts()) > 0:
            bench.start(bench.measure(60))
        elif bench.commands and (bench.folder / "m.started").exists():
            raise Cancelled

    with pytest.raises(Cancelled):
        run(bench.train(), on_tick=measure_then_cancel)
    assert "T" not in [state(pid) for pid in descendants_of(os.getpid())]
    before = bench.counts()
    bench.commands[0].kill()
    time.sleep(0.2)
    assert bench.counts() == before


# The rules alone, without jobs


def nothing() -> None:
    """A look at nothing."""


class Clock:
    """Runs functions in threads until told to stop, each a command with a `Device` of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.measured = [0.0, 0.0]
        self.ran = [0.0, 0.0]
        self._ended = threading.Event()

    def run(self, seconds: float, *works: Callable[[], None]) -> None:
        threads = [threading.Thread(target=work) for work in works]
        for thread in threads:
            thread.start()
        time.sleep(seconds)
        self._ended.set()
        for thread in threads:
            thread.join()

    def measure(self, name: int) -> None:
        """Measure without a gap, for longer than a handover takes."""
        device = Device(self.folder)
        while not self._ended.is_set():
            with device.turn(nothing, exclusive=True):
                time.sleep(0.6)
            self.measured[name] += 0.6

    def train(self, name: int, patience: float) -> None:
        """Give way, like the owner of a job that never ends."""

        class Ended(Exception):
            pass

        def look() -> None:
            if self._ended.is_set():
                raise Ended

        device = Device(self.folder, patience=patience)
        try:
            with device.turn(look, exclusive=False) as turn:
                self._train(name, turn, look)
        except Ended:
            pass

    def _train(self, name: int, turn: Any, look: Callable[[], None]) -> None:
        running = True
        while True:
            look()
            before = time.monotonic()
            time.sleep(LOOK)
            if running:
                self.ran[name] += time.monotonic() - before
            if running and turn.must_stop():
                running = False
                turn.stopped()
            elif not running:
                running = turn.may_go_on()


def test_training_has_a_share_beside_commands_that_measure_without_a_gap(tmp_path: Path) -> None:
    clock = Clock(tmp_path)
    clock.run(
        5.0,
        lambda: clock.measure(0),
        lambda: clock.measure(1),
        lambda: clock.train(0, patience=0.3),
        lambda: clock.train(1, patience=0.3),
    )
    assert min(clock.ran) > 0.6  # in the gaps between measurements alone it would be half of that
    assert min(clock.measured) >= 1.2
    assert sum(clock.measured) >= 3.0


def test_who_waits_comes_before_who_has_just_measured(tmp_path: Path) -> None:
    first, second = Device(tmp_path), Device(tmp_path)
    order: list[str] = []

    def other() -> None:
        with second.turn(nothing, exclusive=True):
            order.append("second")

    thread = threading.Thread(target=other)
    with first.turn(nothing, exclusive=True):
        thread.start()
        time.sleep(0.3)
    with first.turn(nothing, exclusive=True):
        order.append("first again")
    thread.join()
    assert order == ["second", "first again"]


@pytest.mark.parametrize("stops", [True, False])
def test_a_measurement_begins_once_all_others_have_stopped_or_had_a_second_to(
    tmp_path: Path, stops: bool
) -> None:
    waited: list[float] = []

    def measure() -> None:
        with Device(tmp_path).turn(nothing, exclusive=True) as turn:
            waited.append(turn.waited)

    thread = threading.Thread(target=measure)
    with Device(tmp_path).turn(nothing, exclusive=False) as other:
        assert not other.must_stop()
        thread.start()
        wait_until(other.must_stop)
        time.sleep(0.3)
        assert waited == []
        if stops:
            other.stopped()
        thread.join()
        assert waited[0] >= (0.3 if stops else 1.0)
        assert other.may_go_on()


def test_who_measures_alone_does_not_wait(tmp_path: Path) -> None:
    with Device(tmp_path).turn(nothing, exclusive=True) as turn:
        assert turn.waited < 1
        assert not turn.must_stop()


def test_what_a_look_raises_gives_the_place_in_the_queue_back(tmp_path: Path) -> None:
    def give_up() -> None:
        raise KeyboardInterrupt

    with (
        Device(tmp_path).turn(nothing, exclusive=True),
        pytest.raises(KeyboardInterrupt),
        Device(tmp_path).turn(give_up, exclusive=True),
    ):
        raise AssertionError("two had the device")
    with Device(tmp_path).turn(nothing, exclusive=True) as turn:
        assert turn.waited < 1


def test_a_fork_does_not_keep_the_device_of_its_parent(tmp_path: Path) -> None:
    ready, told = os.pipe()
    holder = os.fork()
    if holder == 0:
        with Device(tmp_path).turn(nothing, exclusive=True):
            fork = os.fork()
            if fork == 0:
                time.sleep(60)
            os.write(told, str(fork).encode())
            time.sleep(60)
        os._exit(0)
    fork = int(os.read(ready, 20))
    try:
        time.sleep(0.1)
        kill(holder)
        os.waitpid(holder, 0)
        assert is_alive(fork)
        with Device(tmp_path).turn(nothing, exclusive=True) as turn:
            assert turn.waited < PATIENCE
    finally:
        kill(fork)


@pytest.mark.parametrize("kind", ["below a file", "a link", "somebody else's"])
def test_where_there_can_be_no_locks_jobs_run_without_and_it_is_said_once(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], kind: str
) -> None:
    folder = unusable_folder(tmp_path, kind)
    for _ in range(2):
        device = Device(folder)
        with device.turn(nothing, exclusive=True), device.turn(nothing, exclusive=False) as turn:
            assert not turn.must_stop()
    told = capfd.readouterr().err
    assert told.count(f"no locks in {folder}") == 1
    assert told.count("\n") == 1
    assert "TUNER_DEVICE_LOCK" in told


def unusable_folder(tmp_path: Path, kind: str) -> Path:
    if kind == "below a file":
        (tmp_path / "file").touch()
        return tmp_path / "file" / "locks"
    if kind == "a link":
        (tmp_path / "real").mkdir()
        (tmp_path / "locks").symlink_to(tmp_path / "real")
        return tmp_path / "locks"
    if os.getuid() != 0:
        return Path("/")
    (tmp_path / "locks").mkdir()
    os.chown(tmp_path / "locks", 65534, 65534)
    return tmp_path / "locks"


def test_the_folder_is_for_this_user_only(tmp_path: Path) -> None:
    with Device(tmp_path / "locks").turn(nothing, exclusive=True):
        assert (tmp_path / "locks").stat().st_mode & 0o777 == 0o700
