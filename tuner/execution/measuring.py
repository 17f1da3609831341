"""Measures models whose stages are done, each measurement taken from the store if it is there.

Emits an event for every reading. Knows nothing of strategies, and nothing of verdicts.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from evaluators.base import Artifact, Estimate, Evaluator, Measurement, MeasurementError
from evaluators.measure import MEASURE_JOB
from evaluators.timed import TimedEvaluator
from evaluators.timing import Timeline
from search_spaces.candidates import plain
from search_spaces.space import Space
from search_spaces.vocabulary import Aspect, MetricSpec, format_of
from tuner.execution.job import Failure, Job, Reason
from tuner.execution.making import Maker, TrialFailed
from tuner.passes.base import Pass
from tuner.pipeline.plan import MeasurementPlan, Source, Stage, measurement_plan
from tuner.pipeline.store import Draft
from tuner.study.events import BASELINE, Event, Measured, MeasureStarted

Json = dict[str, Any]
VERIFY = "verify"
"""The split as which it is told what a very model has, of whose structure others were measured."""

Statistics = Mapping[str, Sequence[str | None]]


@dataclass(frozen=True, slots=True)
class Run:
    """A candidate whose stages are done: the models after every stage (the first is the source).

    Without `artifacts` it stands for one whose measurements are all known.
    """

    number: int
    stages: tuple[Stage, ...]
    artifacts: tuple[Artifact, ...]

    @property
    def may_be_dead(self) -> bool:
        """Whether it is no candidate as it is: the baseline, or one that is trained in part."""
        return self.number == BASELINE or any(stage.share < 1 for stage in self.stages)

    @property
    def model(self) -> Artifact:
        """The final model."""
        return self.artifacts[-1]


@dataclass(frozen=True, slots=True)
class Reading:
    """What an evaluator found: its estimates, and the measurement of every process."""

    estimates: tuple[Estimate, ...]
    measurements: tuple[Measurement, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """What an evaluator measures. `anchor`: what it is measured beside, or against.

    `model_format`, `artifact`: of the model that is measured, and the key of the stage it is of.
    """

    plan: MeasurementPlan
    anchor: Artifact | None
    model_format: str
    artifact: str

    @property
    def name(self) -> str:
        """The same for all candidates that share this measurement."""
        return self.plan.key(0)


@dataclass
class _Task:
    """A model that is being measured. `split`: as what it is told."""

    run: Run
    place: Place
    split: str
    cached: bool = False
    seconds: float = 0.0
    measurements: list[Measurement] = field(default_factory=list)


@dataclass
class Shared:
    """What the workers of a command know together of the measurements.

    `timelines`: (evaluator, split) -> every session that it held. `own`: evaluators whose numbers
    were seen to be of the very model, and not of its structure. `lock` is held to use either.
    """

    timelines: dict[tuple[str, str], Timeline] = field(default_factory=dict)
    own: set[str] = field(default_factory=set)
    lock: threading.RLock = field(default_factory=threading.RLock)


@dataclass
class Measurer:
    """Measures runs of one space. `reference`: the baseline's run, or None where it failed.

    `night`: what was not measured for it is measured again, as `measurement_plan` tells.
    """

    space: Space
    source: Source
    passes: Mapping[str, Pass]
    evaluators: Mapping[str, Evaluator]
    statistics: Statistics  # metric -> the statistics to report
    machine: Mapping[str, str]
    maker: Maker
    emit: Callable[[Event], None]
    reference: Callable[[], Run | None]
    shared: Shared = field(default_factory=Shared)
    night: str | None = None

    def measure(self, run: Run, evaluator: str, processes: range) -> Reading:
        """Measure a run's model on the data of the search, or take what is known."""
        return self.measure_together([run], evaluator, "dev", processes)[0]

    def verify(self, run: Run, evaluator: str) -> Reading:
        """Measure this very model once, not another one of its structure; told as `VERIFY`."""
        engine = self.evaluators[evaluator]
        task = _Task(run, self._place(run, engine, "dev", own=True), VERIFY)
        return self._in_turn(engine, [task], range(1))[0]

    def is_known(self, run: Run, evaluator: str, processes: range) -> bool:
        """Whether `measure` would take what is known."""
        plan = self._place(run, self.evaluators[evaluator], "dev").plan
        return all(self.maker.store.get(plan.key(number)) is not None for number in processes)

    def is_of_another(self, run: Run, evaluator: str) -> bool:
        """Whether what is known of a run's model was measured on another one of its structure."""
        engine = self.evaluators[evaluator]
        place, own = self._place(run, engine, "dev"), self._place(run, engine, "dev", own=True)
        entry = self.maker.store.get(place.plan.key(0))
        if entry is None or place.plan.key(0) == own.plan.key(0):
            return False
        return entry.meta.get("artifact") != place.artifact

    def measure_together(
        self,
        runs: Sequence[Run],
        evaluator: str,
        split: str,
        processes: range,
        *,
        own: bool = False,
    ) -> list[Reading]:
        """Measure several models in turn, process by process: A B, B A, A B, ...

        `processes`: the numbers of the processes. Fresh numbers give fresh measurements; numbers
        that were used before give what is in the store. TrialFailed where one cannot be measured.
        """
        engine = self.evaluators[evaluator]
        tasks = [_Task(run, self._place(run, engine, split, own=own), split) for run in runs]
        return self._in_turn(engine, tasks, processes)

    def _in_turn(
        self, engine: Evaluator, tasks: Sequence[_Task], processes: range
    ) -> list[Reading]:
        for task in tasks:
            self._announce(task, processes)
        for turn, number in enumerate(processes):
            for task in tasks if turn % 2 == 0 else reversed(tasks):
                started = time.monotonic()
                task.measurements.append(self._measurement(task, number))
                task.seconds += time.monotonic() - started
        return [self._reading(engine, task, processes) for task in tasks]

    def anchor_estimates(self, evaluator: str, split: str) -> list[Estimate]:
        """What an evaluator's sessions on a split say of the baseline beside the candidates."""
        engine = self.evaluators[evaluator]
        names = [(m, s) for m in engine.spec.metrics for s in self.statistics[m.name]]
        found = []
        with self.shared.lock:
            timeline = self.shared.timelines.get((evaluator, split), Timeline())
            for metric, statistic in names:
                value = None if statistic is None else timeline.anchor(metric.name, statistic)
                if value is not None:
                    ends, count = (
                        (value.value, value.low, value.high),
                        timeline.samples(metric.name),
                    )
                    found.append(Estimate(metric.name, statistic, *ends, metric.unit, count))
        return found

    def recall(self, evaluator: str, run: Run, measurements: Sequence[Measurement]) -> None:
        """Take sessions of an earlier command into account."""
        engine = self.evaluators[evaluator]
        if isinstance(engine, TimedEvaluator):
            place = self._place(run, engine, "dev")
            for number, measurement in enumerate(measurements):
                key = place.plan.key(number)
                self._note(place, key, measurement)

    def _place(self, run: Run, engine: Evaluator, split: str, *, own: bool = False) -> Place:
        own = own or engine.spec.name in self.shared.own
        alone = self._plan(run, engine, split, None, own=own)
        stage = None if alone.position < 0 else run.stages[alone.position]
        model = (
            format_of(self.source.format) if stage is None else stage.output_format,
            self.source.key if stage is None else stage.key,
        )
        beside = isinstance(engine, TimedEvaluator)
        if not beside and not engine.spec.reference:
            return Place(alone, None, *model)
        baseline = self.reference()
        if baseline is None:
            if not beside:
                message = "it compares with the baseline, which failed"
                failure = Failure(Reason.REFUSED, message, True)
                raise TrialFailed(engine.spec.name, failure, None)
            return Place(alone, None, *model)
        anchor = self._plan(baseline, engine, split, None)
        if beside and anchor.description["model"] == alone.description["model"]:
            return Place(alone, None, *model)  # it is the anchor itself
        plan = self._plan(run, engine, split, anchor, own=own)
        return Place(plan, baseline.artifacts[anchor.position + 1], *model)

    def _plan(
        self,
        run: Run,
        engine: Evaluator,
        split: str,
        anchor: MeasurementPlan | None,
        *,
        own: bool = False,
    ) -> MeasurementPlan:
        options = self.space.evaluators[engine.spec.name]
        parts = (engine, options, run.stages, self.passes, self.source, split, self.machine)
        return measurement_plan(*parts, anchor, own=own, night=self.night)

    def _announce(self, task: _Task, numbers: range) -> None:
        plan, store = task.place.plan, self.maker.store
        missing = [n for n in numbers if store.get(plan.key(n)) is None]
        task.cached = not missing
        if missing:
            self.emit(MeasureStarted(task.run.number, plan.evaluator, plan.key(missing[0])))

    def _measurement(self, task: _Task, process: int) -> Measurement:
        plan = task.place.plan
        key = plan.key(process)
        entry = self.maker.store.get(key)
        if entry is None:
            meta = {
                "description": plan.description | {"process": process},
                "pass": f"measure {plan.evaluator}",
                "artifact": task.place.artifact,
            }
            model = task.run.artifacts[plan.position + 1]
            entry, _ = self.maker.make_once(
                plan.evaluator,
                key,
                meta,
                lambda draft: self._job(task.place, model, process, draft),
                [model, *([] if task.place.anchor is None else [task.place.anchor])],
            )
        found = Measurement.from_json(entry.meta["value"])
        if isinstance(self.evaluators[plan.evaluator], TimedEvaluator):
            self._note(task.place, key, found)
        return found

    def _note(self, place: Place, key: str, measurement: Measurement) -> None:
        with self.shared.lock:
            self._timeline(place).add(place.name, key, measurement)

    def _timeline(self, place: Place) -> Timeline:
        name = (place.plan.evaluator, place.plan.split)
        return self.shared.timelines.setdefault(name, Timeline())

    def _job(self, place: Place, model: Artifact, process: int, draft: Draft) -> Job:
        limits, plan = self.space.limits, place.plan
        function = self.space.functions.get(plan.evaluator)
        payload = {
            "evaluator": plan.evaluator,
            "model": model.to_json(),
            "options": plain(self.space.evaluators[plan.evaluator]),
            "data": None if self.space.data is None else self.space.data.to_json(),
            "split": plan.split,
            "reference": None if place.anchor is None else place.anchor.to_json(),
            "function": None if function is None else function.to_json(),
            "process": process,
            "parts": plan.description.get("parts", 1),
        }
        times = any(
            Aspect.RUNTIME in m.depends_on for m in self.evaluators[plan.evaluator].spec.metrics
        )
        return Job(MEASURE_JOB, payload, draft.log, limits.time, limits.memory, exclusive=times)

    def _reading(self, engine: Evaluator, task: _Task, numbers: range) -> Reading:
        estimates = self._summarise(engine, task)
        measured = Measured(
            task.run.number,
            task.place.plan.evaluator,
            task.split,
            task.place.plan.key(numbers[0]),
            task.cached,
            0.0 if task.cached else task.seconds,
            tuple(estimate_json(e) for e in estimates),
            tuple(m.to_json() for m in task.measurements),
        )
        self.emit(measured)
        faults = engine.faults(task.measurements)
        if faults and not task.run.may_be_dead and self.space.limits.faults:
            failure = Failure(Reason.DEAD, faults[0], True)
            raise TrialFailed(engine.spec.name, failure, None)
        return Reading(estimates, tuple(task.measurements))

    def _summarise(self, engine: Evaluator, task: _Task) -> tuple[Estimate, ...]:
        try:
            return tuple(
                self._estimate(engine, task, metric.name, statistic)
                for metric in self._metrics(engine, task)
                for statistic in self.statistics[metric.name]
            )
        except MeasurementError as error:
            failure = Failure(Reason.REFUSED, str(error), True)
            raise TrialFailed(engine.spec.name, failure, None) from error

    def _metrics(self, engine: Evaluator, task: _Task) -> list[MetricSpec]:
        """Those that such a model has; MeasurementError where one is asked for that it lacks."""
        specs = [m for m in engine.spec.metrics if m.is_of(task.place.model_format)]
        if not isinstance(engine, TimedEvaluator):
            return specs
        asked = {objective.metric for objective in self.space.objectives}
        asked |= {constraint.metric for constraint in self.space.constraints}
        found = [m for m in specs if m.name in task.measurements[0].samples]
        lacking = sorted(asked & ({m.name for m in specs} - {m.name for m in found}))
        if lacking:
            raise MeasurementError(f"the model has no {lacking[0]}: it does not generate")
        return found

    def _estimate(
        self, engine: Evaluator, task: _Task, metric: str, statistic: str | None
    ) -> Estimate:
        if isinstance(engine, TimedEvaluator):
            with self.shared.lock:
                timeline = self._timeline(task.place)
                return engine.estimate(task.measurements, metric, statistic, timeline)
        options = self.space.evaluators[engine.spec.name]
        return engine.summarise(task.measurements, options, metric, statistic)


def estimate_json(estimate: Estimate) -> Json:
    """An estimate as plain data."""
    ratio = estimate.ratio
    return {
        "metric": estimate.metric,
        "statistic": estimate.statistic,
        "value": estimate.value,
        "low": estimate.low,
        "high": estimate.high,
        "unit": estimate.unit,
        "samples": estimate.samples,
        "ratio": None if ratio is None else [ratio.value, ratio.low, ratio.high],
    }
