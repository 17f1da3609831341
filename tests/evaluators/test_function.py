"""Functions of the user's own: what they are given, what they may return, how they fail."""

from __future__ import annotations

import math
import random
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from evaluators.base import Artifact, DeadModel, Measurement, MeasurementError, NotEnoughSamples
from evaluators.function import FunctionEvaluator
from evaluators.items import mean_difference, mean_interval
from evaluators.measure import measure_job
from search_spaces.data import DataSpec, read_split
from search_spaces.functions import FunctionMetric
from search_spaces.vocabulary import Value

METRICS = '''
import json
import helper

def returns(model, rows, text):
    """What the option says, of JSON (and NaN), or of Python."""
    return eval(text)

def sees(model, rows, **options):
    scores = model.log_probabilities(model.tokenise([rows[0]["phrase"]])[0][0])
    return {"value": len(rows), "low": len(scores), "high": 1000}

def generates(model, rows):
    assert rows is None
    ids = model.tokenizer("Who knew?")["input_ids"]
    return len(model.generate(ids, 3))

def raises(model, rows):
    print("so far so good")
    return helper.divide(1, 0)

def dies(model, rows):
    from evaluators.base import DeadModel
    raise DeadModel("the logits are not finite")

number = 3
'''


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("functions")
    (folder / "helper.py").write_text("def divide(a, b):\n    return a / b\n")
    (folder / "metrics.py").write_text(METRICS)
    return folder / "metrics.py"


@pytest.fixture(scope="module")
def data(tone_file: Path) -> DataSpec:
    return DataSpec((("all", tone_file),), "{phrase}\n{tone}", "tone")


@pytest.fixture(autouse=True)
def _as_in_a_process_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """What lies beside a function's file is imported from there, which the next test is not to."""
    monkeypatch.setattr(sys, "path", list(sys.path))


class Caller:
    """Measures a model with a function of the file."""

    def __init__(self, model: Artifact, file: Path, data: DataSpec | None) -> None:
        self.model, self.file, self.data = model, file, data

    def evaluator(self, function: str, unit: str = "") -> FunctionEvaluator:
        metric = FunctionMetric("own", self.file, None, function, unit, lower_is_better=True)
        return FunctionEvaluator(metric, {}, has_data=self.data is not None)

    def call(
        self, function: str, options: Mapping[str, Value] | None = None, unit: str = ""
    ) -> Measurement:
        found = self.evaluator(function, unit)
        return found.measure(self.model, options or {}, self.data, "dev")

    def returned(self, text: str, unit: str = "") -> tuple[float, float, float]:
        """The value and the interval of a function that returns this Python."""
        found = self.call("returns", {"text": text}, unit)
        estimate = self.evaluator("returns", unit).summarise([found], {}, "own", None)
        assert estimate.unit == unit
        return estimate.value, estimate.low, estimate.high


@pytest.fixture(scope="module")
def caller(tiny_onnx: Path, file: Path, data: DataSpec) -> Caller:
    return Caller(Artifact("onnx", tiny_onnx), file, data)


def test_function_is_given_the_opened_model_and_the_rows(caller: Caller, data: DataSpec) -> None:
    found = caller.call("sees", {"anything": 1})
    rows = len(read_split(data, "dev"))
    assert found.samples == {"own": [[rows]]}
    assert found.conditions["interval"] == [4, 1000]
    assert found.conditions["provider"] == "CPUExecutionProvider"
    assert found.conditions["function"] == "metrics.py:sees"


def test_generating_model_is_opened_too_and_without_data_there_are_no_rows(
    tiny_phi3: Path, file: Path
) -> None:
    found = Caller(Artifact("hf", tiny_phi3), file, None).call("generates")
    assert found.samples["own"][0][0] <= 3


