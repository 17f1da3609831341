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


class MeasurementError(Exception):
    """The model cannot be measured, for a reason that a person understands (one sentence)."""


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

    `samples`: metric -> blocks -> raw samples, in the metric's canonical unit.
    `items`: one object per data item, in the data's order ({"label", "predicted", "scores"}).
    `conditions`: how it was measured (warm-up, threads, provider really used, load, versions).
    """

    samples: Mapping[str, Sequence[Sequence[float]]] = field(default_factory=dict)
    items: Sequence[Json] = ()
    conditions: Json = field(default_factory=dict)

    def to_json(self) -> Json:
        """A JSON form that `from_json` reads."""
        samples = {name: [list(b) for b in blocks] for name, blocks in self.samples.items()}
        return {"samples": samples, "items": list(self.items), "conditions": self.conditions}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The measurement that `to_json` wrote."""
        return cls(data["samples"], data["items"], data["conditions"])


@dataclass(frozen=True, slots=True)
class Estimate:
    """A metric's value with a 95 % interval, canonical unit. `samples`: how many it rests on."""

    metric: str
    statistic: str | None
    value: float
    low: float
    high: float
    unit: str
    samples: int


class Evaluator(ABC):
    """One entry under `metrics:` of a space."""

    spec: ClassVar[EvaluatorSpec]

    def processes(self, options: Mapping[str, Value]) -> int:
        """How many fresh processes to measure in; 1 where a process makes no difference."""
        return 1

    @abstractmethod
    def measure(
        self, model: Artifact, options: Mapping[str, Value], data: DataSpec | None, split: str
    ) -> Measurement:
        """Load the model in its runtime and measure it. Runs in a worker process.

        Raises MeasurementError with a reason in words when the model cannot be measured.
        """

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
