"""The evaluator of a metric of the user's own: a Python function that a space names.

Knows nothing of how a space declares it; see `search_spaces.functions`.
"""

from __future__ import annotations

import importlib
import importlib.util
import math
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from numbers import Real
from pathlib import Path
from typing import Any

from evaluators.base import (
    Artifact,
    Estimate,
    Evaluator,
    Interval,
    Json,
    Measurement,
    MeasurementError,
)
from evaluators.items import mean_difference, mean_interval
from evaluators.runtimes.models import generates, open_classifier, open_language_model
from search_spaces.data import DataSpec, Row, read_split
from search_spaces.functions import FunctionMetric, function_spec
from search_spaces.problems import hint, listed
from search_spaces.space import Space
from search_spaces.vocabulary import Value

_KEYS = ("value", "items", "low", "high")


class FunctionEvaluator(Evaluator):
    """Calls function(model, rows, **options) in a worker process.

    `model`: the model in its runtime, a `LanguageModel` or a `Classifier` of
    `evaluators.runtimes.models`. `rows`: the rows of the split, each a mapping of columns to text;
    None where the space has no data.

    It returns a number; or a mapping with "items", a number for each row: the value is their mean,
    with its interval, and limits relative to the baseline are judged item by item; or a mapping
    with "value", "low" and "high", the ends of the interval.
    """

    def __init__(
        self, metric: FunctionMetric, options: Mapping[str, Value], *, has_data: bool
    ) -> None:
        self.spec = function_spec(metric, options, has_data)  # type: ignore[misc]  # one for each
        self._metric = metric

    def environment(self, options: Mapping[str, Value]) -> Mapping[str, str]:
        """The function, and the content of its file."""
        return self._metric.content()

    def measure(
        self,
        model: Artifact,
        options: Mapping[str, Value],
        data: DataSpec | None,
        split: str,
        reference: Artifact | None = None,
    ) -> Measurement:
        """Call the function. What it prints goes to the log, as does the trace of what it raises.

        MeasurementError where it raises, or returns anything else than numbers.
        """
        rows = None if data is None else read_split(data, split)
        opened = open_language_model(model) if generates(model) else open_classifier(model)
        found = _call(self._metric, opened, rows, options)
        measured = _Result(self._metric).read(found)
        conditions = {"split": split, "function": self._metric.label, **opened.conditions()}
        return Measurement(
            samples=measured.samples,
            items=measured.items,
            conditions=conditions | measured.conditions,
        )

    def summarise(
        self,
        measurements: Sequence[Measurement],
        options: Mapping[str, Value],
        metric: str,
        statistic: str | None,
    ) -> Estimate:
        """What the function returned: the mean of its items, or its value with its interval.

        A bare number has no interval.
        """
        measurement, unit = measurements[0], self._metric.unit
        if measurement.items:
            found = mean_interval([item["value"] for item in measurement.items])
            low, high = _possible(found, unit)
            return Estimate(metric, None, found.value, low, high, unit, len(measurement.items))
        value = measurement.samples[metric][0][0]
        low, high = measurement.conditions.get("interval", (value, value))
        return Estimate(metric, None, value, low, high, unit, 1)

    def paired(
        self,
        measurements: Sequence[Measurement],
        baseline: Sequence[Measurement],
        metric: str,
        factor: float,
    ) -> Interval | None:
        """By the items, where there are as many of both."""
        ours, theirs = ([i["value"] for i in m[0].items] for m in (measurements, baseline))
        if not ours or len(ours) != len(theirs):
            return None
        return mean_difference(ours, theirs, factor)


def function_evaluators(space: Space) -> dict[str, Evaluator]:
    """The evaluators of the metrics of the space's own, by name."""
    has_data = space.data is not None
    return {
        name: FunctionEvaluator(metric, space.evaluators[name], has_data=has_data)
        for name, metric in space.functions.items()
        if name in space.evaluators
    }


def _possible(found: Interval, unit: str) -> tuple[float, float]:
    """The ends of an interval, within what the unit can have."""
    low = found.low if unit == "" else max(found.low, min(0.0, found.value))
    return low, min(1.0, found.high) if unit == "fraction" else found.high


def _call(
    metric: FunctionMetric, model: Any, rows: list[Row] | None, options: Mapping[str, Value]
) -> Any:
    try:
        return _function(metric)(model, rows, **options)
    except MeasurementError:
        raise
    except Exception as error:  # the user's code may raise anything
        traceback.print_exc()
        where = _where(error, metric.file)
        raise MeasurementError(
            f"{metric.label} raised {type(error).__name__}: {error}{where}"
        ) from error


