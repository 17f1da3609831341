"""Runs one candidate: its stages, then its measurements, each taken from the store if it is there.

Emits an event for everything that happens. Knows nothing of strategies or of the database.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from evaluators.base import Artifact, Estimate, Evaluator, Measurement, MeasurementError
from evaluators.measure import MEASURE_JOB
from search_spaces.candidates import Candidate, plain
from search_spaces.kinds import kind_of_folder, kind_words
from search_spaces.references import Reference
from search_spaces.space import Space
from tuner.execution.job import Failure, Job, Outcome, Reason
from tuner.execution.stage_job import FETCH_SOURCE, RUN_STAGE
from tuner.passes.base import Pass
from tuner.pipeline.plan import MeasurementPlan, Source, Stage, measurement_plan, plan
from tuner.pipeline.refusals import refusal
from tuner.pipeline.store import Draft, Entry, Store
from tuner.study.events import (
    BASELINE,
    Event,
    Failed,
    Measured,
    MeasureStarted,
    StageFinished,
    StageStarted,
)

Json = dict[str, Any]
Statistics = Mapping[str, Sequence[str | None]]

_TRIES = 2  # a job that was killed from outside is run once more


class Executor(Protocol):
    """Runs a job somewhere and waits for it."""

    def run(self, job: Job, *, deadline: float | None = None) -> Outcome:
        """What came of the job. `deadline`: on the clock of `time.monotonic`."""
        ...


class TrialFailed(Exception):
    """A stage or a measurement gave no result."""

    def __init__(self, where: str, failure: Failure, log: Path | None) -> None:
        super().__init__(f"{where}: {failure.message}")
        self.where = where
        self.failure = failure
        self.log = log

    def event(self, number: int) -> Failed:
        """The event that reports it."""
        failure = self.failure
        log = None if self.log is None else str(self.log)
        return Failed(
            number, self.where, failure.reason, failure.message, failure.deterministic, log
        )


class OutOfTime(Exception):
    """The study's time was up before the trial ended."""


@dataclass(frozen=True, slots=True)
class Run:
    """A candidate whose stages are done: the models after every stage (the first is the source)."""

    number: int
    stages: tuple[Stage, ...]
    artifacts: tuple[Artifact, ...]

    @property
    def model(self) -> Artifact:
        """The final model."""
        return self.artifacts[-1]


@dataclass(frozen=True, slots=True)
class Reading:
    """What an evaluator found: its estimates, and the measurement of every process."""

    estimates: tuple[Estimate, ...]
    measurements: tuple[Measurement, ...]


@dataclass
class _Measuring:
    """A model that is being measured."""

    run: Run
    where: MeasurementPlan
    cached: bool = False
    seconds: float = 0.0
    measurements: list[Measurement] = field(default_factory=list)


