"""A built model, opened in its own runtime: what evaluators of quality work with.

One interface over torch, onnxruntime and onnxruntime-genai, so that a metric is written once.
Knows nothing of data, metrics or statistics.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from evaluators.base import Artifact, Json, MeasurementError
from search_spaces.kinds import CAUSAL, ENCODER, kind_of_source

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Cache = dict[str, Any]
"""What a model keeps of past tokens; `step` makes and takes it. Arrays with a row a sequence."""


class LanguageModel(Protocol):
    """A causal language model that is loaded."""

    @property
    def tokenizer(self) -> Any:
        """The model's own tokenizer, as transformers loads it."""
        ...

    @property
    def context_length(self) -> int | None:
        """The most tokens that it can take; None where its folder does not say."""
        ...

    def step(
        self, ids: NDArray[np.int64], past: Cache | None, keep: bool
    ) -> tuple[NDArray[np.float32], Cache]:
        """Feed tokens (batch, tokens) after `past`; logits (batch, vocabulary) at the last of them.

        Also the cache after them, if asked to `keep` it. With a past, one token at a time.
        DeadModel where the logits are not finite.
        """
        ...

    def logits(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """Logits (batch, tokens, vocabulary) at every position of sequences of one length.

        DeadModel where they are not finite.
        """
        ...

    def generate(self, prompt: Sequence[int], most: int) -> list[int]:
        """Greedy tokens after a prompt: `most`, or fewer where the text ends.

        The end-of-sequence token is left out.
        """
        ...

    def conditions(self) -> Json:
        """The provider or device really used, threads, versions."""
        ...


class Classifier(Protocol):
    """An encoder with a classification head that is loaded."""

    @property
    def labels(self) -> list[str]:
        """The name of every logit, in order."""
        ...

    @property
    def context_length(self) -> int | None:
        """The most tokens that it can take; None where its folder does not say."""
        ...

    def tokenise(self, texts: Sequence[str]) -> tuple[list[list[int]], int]:
        """Token ids of every text with its special tokens, and how many texts were cut."""
        ...

    def logits(self, rows: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """The logits (rows, labels) of token ids; DeadModel where they are not finite."""
        ...

    def log_probabilities(self, ids: Sequence[int]) -> dict[str, float]:
        """Label -> its log-probability, for the token ids of one text."""
        ...

    def conditions(self) -> Json:
        """The provider or device really used, threads, versions."""
        ...


def generates(model: Artifact) -> bool:
    """Whether it is a language model; else it is a classifier."""
    return _kind(model) == CAUSAL


def _kind(model: Artifact) -> str | None:
    """The kind of model; None where that cannot be told, as of a folder without configuration."""
    whole = model.base or model
    return kind_of_source(whole.format, whole.path)


def open_language_model(model: Artifact) -> LanguageModel:
    """Open a causal model in the runtime of its format: "hf", "quantized", "adapter" or "genai".

    MeasurementError where it cannot be opened, or not on the provider that its folder asks for.
    """
    if _kind(model) == ENCODER:
        raise MeasurementError(f"{model.path}: found an encoder, expected a model that generates")
    if model.format == "genai":
        from evaluators.runtimes.genai_model import GenAIModel

        return GenAIModel(model.path)
    from evaluators.runtimes.torch_models import TorchLanguageModel

    return TorchLanguageModel(model)


def open_classifier(model: Artifact) -> Classifier:
    """Open an encoder classifier in the runtime of its format: "hf", "adapter" or "onnx".

    MeasurementError where it cannot be opened, or not on the provider that its folder asks for.
    """
    if _kind(model) == CAUSAL:
        raise MeasurementError(f"{model.path}: found a model that generates, expected an encoder")
    if model.format == "onnx":
        from evaluators.runtimes.onnx import Encoder

        return Encoder(model.path)
    from evaluators.runtimes.torch_models import TorchClassifier

    return TorchClassifier(model)
