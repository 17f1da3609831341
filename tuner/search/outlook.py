"""How long a candidate is expected to take: what of it is there already, and what the rest costs.

Listens to the study's events to learn what each pass and each evaluator costs; what it has not
seen in this study it takes from the store's other entries, and from the mean of what it knows.
Knows nothing of how candidates are chosen.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from evaluators.base import Evaluator
from search_spaces.candidates import Candidate, CandidateStep
from search_spaces.space import Space
from search_spaces.vocabulary import Aspect, PassSpec, Value
from tuner.passes.base import Pass
from tuner.pipeline.plan import Source, Stage, plan
from tuner.pipeline.store import Store
from tuner.study.events import Event, Measured, StageFinished, TrialAsked
from tuner.study.rows import MeasurementKey, StageRow

Json = dict[str, Any]

_UNKNOWN = 1.0  # seconds, of anything where nothing at all is known

_MOST_KEYS = 20_000  # remembered; they are computed again after that

_Step = tuple[Any, ...]  # what identifies a step: its pass and its parameters' values, in order


@dataclass(slots=True)
class _Mean:
    """A mean that grows. `rate`: seconds for a unit of work."""

    seconds: float = 0.0
    work: float = 0.0

    def add(self, seconds: float, work: float = 1.0) -> None:
        self.seconds += seconds
        self.work += work

    @property
    def rate(self) -> float:
        return self.seconds / self.work


@dataclass
class StoreOutlook:
    """What candidates of one space are expected to take. For use from several threads.

    `passes`, `evaluators`: by name. It is a listener of the study's events.
    """

    space: Space
    source: Source
    passes: Mapping[str, Pass]
    evaluators: Mapping[str, Evaluator]
    store: Store
    _lock: threading.RLock = field(default_factory=threading.RLock, init=False)
    _stages: dict[str, _Mean] = field(default_factory=dict, init=False)  # by kind of work
    _measuring: dict[str, _Mean] = field(default_factory=dict, init=False)  # by evaluator
    _keys: dict[tuple[_Step, ...], str] = field(default_factory=dict, init=False)
    _there: set[str] = field(default_factory=set, init=False)  # keys seen in the store
    _asked: dict[int, tuple[Json, ...]] = field(default_factory=dict, init=False)
    _measured: dict[str, set[tuple[_Step, ...]]] = field(default_factory=dict, init=False)
    _elsewhere: dict[str, _Mean] | None = field(default=None, init=False)
    _aspects: dict[str, frozenset[Aspect]] = field(default_factory=dict, init=False)

    def __call__(self, event: Event) -> None:
        """Learn what something cost, and that it is there now."""
        with self._lock:
            if isinstance(event, TrialAsked):
                self._asked[event.number] = event.steps
            elif isinstance(event, StageFinished):
                self._there.add(event.key)
                if not event.cached:
                    asked = {s["id"]: s["parameters"] for s in self._asked.get(event.number, ())}
                    found = asked.get(event.step, {})
                    self._learn(self._stages, event.pass_name, found, event)
            elif isinstance(event, Measured) and event.split == "dev":
                self._note_measured(event, self._asked.get(event.number, ()))

    def learn_rows(self, rows: Iterable[StageRow]) -> None:
        """Learn from stages that were run before."""
        with self._lock:
            self._stages.clear()
            for row in rows:
                if row.outcome == "done" and not row.cached and row.seconds is not None:
                    self._learn(self._stages, row.pass_name, self._parameters(row), row)

    def learn_measurements(
        self, rows: Iterable[MeasurementKey], steps: Mapping[int, tuple[Json, ...]]
    ) -> None:
        """Learn from what was measured before. `steps`: of every trial."""
        with self._lock:
            self._measuring.clear()
            for row in rows:
                if row.split == "dev" and row.number in steps and row.evaluator in self.evaluators:
                    self._note_measured(row, steps[row.number])

    def seconds(self, candidate: Candidate) -> float:
        """The stages and measurements of a candidate that are still to be made."""
        with self._lock:
            steps = tuple(map(_step, candidate.steps))
            total, prefix_is_there = 0.0, True
            for position, step in enumerate(candidate.steps):
                if prefix_is_there:
                    key = self._key(candidate, steps[: position + 1])
                    prefix_is_there = self._is_there(key)
                if not prefix_is_there:
                    total += self._stage_seconds(step.spec, step.parameters)
            missing = [n for n in self.space.evaluators if not self._is_measured(n, steps)]
            return total + sum(self._evaluator_seconds(name) for name in missing)

    def stages_seconds(self, stages: Sequence[Stage]) -> float | None:
        """What whole stages take, each of them made; None where one was never seen."""
        with self._lock:
            works = [_work(stage.spec, stage.parameters) for stage in stages]
            if not all(kind in self._stages for kind, _ in works):
                return None
            return sum(self._stages[kind].rate * amount for kind, amount in works)

    def measuring_seconds(self) -> float:
        """What it takes to measure a model by every evaluator that was seen to measure."""
        with self._lock:
            return sum(mean.rate for mean in self._measuring.values())

    def _learn(
        self,
        means: dict[str, _Mean],
        pass_name: str,
        parameters: Mapping[str, Any],
        done: StageFinished | StageRow,
    ) -> None:
        if pass_name in self.passes and done.seconds is not None:
            kind, amount = _work(self.passes[pass_name].spec, parameters)
            means.setdefault(kind, _Mean()).add(done.seconds, amount * done.share)

    def _parameters(self, row: StageRow) -> Mapping[str, Any]:
        """The parameters of a stage of old, where they matter, from what the store has of it."""
        pass_ = self.passes.get(row.pass_name)
        if pass_ is None or pass_.spec.budget is None or not self.store.has(row.key):
            return {}
        entry = self.store.get(row.key)
        return {} if entry is None else _parameters_of(entry.meta)

    def _note_measured(self, done: Measured | MeasurementKey, steps: tuple[Json, ...]) -> None:
        relevant = self._relevant(done.evaluator, tuple(map(_step_of_json, steps)))
        self._measured.setdefault(done.evaluator, set()).add(relevant)
        if not done.cached:
            self._measuring.setdefault(done.evaluator, _Mean()).add(done.seconds)

    def _is_measured(self, evaluator: str, steps: tuple[_Step, ...]) -> bool:
        return self._relevant(evaluator, steps) in self._measured.get(evaluator, ())

    def _relevant(self, evaluator: str, steps: tuple[_Step, ...]) -> tuple[_Step, ...]:
        """The steps that change what the evaluator's metrics depend on."""
        aspects = self._aspects.get(evaluator)
        if aspects is None:
            metrics = self.evaluators[evaluator].spec.metrics
            aspects = frozenset().union(*(metric.depends_on for metric in metrics))
            self._aspects[evaluator] = aspects
        return tuple(s for s in steps if not self.passes[s[0]].spec.changes.isdisjoint(aspects))

    def _key(self, candidate: Candidate, steps: tuple[_Step, ...]) -> str:
        key = self._keys.get(steps)
        if key is None:
            if len(self._keys) >= _MOST_KEYS:
                self._keys.clear()
            part = Candidate({}, candidate.steps[: len(steps)])
            key = self._keys[steps] = plan(part, self.source, self.passes)[-1].key
        return key

    def _is_there(self, key: str) -> bool:
        if key in self._there:
            return True
        if self.store.has(key):
            self._there.add(key)
            return True
        return False

    def _stage_seconds(self, spec: PassSpec, parameters: Mapping[str, Value]) -> float:
        kind, amount = _work(spec, parameters)
        mean = self._stages.get(kind) or self._of_other_studies().get(kind)
        return self._usual(self._stages) if mean is None else mean.rate * amount

    def _evaluator_seconds(self, name: str) -> float:
        mean = self._measuring.get(name) or self._of_other_studies().get(f"measure {name}")
        return self._usual(self._measuring) if mean is None else mean.rate

    def _usual(self, known: Mapping[str, _Mean]) -> float:
        """The mean seconds of what takes a time of its own, not one for a unit of training."""
        rates = [mean.rate for kind, mean in known.items() if not kind.endswith(_PER_UNIT)]
        return sum(rates) / len(rates) if rates else _UNKNOWN

    def _of_other_studies(self) -> dict[str, _Mean]:
        """What passes and evaluators took in all that the store holds; read once."""
        if self._elsewhere is None:
            self._elsewhere = {}
            for entry in self.store.entries():
                name, seconds = str(entry.meta.get("pass", "")), entry.meta.get("seconds")
                if seconds is not None:
                    pass_ = self.passes.get(name)
                    found = _parameters_of(entry.meta)
                    kind, amount = (name, 1.0) if pass_ is None else _work(pass_.spec, found)
                    mean = self._elsewhere.setdefault(kind, _Mean())
                    mean.add(float(seconds), amount * float(entry.meta.get("share", 1.0)))
        return self._elsewhere


_PER_UNIT = " per unit"


def _work(spec: PassSpec, parameters: Mapping[str, Any]) -> tuple[str, float]:
    """The kind of work that a stage is, and how much: units of its budget where it has one."""
    amount = None if spec.budget is None else parameters.get(spec.budget)
    if isinstance(amount, (int, float)) and amount > 0:
        return spec.name + _PER_UNIT, float(amount)
    return spec.name, 1.0


def _parameters_of(meta: Mapping[str, Any]) -> Mapping[str, Any]:
    """The parameters of a stage, from what the store has noted of it."""
    found = meta.get("description", {}).get("parameters", {})
    return found if isinstance(found, dict) else {}


def _step(step: CandidateStep) -> _Step:
    return (step.spec.name, *step.parameters.values())


def _step_of_json(step: Mapping[str, Any]) -> _Step:
    """The same of an event's step, where tuples are lists."""
    return (step["pass"], *map(_frozen, step["parameters"].values()))


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value