@dataclass
class TrialRunner:
    """Runs candidates of one space. `deadline`: when the study's time is up (time.monotonic)."""

    space: Space
    source: Source
    passes: Mapping[str, Pass]
    evaluators: Mapping[str, Evaluator]
    statistics: Statistics  # metric -> the statistics to report
    machine: Mapping[str, str]
    store: Store
    executor: Executor
    emit: Callable[[Event], None]
    deadline: float | None = None
    baseline: Candidate | None = None  # what evaluators with a reference compare with
    _reference: Run | None = field(default=None, init=False)
    _source_artifact: Artifact | None = field(default=None, init=False)
    _reuse_is_news: bool = field(default=True, init=False)

    def build(self, number: int, candidate: Candidate, *, again: bool = False) -> Run:
        """Run the candidate's stages. TrialFailed or OutOfTime when one gives no result.

        `again`: the trial is over and its model is only wanted; that stages are found in the
        store is then no news, and not emitted.
        """
        self._reuse_is_news = not again
        stages = plan(candidate, self.source, self.passes)
        self._refuse(stages)
        artifacts = [self._source(number)]
        _refuse_kind(stages, artifacts[0].path)
        for position, stage in enumerate(stages):
            artifacts.append(self._stage(number, position, stage, artifacts[-1]))
        return Run(number, stages, tuple(artifacts))

    def measure(self, run: Run, evaluator: str, processes: range | None = None) -> Reading:
        """Measure a run's model on the data of the search, or take what is known."""
        return self.measure_together([run], evaluator, "dev", processes)[0]

    def measure_together(
        self, runs: Sequence[Run], evaluator: str, split: str, processes: range | None = None
    ) -> list[Reading]:
        """Measure several models in turn, process by process: A B, B A, A B, ...

        `processes`: the numbers of the processes. Fresh numbers give fresh measurements; numbers
        that were used before give what is in the store.
        """
        engine, options = self.evaluators[evaluator], self.space.evaluators[evaluator]
        numbers = processes or range(engine.processes(options))
        tasks = [_Measuring(run, self._where(run, engine, split)) for run in runs]
        for task in tasks:
            self._announce(task, numbers)
        for turn, number in enumerate(numbers):
            for task in tasks if turn % 2 == 0 else reversed(tasks):
                started = time.monotonic()
                task.measurements.append(self._measurement(task.run, task.where, number))
                task.seconds += time.monotonic() - started
        return [self._reading(engine, task, numbers) for task in tasks]

    def _where(self, run: Run, engine: Evaluator, split: str) -> MeasurementPlan:
        def plan_of(run: Run, reference: MeasurementPlan | None) -> MeasurementPlan:
            options = self.space.evaluators[engine.spec.name]
            parts = (engine, options, run.stages, self.passes, self.source, split, self.machine)
            return measurement_plan(*parts, reference)

        if not engine.spec.reference:
            return plan_of(run, None)
        return plan_of(run, plan_of(self._reference_run(engine), None))

    def _reference_run(self, engine: Evaluator) -> Run:
        """The baseline's finished stages, for evaluators that compare with it."""
        if self._reference is None:
            try:
                assert self.baseline is not None, "the coordinator says what the baseline is"
                self._reference = self.build(BASELINE, self.baseline, again=True)
            except TrialFailed as failed:
                message = f"it compares with the baseline, which failed ({failed})"
                failure = Failure(Reason.REFUSED, message, True)
                raise TrialFailed(engine.spec.name, failure, None) from failed
        return self._reference

    def _announce(self, task: _Measuring, numbers: range) -> None:
        missing = [n for n in numbers if self.store.get(task.where.key(n)) is None]
        task.cached = not missing
        if missing:
            key = task.where.key(missing[0])
            self.emit(MeasureStarted(task.run.number, task.where.evaluator, key))

    def _reading(self, engine: Evaluator, task: _Measuring, numbers: range) -> Reading:
        model_format = task.run.artifacts[task.where.position + 1].format
        estimates = self._summarise(engine, task.measurements, model_format)
        measured = Measured(
            task.run.number,
            task.where.evaluator,
            task.where.split,
            task.where.key(numbers[0]),
            task.cached,
            0.0 if task.cached else task.seconds,
            tuple(estimate_json(e) for e in estimates),
            tuple(m.to_json() for m in task.measurements),
        )
        self.emit(measured)
        faults = [fault for m in task.measurements for fault in m.faults]
        if faults and task.run.number != BASELINE:
            failure = Failure(Reason.DEAD, faults[0], True)
            raise TrialFailed(engine.spec.name, failure, None)
        return Reading(estimates, tuple(task.measurements))

    def _refuse(self, stages: Sequence[Stage]) -> None:
        found = refusal(stages, self.passes)
        if found is not None:
            failure = Failure(Reason.REFUSED, found.message, True)
            raise TrialFailed(stages[found.position].step, failure, None)

    def _source(self, number: int) -> Artifact:
        if self._source_artifact is None:
            self._source_artifact = Artifact("hf", self._source_folder(number))
        return self._source_artifact

    def _source_folder(self, number: int) -> Path:
        reference: Reference = self.space.model
        if reference.path is not None:
            return reference.path
        key = self.source.key

        def job(draft: Draft) -> Job:
            payload = {"reference": reference.text, "output": str(draft.output)}
            return Job(FETCH_SOURCE, payload, draft.log, self.space.limits.time)

        description = {"kind": "source", "reference": reference.text}
        return self._made(number, -1, "model", "fetch", key, description, job).output

    def _stage(self, number: int, position: int, stage: Stage, model: Artifact) -> Artifact:
        limits = self.space.limits

        def job(draft: Draft) -> Job:
            payload = {
                "pass": stage.spec.name,
                "parameters": plain(stage.parameters),
                "model": model.to_json(),
                "output": str(draft.output),
                "task": self.space.task,
                "data": None if self.space.data is None else self.space.data.to_json(),
            }
            return Job(RUN_STAGE, payload, draft.log, limits.time, limits.memory)

        entry = self._made(
            number, position, stage.step, stage.spec.name, stage.key, stage.description, job
        )
        base = model if stage.output_format == "adapter" else None
        return Artifact(stage.output_format, entry.output, base)

    def _made(
        self,
        number: int,
        position: int,
        step: str,
        pass_name: str,
        key: str,
        description: Json,
        job: Callable[[Draft], Job],
    ) -> Entry:
        """The stored result for `key`, made now if it is not there."""
        entry = self.store.get(key)
        if entry is not None:
            finished = StageFinished(
                number, position, step, pass_name, key, True, 0.0, _bytes(entry), None, _log(entry)
            )
            if self._reuse_is_news:
                self.emit(finished)
            return entry
        with self.store.lock(key):
            if self.store.get(key) is not None:  # another command made it meanwhile
                return self._made(number, position, step, pass_name, key, description, job)
            self.emit(StageStarted(number, position, step, pass_name, key))
            entry, outcome = self._make(
                step, key, {"description": description, "pass": pass_name}, job
            )
        peak = outcome.peak_memory
        finished = StageFinished(
            number,
            position,
            step,
            pass_name,
            key,
            False,
            outcome.seconds,
            _bytes(entry),
            peak,
            _log(entry),
        )
        self.emit(finished)
        return entry

    def _measurement(self, run: Run, where: MeasurementPlan, process: int) -> Measurement:
        key = where.key(process)
        entry = self.store.get(key)
        if entry is None:
            meta = {
                "description": where.description | {"process": process},
                "pass": f"measure {where.evaluator}",
            }
            entry, _ = self._make(
                where.evaluator, key, meta, lambda draft: self._measure_job(run, where, draft)
            )
        return Measurement.from_json(entry.meta["value"])

    def _measure_job(self, run: Run, where: MeasurementPlan, draft: Draft) -> Job:
        limits = self.space.limits
        payload = {
            "evaluator": where.evaluator,
            "model": run.artifacts[where.position + 1].to_json(),
            "options": plain(self.space.evaluators[where.evaluator]),
            "data": None if self.space.data is None else self.space.data.to_json(),
            "split": where.split,
            "reference": self._reference_model(where),
        }
        return Job(MEASURE_JOB, payload, draft.log, limits.time, limits.memory)

    def _reference_model(self, where: MeasurementPlan) -> Json | None:
        engine = self.evaluators[where.evaluator]
        if not engine.spec.reference:
            return None
        run = self._reference_run(engine)
        return run.artifacts[self._where(run, engine, where.split).position + 1].to_json()

    def _make(
        self, where: str, key: str, meta: Json, job: Callable[[Draft], Job]
    ) -> tuple[Entry, Outcome]:
        """Run a job and store its result; once more if it was killed from outside."""
        for attempt in range(_TRIES):
            with self.store.draft(key) as draft:
                outcome = self.executor.run(job(draft), deadline=self.deadline)
                failure = outcome.failure
                if failure is None:
                    took = {"seconds": outcome.seconds, "peak_memory": outcome.peak_memory}
                    return draft.commit(meta | took | {"value": outcome.value}), outcome
                if failure.reason is Reason.DEADLINE:
                    raise OutOfTime
                if failure.reason is not Reason.KILLED or attempt + 1 == _TRIES:
                    raise TrialFailed(where, failure, draft.keep_log())
        raise AssertionError("the last attempt returns or raises")

    def _summarise(
        self, engine: Evaluator, measurements: Sequence[Measurement], model_format: str
    ) -> tuple[Estimate, ...]:
        options = self.space.evaluators[engine.spec.name]
        try:
            return tuple(
                engine.summarise(measurements, options, metric.name, statistic)
                for metric in engine.spec.metrics
                if metric.is_of(model_format)
                for statistic in self.statistics[metric.name]
            )
        except MeasurementError as error:
            failure = Failure(Reason.REFUSED, str(error), True)
            raise TrialFailed(engine.spec.name, failure, None) from error


def _refuse_kind(stages: Sequence[Stage], folder: Path) -> None:
    """What can be known only now that the model is here: whether its kind suits every pass."""
    kind = kind_of_folder(folder)
    for stage in stages:
        if kind is not None and kind not in stage.spec.kinds:
            takes, given = kind_words(stage.spec.kinds), kind_words([kind])
            message = f"takes {takes}; the model is one of the {given}"
            raise TrialFailed(stage.step, Failure(Reason.REFUSED, message, True), None)


def estimate_json(estimate: Estimate) -> Json:
    """An estimate as plain data."""
    return {
        "metric": estimate.metric,
        "statistic": estimate.statistic,
        "value": estimate.value,
        "low": estimate.low,
        "high": estimate.high,
        "unit": estimate.unit,
        "samples": estimate.samples,
    }


def _bytes(entry: Entry) -> int:
    return int(entry.meta.get("bytes", 0))


def _log(entry: Entry) -> str | None:
    log = entry.path / "log.txt"
    return str(log) if log.exists() else None
