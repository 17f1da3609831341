"""Every evaluator through the same questions, and the function that runs in a worker."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from evaluators import (
    Artifact,
    BrokenEvaluator,
    Measurement,
    MeasurementError,
    all_evaluators,
    evaluator_specs,
)
from evaluators.base import Json
from evaluators.measure import MEASURE_JOB, measure_job
from search_spaces.data import DataSpec
from search_spaces.vocabulary import Aspect

SHORT = {"prompt_tokens": 8, "new_tokens": 3}
SESSION = SHORT | {"blocks": 2, "warmup": 1}
QUICK: dict[str, dict[str, Any]] = {
    "accuracy": {"max_items": 6},
    "divergence": {"context": 16, "max_tokens": 64},
    "generation": {"max_items": 2, "max_new_tokens": 3},
    "latency": SESSION | {"requests": 2, "seconds": 0.0},
    "load_time": {"prompt_tokens": 8},
    "memory": SHORT,
    "perplexity": {"context": 16, "max_tokens": 64},
    "size": {},
    "throughput": SESSION | {"seconds": 0.01},
}
BUILT_IN = sorted({*QUICK, "energy", "lm_eval"})
UNITS = {"s", "B", "J", "fraction", "tokens/s", "items/s", "bits/B", ""}
OF_WEIGHTS = {
    *("accuracy", "f1", "macro_f1"),
    *("exact_match", "rouge_l", "chrf"),
    *("perplexity", "bits_per_byte"),
    *("divergence", "top1_agreement"),
    "lm_eval",
}
"""Metrics that two models of one structure may differ in."""


def options_of(name: str) -> dict[str, Any]:
    defaults = {p.name: p.default for p in evaluator_specs()[name].parameters}
    return defaults | QUICK[name]


@pytest.fixture
def payload(tiny_genai: Path, tone_file: Path) -> Json:
    data = DataSpec((("all", tone_file),), "{phrase}\nTone: {tone}", "tone")
    return {
        "model": Artifact("genai", tiny_genai).to_json(),
        "reference": Artifact("genai", tiny_genai).to_json(),
        "data": data.to_json(),
        "split": "dev",
    }


def test_the_built_in_evaluators_are_there() -> None:
    assert evaluator_specs().keys() >= set(BUILT_IN)


@pytest.mark.parametrize("name", BUILT_IN)
def test_declarations_are_whole(name: str) -> None:
    spec = evaluator_specs()[name]
    assert spec.name == name
    assert spec.metrics
    for metric in spec.metrics:
        assert metric.unit in UNITS
        assert metric.depends_on
        assert metric.help
    assert len({p.name for p in spec.parameters}) == len(spec.parameters)
    assert all(p.help for p in spec.parameters)


def test_only_what_reads_what_a_model_says_depends_on_the_weights() -> None:
    metrics = [metric for name in BUILT_IN for metric in evaluator_specs()[name].metrics]
    assert {m.name for m in metrics if Aspect.WEIGHTS in m.depends_on} == OF_WEIGHTS


@pytest.mark.parametrize("name", sorted(QUICK))
def test_a_measurement_crosses_processes_and_gives_every_metric(name: str, payload: Json) -> None:
    options = options_of(name)
    answer = measure_job(payload | {"evaluator": name, "options": options})
    measurement = Measurement.from_json(json.loads(json.dumps(answer)))
    evaluator = all_evaluators()[name]
    assert evaluator.processes(options) >= 1
    metrics = [metric for metric in evaluator.spec.metrics if metric.is_of("genai")]
    assert metrics
    for metric in metrics:
        found = evaluator.summarise([measurement], options, metric.name, None)
        assert found.metric == metric.name
        assert found.unit == metric.unit
        assert found.low <= found.value <= found.high
        assert found.samples > 0
        default = metric.statistics[0] if metric.statistics else None
        assert found.statistic == default


@pytest.mark.parametrize("name", sorted(QUICK))
def test_a_folder_that_is_no_model_is_refused(name: str, payload: Json, tmp_path: Path) -> None:
    model = Artifact("genai", tmp_path).to_json()
    with pytest.raises(MeasurementError, match=str(tmp_path)):
        measure_job(payload | {"evaluator": name, "options": options_of(name), "model": model})


def test_a_format_that_cannot_be_measured_is_refused(payload: Json, tmp_path: Path) -> None:
    model = Artifact("onnx", tmp_path).to_json()
    message = "perplexity measures adapter, genai, hf, quantized models; this one is onnx"
    with pytest.raises(MeasurementError, match=message):
        measure_job(payload | {"evaluator": "perplexity", "options": {}, "model": model})


def test_data_that_cannot_be_read_is_a_refusal(payload: Json, tmp_path: Path) -> None:
    data = payload["data"] | {"files": [["all", str(tmp_path / "none.csv")]]}
    job = payload | {"evaluator": "accuracy", "options": options_of("accuracy"), "data": data}
    with pytest.raises(MeasurementError, match="there is no such file"):
        measure_job(job)


def test_the_job_is_named_by_its_place() -> None:
    module, _, function = MEASURE_JOB.partition(":")
    assert (module, function) == (measure_job.__module__, measure_job.__name__)


PLUGIN = """
from evaluators import Evaluator
from evaluators.size import Size
from search_spaces.vocabulary import EvaluatorSpec, MetricSpec

