"""Measures models in fresh processes, as trials are measured; what was measured before is known.

Keeps results in the store under keys of their content. Knows nothing of studies or of how results
are shown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evaluators import all_evaluators, machine
from evaluators.base import Artifact, Evaluator, Interval, Measurement, MeasurementError
from evaluators.comparison import CONFIDENCE, LOOKS, Comparison, compare
from evaluators.function import FunctionEvaluator
from evaluators.measure import MEASURE_JOB
from evaluators.parts import parts_of
from evaluators.statistics import LEVEL
from evaluators.timed import TimedEvaluator
from evaluators.timing import Timeline
from evaluators.verdicts import difference
from search_spaces.candidates import digest, plain
from search_spaces.data import content_key
from search_spaces.paths import content_digest
from search_spaces.space import Limits
from search_spaces.vocabulary import Aspect
from tuner.evaluating.question import Asked, Question
from tuner.execution.job import Job
from tuner.execution.local import LocalExecutor
from tuner.execution.making import Maker, TrialFailed
from tuner.models.hashes import folder_hash
from tuner.pipeline.plan import library_versions
from tuner.pipeline.store import Draft, Store

Json = dict[str, Any]
Tell = Callable[[str], None]

EXACT = "exact"
"""How two numbers are compared that are no estimates."""


@dataclass(frozen=True, slots=True)
class Value:
    """A metric of a model with its 95 % interval, in its canonical unit."""

    metric: str
    statistic: str | None
    unit: str
    value: float
    low: float
    high: float
    samples: int


@dataclass(frozen=True, slots=True)
class Pair:
    """A metric of one model (`a`) beside that of another (`b`).

    `change`: a less b in the metric's unit, or, where `relative`, a over b; with its interval at
    `confidence`. `differ`: whether that leaves out that they are the same. `how`: what it rests on.
    """

    a: Value
    b: Value
    change: Interval
    relative: bool
    confidence: float
    differ: bool
    how: str


@dataclass(frozen=True, slots=True)
class Found:
    """What was measured. `values`: of one model; `pairs`: of two.

    `faults`: model -> why its numbers are worth nothing; `failures`: evaluator -> why it gave none.
    """

    values: Sequence[Value] = ()
    pairs: Sequence[Pair] = ()
    faults: Mapping[str, Sequence[str]] = field(default_factory=dict)
    failures: Mapping[str, str] = field(default_factory=dict)


class NotOfThisModel(Exception):
    """A metric was asked for that such a model does not have; one sentence."""


@dataclass
class Bench:
    """Measures what a question asks. `tell` is told what is being measured.

    `again`: what is measured under this name is known under no other; None: what is known serves.
    """

    question: Question
    maker: Maker
    tell: Tell
    again: str | None = None
    _faults: dict[str, list[str]] = field(default_factory=dict)
    _failures: dict[str, str] = field(default_factory=dict)

    def one(self, model: Artifact) -> Found:
        """Every metric of a model."""
        values: list[Value] = []
        for name in self.question.options:
            with self._failing(name):
                engine, measured = self._engine(name), self._measured(name, model)
                asked = self._there(engine, name, measured[0])
                values += [self._value(engine, one, measured) for one in asked]
        return Found(values, faults=self._faults, failures=self._failures)

    def two(self, a: Artifact, b: Artifact) -> Found:
        """Every metric of two models, with what one has over the other.

        Times are measured in turn until the difference is clear, or enough; what is measured on
        items is compared item by item. A metric that compares models itself is of `a` against `b`.
        """
        values: list[Value] = []
        pairs: list[Pair] = []
        for name in self.question.options:
            engine, asked = self._engine(name), self.question.of(name)
            with self._failing(name):
                if engine.spec.reference:
                    measured = self._measured(name, a, b)
                    values += [self._value(engine, one, measured) for one in asked]
                elif isinstance(engine, TimedEvaluator):
                    pairs += self._timed(engine, a, b)
                else:
                    both = self._measured(name, a), self._measured(name, b)
                    pairs += [self._pair(engine, one, *both) for one in asked]
        return Found(values, pairs, self._faults, self._failures)

    @contextmanager
    def _failing(self, name: str) -> Iterator[None]:
        """What cannot be measured is noted; the rest still can."""
        try:
            yield
        except (TrialFailed, MeasurementError) as error:
            self._failures[name] = str(error).removeprefix(f"{name}: ")

    # One model

    def _measured(
        self, name: str, model: Artifact, reference: Artifact | None = None
    ) -> list[Measurement]:
        engine, options = self._engine(name), self.question.options[name]
        count = max(engine.processes(options), parts_of(engine, options, self.question.rows))
        of = f"of {count}" if count > 1 else ""
        found = [self._process(name, model, reference, n, of) for n in range(count)]
        self._note(engine, model, found)
        return found

    def _note(self, engine: Evaluator, model: Artifact, found: Sequence[Measurement]) -> None:
        for fault in engine.faults(found):
            known = self._faults.setdefault(str(model.path), [])
            if fault not in known:
                known.append(fault)

    def _value(self, engine: Evaluator, asked: Asked, measured: Sequence[Measurement]) -> Value:
        options = self.question.options[asked.evaluator]
        found = engine.summarise(measured, options, asked.metric.name, asked.statistic)
        ends = found.value, found.low, found.high
        return Value(found.metric, found.statistic, found.unit, *ends, found.samples)

    def _there(self, engine: Evaluator, name: str, measured: Measurement) -> list[Asked]:
        """What is asked of an evaluator, without what only other models have of it.

        NotOfThisModel where such a metric was asked for by its own name.
        """
        asked = self.question.of(name)
        if not isinstance(engine, TimedEvaluator):
            return asked
        lacking = [one for one in asked if one.metric.name not in measured.samples]
        for one in lacking:
            if not one.implied:
                raise NotOfThisModel(f"the model has no {one.metric.name}: it does not generate")
        return [one for one in asked if one not in lacking]

    # Two models

    def _pair(
        self,
        engine: Evaluator,
        asked: Asked,
        ours: Sequence[Measurement],
        theirs: Sequence[Measurement],
    ) -> Pair:
        a, b = (self._value(engine, asked, measured) for measured in (ours, theirs))
        paired = engine.paired(ours, theirs, asked.metric.name, 1.0)
        how = "two intervals" if paired is None else "item by item"
        if (a.low, b.low) == (a.high, b.high):
            how = EXACT
        change = paired or difference(_interval(a), _interval(b), 1.0)
        differ = not change.low <= 0 <= change.high
        return Pair(a, b, change, False, LEVEL, differ, how)

    def _timed(self, engine: TimedEvaluator, a: Artifact, b: Artifact) -> list[Pair]:
        held: list[Measurement] = []

        looks = self._looks(engine)
        of = f"of at most {looks[-1]}"

        def session(number: int) -> Measurement:
            while len(held) <= number:
                held.append(self._process(engine.spec.name, a, b, len(held), of))
            return held[number]

        asked = self._there(engine, engine.spec.name, session(0))
        found = [compare(session, one.metric.name, one.statistic or "p50", looks) for one in asked]
        self._note(engine, a, held)
        timeline = Timeline()
        for number, measurement in enumerate(held):
            timeline.add("a", str(number), measurement)
        return [
            self._beside(engine, one, held, timeline, result)
            for one, result in zip(asked, found, strict=True)
        ]

    def _looks(self, engine: TimedEvaluator) -> Sequence[int]:
        """After how many sessions to look; `processes`, where it is given, is the most."""
        name = engine.spec.name
        if f"{name}.processes" not in self.question.given:
            return LOOKS
        most = max(engine.processes(self.question.options[name]), LOOKS[0])  # two: no spread known
        return (*(look for look in LOOKS if look < most), most)

    def _beside(
        self,
        engine: TimedEvaluator,
        asked: Asked,
        held: Sequence[Measurement],
        timeline: Timeline,
        found: Comparison,
    ) -> Pair:
        metric = asked.metric.name
        ours = engine.estimate(held, metric, asked.statistic, timeline)
        theirs = timeline.anchor(metric, asked.statistic or "p50")
        if theirs is None:
            raise MeasurementError(f"{metric}: too few samples of the second model")
        names = metric, ours.statistic, ours.unit
        a = Value(*names, ours.value, ours.low, ours.high, ours.samples)
        ends = theirs.value, theirs.low, theirs.high
        b = Value(*names, *ends, timeline.samples(metric))
        how = f"{found.sessions} sessions of the two in turn"
        return Pair(a, b, found.ratio, True, CONFIDENCE, found.differ, how)

    # A process

    def _engine(self, name: str) -> Evaluator:
        metric = self.question.functions.get(name)
        if metric is None:
            return all_evaluators()[name]
        has_data = self.question.data is not None
        return FunctionEvaluator(metric, self.question.options[name], has_data=has_data)

    def _process(
        self, name: str, model: Artifact, reference: Artifact | None, number: int, of: str
    ) -> Measurement:
        """What a process of an evaluator finds, or has found before. `of`: how many there are."""
        engine = self._engine(name)
        description = self._description(engine, model, reference) | {"process": number}
        description |= {} if self.again is None else {"again": self.again}
        key = digest(description)
        entry = self.maker.store.get(key)
        if entry is None:
            place = f" ({number + 1} {of})" if of else ""
            self.tell(f"measuring {name} of {model.path}{place}")
            meta = {"description": description, "pass": f"evaluate {name}"}
            payload = self._payload(name, model, reference, number)
            times = any(Aspect.RUNTIME in m.depends_on for m in engine.spec.metrics)

            def job(draft: Draft) -> Job:
                return Job(MEASURE_JOB, payload, draft.log, Limits().time, exclusive=times)

            entry, _ = self.maker.make_once(name, key, meta, job)
        return Measurement.from_json(entry.meta["value"])

    def _payload(self, name: str, model: Artifact, reference: Artifact | None, number: int) -> Json:
        question = self.question
        function, options = question.functions.get(name), question.options[name]
        return {
            "evaluator": name,
            "model": model.to_json(),
            "options": plain(options),
            "data": None if question.data is None else question.data.to_json(),
            "split": question.split,
            "reference": None if reference is None else reference.to_json(),
            "function": None if function is None else function.to_json(),
            "process": number,
            "parts": parts_of(self._engine(name), options, question.rows),
        }

    def _description(self, engine: Evaluator, model: Artifact, reference: Artifact | None) -> Json:
        """What a measurement depends on, but for its number."""
        spec, question = engine.spec, self.question
        options = question.options[spec.name]
        files = {p.name for p in spec.parameters if p.type is Path}
        times = any(Aspect.RUNTIME in m.depends_on for m in spec.metrics)
        return {
            "kind": "evaluation",
            "evaluator": spec.name,
            "version": spec.version,
            "options": {
                n: content_digest(v) if n in files else plain(v) for n, v in options.items()
            },
            "model": self._content(model),
            "reference": None if reference is None else self._content(reference),
            "data": None if isinstance(engine, TimedEvaluator) else _data_key(question),
            "parts": parts_of(engine, options, question.rows),
            "libraries": library_versions(spec.libraries),
            "machine": machine.fingerprint() if times else None,
            "environment": dict(engine.environment(options)),
        }

    def _content(self, model: Artifact) -> list[str]:
        """What a model is, whatever its folder is called; an adapter with its base."""
        folders = [model.path] if model.base is None else [model.path, model.base.path]
        return [model.format, *(folder_hash(f, self.maker.store.root) for f in folders)]


@contextmanager
def bench(question: Question, root: Path, tell: Tell, again: str | None = None) -> Iterator[Bench]:
    """A bench with worker processes of its own. `root`: of the store."""
    specs = [question.specs[name] for name in question.options]
    modules = dict.fromkeys(name.replace("-", "_") for s in specs for name in s.libraries)
    with LocalExecutor([*modules, "evaluators.measure"]) as executor:
        yield Bench(question, Maker(Store(root), executor), tell, again)


def _data_key(question: Question) -> str | None:
    return None if question.data is None else content_key(question.data, question.split)


def _interval(value: Value) -> Interval:
    return Interval(value.value, value.low, value.high)