def test_worker_makes_the_same_evaluator_of_the_declaration(
    tiny_onnx: Path, file: Path, data: DataSpec
) -> None:
    metric = FunctionMetric("own", file, None, "returns", "", lower_is_better=True)
    payload = {
        "evaluator": "own",
        "function": metric.to_json(),
        "model": Artifact("onnx", tiny_onnx).to_json(),
        "options": {"text": "0.5"},
        "data": data.to_json(),
        "split": "dev",
    }
    assert measure_job(payload)["samples"] == {"own": [[0.5]]}


@pytest.mark.parametrize("text", ["2", "2.0", "__import__('numpy').float32(2)", "{'value': 2}"])
def test_number_is_taken_as_it_is(caller: Caller, text: str) -> None:
    assert caller.returned(text) == (2, 2, 2)


def test_tensor_with_one_number_is_a_number(caller: Caller) -> None:
    assert caller.returned("__import__('torch').tensor([2.0]).mean()") == (2, 2, 2)


def test_interval_of_its_own_is_kept(caller: Caller) -> None:
    assert caller.returned("{'value': 2, 'low': 1, 'high': 4}") == (2, 1, 4)


@pytest.mark.parametrize("text", ["[1, 2, 6]", "__import__('numpy').array([1, 2, 6])"])
def test_items_give_their_mean_with_its_interval(caller: Caller, text: str) -> None:
    value, low, high = caller.returned(f"{{'items': {text}}}")
    assert value == 3
    half = 4.302653 * math.sqrt(7 / 3)  # Student's with two degrees of freedom
    assert (low, high) == pytest.approx((3 - half, 3 + half), rel=1e-5)
    assert caller.returned(f"{{'value': 3.0, 'items': {text}}}")[0] == 3


def test_items_that_are_right_or_wrong_are_a_proportion(caller: Caller) -> None:
    value, low, high = caller.returned("{'items': [True] * 20}", "fraction")
    assert value == high == 1
    assert 0.8 < low < 0.9


def test_interval_is_within_what_the_unit_can_have(caller: Caller) -> None:
    _, low, high = caller.returned("{'items': [0.0, 0.5, 1.0]}", "fraction")
    assert (low, high) == (0, 1)


WRONG = {
    "'much'": r"returned 'much', expected a number",
    "None": r"returned nothing \(None\), expected a number",
    "True": "returned True, expected a number",
    "float('nan')": "returned nan, which is no number to compare",
    "{'items': [1, float('inf')]}": "returned as item 2 inf, which is no number",
    "{'items': [1, 'a']}": "returned as item 2 'a', expected a number",
    "{'items': [1]}": "returned 1 items; an interval needs 2 or more",
    "{'items': 3}": "returned as items 3, expected a list of numbers",
    "{'items': [1, 2], 'low': 1, 'high': 2}": "the interval is taken of the items",
    "{'value': 5, 'items': [1, 2]}": "returned the value 5, but the mean of its items is 1.5",
    "{'values': 5}": "a mapping with 'values'; expected value, .*; did you mean 'value'",
    "{'value': 5, 'low': 1}": "returned a mapping without 'high'",
    "{'low': 5, 'high': 6}": "returned a mapping without 'value'",
    "{'value': 5, 'low': 6, 'high': 7}": "returned 5 with an interval from 6 to 7",
    "__import__('numpy').arange(3)": "expected a number",
}


@pytest.mark.parametrize("text", WRONG)
def test_what_is_no_number_is_said(caller: Caller, text: str) -> None:
    with pytest.raises(MeasurementError, match=f"metrics.py:returns .*{WRONG[text]}"):
        caller.returned(text)


@pytest.mark.parametrize(("unit", "text"), [("fraction", "1.2"), ("s", "-1"), ("fraction", "-0.1")])
def test_number_that_the_unit_cannot_have_is_said(caller: Caller, unit: str, text: str) -> None:
    with pytest.raises(MeasurementError, match=f"{text}, but its unit is {unit}"):
        caller.returned(text, unit)


