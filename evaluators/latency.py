"""The evaluator `latency`: how long a request takes, until its first token and for each later one.

Knows nothing of passes or of the search.
"""

from __future__ import annotations

import gc
import random
import statistics
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from evaluators import machine
from evaluators.base import Artifact, Estimate, Evaluator, Json, Measurement, MeasurementError
from evaluators.statistics import STATISTICS, timing
from search_spaces.data import DataSpec
from search_spaces.vocabulary import INPUT, Aspect, EvaluatorSpec, MetricSpec, ParameterSpec, Value

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_WINDOW = 2  # requests whose median is compared while warming up
_STEADY = 0.05  # two windows that differ by less agree
_GENERATING = frozenset({"genai"})


def _metric(name: str, text: str, formats: frozenset[str] = frozenset()) -> MetricSpec:
    depends_on = frozenset({Aspect.STRUCTURE, Aspect.RUNTIME})
    return MetricSpec(name, "s", True, depends_on, text, STATISTICS, formats)


def _count(
    name: str, default: int, low: int, text: str, formats: tuple[str, ...] = ()
) -> ParameterSpec:
    applies: dict[str, tuple[Value, ...]] = {INPUT: formats} if formats else {}
    return ParameterSpec(name=name, type=int, default=default, help=text, low=low, applies=applies)


class Workload(Protocol):
    """A model that is loaded, with a request to send to it again and again."""

    def request(self) -> Mapping[str, float]:
        """Send it once: metric -> seconds."""
        ...

    def conditions(self) -> Json:
        """How the model runs."""
        ...


class Latency(Evaluator):
    """Times requests of a fixed workload in the model's own runtime.

    Of a model that generates (onnxruntime-genai), a request starts with its generator, which no
    server can make beforehand, and ends when its last token has been read. `latency` is the whole
    of it, `ttft` the time to its first token (from the same start), `tpot` the time for each token
    after the first. Of a classifier (onnxruntime), a request is one run on token ids: `latency`.
    """

    spec: ClassVar = EvaluatorSpec(
        name="latency",
        version=1,
        help="time of a request; where it generates, also to its first token and for each token",
        parameters=(
            _count("prompt_tokens", 64, 1, "tokens of a request's prompt"),
            _count("new_tokens", 16, 2, "tokens that a request generates", ("genai",)),
            _count("batch", 1, 1, "sequences of a request"),
            _count("processes", 3, 1, "fresh processes to measure in"),
            _count("blocks", 3, 2, "blocks of requests per process"),
            _count("requests", 5, 1, "requests per block"),
            _count("warmup", 10, 1, "the most requests before the first block"),
        ),
        metrics=(
            _metric("latency", "time of a whole request"),
            _metric("ttft", "time from a request's start to its first token", _GENERATING),
            _metric("tpot", "time per output token after the first", _GENERATING),
        ),
        formats=frozenset({"genai", "onnx"}),
        libraries=("onnxruntime", "onnxruntime-genai"),
    )

    def processes(self, options: Mapping[str, Value]) -> int:
        """As many as the options say."""
        return _whole(options, "processes")

    def measure(
        self,
        model: Artifact,
        options: Mapping[str, Value],
        data: DataSpec | None,
        split: str,
        reference: Artifact | None = None,
    ) -> Measurement:
        """Warm up until windows of requests agree, then time the blocks. Samples are in seconds."""
        from evaluators.runtimes.errors import refusals

        workload = (_Generating if model.format == "genai" else _Classifying)(model.path, options)
        calibration = machine.Calibration()
        samples: dict[str, list[list[float]]] = {}
        conditions: Json = workload.conditions() | machine.conditions()
        conditions["load_before"], stolen = machine.load(), machine.stolen()
        with _no_collections(), refusals("the runtime cannot run the model"):
            conditions |= _warm_up(workload, _whole(options, "warmup"))
            conditions["calibration"] = []
            for _ in range(_whole(options, "blocks")):
                conditions["calibration"].append(calibration.seconds())
                _block(workload, _whole(options, "requests"), samples)
        after = machine.stolen()
        conditions["stolen"] = None if stolen is None or after is None else after - stolen
        conditions["load_after"] = machine.load()
        return Measurement(samples, conditions=conditions)

    def summarise(
        self,
        measurements: Sequence[Measurement],
        options: Mapping[str, Value],
        metric: str,
        statistic: str | None,
    ) -> Estimate:
        """The statistic (default p50) with an interval from blocks; see `statistics.timing`.

        p50, mean and min are averages of the blocks' own; p90 and beyond are of all samples.
        """
        name = statistic or STATISTICS[0]
        processes = [measurement.samples[metric] for measurement in measurements]
        found = timing(processes, name)
        count = sum(len(block) for blocks in processes for block in blocks)
        return Estimate(metric, name, found.value, found.low, found.high, "s", count)


