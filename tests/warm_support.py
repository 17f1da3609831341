"""Studies of passes that cost nothing, recorded as the engine would have, for what starts warm.

Everything is real but the running: keys, numbers and verdicts are worked out as a tuning does.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path
from typing import ClassVar

from sqlalchemy import Engine
from toy_plugin import Toy, ToyMetrics, ToyTail

from evaluators.base import Artifact, Evaluator, Measurement
from evaluators.timed import TimedEvaluator, session_parameters
from evaluators.workloads import Workload
from search_spaces import parse_space
from search_spaces.candidates import (
    Candidate,
    baseline_candidate,
    enumerate_candidates,
    plain,
)
from search_spaces.space import Space
from search_spaces.vocabulary import Aspect, EvaluatorSpec, MetricSpec, Value, Vocabulary
from tuner.execution.measuring import estimate_json
from tuner.passes.base import Pass
from tuner.pipeline.plan import Source, Stage
from tuner.search.front import add_to_front
from tuner.search.judging import Judge, Numbers, judgement_json, verdict_of
from tuner.study.events import (
    BASELINE,
    Event,
    Judged,
    Measured,
    StageFinished,
    StudyStarted,
    StudyStopped,
    Told,
    TrialAsked,
    WarmStarted,
)
from tuner.study.reader import StudyReader
from tuner.study.rows import TrialRow
from tuner.study.writer import StudyWriter
from tuner.warm.edits import identity, question
from tuner.warm.keys import Keys
from tuner.warm.sorting import NewStudy
from tuner.warm.source import Origin
from tuner.warm.start import Hint, warm_start

SPACE = """
model: model
task: text-generation
pipeline:
  - toy:
      a: {choices: [0, 1, 2]}
  - toy_tail:
      c: {choices: [0, 1]}
