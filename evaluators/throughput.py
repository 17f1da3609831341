"""The evaluator `throughput`: how much a loaded model gets done, with requests at once.

Knows nothing of passes or of the search.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

from evaluators.base import Artifact, Json, Measurement, MeasurementError
from evaluators.load_time import open_runtime
from evaluators.runtimes.genai_threads import ThreadedGeneration
from evaluators.runtimes.models import generates
from evaluators.timed import TimedEvaluator, session_parameters
from evaluators.workloads import Workload, synthetic_prompt, whole
from search_spaces.data import DataSpec
from search_spaces.vocabulary import INPUT, Aspect, EvaluatorSpec, MetricSpec, ParameterSpec, Value

TOKENS, ITEMS = "throughput", "items_throughput"
_STATISTICS = ("p50", "mean")
_CHECKPOINTS = frozenset({"hf", "adapter"})  # of either kind of model
_GENERATING = frozenset({"genai", "quantized"}) | _CHECKPOINTS
_CLASSIFYING = frozenset({"onnx"}) | _CHECKPOINTS


def _metric(name: str, unit: str, text: str, formats: frozenset[str]) -> MetricSpec:
    depends_on = frozenset({Aspect.STRUCTURE, Aspect.RUNTIME})
    return MetricSpec(name, unit, False, depends_on, text, _STATISTICS, formats)


def _count(
    name: str, default: int, text: str, formats: frozenset[str] = frozenset()
) -> ParameterSpec:
    applies: dict[str, tuple[Value, ...]] = {INPUT: tuple(sorted(formats))} if formats else {}
    return ParameterSpec(name=name, type=int, default=default, help=text, low=1, applies=applies)


def _session() -> tuple[ParameterSpec, ...]:
    """As every timed evaluator's, but that a block is one stretch of time, not some requests."""
    seconds = "the shortest time of a block, in seconds; it ends with an answer of each thread"
    warmup = "the most blocks before the first that counts"
    changed = {
        "seconds": {"default": 0.5, "help": seconds, "low": 0.01},
        "warmup": {"default": 6, "help": warmup},
    }
    kept = (p for p in session_parameters(requests=1) if p.name != "requests")
    return tuple(replace(p, **changed.get(p.name, {})) for p in kept)  # type: ignore[arg-type]


class Throughput(TimedEvaluator):
    """Counts what a model gets done while it is kept busy, in turn with the baseline.

    `concurrency` threads send requests to the one loaded model, each the next one as soon as its
    last one was answered; every request has `batch` sequences. A block is the time from when each
    of the threads has had an answer until, some seconds later, each has had another; the answers in
    it are counted. A language model has `throughput`, in generated tokens per second (reading the
    prompts takes part of the time, but their tokens are not counted), a classifier
    `items_throughput`, in texts per second. Higher is better. In onnxruntime-genai, more than one
    request at once is sent through its C interface, since its Python module lets one thread
    compute at a time.
    """

    spec: ClassVar = EvaluatorSpec(
        name="throughput",
        version=1,
        help="tokens or texts per second, at a batch size and with requests at once",
        parameters=(
            _count("prompt_tokens", 64, "tokens of a request's prompt"),
            _count("new_tokens", 16, "tokens that a request generates", _GENERATING),
            _count("batch", 1, "sequences of a request"),
            _count("concurrency", 1, "requests at once, each of a thread"),
            *_session(),
        ),
        metrics=(
            _metric(TOKENS, "tokens/s", "generated tokens per second", _GENERATING),
            _metric(ITEMS, "items/s", "classified texts per second", _CLASSIFYING),
        ),
        formats=_GENERATING | _CLASSIFYING,
        libraries=("onnxruntime", "onnxruntime-genai", "torch", "transformers"),
    )

    def open(self, model: Artifact, options: Mapping[str, Value]) -> Workload:
        """The loaded model and its threads."""
        if generates(model):
            send, conditions = _generating(model, options)
            metric, units = TOKENS, whole(options, "batch") * whole(options, "new_tokens")
        else:
            send, conditions = _classifying(model, options)
            metric, units = ITEMS, whole(options, "batch")
        seconds: Any = options["seconds"]
        threads = whole(options, "concurrency")
        return Busy(send, threads, float(seconds), metric, units, conditions)

    def measure(
        self,
        model: Artifact,
        options: Mapping[str, Value],
        data: DataSpec | None,
        split: str,
        reference: Artifact | None = None,
    ) -> Measurement:
        """One session; its samples are the rate of each block."""
        return super().measure(model, {**options, "requests": 1}, data, split, reference)


