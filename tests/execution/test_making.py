"""Jobs that fail for a reason that may pass are tried again; what they work on is looked after."""

from __future__ import annotations

import errno
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from evaluators.base import Artifact
from tuner.execution import making
from tuner.execution.job import Failure, Job, Outcome, Reason
from tuner.execution.making import LostInput, Maker, OutOfTime, TrialFailed
from tuner.execution.workers import Workers
from tuner.pipeline.store import Draft, Entry, Store, StoreError

KEY, OTHER = "1" * 64, "2" * 64
KILLED = Failure(Reason.KILLED, "killed from outside (SIGKILL)", False)
GOOD = Outcome({"x": 1}, None, 0.5, 1000)

Json = dict[str, Any]


@dataclass
class Scripted:
    """An executor whose jobs end as it is told, one after another; what it was asked to run."""

    ends: list[Failure | None]
    meanwhile: Callable[[], None] = lambda: None
    jobs: list[Job] = field(default_factory=list)

    def run(
        self,
        job: Job,
        *,
        deadline: float | None = None,
        on_tick: Callable[[], None] | None = None,
    ) -> Outcome:
        self.jobs.append(job)
        self.meanwhile()
        failure = self.ends.pop(0)
        return GOOD if failure is None else Outcome(None, failure, 0.1, 0)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture(scope="module")
def workers() -> Iterator[Workers]:
    with Workers() as workers:
        yield workers


def job_of(entry: str, payload: Json | None = None) -> Callable[[Draft], Job]:
    return lambda draft: Job(
        f"worker_jobs:{entry}", {"output": str(draft.output), **(payload or {})}, draft.log, 30
    )


def make(maker: Maker, uses: tuple[Artifact, ...] = ()) -> tuple[Entry, Outcome]:
    return maker.make("toy", KEY, {"pass": "toy"}, job_of("echo"), uses)


def put(store: Store, key: str) -> Artifact:
    with store.draft(key) as draft:
        (draft.output / "model").write_bytes(b"weights")
        return Artifact("hf", draft.commit({}).output)


def flip(artifact: Artifact) -> None:
    (artifact.path / "model").write_bytes(b"weighty")


@pytest.mark.parametrize(
    "passing",
    [
        KILLED,
        Failure(Reason.OUT_OF_MEMORY, "killed by the system as memory ran out", False),
        Failure(Reason.ERROR, "ConnectionError: the hub does not answer", False),
    ],
)
def test_what_may_pass_is_tried_three_times_with_growing_waits(
    store: Store, passing: Failure
) -> None:
    told: list[tuple[object, ...]] = []
    executor = Scripted([passing, passing, None])
    maker = Maker(store, executor, waits=(0.05, 0.2), on_retry=lambda *what: told.append(what))
    started = time.monotonic()
    entry, outcome = make(maker)
    assert time.monotonic() - started > 0.25
    assert told == [("toy", passing.message, 2, 0.05), ("toy", passing.message, 3, 0.2)]
    assert entry.meta["value"] == outcome.value == {"x": 1}
    assert store.get(KEY) is not None
    drafts = {job.log for job in executor.jobs}
    assert len(drafts) == 3, "each in a folder of its own"


def test_usually_it_waits_a_second_and_then_four(store: Store) -> None:
    told: list[tuple[int, float]] = []

    class Enough(Exception):
        pass

    def note(_where: str, _message: str, attempt: int, wait: float) -> None:
        told.append((attempt, wait))
        if wait > 1:
            raise Enough

    with pytest.raises(Enough):
        make(Maker(store, Scripted([KILLED] * 3), on_retry=note))
    assert told == [(2, 1.0), (3, 4.0)]


def test_what_does_not_pass_ends_the_trial_as_transient(store: Store) -> None:
    executor = Scripted([KILLED] * 4)
    with pytest.raises(TrialFailed) as caught:
        make(Maker(store, executor, waits=(0.01, 0.01)))
    assert len(executor.jobs) == 3
    assert not caught.value.failure.deterministic
    assert caught.value.log is not None
    assert store.get(KEY) is None


def test_what_would_fail_again_is_not_tried_again(store: Store) -> None:
    executor = Scripted([Failure(Reason.CRASHED, "a segmentation fault", True)])
    with pytest.raises(TrialFailed, match="toy: a segmentation fault"):
        make(Maker(store, executor))


def test_waiting_ends_at_the_deadline(store: Store) -> None:
    started = time.monotonic()
    with pytest.raises(OutOfTime):
        make(Maker(store, Scripted([KILLED] * 3), started + 0.2, waits=(30,)))
    assert time.monotonic() - started < 5


def test_waiting_ends_when_it_is_to_stop(store: Store) -> None:
    asked = threading.Event()

    def stop() -> None:
        if asked.is_set():
            raise KeyboardInterrupt

    threading.Timer(0.2, asked.set).start()
    with pytest.raises(KeyboardInterrupt):
        make(Maker(store, Scripted([KILLED] * 3), waits=(30,), stop=stop))
    assert list((store.root / "tmp").iterdir()) == []