objectives: [minimize cost, maximize worth]
constraints: ["cost<20ms"]
search: {trials: 6, seed: 3, strategy: grid}
"""

MACHINE = {"cpu": "EPYC 7763", "cores": "8", "system": "Linux x86_64"}


class Ticks(TimedEvaluator):
    """Times a model; the numbers are given, not taken."""

    spec: ClassVar[EvaluatorSpec] = EvaluatorSpec(
        name="ticks",
        version=1,
        help="times a toy",
        parameters=session_parameters(requests=5),
        metrics=(
            MetricSpec(
                "tick",
                "s",
                True,
                frozenset({Aspect.STRUCTURE, Aspect.RUNTIME}),
                "seconds",
                statistics=("p50", "p95"),
            ),
        ),
        formats=frozenset({"toy"}),
    )

    def open(self, model: Artifact, options: Mapping[str, Value]) -> Workload:
        """Never called: what a session gives is in `session`."""
        raise NotImplementedError

    @staticmethod
    def session(seconds: float) -> Measurement:
        """A session whose requests took about so long, each block beside one of the anchor."""
        blocks = [[seconds * (1 + 0.01 * (i + j)) for i in range(5)] for j in range(4)]
        anchor = [[0.010 * (1 + 0.01 * (i + j)) for i in range(5)] for j in range(4)]
        return Measurement({"tick": blocks}, anchor={"tick": anchor})


def passes() -> dict[str, Pass]:
    return {"toy": Toy(), "toy_tail": ToyTail()}


def evaluators() -> dict[str, Evaluator]:
    return {"toy_metrics": ToyMetrics(), "ticks": Ticks()}


@dataclass
class Bench:
    """A database, and studies in it."""

    engine: Engine
    folder: Path
    passes: Mapping[str, Pass] = field(default_factory=passes)
    evaluators: Mapping[str, Evaluator] = field(default_factory=evaluators)
    machine: Mapping[str, str] = field(default_factory=lambda: dict(MACHINE))
    source: Source = field(default_factory=lambda: Source("m" * 64, "text-generation", {}))
    sessions: int = 3  # that timing takes

    @property
    def reader(self) -> StudyReader:
        return StudyReader(self.engine)

    def space(self, *changes: tuple[str, str], text: str = SPACE) -> Space:
        """The space with these texts replaced by others."""
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        words = Vocabulary(
            {name: p.spec for name, p in self.passes.items()},
            {name: e.spec for name, e in self.evaluators.items()},
        )
        (self.folder / "model").mkdir(exist_ok=True)
        (self.folder / "model" / "config.json").write_text("{}")
        return parse_space(text, self.folder / "space.yaml", words).space

    def new(self, name: str, space: Space) -> NewStudy:
        words = Vocabulary(
            {name: p.spec for name, p in self.passes.items()},
            {name: e.spec for name, e in self.evaluators.items()},
        )
        parts = (space, words, self.passes, self.evaluators, self.source, self.machine)
        return NewStudy(name, *parts, dict(self.machine) | {"python": "3.11.9"})

    def started(self, name: str, space: Space) -> StudyStarted:
        return StudyStarted(
            study=name,
            resumed=False,
            space={
                "name": space.name,
                "path": None,
                "model": space.model.text,
                "fingerprint": identity(space, self.source),
                "question": question(space, self.source),
                "limits": {"time": 3600.0, "memory": None, "fidelity": True},
                "text": "",
            },
            objectives=tuple(
                {"text": o.text, "metric": o.metric, "statistic": None, "minimize": o.minimize}
                for o in space.objectives
            ),
            constraints=tuple(
                {"text": c.text, "metric": c.metric, "statistic": None, "operator": "<"}
                for c in space.constraints
            ),
            settings={"strategy": space.search.strategy, "seed": space.search.seed},
            environment=dict(self.machine) | {"python": "3.11.9"},
        )

    def record(self, name: str, space: Space, extra: Iterable[Event] = ()) -> None:
        """A study that tried every candidate; then what else happened."""
        with StudyWriter(self.engine, name) as writer:
            writer(self.started(name, space))
            with writer.batch():
                for event in _Recording(self, space).events():
                    writer(event)
                for event in extra:
                    writer(event)
            writer(StudyStopped("trials", None, 1.0))

    def start(
        self, name: str, space: Space, *sources: str, continues: bool = False
    ) -> tuple[list[WarmStarted], list[Hint]]:
        """Begin a study with others of the same database: what was told, and the hints."""
        told: list[Event] = []
        origins = [Origin(s, s, self.reader, continues) for s in sources]
        with StudyWriter(self.engine, name) as writer:
            writer(self.started(name, space))
            hints = warm_start(self.new(name, space), origins, self.reader, writer, told.append)
        return [event for event in told if isinstance(event, WarmStarted)], hints

    def trials(self, name: str) -> list[TrialRow]:
        return [row for row in self.reader.trials(name) if row.number != BASELINE]

    def numbers(self, space: Space, candidate: Candidate) -> Numbers:
        """What measuring a candidate gives."""
        folder = self.folder / "measured"
        folder.mkdir(exist_ok=True)
        values = {k: v for step in candidate.steps for k, v in plain(step.parameters).items()}
        (folder / "parameters.json").write_text(json.dumps(values))
        measured: dict[str, Sequence[Measurement]] = {}
        for name, options in space.evaluators.items():
            engine = self.evaluators[name]
            if isinstance(engine, Ticks):
                seconds = 0.002 * (1 + values["a"])
                speeds = islice(cycle((1.0, 1.04, 0.96)), self.sessions)
                measured[name] = [Ticks.session(seconds * speed) for speed in speeds]
            else:
                measured[name] = [engine.measure(Artifact("toy", folder), options, None, "dev")]
        statistics = self.judge(space).statistics()
        estimates = [
            self.evaluators[name].summarise(found, space.evaluators[name], m.name, statistic)
            for name, found in measured.items()
            for m in self.evaluators[name].spec.metrics
            for statistic in statistics[m.name]
        ]
        return Numbers({(e.metric, e.statistic): e for e in estimates}, measured)

    def judge(self, space: Space) -> Judge:
        return Judge(space, self.new("", space).vocabulary, self.evaluators)


@dataclass
class _Recording:
    bench: Bench
    space: Space

    def __post_init__(self) -> None:
        bench = self.bench
        self.keys = Keys(self.space, bench.source, bench.passes, bench.evaluators, bench.machine)
        self.judge = bench.judge(self.space)
        self.front: dict[int, Sequence[float]] = {}

    def events(self) -> Iterator[Event]:
        yield from self._trial(BASELINE, baseline_candidate(self.space))
        for number, candidate in enumerate(enumerate_candidates(self.space)):
            yield from self._trial(number, candidate)

    def _trial(self, number: int, candidate: Candidate) -> Iterator[Event]:
        stages = self.keys.stages(candidate)
        yield asked(number, candidate)
        yield from made(number, stages)
        numbers = self.bench.numbers(self.space, candidate)
        yield from measured(self.keys, number, stages, numbers)
        if number == BASELINE:
            self.judge.baseline = numbers
            yield Told(BASELINE, "baseline", None, (), 2.0)
            return
        judgements = self.judge.judge(numbers)
        verdict = verdict_of(judgements)
        yield Judged(number, verdict, tuple(judgement_json(j) for j in judgements))
        values = self.judge.objectives(numbers)
        if verdict == "feasible":
            self.front = add_to_front(self.front, number, self.judge.losses(values))
        yield Told(number, "complete", values, tuple(self.front), 2.0)


def measured(
    keys: Keys, number: int, stages: tuple[Stage, ...], numbers: Numbers
) -> Iterator[Event]:
    """Every evaluator's numbers, under the key that models share."""
    for name, found in numbers.measurements.items():
        metrics = {m.name for m in keys.evaluators[name].spec.metrics}
        estimates = [e for e in numbers.estimates.values() if e.metric in metrics]
        key = min(keys.measurements(stages, name))
        what = tuple(estimate_json(e) for e in estimates)
        detail = tuple(m.to_json() for m in found)
        yield Measured(number, name, "dev", key, False, 1.0, what, detail)


def asked(number: int, candidate: Candidate) -> TrialAsked:
    role = "baseline" if number == BASELINE else "trial"
    steps = tuple(step.to_json() for step in candidate.steps)
    return TrialAsked(number, role, candidate.key, plain(candidate.decisions), steps)


def made(number: int, stages: Iterable[Stage], first: int = 0) -> Iterator[Event]:
    for position, stage in enumerate(stages, start=first):
        what = (number, position, stage.step, stage.spec.name, stage.key)
        yield StageFinished(*what, False, 1.0, 1000, None, None, stage.share)
