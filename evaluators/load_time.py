"""The evaluator `load_time`: how long it takes until a model on disk answers.

Knows nothing of passes or of the search.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from evaluators import file_cache, machine, resources
from evaluators.base import Artifact, Estimate, Evaluator, Json, Measurement, MeasurementError
from evaluators.runtimes.classifiers import CONFIG
from evaluators.runtimes.errors import refusals
from evaluators.runtimes.models import generates, open_classifier, open_language_model
from evaluators.runtimes.torch_loading import read_json
from evaluators.workloads import synthetic_prompt, whole
from search_spaces.data import DataSpec
from search_spaces.vocabulary import Aspect, EvaluatorSpec, MetricSpec, ParameterSpec, Value

_PROCESSES_DIFFER = 0.1
"""What the times of one model in two processes are assumed to differ by (relative)."""


def _metric(name: str, text: str) -> MetricSpec:
    depends_on = frozenset({Aspect.STRUCTURE, Aspect.RUNTIME})
    return MetricSpec(name, "s", True, depends_on, text)


class LoadTime(Evaluator):
    """Times how a model comes up, once in each of several fresh processes.

    `load_time` is the time to open the model in its runtime until it takes requests: reading its
    files, building its graph, preparing its weights, starting its provider and threads.
    `first_answer` runs from the same start until the first token of a prompt, or the logits of a
    text, of `prompt_tokens` tokens can be read. It is the one to compare runtimes by: a model whose
    weights are mapped is open in no time, and reads them when they are first asked for.

    Not counted: importing the runtime's libraries (they are imported before the clock starts) and
    loading the tokenizer. With `file_cache: warm` (the default) all files were read once before,
    so that no disk is involved; with `cold` the system has dropped them from its cache, and the
    disk is what is measured for most models. That needs no privileges, but a file system on a
    disk; it is verified in every process, and refused where it did not work.
    """

    spec: ClassVar = EvaluatorSpec(
        name="load_time",
        version=1,
        help="time to open the model, and until its first answer",
        parameters=(
            ParameterSpec(
                "file_cache",
                str,
                "warm",
                "warm: the system has the model's files in memory before; cold: it has not",
                choices=("warm", "cold"),
            ),
            ParameterSpec("prompt_tokens", int, 64, "tokens of the first request's prompt", low=1),
            ParameterSpec("processes", int, 3, "fresh processes to measure in", low=1),
        ),
        metrics=(
            _metric("load_time", "time to open the model until it takes requests"),
            _metric("first_answer", "time from the same start until its first token or logits"),
        ),
        formats=frozenset({"hf", "quantized", "adapter", "onnx", "genai"}),
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
        """Open the model once and ask it once. Samples are in seconds."""
        _import_libraries(model)
        files = resources.model_files(model)
        file_cache.warm(files)
        if options["file_cache"] == "cold":
            file_cache.evict(files)
        conditions: Json = {"cached": file_cache.cached(files), "load_before": machine.load()}
        started = time.perf_counter_ns()
        opened = open_runtime(model)
        ready = (time.perf_counter_ns() - started) / 1e9
        first = _first_answer(opened, model, whole(options, "prompt_tokens"))
        conditions |= opened.conditions() | machine.conditions()
        samples = {"load_time": [[ready]], "first_answer": [[ready + first]]}
        return Measurement(samples, conditions=conditions)

    def summarise(
        self,
        measurements: Sequence[Measurement],
        options: Mapping[str, Value],
        metric: str,
        statistic: str | None,
    ) -> Estimate:
        """The (geometric) mean over processes, with an interval from how they differ."""
        values = [m.samples[metric][0] for m in measurements]
        found = resources.between_processes(values, _PROCESSES_DIFFER)
        return Estimate(metric, None, found.value, found.low, found.high, "s", len(values))


def _import_libraries(model: Artifact) -> None:
    """Everything that opening the model would import, the module of its network too."""
    if model.format in ("genai", "onnx"):
        from onnxruntime.capi import onnxruntime_pybind11_state  # noqa: F401

        if model.format == "genai":
            import onnxruntime_genai  # noqa: F401
        return
    import torch  # noqa: F401
    import transformers

    if model.base is not None:
        import peft  # noqa: F401
    for name in read_json((model.base or model).path / CONFIG).get("architectures") or ():
        getattr(transformers, str(name), None)  # imported when it is asked for


def open_runtime(model: Artifact) -> Any:
    """Load the model in its own runtime; what it gives can be sent requests that are timed."""
    if model.format == "genai":
        from evaluators.runtimes.genai import Generation

        return Generation(model.path)
    return open_language_model(model) if generates(model) else open_classifier(model)


def _first_answer(opened: Any, model: Artifact, tokens: int) -> float:
    """Seconds of the first request. DeadModel where the logits are not finite."""
    limit = (
        opened.config.get("context_length") if model.format == "genai" else opened.context_length
    )
    if limit is not None and tokens + generates(model) > limit:
        raise MeasurementError(f"prompt_tokens is {tokens}, over the model's context of {limit}")
    prompt = synthetic_prompt(opened.config, 1, tokens)
    with refusals("the runtime cannot run the model"):
        if generates(model):
            seconds: float = opened.request(prompt, 1)[1]
            opened.check(prompt, 1)
        else:
            seconds = opened.request(opened.feed(prompt.tolist()))
            opened.logits(prompt.tolist())
    return seconds
