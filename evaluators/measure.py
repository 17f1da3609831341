"""The function that measures in a worker process: plain data in, plain data out.

Knows nothing of who asks, or of what becomes of the numbers.
"""

from __future__ import annotations

from evaluators import all_evaluators
from evaluators.base import Artifact, Evaluator, Json, Measurement, MeasurementError
from evaluators.function import FunctionEvaluator
from evaluators.parts import EvaluatorInParts, SplitPart
from search_spaces.data import DataError, DataSpec
from search_spaces.functions import FunctionMetric

MEASURE_JOB = "evaluators.measure:measure_job"
"""`measure_job` as a job's entry."""


def measure_job(payload: Json) -> Json:
    """Measure a model once and return the `Measurement` as JSON.

    `payload`: "evaluator" (its name), "model" (an `Artifact` as JSON), "options" (every one filled
    in), "data" (a `DataSpec` as JSON, or null), "split", "reference" (the baseline's model, or
    null), "function" (a `FunctionMetric` as JSON where the metric is of the space's own, or null);
    and where the split is measured in parts "parts" (how many) and "process" (its number, which
    says which part it measures).
    MeasurementError when the model or the data cannot be used.
    """
    evaluator = _evaluator(payload)
    model = Artifact.from_json(payload["model"])
    data = None if payload["data"] is None else DataSpec.from_json(payload["data"])
    if model.format not in evaluator.spec.formats:
        expected = ", ".join(sorted(evaluator.spec.formats))
        name = evaluator.spec.name
        raise MeasurementError(f"{name} measures {expected} models; this one is {model.format}")
    try:
        measurement = _measure(evaluator, model, data, payload)
    except DataError as error:
        raise MeasurementError(str(error)) from error
    return measurement.to_json()


def _measure(
    evaluator: Evaluator, model: Artifact, data: DataSpec | None, payload: Json
) -> Measurement:
    options, split, parts = payload["options"], payload["split"], payload.get("parts", 1)
    if isinstance(evaluator, EvaluatorInParts) and parts > 1:
        part = SplitPart.of_process(payload["process"], parts)
        return evaluator.measure_part(part, model, options, data, split)
    return evaluator.measure(model, options, data, split, _reference(payload))


def _evaluator(payload: Json) -> Evaluator:
    found = payload.get("function")
    if found is None:
        return all_evaluators()[payload["evaluator"]]
    has_data = payload["data"] is not None
    return FunctionEvaluator(FunctionMetric.from_json(found), payload["options"], has_data=has_data)


def _reference(payload: Json) -> Artifact | None:
    found = payload.get("reference")
    return None if found is None else Artifact.from_json(found)
