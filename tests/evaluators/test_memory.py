"""The memory of models of known size, each measured in a process of its own, as in a search."""

from __future__ import annotations

import json
import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny_models

from evaluators import resources
from evaluators.base import Artifact, Measurement, MeasurementError
from evaluators.measure import MEASURE_JOB
from evaluators.memory import Memory
from tuner.execution.job import Job
from tuner.execution.workers import Workers

OPTIONS = {"prompt_tokens": 32, "new_tokens": 4, "batch": 1, "processes": 2}
MB = 1_000_000
SIZES = {"hidden_size": 512, "intermediate_size": 2048, "num_attention_heads": 8}


@pytest.fixture(scope="module")
def workers() -> Iterator[Workers]:
    with Workers(["onnxruntime", "onnxruntime_genai", "evaluators.measure"]) as started:
        yield started


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Layers -> a GenAI folder with so many; a layer's weights are 15 MB."""
    folder = tmp_path_factory.mktemp("sized")
    found = {}
    for layers in (1, 2):
        source = tiny_models.save_phi3(folder / f"hf{layers}", num_hidden_layers=layers, **SIZES)
        found[layers] = tiny_models.save_genai(source, folder / f"genai{layers}" / "model")
    return found


@pytest.fixture(scope="module")
def measured(workers: Workers, models: dict[int, Path], tmp_path_factory: Any) -> Any:
    log = tmp_path_factory.mktemp("log") / "log.txt"

    def measure(model: Artifact, **changes: int) -> Measurement:
        payload = {
            "evaluator": "memory",
            "model": model.to_json(),
            "options": OPTIONS | changes,
            "data": None,
            "split": "dev",
        }
        outcome = workers.run(Job(MEASURE_JOB, payload, log, 120))
        assert outcome.failure is None, outcome.failure
        assert outcome.value is not None
        return Measurement.from_json(outcome.value)

    return measure


def weights(folder: Path) -> int:
    return (folder / "model.onnx.data").stat().st_size


def value(measurement: Measurement, metric: str) -> float:
    return float(measurement.samples[metric][0][0])


def test_memory_is_that_of_the_weights_and_little_else(
    measured: Any, models: dict[int, Path]
) -> None:
    for folder in models.values():
        found = measured(Artifact("genai", folder))
        assert 0 <= value(found, "memory_loaded") - weights(folder) < 8 * MB
        assert value(found, "memory_loaded") <= value(found, "memory")


def test_what_is_more_in_the_weights_is_more_in_memory(
    measured: Any, models: dict[int, Path]
) -> None:
    small, large = (value(measured(Artifact("genai", models[n])), "memory") for n in (1, 2))
    more = weights(models[2]) - weights(models[1])
    assert more > 12 * MB
    assert large - small == pytest.approx(more, rel=0.15)


def test_libraries_are_not_the_model_s(measured: Any, tiny_genai: Path) -> None:
    found = measured(Artifact("genai", tiny_genai))
    assert value(found, "memory") < 8 * MB
    assert found.conditions["kept_by_libraries"] > value(found, "memory")


def test_a_larger_workload_takes_more_at_its_peak_only(
    measured: Any, models: dict[int, Path]
) -> None:
    model = Artifact("genai", models[1])
    short, long = measured(model, prompt_tokens=8), measured(model, prompt_tokens=240, batch=4)
    # 960 tokens of 2,048 floats between the two halves of a feed-forward layer are 7.9 MB.
    assert value(long, "memory") - value(short, "memory") > 7.8 * MB
    assert value(long, "memory") - value(long, "memory_loaded") >= 0


def test_processes_agree(measured: Any, models: dict[int, Path]) -> None:
    both = [measured(Artifact("genai", models[2])) for _ in range(2)]
    found = Memory().summarise(both, OPTIONS, "memory", None)
    assert found.low < found.value < found.high
    assert found.high / found.low < 1.1
    assert (found.unit, found.samples) == ("B", 2)


def test_a_classifier_has_memory_too(measured: Any, tiny_onnx: Path) -> None:
    found = measured(Artifact("onnx", tiny_onnx))
    assert 0 < value(found, "memory_loaded") <= value(found, "memory") < 20 * MB
    assert found.conditions["provider"] == "CPUExecutionProvider"
    assert json.loads(json.dumps(found.conditions)) == found.conditions


def test_mapped_weights_of_a_checkpoint_count_as_read_ones_do(
    measured: Any, models: dict[int, Path]
) -> None:
    source = models[2].parent.parent / "hf2"
    found = measured(Artifact("hf", source))
    assert 0 <= value(found, "memory_loaded") - weights(models[2]) < 12 * MB


def test_a_workload_beyond_the_context_is_refused(tiny_genai: Path) -> None:
    with pytest.raises(MeasurementError, match="over the model's context of 256"):
        Memory().measure(
            Artifact("genai", tiny_genai), OPTIONS | {"prompt_tokens": 300}, None, "dev"
        )


def test_mapped_pages_of_the_model_count_and_those_of_others_do_not(tmp_path: Path) -> None:
    size = 8 << 20
    for name in ("model", "library"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file.bin").write_bytes(b"\1" * size)
    files = resources.model_files(Artifact("hf", tmp_path / "model"))
    assert [path.name for path in files] == ["file.bin"]
    before = resources.resident(files)
    for name, own, others in (("model", size, 0), ("library", 0, size)):
        with (tmp_path / name / "file.bin").open("rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            assert sum(mapped[:: mmap.PAGESIZE]) == size // mmap.PAGESIZE
            after = resources.resident(files)
            mapped.close()
        assert after.own - before.own == pytest.approx(own, abs=MB)
        assert after.others - before.others == pytest.approx(others, abs=MB)


def test_an_adapter_s_base_belongs_to_it(tmp_path: Path) -> None:
    for name in ("adapter", "base"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).write_text(name)
    (tmp_path / "base" / "linked").symlink_to(tmp_path / "base" / "base")
    model = Artifact("adapter", tmp_path / "adapter", Artifact("hf", tmp_path / "base"))
    assert {path.name for path in resources.model_files(model)} == {"adapter", "base"}


def test_the_kernel_s_high_water_mark_sees_what_was_given_back() -> None:
    if not resources.reset_high_water():
        pytest.skip("this kernel does not let the mark be reset")
    before = resources.high_water()
    with mmap.mmap(-1, 64 << 20) as memory:
        memory.write(b"\1" * (64 << 20))
    assert resources.high_water() - before > 60 << 20
    assert resources.total_resident() - before < 30 << 20
    resources.reset_high_water()
    assert resources.high_water() - before < 30 << 20


def test_looks_find_a_peak_that_lasts() -> None:
    with resources.Highest(resources.total_resident) as highest:
        before = resources.total_resident()
        with mmap.mmap(-1, 64 << 20) as memory:
            memory.write(b"\1" * (64 << 20))
            held = resources.total_resident()
            while highest.value < held - (8 << 20):
                pass
    assert highest.value - before > 50 << 20


@pytest.mark.parametrize(
    ("processes", "value"), [([[0.0], [0.0]], 0.0), ([[0.0], [4.0]], 2.0), ([[8.0], [8.0]], 8.0)]
)
def test_intervals_of_few_processes(processes: list[list[float]], value: float) -> None:
    found = resources.between_processes(processes, 0.05)
    assert found.value == pytest.approx(value)
    assert 0 <= found.low <= found.value <= found.high
    assert (found.low < found.high) == (value > 0)