class Busy:
    """A `Workload` whose request keeps threads busy for a while, and gives the rate."""

    def __init__(
        self,
        send: Callable[[], object],
        threads: int,
        seconds: float,
        metric: str,
        units: float,
        conditions: Json,
    ) -> None:
        """`send`: send one request, which does so many `units`; called by several threads."""
        self._send, self._seconds = send, seconds
        self._metric, self._units = metric, units
        self._conditions = conditions
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads)

    def request(self) -> Mapping[str, float]:
        """Units per second, of all threads together."""
        block = _Block(self._threads, self._seconds)
        busy = [self._pool.submit(block.keep_busy, i, self._send) for i in range(self._threads)]
        for future in busy:
            future.result()
        return {self._metric: self._units * block.rate()}

    def conditions(self) -> Json:
        """How the model runs, and how many requests at once."""
        return self._conditions | {"concurrency": self._threads}


class _Block:
    """A stretch of time in which every thread was busy from its begin to its end.

    It begins when the last of the threads has its first answer, and ends when, after so many
    seconds, the last of them has another. Until then all go on, so that no request that counts had
    the machine to itself; and as both ends are answers, none is cut.
    """

    def __init__(self, threads: int, seconds: float) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._yet_to_begin, self._yet_to_end = set(range(threads)), set(range(threads))
        self._answers: list[float] = []
        self._began = 0.0
        self._over = False

    def keep_busy(self, thread: int, send: Callable[[], object]) -> None:
        """Be one of the threads."""
        try:
            while not self._over:
                send()
                self._note(thread)
        finally:
            self._over = True  # where one fails, the others need not go on

    def rate(self) -> float:
        """Requests per second."""
        return len(self._answers) / (self._answers[-1] - self._began)

    def _note(self, thread: int) -> None:
        with self._lock:
            now = time.perf_counter()
            if self._over:
                return
            if self._yet_to_begin:
                self._yet_to_begin.discard(thread)
                self._began = now
                return
            self._answers.append(now)
            if now - self._began >= self._seconds:
                self._yet_to_end.discard(thread)
                self._over = not self._yet_to_end


def _generating(model: Artifact, options: Mapping[str, Value]) -> tuple[Callable[[], object], Json]:
    new_tokens = whole(options, "new_tokens")
    opened = open_runtime(model)
    shape = whole(options, "batch"), whole(options, "prompt_tokens")
    prompt = synthetic_prompt(opened.config, *shape)
    opened.check(prompt, new_tokens)
    conditions = opened.conditions()
    if whole(options, "concurrency") == 1 or model.format != "genai":
        return partial(opened.request, prompt, new_tokens), conditions
    room = opened.least_cache()
    del opened  # the model is not to be loaded twice
    threaded = ThreadedGeneration(model.path)
    return partial(threaded.generate, prompt, new_tokens, room), conditions


def _classifying(
    model: Artifact, options: Mapping[str, Value]
) -> tuple[Callable[[], object], Json]:
    encoder = open_runtime(model)
    tokens, limit = whole(options, "prompt_tokens"), encoder.context_length
    if limit is not None and tokens > limit:
        raise MeasurementError(f"prompt_tokens is {tokens}, over the model's context of {limit}")
    rows = synthetic_prompt(encoder.config, whole(options, "batch"), tokens).tolist()
    encoder.logits(rows)  # whether it runs, and gives what it should
    return partial(encoder.request, encoder.feed(rows)), encoder.conditions()
