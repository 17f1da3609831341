"""Stages are held to what their pass can explain: once each, in words, and never unfairly."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
import toy_spaces
from cli.conftest import Desk

from evaluators.base import Artifact
from evaluators.fidelity import COMPARE_JOB
from search_spaces.space import Limits
from search_spaces.vocabulary import Aspect, PassSpec, Value
from tuner.execution.checking import Checks
from tuner.execution.job import Failure, Job, Outcome, Reason
from tuner.execution.making import Maker, TrialFailed
from tuner.passes import Pass, StageContext
from tuner.pipeline.plan import Source, Stage
from tuner.pipeline.store import Store

SPACE = toy_spaces.space_of(toy_spaces.STAGED)
SOURCE = Source("a" * 64, "text-generation", {})


class Copy(Pass):
    """A pass that is never run, and what it says that it can explain."""

    spec: ClassVar = PassSpec(
        "copy", 1, "Copies.", (), frozenset({"hf"}), "hf", frozenset({Aspect.STRUCTURE})
    )

    def __init__(self, explains: float | None) -> None:
        self.explains = explains

    def tolerance(self, parameters: Mapping[str, Value], model_format: str) -> float | None:
        return self.explains

    def run(self, context: StageContext) -> None:
        raise NotImplementedError


@dataclass
class Comparing:
    """An executor whose jobs end as it is told; what was asked of it."""

    outcome: dict[str, Any] | Failure
    jobs: list[Job] = field(default_factory=list)

    def run(
        self,
        job: Job,
        *,
        deadline: float | None = None,
        on_tick: Callable[[], None] | None = None,
    ) -> Outcome:
        self.jobs.append(job)
        if isinstance(self.outcome, Failure):
            return Outcome(None, self.outcome, 0.0, 0)
        return Outcome(self.outcome, None, 0.0, 0)


@dataclass
class Bench:
    """A check of one stage on models that are only named."""

    store: Store
    folder: Path

    def check(
        self,
        executor: Comparing,
        explains: float | None = 1e-3,
        *,
        build_only: bool = False,
        limits: Limits = SPACE.limits,
    ) -> None:
        space = replace(SPACE, build_only=build_only, limits=limits)
        checks = Checks(
            space, SOURCE, {"copy": Copy(explains)}, Maker(self.store, executor, waits=())
        )
        stage = Stage("b" * 64, "copy", Copy.spec, {}, {}, "hf", "hf")
        checks.check(stage, Artifact("hf", self.folder), Artifact("hf", self.folder))


@pytest.fixture
def bench(tiny_llama: Path, tmp_path: Path) -> Bench:
    return Bench(Store(tmp_path / "store"), tiny_llama)


def drift_of(kl: float, *dtypes: str | None) -> dict[str, Any]:
    """What a comparison gives."""
    drift = {"kl": kl, "worst": 2 * kl, "top1": 1.0, "positions": 128}
    return {"drift": drift, "dtypes": list(dtypes or (None, None)), "conditions": [{}, {}]}


def test_a_stage_within_what_it_explains_passes_and_is_compared_once(bench: Bench) -> None:
    executor = Comparing(drift_of(9e-4))
    bench.check(executor)
    bench.check(executor)
    [job] = executor.jobs
    assert job.entry == COMPARE_JOB
    assert not job.exclusive, "it measures no time"


def test_a_stage_beyond_it_ends_its_trial_in_words(bench: Bench) -> None:
    with pytest.raises(TrialFailed) as caught:
        bench.check(Comparing(drift_of(4.23)))
    assert caught.value.where == "copy"
    assert caught.value.failure.reason is Reason.DEAD
    assert caught.value.failure.deterministic
    message = caught.value.failure.message
    assert "computes something else" in message
    assert "next-token distributions lie 4.2 nats away" in message
    assert "0.001 can be explained" in message


def test_a_result_that_is_dead_ends_its_trial(bench: Bench) -> None:
    with pytest.raises(TrialFailed, match="the model's logits are not finite") as caught:
        bench.check(Comparing({"dead": "the model's logits are not finite"}))
    assert caught.value.failure.reason is Reason.DEAD


def test_what_is_known_is_judged_by_what_the_pass_says_now(bench: Bench) -> None:
    executor = Comparing(drift_of(0.5))
    bench.check(executor, 3.0)
    with pytest.raises(TrialFailed):
        bench.check(executor, 0.1)
    assert len(executor.jobs) == 1


@pytest.mark.parametrize(("explains", "build_only"), [(None, False), (1e-3, True)])
def test_nothing_is_compared_where_nothing_is_explained_or_nothing_to_be_run(
    bench: Bench, explains: float | None, build_only: bool
) -> None:
    executor = Comparing(drift_of(9.0))
    bench.check(executor, explains, build_only=build_only)
    assert not executor.jobs


def test_nothing_is_compared_where_the_space_does_not_want_it(bench: Bench) -> None:
    executor = Comparing(drift_of(9.0))
    bench.check(executor, limits=Limits(fidelity=False))
    assert not executor.jobs


def test_what_cannot_be_compared_passes_and_the_store_says_why(bench: Bench) -> None:
    bench.check(Comparing({"skipped": "there is no runtime for it"}))
    [entry] = bench.store.entries()
    assert entry.meta["pass"] == "check copy"
    assert entry.meta["value"] == {"skipped": "there is no runtime for it"}


def test_a_comparison_that_crashes_passes_and_is_not_tried_again(bench: Bench) -> None:
    executor = Comparing(Failure(Reason.CRASHED, "a segmentation fault", True))
    bench.check(executor)
    bench.check(executor)
    assert len(executor.jobs) == 1
    [entry] = bench.store.entries()
    assert entry.meta["value"] == {"skipped": "a segmentation fault"}


def test_a_comparison_that_was_killed_is_made_another_day(bench: Bench) -> None:
    bench.check(Comparing(Failure(Reason.KILLED, "killed", False)))
    assert not list(bench.store.entries())
    with pytest.raises(TrialFailed):
        bench.check(Comparing(drift_of(4.0)))


def test_arithmetic_in_16_bits_is_allowed_its_rounding(bench: Bench) -> None:
    bench.check(Comparing(drift_of(5e-3, "bfloat16", None)))


def test_its_rounding_explains_no_more_than_rounding(bench: Bench) -> None:
    with pytest.raises(TrialFailed):
        bench.check(Comparing(drift_of(0.5, "bfloat16", None)))


# Through the command, with a pass that says that it only copies


TUNED = """
model: model
task: text-generation
pipeline:
  - toy_convert:
      secretly: {choices: [none, scramble, nan]}
