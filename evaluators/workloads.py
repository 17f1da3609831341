"""Requests of a fixed workload, sent to a built model again and again so that they can be timed.

Knows nothing of statistics, nor of when a request is sent.
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from evaluators.base import Artifact, Json, MeasurementError
from evaluators.runtimes.models import generates
from search_spaces.vocabulary import Value

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_WINDOW = 2  # requests whose median is compared while warming up
_STEADY = 0.05  # two windows that differ by less agree


class Workload(Protocol):
    """A model that is loaded, with a request to send to it again and again."""

    def request(self) -> Mapping[str, float]:
        """Send it once: metric -> what it took, in the metric's canonical unit."""
        ...

    def conditions(self) -> Json:
        """How the model runs."""
        ...


def open_workload(model: Artifact, options: Mapping[str, Value]) -> Workload:
    """Load the model in its own runtime, with a request of `prompt_tokens`, `new_tokens`, `batch`.

    A request gives "latency", and of a model that generates "ttft" and "tpot", in seconds.
    MeasurementError where the model cannot be loaded, or cannot take the request.
    """
    return (Generating if generates(model) else Classifying)(model, options)


class Generating:
    """A prompt, and tokens generated after it."""

    def __init__(self, model: Artifact, options: Mapping[str, Value]) -> None:
        self._new_tokens = whole(options, "new_tokens")
        self._generation = _generation(model)
        shape = whole(options, "batch"), whole(options, "prompt_tokens")
        self._prompt = synthetic_prompt(self._generation.config, *shape)
        self._generation.check(self._prompt, self._new_tokens)

    def request(self) -> Mapping[str, float]:
        """The time of the whole request, until its first token, and for each later one."""
        everything, first = self._generation.request(self._prompt, self._new_tokens)
        rest = (everything - first) / (self._new_tokens - 1)
        return {"latency": everything, "ttft": first, "tpot": rest}

    def conditions(self) -> Json:
        """The device really used, session options, versions."""
        found: Json = self._generation.conditions()
        return found


def _generation(model: Artifact) -> Any:
    if model.format == "genai":
        from evaluators.runtimes.genai import Generation

        return Generation(model.path)
    from evaluators.runtimes.torch_models import TorchLanguageModel

    return TorchLanguageModel(model)


class Classifying:
    """Texts of one length, classified together."""

    def __init__(self, model: Artifact, options: Mapping[str, Value]) -> None:
        self._encoder = _encoder(model)
        tokens, limit = whole(options, "prompt_tokens"), self._encoder.context_length
        if limit is not None and tokens > limit:
            raise MeasurementError(
                f"prompt_tokens is {tokens}, over the model's context of {limit}"
            )
        ids = synthetic_prompt(self._encoder.config, whole(options, "batch"), tokens).tolist()
        self._encoder.logits(ids)  # whether it runs, and gives what it should
        self._feed = self._encoder.feed(ids)

    def request(self) -> Mapping[str, float]:
        """The time of one run."""
        return {"latency": self._encoder.request(self._feed)}

    def conditions(self) -> Json:
        """The provider really used, session options, versions."""
        found: Json = self._encoder.conditions()
        return found


def _encoder(model: Artifact) -> Any:
    if model.format == "onnx":
        from evaluators.runtimes.onnx import Encoder

        return Encoder(model.path)
    from evaluators.runtimes.torch_models import TorchClassifier

    return TorchClassifier(model)


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


def whole(options: Mapping[str, Value], name: str) -> int:
    """An option that is a whole number."""
    value: Any = options[name]
    return int(value)


def warm_up(workload: Workload, most: int) -> Json:
    """Requests until the last two windows agree, or the cap; how many, and whether they agreed."""
    taken: list[float] = []
    while len(taken) < most and not is_steady(taken):
        taken.append(next(iter(workload.request().values())))
    return {"warmup": len(taken), "steady": is_steady(taken)}


def is_steady(values: Sequence[float]) -> bool:
    """Whether the medians of the last two windows of requests agree."""
    if len(values) < 2 * _WINDOW:
        return False
    last = statistics.median(values[-_WINDOW:])
    before = statistics.median(values[-2 * _WINDOW : -_WINDOW])
    return abs(last - before) <= _STEADY * min(last, before)
