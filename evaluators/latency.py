"""The evaluator `latency`: how long a request takes, until its first token and for each later one.

Knows nothing of passes or of the search.
"""

from __future__ import annotations

import gc
import random
import statistics
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

from evaluators import machine
from evaluators.base import Artifact, Estimate, Evaluator, Json, Measurement
from evaluators.statistics import STATISTICS, timing
from search_spaces.data import DataSpec
from search_spaces.vocabulary import Aspect, EvaluatorSpec, MetricSpec, ParameterSpec, Value

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from evaluators.runtimes.genai import Generation

_WINDOW = 2  # requests whose median is compared while warming up
_STEADY = 0.05  # two windows that differ by less agree


def _metric(name: str, text: str) -> MetricSpec:
    depends_on = frozenset({Aspect.STRUCTURE, Aspect.RUNTIME})
    return MetricSpec(name, "s", True, depends_on, text, STATISTICS)


def _count(name: str, default: int, low: int, text: str) -> ParameterSpec:
    return ParameterSpec(name=name, type=int, default=default, help=text, low=low)


class Latency(Evaluator):
    """Times requests of a fixed workload in onnxruntime-genai.

    A request starts with its generator, which no server can make beforehand, and ends when its
    last token has been read. `latency` is the whole of it, `ttft` the time to its first token
    (from the same start), `tpot` the time for each token after the first.
    """

    spec: ClassVar = EvaluatorSpec(
        name="latency",
        version=1,
        help="time of a request, to its first token and per output token",
        parameters=(
            _count("prompt_tokens", 64, 1, "tokens of a request's prompt"),
            _count("new_tokens", 16, 2, "tokens that a request generates"),
            _count("batch", 1, 1, "sequences of a request"),
            _count("processes", 3, 1, "fresh processes to measure in"),
            _count("blocks", 3, 2, "blocks of requests per process"),
            _count("requests", 5, 1, "requests per block"),
            _count("warmup", 10, 1, "the most requests before the first block"),
        ),
        metrics=(
            _metric("latency", "time of a whole request"),
            _metric("ttft", "time from a request's start to its first token"),
            _metric("tpot", "time per output token after the first"),
        ),
        formats=frozenset({"genai"}),
        libraries=("onnxruntime", "onnxruntime-genai"),
    )

    def processes(self, options: Mapping[str, Value]) -> int:
        """As many as the options say."""
        return _whole(options, "processes")

    def measure(
        self, model: Artifact, options: Mapping[str, Value], data: DataSpec | None, split: str
    ) -> Measurement:
        """Warm up until windows of requests agree, then time the blocks. Samples are in seconds."""
        from evaluators.runtimes.genai import Generation, refusals

        prompt_tokens, batch = _whole(options, "prompt_tokens"), _whole(options, "batch")
        new_tokens = _whole(options, "new_tokens")
        generation = Generation(model.path)
        prompt = synthetic_prompt(generation.config, batch, prompt_tokens)
        generation.check(prompt, new_tokens)
        calibration = machine.Calibration()
        samples: dict[str, list[list[float]]] = {"latency": [], "ttft": [], "tpot": []}
        conditions: Json = generation.conditions() | machine.conditions()
        conditions["versions"] = machine.versions("onnxruntime", "onnxruntime-genai")
        conditions["load_before"], stolen = machine.load(), machine.stolen()
        with _no_collections(), refusals("onnxruntime-genai cannot run the model"):
            conditions |= _warm_up(generation, prompt, new_tokens, _whole(options, "warmup"))
            conditions["calibration"] = []
            for _ in range(_whole(options, "blocks")):
                conditions["calibration"].append(calibration.seconds())
                _block(generation, prompt, new_tokens, _whole(options, "requests"), samples)
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


def synthetic_prompt(config: Json, batch: int, tokens: int) -> NDArray[np.int32]:
    """Token ids (batch, tokens), the same on every call with the same arguments.

    `config`: the "model" part of genai_config.json. The ids come from the middle of the
    vocabulary, since special tokens and padding are at its ends; those that the configuration
    names are left out wherever they are.
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


def _warm_up(
    generation: Generation, prompt: NDArray[np.int32], new_tokens: int, most: int
) -> dict[str, Any]:
    """Requests until the last two windows agree, or the cap; how many, and whether they agreed."""
    taken: list[float] = []
    while len(taken) < most and not is_steady(taken):
        taken.append(generation.request(prompt, new_tokens)[0])
    return {"warmup": len(taken), "steady": is_steady(taken)}


def is_steady(seconds: Sequence[float]) -> bool:
    """Whether the medians of the last two windows of requests agree."""
    if len(seconds) < 2 * _WINDOW:
        return False
    last = statistics.median(seconds[-_WINDOW:])
    before = statistics.median(seconds[-2 * _WINDOW : -_WINDOW])
    return abs(last - before) <= _STEADY * min(last, before)


def _block(
    generation: Generation,
    prompt: NDArray[np.int32],
    new_tokens: int,
    requests: int,
    samples: dict[str, list[list[float]]],
) -> None:
    times = [generation.request(prompt, new_tokens) for _ in range(requests)]
    samples["latency"].append([whole for whole, _ in times])
    samples["ttft"].append([first for _, first in times])
    samples["tpot"].append([(whole - first) / (new_tokens - 1) for whole, first in times])


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