def _function(metric: FunctionMetric) -> Callable[..., Any]:
    module = _module(metric)
    found = getattr(module, metric.function, None)
    if not callable(found):
        near = hint(metric.function, [n for n in vars(module) if callable(vars(module)[n])])
        what = "there is no such function" if found is None else f"it is {found!r}, no function"
        raise MeasurementError(f"{metric.label}: {what}{near}")
    function: Callable[..., Any] = found
    return function


def _module(metric: FunctionMetric) -> Any:
    """The module that holds the function; the names of a file do not hide those of installed ones.

    What lies beside the file can be imported by it.
    """
    if metric.module is not None:
        return importlib.import_module(metric.module)
    if not metric.file.is_file():
        raise MeasurementError(f"{metric.file}: there is no such file any more")
    name = f"_tune_function_{metric.file.stem}"
    spec = importlib.util.spec_from_file_location(name, metric.file)
    assert spec is not None, "a file that ends in .py has a loader"
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where dataclasses and pickle look for it
    sys.path.append(str(metric.file.parent))
    spec.loader.exec_module(module)
    return module


def _where(error: Exception, file: Path) -> str:
    """` (metrics.py:12)`: the last line of the function's file that the error came through."""
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == str(file)]
    return f" ({file.name}:{lines[-1]})" if lines else ""


class _Result:
    """Reads what a function returned; MeasurementError for what it may not return."""

    def __init__(self, metric: FunctionMetric) -> None:
        self._metric = metric

    def read(self, found: Any) -> Measurement:
        """The samples, items and the interval ("interval" of the conditions) in it."""
        if not isinstance(found, Mapping):
            return self._measurement(self._number(found, "returned"))
        unknown = [key for key in found if key not in _KEYS]
        if unknown:
            near = hint(str(unknown[0]), _KEYS)
            raise self._error(
                f"returned a mapping with {unknown[0]!r}; expected {listed(_KEYS)}{near}"
            )
        if "items" in found:
            return self._of_items(found)
        missing = [key for key in ("value", "low", "high") if key not in found]
        if "value" in missing or len(missing) == 1:
            expected = 'a number, {"items": [...]} or {"value": ..., "low": ..., "high": ...}'
            raise self._error(f"returned a mapping without {missing[0]!r}; expected {expected}")
        value = self._number(found["value"], "returned the value")
        if missing:
            return self._measurement(value)
        low, high = (self._number(found[k], f"returned as {k}") for k in ("low", "high"))
        if not low <= value <= high:
            raise self._error(f"returned {value:g} with an interval from {low:g} to {high:g}")
        return self._measurement(value, {"interval": [low, high]})

    def _of_items(self, found: Mapping[str, Any]) -> Measurement:
        if "low" in found or "high" in found:
            raise self._error("returned items and an interval; the interval is taken of the items")
        items = found["items"]
        items = items.tolist() if hasattr(items, "tolist") else items
        if not isinstance(items, Sequence) or isinstance(items, str):
            raise self._error(f"returned as items {_shown(items)}, expected a list of numbers")
        values = [
            self._number(item, f"returned as item {i}") for i, item in enumerate(items, start=1)
        ]
        if len(values) < 2:
            raise self._error(f"returned {len(values)} items; an interval needs 2 or more")
        mean = math.fsum(values) / len(values)
        if "value" in found:
            value = self._number(found["value"], "returned the value")
            if not math.isclose(value, mean, rel_tol=1e-6, abs_tol=1e-9):
                raise self._error(
                    f"returned the value {value:g}, but the mean of its items is {mean:g}; "
                    "leave the value out, or the items"
                )
        return self._measurement(mean, items=[{"value": value} for value in values])

    def _measurement(
        self, value: float, conditions: Json | None = None, items: Sequence[Json] = ()
    ) -> Measurement:
        return Measurement({self._metric.name: [[value]]}, items, conditions or {})

    def _number(self, found: Any, what: str) -> float:
        """A finite number that the unit can have; also of numpy or torch."""
        one = found.tolist() if hasattr(found, "tolist") else found
        alone = isinstance(one, bool) and what == "returned"  # of items, True is 1
        if alone or not isinstance(one, Real):
            raise self._error(f"{what} {_shown(found)}, expected a number")
        value = float(one)
        if not math.isfinite(value):
            raise self._error(f"{what} {value}, which is no number to compare")
        unit = self._metric.unit
        if unit and (value < 0 or (unit == "fraction" and value > 1)):
            bounds = "from 0 to 1" if unit == "fraction" else "0 or more"
            raise self._error(f"{what} {value:g}, but its unit is {unit}, which is {bounds}")
        return value

    def _error(self, message: str) -> MeasurementError:
        return MeasurementError(f"{self._metric.label} {message}")


def _shown(found: Any) -> str:
    """A value, cut where it is long."""
    text = "nothing (None)" if found is None else repr(found)
    return text if len(text) <= 60 else f"{text[:57]}..."
