"""What tiny models get done with one request at a time and with several."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models
from runtime_support import adapted, served

from evaluators.base import Artifact, Measurement, MeasurementError
from evaluators.runtimes.genai import Generation
from evaluators.runtimes.genai_threads import ThreadedGeneration
from evaluators.throughput import Busy, Throughput
from evaluators.workloads import synthetic_prompt

OPTIONS: dict[str, Any] = {p.name: p.default for p in Throughput.spec.parameters} | {
    "prompt_tokens": 8,
    "new_tokens": 4,
    "blocks": 2,
    "seconds": 0.05,
    "warmup": 1,
}


def measure(model: Artifact, **changes: Any) -> Measurement:
    return Throughput().measure(model, OPTIONS | changes, None, "dev")


class Sleeper:
    """Requests that take 20 ms each: however many there are at once, or one after another."""

    def __init__(self, at_once: bool = True) -> None:
        self.now = self.most = self.count = 0
        self._lock = threading.Lock()
        self._turn = threading.Semaphore(100 if at_once else 1)

    def send(self) -> None:
        with self._turn:
            with self._lock:
                self.now, self.count = self.now + 1, self.count + 1
                self.most = max(self.most, self.now)
            time.sleep(0.02)
            with self._lock:
                self.now -= 1
        time.sleep(0.001)  # for another thread to have its turn


@pytest.mark.parametrize("threads", [1, 4])
def test_as_many_requests_are_under_way_as_asked_for(threads: int) -> None:
    sleeper = Sleeper()
    busy = Busy(sleeper.send, threads, 0.1, "throughput", 10, {})
    started = time.perf_counter()
    rate = busy.request()["throughput"]
    elapsed = time.perf_counter() - started
    assert sleeper.most == threads
    assert sleeper.now == 0
    assert elapsed > 0.1
    # Ten units a request. A thread has at most one answer more than fits into 100 ms.
    assert 10 * threads / elapsed < rate <= 10 * threads * (1 / 0.02 + 1 / 0.1)
    assert busy.conditions() == {"concurrency": threads}


def test_requests_that_wait_for_each_other_are_no_faster_together() -> None:
    sleeper = Sleeper(at_once=False)
    rate = Busy(sleeper.send, 4, 0.001, "throughput", 1, {}).request()["throughput"]
    assert sleeper.most == 1
    assert rate < 1.7 / 0.02  # adding up what each thread saw would give 2.08


def test_a_block_is_never_without_a_request() -> None:
    sleeper = Sleeper()
    assert Busy(sleeper.send, 1, 0.001, "throughput", 1, {}).request()["throughput"] > 0
    assert sleeper.count == 2  # one to begin with, which is not counted


def test_what_a_thread_raises_is_not_lost() -> None:
    def fail() -> None:
        raise MeasurementError("it broke")

    with pytest.raises(MeasurementError, match="it broke"):
        Busy(fail, 2, 0.01, "throughput", 1, {}).request()


@pytest.mark.parametrize("concurrency", [1, 2])
def test_a_language_model_has_tokens_per_second(tiny_genai: Path, concurrency: int) -> None:
    model = Artifact("genai", tiny_genai)
    found = measure(model, concurrency=concurrency)
    assert found.samples.keys() == {"throughput"}
    assert [len(block) for block in found.samples["throughput"]] == [1, 1]
    assert found.conditions["concurrency"] == concurrency
    assert json.loads(json.dumps(found.conditions)) == found.conditions
    estimate = Throughput().summarise([found, found], OPTIONS, "throughput", None)
    assert 0 < estimate.low < estimate.value < estimate.high
    assert estimate.unit == "tokens/s"


def test_a_classifier_has_texts_per_second(tiny_onnx: Path) -> None:
    found = measure(Artifact("onnx", tiny_onnx), concurrency=2, batch=3)
    assert found.samples.keys() == {"items_throughput"}
    estimate = Throughput().summarise([found, found], OPTIONS, "items_throughput", "mean")
    assert estimate.value > 0
    assert estimate.unit == "items/s"


def test_a_batch_does_more_at_once(tiny_onnx: Path) -> None:
    def rate(batch: int) -> float:
        found = measure(Artifact("onnx", tiny_onnx), batch=batch, blocks=3)
        return max(block[0] for block in found.samples["items_throughput"])

    assert rate(32) > rate(1)


def test_it_is_measured_beside_the_baseline(tiny_onnx: Path) -> None:
    model = Artifact("onnx", tiny_onnx)
    found = Throughput().measure(model, OPTIONS, None, "dev", reference=model)
    assert [len(block) for block in found.anchor["items_throughput"]] == [1, 1]


def test_each_kind_of_model_has_its_own_rate() -> None:
    of = {m.name: [f for f in ("genai", "onnx") if m.is_of(f)] for m in Throughput.spec.metrics}
    assert of == {"throughput": ["genai"], "items_throughput": ["onnx"]}
    assert all(metric.is_of("hf") for metric in Throughput.spec.metrics)


def test_a_checkpoint_is_kept_busy_in_torch(tiny_llama: Path) -> None:
    found = measure(Artifact("hf", tiny_llama), concurrency=2)
    assert found.samples.keys() == {"throughput"}
    assert found.conditions["runtime"] == "torch"


def test_rates_say_that_more_is_better() -> None:
    assert not any(metric.lower_is_better for metric in Throughput.spec.metrics)


def test_a_workload_that_the_model_cannot_take_is_refused(
    tiny_genai: Path, tiny_onnx: Path
) -> None:
    for model in (Artifact("genai", tiny_genai), Artifact("onnx", tiny_onnx)):
        with pytest.raises(MeasurementError, match="over the model's context of"):
            measure(model, prompt_tokens=300)


def test_the_active_adapter_is_used_by_threads_too(tmp_path: Path) -> None:
    adapter, _ = adapted(tiny_models.save_phi3(tmp_path / "phi3"), tmp_path)
    folder = served(adapter, tmp_path / "served").path
    prompt = synthetic_prompt({"vocab_size": 600}, 1, 12)
    expected = Generation(folder).generate(prompt[0].tolist(), 6)
    steps = ThreadedGeneration(folder).generate(prompt, 6)
    assert [token for [token] in steps][: len(expected)] == expected
    (folder / "adapters.json").unlink()
    assert ThreadedGeneration(folder).generate(prompt, 6) != steps


@pytest.mark.parametrize("batch", [1, 2])
def test_the_c_interface_generates_what_the_python_module_does(
    tiny_genai: Path, batch: int
) -> None:
    generation = Generation(tiny_genai)
    prompt = synthetic_prompt(generation.config, batch, 12)
    steps = ThreadedGeneration(tiny_genai).generate(prompt, 6)
    assert np.array(steps).shape == (6, batch)
    for row in range(batch):
        # Both are greedy; where the text would end, `generate` stops.
        expected = generation.generate(prompt[row].tolist(), 6)
        assert [step[row] for step in steps][: len(expected)] == expected
        assert expected


def test_threads_of_one_model_do_not_disturb_each_other(tiny_genai: Path) -> None:
    model = ThreadedGeneration(tiny_genai)
    prompts = [synthetic_prompt({"vocab_size": size}, 1, 12) for size in (300, 400, 500, 600)]
    alone = [model.generate(prompt, 8) for prompt in prompts]
    found: dict[int, list[list[list[int]]]] = {}

    def go(i: int) -> None:
        found[i] = [model.generate(prompts[i], 8) for _ in range(5)]

    threads = [threading.Thread(target=go, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[i] for i in range(4)] == [[tokens] * 5 for tokens in alone]


def test_what_the_runtime_refuses_is_said(tiny_genai: Path, tmp_path: Path) -> None:
    with pytest.raises(MeasurementError, match="onnxruntime-genai cannot run the model"):
        ThreadedGeneration(tmp_path)
    with pytest.raises(MeasurementError, match="context_length"):
        ThreadedGeneration(tiny_genai).generate(np.ones((1, 300), np.int32), 4)