def test_a_running_job_ends_when_it_is_to_stop(
    store: Store, workers: Workers, tmp_path: Path
) -> None:
    pid_file = tmp_path / "pid"

    def stop() -> None:
        if pid_file.exists() and pid_file.read_text():
            raise KeyboardInterrupt

    maker = Maker(store, workers, stop=stop)
    with pytest.raises(KeyboardInterrupt):
        maker.make("toy", KEY, {}, job_of("hang", {"pid_file": str(pid_file)}))
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid_file.read_text()), 0)


# Disks


@pytest.mark.parametrize("entry", ["fill_disk", "fill_disk_behind_a_library"])
def test_a_full_disk_ends_the_command_at_once_and_says_what_to_do(
    store: Store, workers: Workers, entry: str
) -> None:
    with pytest.raises(StoreError) as caught:
        Maker(store, workers).make("toy", KEY, {}, job_of(entry))
    text = str(caught.value)
    assert text.startswith("toy: the disk is full (")
    assert "`tune cache gc`" in text
    assert text.endswith("then the same command goes on")


def test_what_fails_while_there_is_no_room_is_not_the_candidates_fault(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(making, "_TOO_LITTLE", 1 << 80)
    executor = Scripted([Failure(Reason.CRASHED, "ended by a bus error (SIGBUS)", True)])
    with pytest.raises(StoreError, match=r"bus error \(SIGBUS\); the disk of the store is full"):
        make(Maker(store, executor))


@pytest.mark.parametrize(
    ("payload", "passes"),
    [
        ({"errno": errno.EIO}, True),
        ({"errno": errno.ESTALE}, True),
        ({"errno": errno.ECONNRESET}, True),
        ({"errno": errno.EHOSTUNREACH}, True),
        ({"errno": errno.ENOENT}, False),
        ({"errno": errno.EACCES}, False),
        ({"requests": "ConnectionError"}, True),
        ({"requests": "ReadTimeout"}, True),
        ({"status": 503}, True),
        ({"status": 404}, False),
    ],
)
def test_errors_of_disks_and_networks_may_pass(
    store: Store, workers: Workers, payload: Json, passes: bool
) -> None:
    with pytest.raises(TrialFailed) as caught:
        Maker(store, workers, waits=()).make("toy", KEY, {}, job_of("raise_os_error", payload))
    assert caught.value.failure.deterministic is not passes
    assert caught.value.failure.reason is Reason.ERROR


def test_a_store_that_is_removed_under_a_job_is_named(store: Store) -> None:
    failure = Failure(Reason.ERROR, "FileNotFoundError: output", True)
    executor = Scripted([failure], lambda: shutil.rmtree(store.root))
    with pytest.raises(
        StoreError, match=r"was removed while it was used; the same command goes on"
    ):
        make(Maker(store, executor))


# What a job works on, and what it makes


def test_the_job_hashes_what_it_wrote(store: Store, workers: Workers) -> None:
    entry, outcome = Maker(store, workers).make("toy", KEY, {}, job_of("write", {"text": "abc"}))
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert outcome.hashes == entry.meta["hashes"] == {"file": digest}


@pytest.mark.parametrize("harm", [flip, lambda artifact: (artifact.path / "model").unlink()])
def test_a_damaged_input_is_found_before_the_job_runs(
    store: Store, harm: Callable[[Artifact], None]
) -> None:
    model = put(store, OTHER)
    executor = Scripted([None])
    harm(model)
    with pytest.raises(LostInput):
        make(Maker(store, executor), (Artifact("adapter", store.root, model),))
    assert executor.jobs == []
    assert not store.has(OTHER), "it is out of the way, to be made again"


def test_an_input_that_is_removed_under_a_job_is_not_the_candidates_fault(store: Store) -> None:
    model = put(store, OTHER)
    failure = Failure(Reason.ERROR, "FileNotFoundError: model", True)
    executor = Scripted([failure], lambda: shutil.rmtree(model.path.parent))
    with pytest.raises(LostInput, match="was removed or damaged"):
        make(Maker(store, executor), (model,))


def test_a_model_of_no_store_is_left_alone(store: Store, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    entry, _ = make(Maker(store, Scripted([None])), (Artifact("hf", tmp_path / "model"),))
    assert entry.key == KEY


# Threads


def test_makers_of_several_threads_work_side_by_side(store: Store) -> None:
    """One thread's end, kill or stop is none of the others' business."""
    values: dict[str, object] = {}
    asked = threading.Event()

    def stop() -> None:
        if asked.is_set():
            raise KeyboardInterrupt

    def work(name: str, entry: str, stop: Callable[[], None] | None = None) -> None:
        with Workers() as workers:
            maker = Maker(store, workers, waits=(), stop=stop)
            try:
                made, _ = maker.make(name, name * 64, {}, job_of(entry, {"megabytes": 20}))
                values[name] = made.meta["value"]
            except (TrialFailed, KeyboardInterrupt) as error:
                values[name] = type(error).__name__
            finally:
                asked.set()

    jobs = [("a", "echo", None), ("b", "hang", stop), ("c", "crash", None), ("d", "hoard", None)]
    threads = [threading.Thread(target=work, args=job) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert set(values) == set("abcd")
    assert values["b"] == "KeyboardInterrupt"
    assert values["c"] == "TrialFailed"
    assert values["d"] == {"blocks": 2}
    assert store.has("a" * 64)
    assert list((store.root / "tmp").iterdir()) == []
