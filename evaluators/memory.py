"""The evaluator `memory`: the memory that a loaded model takes, idle and at work.

Knows nothing of passes or of the search.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import ClassVar

from evaluators import machine, nvidia, resources
from evaluators.base import Artifact, Estimate, Evaluator, Json, Measurement
from evaluators.workloads import open_workload, whole
from search_spaces.data import DataSpec
from search_spaces.vocabulary import INPUT, Aspect, EvaluatorSpec, MetricSpec, ParameterSpec, Value

_PROCESSES_DIFFER = 0.005
"""What the memory of one model in two processes is assumed to differ by (relative)."""

_REQUESTS = 3  # what a request leaves behind, the next one uses again


def _metric(name: str, text: str) -> MetricSpec:
    depends_on = frozenset({Aspect.STRUCTURE, Aspect.RUNTIME})
    unavailable = nvidia.unavailable if name == "gpu_memory" else None
    return MetricSpec(name, "B", True, depends_on, text, unavailable=unavailable)


_GENERATING = ("genai", "quantized", "hf", "adapter")


def _count(
    name: str, default: int, low: int, text: str, formats: tuple[str, ...] = ()
) -> ParameterSpec:
    applies: dict[str, tuple[Value, ...]] = {INPUT: formats} if formats else {}
    return ParameterSpec(name=name, type=int, default=default, help=text, low=low, applies=applies)


class Memory(Evaluator):
    """The memory that a model adds to a process that has its runtime loaded already.

    `memory` is the most that was resident (in RAM) at any moment while requests of the stated
    workload ran, by the kernel's own high-water mark; `memory_loaded` is what stays resident after
    the first request, while the model waits for the next one. Both are differences to the same
    process before the model. `gpu_memory`, where there is a GPU, is the most that was in use on
    all of the machine's GPUs meanwhile, less what was before; what a driver keeps for a process
    (its context) is part of it.

    Counted: the process's own memory (weights that were read, the runtime's copies of them,
    buffers, caches of tokens) and those pages of the model's own files that are mapped and
    resident, so that weights count the same, read or mapped. Not counted: the code of libraries,
    and what they keep for themselves once they have run any model. For that, the model is loaded
    twice: once to let the libraries settle, then, after it was dropped, to be measured. The
    tokenizer is not loaded. Memory that is reserved but was never touched is not in RAM, and not
    counted. What loading itself took at its peak is kept with the measurement
    (`loading_peak`): a machine needs it once.
    """

    spec: ClassVar = EvaluatorSpec(
        name="memory",
        version=1,
        help="memory that the loaded model takes, at its peak and idle",
        parameters=(
            _count("prompt_tokens", 64, 1, "tokens of a request's prompt"),
            _count("new_tokens", 16, 2, "tokens that a request generates", _GENERATING),
            _count("batch", 1, 1, "sequences of a request"),
            _count("processes", 2, 1, "fresh processes to measure in"),
        ),
        metrics=(
            _metric("memory", "most resident memory of the model while requests run"),
            _metric("memory_loaded", "resident memory of the model between requests"),
            _metric("gpu_memory", "most memory in use on the GPUs while requests run"),
        ),
        formats=frozenset({"hf", "quantized", "adapter", "genai", "onnx"}),
        libraries=("onnxruntime", "onnxruntime-genai", "torch", "transformers"),
    )

    def processes(self, options: Mapping[str, Value]) -> int:
        """As many as the options say."""
        return whole(options, "processes")

    def measure(
        self,
        model: Artifact,
        options: Mapping[str, Value],
        data: DataSpec | None,
        split: str,
        reference: Artifact | None = None,
    ) -> Measurement:
        """Load the model, drop it, and measure what loading it again and running it adds."""
        has_gpu = nvidia.unavailable() is None
        gpu_before = nvidia.memory_used() if has_gpu else 0
        files = resources.model_files(model)
        libraries = resources.resident(files)
        open_workload(model, options).request()  # and drop it: what stays is the libraries'
        resources.release_unused()
        before = resources.resident(files)
        conditions: Json = {"kept_by_libraries": max(0, before.own - libraries.own)}
        with ExitStack() as stack:
            looks = stack.enter_context(resources.Highest(resources.total_resident))
            gpu = stack.enter_context(resources.Highest(nvidia.memory_used)) if has_gpu else None
            resources.reset_high_water()
            workload = open_workload(model, options)
            loading, looks.value = resources.high_water(), 0
            loaded = resources.resident(files)
            exact = resources.reset_high_water()
            for _ in range(_REQUESTS):
                workload.request()
            highest = resources.high_water() if exact else 0
        after = resources.resident(files)
        conditions |= workload.conditions() | machine.conditions()
        conditions |= {
            "loading_peak": max(0, loading - loaded.others - before.own),
            "high_water_mark": exact,
            "mapped_files": len(files),
        }
        # Pages of libraries only become more: less those of the end, no moment counts too much.
        peak = max(highest, looks.value) - after.others - before.own
        idle = loaded.own - before.own
        samples = {"memory": [[max(peak, idle)]], "memory_loaded": [[idle]]}
        if gpu is not None:
            samples["gpu_memory"] = [[gpu.value - gpu_before]]
        return Measurement(samples, conditions=conditions)

    def summarise(
        self,
        measurements: Sequence[Measurement],
        options: Mapping[str, Value],
        metric: str,
        statistic: str | None,
    ) -> Estimate:
        """The mean over processes, with an interval from how they differ."""
        values = [m.samples[metric][0] for m in measurements]
        found = resources.between_processes(values, _PROCESSES_DIFFER)
        return Estimate(metric, None, found.value, found.low, found.high, "B", len(values))