def test_what_it_raises_is_said_with_its_line_and_traced_in_the_log(
    caller: Caller, capfd: pytest.CaptureFixture[str]
) -> None:
    line = METRICS.splitlines().index("    return helper.divide(1, 0)") + 1
    message = rf"metrics.py:raises raised ZeroDivisionError: division by zero \(metrics.py:{line}\)"
    with pytest.raises(MeasurementError, match=message):
        caller.call("raises")
    out, err = capfd.readouterr()
    assert "so far so good" in out
    assert "Traceback" in err
    assert "helper.py" in err


def test_model_that_is_dead_stays_dead(caller: Caller) -> None:
    with pytest.raises(DeadModel):
        caller.call("dies")


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("number", "metrics.py:number: it is 3, no function"),
        ("raise_s", "metrics.py:raise_s: there is no such function; did you mean 'raises'"),
    ],
)
def test_function_that_is_not_there_is_said(caller: Caller, function: str, message: str) -> None:
    with pytest.raises(MeasurementError, match=message):
        caller.call(function)


def test_file_that_cannot_be_imported_is_said(
    tiny_onnx: Path, data: DataSpec, tmp_path: Path
) -> None:
    path = tmp_path / "broken.py"
    path.write_text("import no_such_module\ndef own(model, rows):\n    return 1\n")
    with pytest.raises(MeasurementError, match=r"raised ModuleNotFoundError: .*no_such_module"):
        Caller(Artifact("onnx", tiny_onnx), path, data).call("own")


def test_the_function_and_its_file_are_what_it_depends_on(caller: Caller, tmp_path: Path) -> None:
    before = caller.evaluator("returns").environment({})
    assert caller.evaluator("sees").environment({}) != before
    (tmp_path / "metrics.py").write_text(METRICS)
    moved = Caller(caller.model, tmp_path / "metrics.py", caller.data)
    assert moved.evaluator("returns").environment({}) == before
    moved.file.write_text(METRICS + "# edited\n")
    assert moved.evaluator("returns").environment({}) != before


# Items


def measured(values: list[Any]) -> Measurement:
    return Measurement(items=[{"value": value} for value in values])


def test_limits_relative_to_the_baseline_are_judged_by_items(caller: Caller) -> None:
    rng = random.Random(0)
    before = [rng.gauss(10, 5) for _ in range(50)]
    now = [value + rng.gauss(0.5, 0.1) for value in before]
    found = caller.evaluator("returns").paired([measured(now)], [measured(before)], "own", 1.0)
    assert found is not None
    assert 0.4 < found.low < found.value < found.high < 0.6
    apart = mean_interval(now).high - mean_interval(now).low
    assert found.high - found.low < apart / 10


def test_without_items_of_both_they_are_compared_by_their_intervals(caller: Caller) -> None:
    evaluator = caller.evaluator("returns")
    assert evaluator.paired([measured([])], [measured([])], "own", 1.0) is None
    assert evaluator.paired([measured([1, 2])], [measured([1, 2, 3])], "own", 1.0) is None


@pytest.mark.parametrize("binary", [True, False])
def test_intervals_of_items_hold_the_truth_as_often_as_they_say(binary: bool) -> None:
    rng = random.Random(1)
    held = paired = 0
    for _ in range(400):
        before = [float(rng.random() < 0.7) if binary else rng.gauss(0.7, 1) for _ in range(80)]
        flips = (float(rng.random() < 0.7) if binary else rng.gauss(0.7, 1) for _ in before)
        now = [b if rng.random() < 0.8 else f for b, f in zip(before, flips, strict=True)]
        one, both = mean_interval(now), mean_difference(now, before, 1.0)
        held += one.low <= 0.7 <= one.high
        paired += both.low <= 0 <= both.high
    assert 0.92 <= held / 400 <= 0.98
    assert 0.92 <= paired / 400 <= 0.99


def test_one_item_is_no_interval() -> None:
    with pytest.raises(NotEnoughSamples, match="2 items or more, found 1"):
        mean_interval([1.0])
