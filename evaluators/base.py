"""What an evaluator is: measure a model in a process of its own, then summarise the measurements.

`measure` runs in a worker process and may import heavy libraries; `summarise` runs in the
coordinator and must not. Knows nothing of passes or of the search.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

from search_spaces.data import DataSpec
from search_spaces.vocabulary import EvaluatorSpec, Value

Json = dict[str, Any]
"""A JSON object: what crosses processes, and what is stored."""

TRAINING_STATE = "training_state"
"""A folder beside a model whose training is to go on later. It is no part of the model."""

Samples = Mapping[str, Sequence[Sequence[float]]]
"""Metric -> blocks -> raw samples, in the metric's canonical unit."""


class MeasurementError(Exception):
    """The model cannot be measured, for a reason that a person understands (one sentence)."""


class DeadModel(MeasurementError):
    """The model runs, but what it gives is worth nothing (not finite, empty); one sentence."""


class NotEnoughSamples(MeasurementError):
    """The statistic asked for needs more samples than were taken; the message says how many."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """A model on disk: its folder, and an adapter's base.

    `format`: "hf", "quantized", "adapter", "onnx" or "genai"; `PassSpec` says what they are.
    """

    format: str
    path: Path
    base: Artifact | None = None

    def to_json(self) -> Json:
        """A JSON form that `from_json` reads."""
        base = None if self.base is None else self.base.to_json()
        return {"format": self.format, "path": str(self.path), "base": base}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The artifact that `to_json` wrote."""
        base = None if data["base"] is None else cls.from_json(data["base"])
        return cls(data["format"], Path(data["path"]), base)


@dataclass(frozen=True, slots=True)
class Measurement:
    """What one process measured.

    `items`: one object per data item, in the data's order ({"label", "predicted", "scores"}).
    `anchor`: samples of the baseline, each block taken next to the block of the same number.
    `faults`: why the model is dead or wrong in spite of its numbers; a sentence each, such as
    "answers 'joy' for all of 160 items".
    """

    samples: Samples = field(default_factory=dict)
    items: Sequence[Json] = ()
    conditions: Json = field(default_factory=dict)
    anchor: Samples = field(default_factory=dict)
    faults: Sequence[str] = ()

    def to_json(self) -> Json:
        """A JSON form that `from_json` reads."""
        return {
            "samples": _lists(self.samples),
            "items": list(self.items),
            "conditions": self.conditions,
            "anchor": _lists(self.anchor),
            "faults": list(self.faults),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The measurement that `to_json` wrote."""
        parts = (data["samples"], data["items"], data["conditions"])
        return cls(*parts, data.get("anchor", {}), data.get("faults", ()))


def _lists(samples: Samples) -> dict[str, list[list[float]]]:
    return {name: [list(block) for block in blocks] for name, blocks in samples.items()}


@dataclass(frozen=True, slots=True)
class Interval:
    """A value and the 95 % interval around it."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Estimate:
    """A metric's value with a 95 % interval, canonical unit.

    `samples`: how many it rests on. `ratio`: to the baseline's value, where both were measured in
    turn; the machine's drift does not change it.
    """

    metric: str
    statistic: str | None
    value: float
    low: float
    high: float
    unit: str
    samples: int
    ratio: Interval | None = None


class Evaluator(ABC):
    """One entry under `metrics:` of a space."""

    spec: ClassVar[EvaluatorSpec]

    def processes(self, options: Mapping[str, Value]) -> int:
        """How many fresh processes to measure in; 1 where a process makes no difference."""
        return 1

    def environment(self, options: Mapping[str, Value]) -> Mapping[str, str]:
        """What else than options, model, data and library versions the numbers depend on."""
        return {}

    @abstractmethod
    def measure(
        self,
        model: Artifact,
        options: Mapping[str, Value],
        data: DataSpec | None,
        split: str,
        reference: Artifact | None = None,
    ) -> Measurement:
        """Load the model in its runtime and measure it. Runs in a worker process.

        `reference`: the baseline's model, where `spec.reference` asks for it.
        Raises MeasurementError with a reason in words when the model cannot be measured, and
        DeadModel when what it gives is worth nothing.
        """

    def faults(self, measurements: Sequence[Measurement]) -> Sequence[str]:
        """Why the model is dead or wrong, by all that was measured of it; a sentence each."""
        return [fault for measurement in measurements for fault in measurement.faults]

    @abstractmethod
    def summarise(
        self,
        measurements: Sequence[Measurement],
        options: Mapping[str, Value],
        metric: str,
        statistic: str | None,
    ) -> Estimate:
        """The estimate of one metric from what every process measured; statistic None: the default.

        Raises NotEnoughSamples where the statistic cannot be judged from so few.
        """

    def paired(
        self,
        measurements: Sequence[Measurement],
        baseline: Sequence[Measurement],
        metric: str,
        factor: float,
    ) -> Interval | None:
        """The metric less factor x the baseline's, from what both did on the same items.

        None, the default, where the two are independent: then their intervals are compared.
        """
        return None
