"""How long real, tiny models take to come up, in every runtime; and the cache of files."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluators import file_cache
from evaluators.base import Artifact, DeadModel, Measurement, MeasurementError
from evaluators.load_time import LoadTime

OPTIONS: dict[str, Any] = {"file_cache": "warm", "prompt_tokens": 16, "processes": 3}


def measure(model: Artifact, **changes: Any) -> Measurement:
    return LoadTime().measure(model, OPTIONS | changes, None, "dev")


def sample(measurement: Measurement, metric: str) -> float:
    return float(measurement.samples[metric][0][0])


@pytest.mark.parametrize(
    ("model_format", "fixture"),
    [("genai", "tiny_genai"), ("onnx", "tiny_onnx"), ("hf", "tiny_llama")],
)
def test_every_runtime_is_opened_and_answers(
    model_format: str, fixture: str, request: pytest.FixtureRequest
) -> None:
    model = Artifact(model_format, request.getfixturevalue(fixture))
    started = time.perf_counter()
    found = measure(model)
    elapsed = time.perf_counter() - started
    assert 0 < sample(found, "load_time") < sample(found, "first_answer") < elapsed
    assert found.conditions["cached"] == 1.0
    assert found.conditions["versions"]
    assert json.loads(json.dumps(found.conditions)) == found.conditions


def test_an_estimate_is_over_processes() -> None:
    found = [Measurement({"load_time": [[s]], "first_answer": [[2 * s]]}) for s in (1.0, 1.1, 1.2)]
    metrics = [metric.name for metric in LoadTime.spec.metrics]
    ready, first = (LoadTime().summarise(found, OPTIONS, m, None) for m in metrics)
    assert ready.low < 1.0 < ready.value < 1.2 < ready.high
    assert first.value == pytest.approx(2 * ready.value)
    assert (ready.unit, ready.samples) == ("s", 3)


def test_a_cold_model_is_not_in_the_system_s_cache(tiny_genai: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_genai, tmp_path / "model")
    try:
        file_cache.evict([folder / "model.onnx.data"])
    except MeasurementError as refused:  # a temporary folder in memory
        pytest.skip(str(refused))
    found = measure(Artifact("genai", folder), file_cache="cold")
    assert found.conditions["cached"] == 0.0
    files = [path for path in folder.iterdir() if path.is_file()]
    assert file_cache.cached(files) > 0.5


def test_files_that_someone_uses_are_not_dropped_in_silence(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    path.write_bytes(b"\1" * (1 << 20))
    mapped = np.memmap(path, np.uint8, "r")
    assert mapped.sum() == 1 << 20
    with pytest.raises(MeasurementError, match=r"keeps 100% of the model's files.*warm"):
        file_cache.evict([path])


def test_files_are_read_into_the_cache(tmp_path: Path) -> None:
    path, empty = tmp_path / "weights", tmp_path / "empty"
    path.write_bytes(b"\1" * (3 << 20))
    empty.touch()
    file_cache.warm([path, empty])
    assert file_cache.cached([path, empty]) == 1.0
    assert file_cache.cached([empty]) == 0.0


def test_a_prompt_beyond_the_context_is_refused(tiny_genai: Path, tiny_onnx: Path) -> None:
    for model in (Artifact("genai", tiny_genai), Artifact("onnx", tiny_onnx)):
        with pytest.raises(MeasurementError, match="prompt_tokens is 300, over"):
            measure(model, prompt_tokens=300)


def test_a_model_whose_answer_is_no_number_is_dead(tiny_genai: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_genai, tmp_path / "model")
    weights = folder / "model.onnx.data"
    weights.write_bytes(np.full(weights.stat().st_size // 4, np.nan, np.float32).tobytes())
    with pytest.raises(DeadModel, match="not finite"):
        measure(Artifact("genai", folder))


def test_a_folder_that_is_no_model_is_refused(tmp_path: Path) -> None:
    for model_format in ("genai", "onnx", "hf"):
        with pytest.raises(MeasurementError):
            measure(Artifact(model_format, tmp_path))
