"""The evaluator `size`: the bytes that a model takes on disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from evaluators.base import (
    TRAINING_STATE,
    Artifact,
    Estimate,
    Evaluator,
    Measurement,
    MeasurementError,
)
from search_spaces.data import DataSpec
from search_spaces.vocabulary import Aspect, EvaluatorSpec, MetricSpec, Value


class Size(Evaluator):
    """Adds up the files of the model's folder, everything that has to be deployed.

    To an adapter belongs its base.
    """

    spec: ClassVar = EvaluatorSpec(
        name="size",
        version=1,
        help="bytes on disk of the whole model folder",
        parameters=(),
        metrics=(
            MetricSpec(
                name="size",
                unit="B",
                lower_is_better=True,
                depends_on=frozenset({Aspect.STRUCTURE}),
                help="bytes of all files in the model folder",
            ),
        ),
        formats=frozenset({"hf", "quantized", "adapter", "onnx", "genai"}),
    )

    def measure(
        self,
        model: Artifact,
        options: Mapping[str, Value],
        data: DataSpec | None,
        split: str,
        reference: Artifact | None = None,
    ) -> Measurement:
        """One sample: the sum of the files' sizes in bytes. Links count as what they point to."""
        folders = [model.path] if model.base is None else [model.path, model.base.path]
        files = (
            path
            for folder in folders
            for path in folder.rglob("*")
            if path.parent != folder / TRAINING_STATE
        )
        sizes = [path.stat().st_size for path in files if path.is_file()]
        if not sizes:
            raise MeasurementError(f"{model.path}: there are no files in the model folder")
        return Measurement({"size": [[float(sum(sizes))]]}, conditions={"files": len(sizes)})

    def summarise(
        self,
        measurements: Sequence[Measurement],
        options: Mapping[str, Value],
        metric: str,
        statistic: str | None,
    ) -> Estimate:
        """The size, which is exact: both ends of the interval are the value."""
        value = measurements[0].samples["size"][0][0]
        return Estimate(metric, None, value, value, value, "B", samples=1)
