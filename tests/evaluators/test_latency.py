"""Timing requests of a real, tiny model."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluators import machine
from evaluators.base import Artifact, Measurement, MeasurementError, NotEnoughSamples
from evaluators.latency import Latency
from evaluators.workloads import is_steady, synthetic_prompt

OPTIONS: dict[str, Any] = {
    "prompt_tokens": 16,
    "new_tokens": 5,
    "batch": 1,
    "processes": 2,
    "blocks": 3,
    "requests": 4,
    "seconds": 0.0,
    "warmup": 6,
}


@pytest.fixture(scope="module")
def measured(tiny_genai: Path) -> Measurement:
    return measure(tiny_genai)


def measure(folder: Path, **changes: int) -> Measurement:
    return Latency().measure(Artifact("genai", folder), OPTIONS | changes, None, "dev")


def edited(folder: Path, to: Path, **session_options: Any) -> Path:
    """A copy of a model with other session options."""
    shutil.copytree(folder, to)
    path = to / "genai_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["model"]["decoder"]["session_options"] |= session_options
    path.write_text(json.dumps(config), encoding="utf-8")
    return to


def test_samples_come_in_blocks_of_requests(measured: Measurement) -> None:
    for metric in ("latency", "ttft", "tpot"):
        assert [len(block) for block in measured.samples[metric]] == [4, 4, 4]


def test_a_request_is_its_first_token_and_the_others(measured: Measurement) -> None:
    for blocks in zip(*(measured.samples[m] for m in ("latency", "ttft", "tpot")), strict=True):
        for whole, first, each in zip(*blocks, strict=True):
            assert 0 < first < whole
            assert whole == pytest.approx(first + 4 * each)


def test_times_are_seconds(tiny_genai: Path) -> None:
    started = time.perf_counter()
    found = measure(tiny_genai, blocks=2, requests=2, warmup=1)
    elapsed = time.perf_counter() - started
    total = sum(s for block in found.samples["latency"] for s in block)
    assert 0 < total < elapsed


def test_the_conditions_say_how_it_was_measured(measured: Measurement) -> None:
    conditions = measured.conditions
    assert conditions["device"] == "CPU"
    assert conditions["threads"] is None
    assert 4 <= conditions["warmup"] <= 6 or conditions["steady"] is False
    kept = [block for block in conditions["blocks"] if block["kept"]]
    assert len(kept) == 3
    assert all(block["disturbance"] >= 1 and block["seconds"][0] > 0 for block in kept)
    assert conditions["versions"].keys() == {"onnxruntime", "onnxruntime-genai"}
    assert conditions["cores"] >= 1
    assert conditions["load_before"] >= 0
    assert json.loads(json.dumps(conditions)) == conditions


def test_the_session_options_of_the_folder_are_used(tiny_genai: Path, tmp_path: Path) -> None:
    folder = edited(tiny_genai, tmp_path / "model", intra_op_num_threads=1)
    found = measure(folder, blocks=2, requests=1, warmup=1)
    assert found.conditions["threads"] == 1


def test_a_session_option_that_the_runtime_refuses_is_said(
    tiny_genai: Path, tmp_path: Path
) -> None:
    folder = edited(tiny_genai, tmp_path / "model", no_such_option=1)
    with pytest.raises(MeasurementError, match=r"cannot load the model.*no_such_option"):
        measure(folder)


def test_batches_are_measured(tiny_genai: Path) -> None:
    found = measure(tiny_genai, batch=3, blocks=2, requests=1, warmup=1)
    assert len(found.samples["tpot"]) == 2


def test_every_statistic_of_every_metric_is_an_estimate(measured: Measurement) -> None:
    latency = Latency()
    for metric in latency.spec.metrics:
        for statistic in ("p50", "mean", "min"):
            found = latency.summarise([measured, measured], OPTIONS, metric.name, statistic)
            assert found.low <= found.value <= found.high
            assert (found.unit, found.samples, found.statistic) == ("s", 24, statistic)
    assert latency.summarise([measured], OPTIONS, "ttft", None).statistic == "p50"


def test_a_percentile_of_few_samples_is_no_number(measured: Measurement) -> None:
    with pytest.raises(NotEnoughSamples, match="p95 needs 59 samples or more, found 24"):
        Latency().summarise([measured, measured], OPTIONS, "latency", "p95")


def test_a_request_beyond_the_context_is_refused(tiny_genai: Path) -> None:
    with pytest.raises(MeasurementError, match="is 305, over the model's context of 256"):
        measure(tiny_genai, prompt_tokens=300)


def test_logits_that_are_no_numbers_are_refused(tiny_genai: Path, tmp_path: Path) -> None:
    folder = edited(tiny_genai, tmp_path / "model")
    weights = folder / "model.onnx.data"
    weights.write_bytes(np.full(weights.stat().st_size // 4, np.nan, np.float32).tobytes())
    with pytest.raises(MeasurementError, match="logits are not finite"):
        measure(folder)


def test_a_damaged_graph_is_refused(tiny_genai: Path, tmp_path: Path) -> None:
    folder = edited(tiny_genai, tmp_path / "model")
    (folder / "model.onnx").write_bytes(b"\xff" * 1000)
    with pytest.raises(MeasurementError, match="onnxruntime-genai cannot load the model"):
        measure(folder)


@pytest.mark.parametrize(
    ("content", "message"),
    [("{", "not JSON"), ("{}", r"no model\.decoder\.filename"), (None, "expected a GenAI folder")],
)
def test_a_folder_without_a_usable_configuration_is_refused(
    tmp_path: Path, content: str | None, message: str
) -> None:
    if content is not None:
        (tmp_path / "genai_config.json").write_text(content, encoding="utf-8")
    with pytest.raises(MeasurementError, match=message):
        measure(tmp_path)


def test_the_prompt_is_fixed_and_has_no_special_tokens() -> None:
    config = {"vocab_size": 100, "bos_token_id": 20, "eos_token_id": [50, 51], "pad_token_id": None}
    prompt = synthetic_prompt(config, 2, 500)
    assert prompt.shape == (2, 500)
    assert np.array_equal(prompt, synthetic_prompt(config, 2, 500))
    assert {10, 89} <= set(prompt.ravel().tolist())
    assert not {20, 50, 51} & set(prompt.ravel().tolist())
    assert prompt.min() >= 10
    assert prompt.max() < 90
    assert not np.array_equal(prompt[0], prompt[1])


def test_beside_the_baseline_every_block_has_one_of_the_baselines(
    tiny_genai: Path, tmp_path: Path
) -> None:
    model = Artifact("genai", edited(tiny_genai, tmp_path / "model", intra_op_num_threads=1))
    baseline = Artifact("genai", tiny_genai)
    found = Latency().measure(model, OPTIONS, None, "dev", baseline)
    assert [len(block) for block in found.samples["latency"]] == [4, 4, 4]
    assert [len(block) >= 1 for block in found.anchor["tpot"]] == [True] * 3
    order = [block["first"] for block in found.conditions["blocks"]]
    assert order[:3] == ["model", "baseline", "model"]
    assert found.conditions["threads"] == 1
    assert found.conditions["baseline"]["threads"] is None
    estimate = Latency().summarise([found], OPTIONS, "latency", None)
    assert estimate.ratio is not None
    assert estimate.ratio.low < estimate.ratio.value < estimate.ratio.high


def test_a_baseline_that_cannot_be_loaded_is_named(tiny_genai: Path, tmp_path: Path) -> None:
    broken = Artifact("genai", tmp_path)
    with pytest.raises(
        MeasurementError, match=r"the baseline beside it: .*expected a GenAI folder"
    ):
        Latency().measure(Artifact("genai", tiny_genai), OPTIONS, None, "dev", broken)


def measure_classifier(folder: Path, **changes: int) -> Measurement:
    return Latency().measure(Artifact("onnx", folder), OPTIONS | changes, None, "dev")


def test_a_classifier_has_a_latency_and_no_tokens_to_wait_for(tiny_onnx: Path) -> None:
    found = measure_classifier(tiny_onnx)
    assert list(found.samples) == ["latency"]
    assert [len(block) for block in found.samples["latency"]] == [4, 4, 4]
    assert found.conditions["provider"] == "CPUExecutionProvider"
    assert sum(block["kept"] for block in found.conditions["blocks"]) == 3
    assert json.loads(json.dumps(found.conditions)) == found.conditions
    estimate = Latency().summarise([found, found], OPTIONS, "latency", None)
    assert estimate.low <= estimate.value <= estimate.high
    assert estimate.value > 0
    assert estimate.samples == 24


def test_longer_texts_and_larger_batches_take_a_classifier_longer(tiny_onnx: Path) -> None:
    def quickest(**changes: int) -> float:
        found = measure_classifier(tiny_onnx, **changes)
        return min(s for block in found.samples["latency"] for s in block)

    short = quickest(prompt_tokens=8)
    assert quickest(prompt_tokens=250) > 2 * short
    assert quickest(prompt_tokens=8, batch=32) > 2 * short


def test_a_classifier_s_context_limits_the_workload(tiny_onnx: Path, fixed_onnx: Path) -> None:
    with pytest.raises(MeasurementError, match="prompt_tokens is 300, over the model's context of"):
        measure_classifier(tiny_onnx, prompt_tokens=300)
    with pytest.raises(MeasurementError, match="takes 48 tokens, but there is a sequence of 49"):
        measure_classifier(fixed_onnx, prompt_tokens=49)
    with pytest.raises(MeasurementError, match="takes 2 sequences at a time, not 3"):
        measure_classifier(fixed_onnx, batch=3)


def test_only_what_generates_has_times_of_tokens() -> None:
    metrics = {metric.name: metric for metric in Latency.spec.metrics}
    assert [name for name, metric in metrics.items() if metric.is_of("onnx")] == ["latency"]
    assert all(metric.is_of("genai") for metric in metrics.values())


@pytest.mark.parametrize(
    ("seconds", "steady"),
    [
        ([1.0, 1.0, 1.0], False),
        ([1.0, 1.0, 1.0, 1.0], True),
        ([2.0, 1.5, 1.0, 1.0], False),
        ([9.0, 9.0, 1.0, 1.0, 1.04, 1.04], True),
    ],
)
def test_warming_up_ends_when_windows_agree(seconds: list[float], steady: bool) -> None:
    assert is_steady(seconds) is steady


def test_the_calibration_kernel_takes_about_the_same_time_again() -> None:
    kernel = machine.Calibration()
    times = sorted(kernel.seconds() for _ in range(9))
    assert 0 < times[0] < times[4] < 10 * times[0]
    assert times[4] < 0.5


def test_versions_of_what_is_not_installed_are_none() -> None:
    assert machine.versions("no-such-distribution") == {"no-such-distribution": None}