class _Generating:
    """A prompt, and tokens generated after it."""

    def __init__(self, folder: Path, options: Mapping[str, Value]) -> None:
        from evaluators.runtimes.genai import Generation

        self._new_tokens = _whole(options, "new_tokens")
        self._generation = Generation(folder)
        shape = _whole(options, "batch"), _whole(options, "prompt_tokens")
        self._prompt = synthetic_prompt(self._generation.config, *shape)
        self._generation.check(self._prompt, self._new_tokens)

    def request(self) -> Mapping[str, float]:
        whole, first = self._generation.request(self._prompt, self._new_tokens)
        rest = (whole - first) / (self._new_tokens - 1)
        return {"latency": whole, "ttft": first, "tpot": rest}

    def conditions(self) -> Json:
        return self._generation.conditions()


class _Classifying:
    """Texts of one length, classified together."""

    def __init__(self, folder: Path, options: Mapping[str, Value]) -> None:
        from evaluators.runtimes.onnx import Encoder

        self._encoder = Encoder(folder)
        tokens, limit = _whole(options, "prompt_tokens"), self._encoder.context_length
        if limit is not None and tokens > limit:
            raise MeasurementError(
                f"prompt_tokens is {tokens}, over the model's context of {limit}"
            )
        ids = synthetic_prompt(self._encoder.config, _whole(options, "batch"), tokens).tolist()
        self._encoder.logits(ids)  # whether it runs, and gives what it should
        self._feed = self._encoder.feed(ids)

    def request(self) -> Mapping[str, float]:
        return {"latency": self._encoder.request(self._feed)}

    def conditions(self) -> Json:
        return self._encoder.conditions()


def synthetic_prompt(config: Json, batch: int, tokens: int) -> NDArray[np.int32]:
    """Token ids (batch, tokens), the same on every call with the same arguments.

    `config`: the "model" part of genai_config.json, or config.json. The ids come from the middle
    of the vocabulary, since special tokens and padding are at its ends; those that the
    configuration names are left out wherever they are.
    """
    import numpy as np

    size = int(config["vocab_size"])
    named = set()
    for key in ("bos_token_id", "eos_token_id", "pad_token_id"):
        value = config.get(key)
        named |= set(value) if isinstance(value, list) else {value}
    usable = [i for i in range(size // 10, size - size // 10) if i not in named]
    # `random()` is the one method whose sequence Python promises to keep between versions.
    draw = random.Random(0).random
    ids = [usable[int(draw() * len(usable))] for _ in range(batch * tokens)]
    return np.array(ids, np.int32).reshape(batch, tokens)


def _whole(options: Mapping[str, Value], name: str) -> int:
    value: Any = options[name]
    return int(value)


def _warm_up(workload: Workload, most: int) -> dict[str, Any]:
    """Requests until the last two windows agree, or the cap; how many, and whether they agreed."""
    taken: list[float] = []
    while len(taken) < most and not is_steady(taken):
        taken.append(workload.request()["latency"])
    return {"warmup": len(taken), "steady": is_steady(taken)}


def is_steady(seconds: Sequence[float]) -> bool:
    """Whether the medians of the last two windows of requests agree."""
    if len(seconds) < 2 * _WINDOW:
        return False
    last = statistics.median(seconds[-_WINDOW:])
    before = statistics.median(seconds[-2 * _WINDOW : -_WINDOW])
    return abs(last - before) <= _STEADY * min(last, before)


def _block(workload: Workload, requests: int, samples: dict[str, list[list[float]]]) -> None:
    times = [workload.request() for _ in range(requests)]
    for metric in times[0]:
        samples.setdefault(metric, []).append([each[metric] for each in times])


@contextmanager
def _no_collections() -> Iterator[None]:
    """Python's garbage collector stays out: with large libraries loaded it takes milliseconds."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