METRIC = MetricSpec("{metric}", "B", True, Size.spec.metrics[0].depends_on, "help")

class Weight(Size):
    spec = EvaluatorSpec("{name}", 1, "help", (), (METRIC,), frozenset(["genai"]))

class NoEvaluator:
    pass
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Installs a distribution that brings an evaluator, for the time of a test."""

    def install(named: str, name: str = "weight", metric: str = "weight") -> None:
        text = PLUGIN.format(name=name, metric=metric)
        (tmp_path / "weighing.py").write_text(text, encoding="utf-8")
        info = tmp_path / "weighing-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: weighing\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[tuner.evaluators]\nweight = weighing:{named}\n")
        monkeypatch.syspath_prepend(tmp_path)

    all_evaluators.cache_clear()
    yield install
    all_evaluators.cache_clear()
    sys.modules.pop("weighing", None)


def test_an_installed_distribution_can_bring_an_evaluator(plugin: Callable[..., None]) -> None:
    plugin("Weight")
    assert evaluator_specs()["weight"].metrics[0].name == "weight"
    assert evaluator_specs().keys() >= QUICK.keys()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"named": "Missing"}, "'weight' of weighing .*AttributeError"),
        ({"named": "NoEvaluator"}, r"not an evaluators\.Evaluator"),
        ({"named": "Weight", "name": "size"}, "there is already 'size'"),
        ({"named": "Weight", "metric": "ttft"}, "metrics that there are already: ttft"),
    ],
)
def test_an_evaluator_that_cannot_be_used_is_named(
    plugin: Callable[..., None], changes: dict[str, str], message: str
) -> None:
    plugin(**changes)
    with pytest.raises(BrokenEvaluator, match=message):
        all_evaluators()


def test_the_size_is_that_of_every_file(payload: Json, tiny_genai: Path) -> None:
    answer = measure_job(payload | {"evaluator": "size", "options": {}})
    expected = sum(path.stat().st_size for path in tiny_genai.iterdir())
    found = all_evaluators()["size"].summarise([Measurement.from_json(answer)], {}, "size", None)
    assert (found.low, found.value, found.high) == (expected, expected, expected)


def test_the_declarations_load_no_heavy_library() -> None:
    script = (
        "import sys, evaluators, evaluators.measure, evaluators.verdicts;"
        "evaluators.evaluator_specs();"
        "heavy = {'torch', 'transformers', 'onnxruntime', 'onnx', 'numpy', 'pandas', 'optuna'};"
        "sys.exit(str(sorted(heavy & sys.modules.keys())) if heavy & sys.modules.keys() else 0)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
