"""Which jobs of a study have the device to themselves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cli.conftest import SPACE

import tuner
from evaluators import all_evaluators
from evaluators.measure import MEASURE_JOB
from search_spaces.vocabulary import Aspect
from tuner.execution.job import Job, Outcome
from tuner.execution.workers import Workers


@pytest.fixture
def jobs_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[Job]]:
    """Run a small study of toys; its jobs."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    (tmp_path / "model" / "model.safetensors").write_bytes(b"weights")
    (tmp_path / "space.yaml").write_text(SPACE)
    monkeypatch.chdir(tmp_path)
    jobs: list[Job] = []
    run = Workers.run

    def note(workers: Workers, job: Job, **more: Any) -> Outcome:
        jobs.append(job)
        return run(workers, job, **more)

    def study() -> list[Job]:
        monkeypatch.setattr(Workers, "run", note)
        tuner.tune("space.yaml", trials=1, store="store")
        return jobs

    return study


@pytest.mark.parametrize("depends_on", [frozenset(Aspect), frozenset({Aspect.WEIGHTS})])
def test_only_jobs_that_time_a_model_have_the_device_to_themselves(
    jobs_of: Callable[[], list[Job]],
    monkeypatch: pytest.MonkeyPatch,
    depends_on: frozenset[Aspect],
) -> None:
    toy = type(all_evaluators()["toy_metrics"])
    metrics = tuple(replace(m, depends_on=depends_on) for m in toy.spec.metrics)
    monkeypatch.setattr(toy, "spec", replace(toy.spec, metrics=metrics))
    jobs = jobs_of()
    measuring = [job for job in jobs if job.entry == MEASURE_JOB]
    building = [job for job in jobs if job.entry != MEASURE_JOB]
    assert measuring
    assert building
    assert {job.exclusive for job in measuring} == {Aspect.RUNTIME in depends_on}
    assert not any(job.exclusive for job in building)