objectives: [minimize size]
constraints: ["size<1GB"]
search: {strategy: grid}
"""


@pytest.fixture
def desk(tiny_llama: Path, tmp_path: Path) -> Desk:
    shutil.copytree(tiny_llama, tmp_path / "model")
    made = Desk(tmp_path)
    made.write(TUNED)
    return made


def rows(desk: Desk, query: str) -> list[tuple[Any, ...]]:
    with sqlite3.connect(desk.folder / "tuned" / "study.db") as db:
        return list(db.execute(query))


def test_a_pass_that_makes_another_model_is_caught_and_an_honest_one_is_chosen(desk: Desk) -> None:
    done = desk.tune("--space", "space.yaml", timeout=400)
    assert done.returncode == 0, done.stdout + done.stderr
    found = rows(desk, "select reason, on_front, message from tuner_trials where number >= 0")
    assert (None, 1, None) in found
    dead = [message for reason, on_front, message in found if (reason, on_front) == ("dead", 0)]
    assert sum("computes something else" in message for message in dead) == 1
    assert sum("logits are not finite" in message for message in dead) == 1
    assert "computes something else" in " ".join(done.stdout.split())
    checks = [e for e in Store(desk.folder / "store").entries() if "check" in e.meta["pass"]]
    assert len(checks) == 3, "the baseline and the honest trial share one"


def test_a_baseline_that_is_computed_wrongly_ends_the_run_in_words(desk: Desk) -> None:
    fixed = "toy_convert: {secretly: scramble}\n    baseline: true"
    text = TUNED.replace("toy_convert:\n      secretly: {choices: [none, scramble, nan]}", fixed)
    desk.write(text.replace("size<1GB", "size<=1*baseline"))
    done = desk.tune("--space", "space.yaml", timeout=400)
    assert done.returncode == 1
    assert "the baseline failed (toy_convert: the model that went out computes" in " ".join(
        (done.stdout + done.stderr).split()
    )
