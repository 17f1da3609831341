"""Transformers checkpoints in torch: a language model, and a classifier.

How they are loaded is `torch_loading`. Knows nothing of data, metrics or statistics.
"""

from __future__ import annotations

import copy
import inspect
import time
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from evaluators.base import Artifact, Json, MeasurementError
from evaluators.runtimes.classifiers import (
    by_label,
    context_of,
    labels_of,
    padded,
    padding_of,
    tokenise,
)
from evaluators.runtimes.endings import end_tokens, room
from evaluators.runtimes.tokenizer import load_tokenizer
from evaluators.runtimes.torch_loading import (
    check_finite,
    conditions_of,
    load_network,
    read_json,
    running,
    tokenizer_folder,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Cache = dict[str, Any]

_PAST = "past"
_LENGTHS = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "n_ctx")


class Past:
    """What transformers keeps of past tokens; `past[rows]` is that of other rows, in any order.

    Neither changes the other, nor does a step that goes on from one change it.
    """

    def __init__(self, cache: Any) -> None:
        self._cache = cache

    def __getitem__(self, rows: Any) -> Past:
        import torch

        taken = self.copy()
        with torch.inference_mode():
            taken.reorder_cache(torch.as_tensor(rows))
        return Past(taken)

    def copy(self) -> Any:
        """The cache, such that a step may write to it."""
        layers = self._cache.layers
        if any(hasattr(layer, "conv_states") for layer in layers):
            return copy.deepcopy(self._cache)  # the states of such layers are overwritten in place
        # The keys and values of others are replaced by longer ones, so that copies may share them.
        taken = copy.copy(self._cache)
        taken.layers = [copy.copy(layer) for layer in layers]
        return taken


class TorchLanguageModel:
    """The `LanguageModel` of a checkpoint, see there for what each method gives."""

    def __init__(self, model: Artifact) -> None:
        """Load it. MeasurementError where it cannot be loaded."""
        self._model = model
        self._network = load_network(model, classifier=False)
        base = (model.base or model).path
        self.config: Json = self._network.config.get_text_config().to_dict()
        self._ends = end_tokens(read_json(base / "generation_config.json") or self.config)
        plain = self._network.get_base_model() if model.base else self._network
        takes_keep = "logits_to_keep" in inspect.signature(plain.forward).parameters
        self._last_only = {"logits_to_keep": 1} if takes_keep else {}

    @cached_property
    def tokenizer(self) -> Any:
        """The model's own tokenizer, as transformers loads it."""
        return load_tokenizer(tokenizer_folder(self._model))

    @property
    def context_length(self) -> int | None:
        """The most tokens that it can take; None where its configuration does not say."""
        found = (self.config.get(name) for name in _LENGTHS)
        return next((int(length) for length in found if length), None)

    @property
    def ends(self) -> frozenset[int]:
        """The tokens that end a text."""
        return self._ends

    def conditions(self) -> Json:
        """The device that its weights are on, data type, threads, versions."""
        return conditions_of(self._network, self._model.base is not None)

    def step(
        self, ids: NDArray[np.int64], past: Cache | None, keep: bool
    ) -> tuple[NDArray[np.float32], Cache]:
        """Logits (batch, vocabulary) after `ids` (batch, tokens), and the cache.

        The cache holds one `Past`. DeadModel where the logits are not finite.
        """
        with running():
            before = None if past is None else past[_PAST].copy()
            logits, cache = self._forward(ids, before, keep=keep)
        check_finite(logits)
        found: NDArray[np.float32] = logits.float().cpu().numpy()
        return found, {_PAST: Past(cache)} if keep else {}

    def logits(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """Logits (batch, tokens, vocabulary) at every position. DeadModel where not finite."""
        import torch

        with running(), torch.inference_mode():
            logits = self._network(input_ids=self._tensor(ids), use_cache=False).logits
        check_finite(logits)
        found: NDArray[np.float32] = logits.float().cpu().numpy()
        return found

    def generate(self, prompt: Sequence[int], most: int) -> list[int]:
        """Greedy tokens after a prompt: `most`, or fewer where the text or the context ends.

        The end-of-sequence token, of those that the folder names, is left out. DeadModel where
        logits are not finite, MeasurementError where the prompt leaves no room.
        """
        most = room(prompt, most, self.context_length)
        made: list[int] = []
        ids: Any = [list(prompt)]
        cache = None
        with running():
            while len(made) < most:
                logits, cache = self._forward(ids, cache)
                check_finite(logits)
                token = int(logits[0].argmax())
                if token in self._ends:
                    break
                made.append(token)
                ids = [[token]]
        return made

    def request(self, prompt: NDArray[np.int32], new_tokens: int) -> tuple[float, float]:
        """One request: (seconds for all of it, seconds until its first token could be read).

        `prompt`: (batch, tokens). Exactly `new_tokens` greedy tokens per sequence, none of which
        ends it, each read as a streaming client would.
        """
        started = time.perf_counter_ns()
        ids, cache = self._choose(prompt, None)
        first = time.perf_counter_ns()
        for _ in range(new_tokens - 1):
            ids, cache = self._choose(ids, cache)
        ended = time.perf_counter_ns()
        return (ended - started) / 1e9, (first - started) / 1e9

    def check(self, prompt: NDArray[np.int32], new_tokens: int) -> None:
        """A request, to see whether it can be measured: its length is right, its logits finite."""
        limit, length = self.context_length, prompt.shape[1] + new_tokens
        if limit is not None and length > limit:
            raise MeasurementError(
                f"prompt_tokens + new_tokens is {length}, over the model's context of {limit}"
            )
        with running():
            ids, cache = self._choose(prompt, None, checked=True)
            for _ in range(new_tokens - 1):
                ids, cache = self._choose(ids, cache, checked=True)

    def _choose(self, ids: Any, cache: Any, checked: bool = False) -> tuple[list[list[int]], Any]:
        """The most probable token of every row (rows, 1), but one that ends it; and the cache."""
        import torch

        logits, cache = self._forward(ids, cache)
        if checked:
            check_finite(logits)
        with torch.inference_mode():
            logits[:, sorted(self._ends)] = -float("inf")
            tokens: list[list[int]] = logits.argmax(-1, keepdim=True).tolist()
        return tokens, cache

    def _forward(self, ids: Any, cache: Any, keep: bool = True) -> tuple[Any, Any]:
        """Logits (batch, vocabulary) at the last position, and the cache, which it may write to."""
        import torch

        with torch.inference_mode():
            found = self._network(
                input_ids=self._tensor(ids),
                past_key_values=cache,
                use_cache=keep or cache is not None,
                **self._last_only,
            )
            after = getattr(found, "past_key_values", None)
            if keep and after is None:
                raise MeasurementError(
                    f"what {self.config.get('model_type')} keeps of past tokens cannot be read"
                )
            return found.logits[:, -1], after if keep else None

    def _tensor(self, ids: Any) -> Any:
        import torch

        return torch.as_tensor(ids, dtype=torch.int64).to(self._network.device)


class TorchClassifier:
    """The `Classifier` of an encoder's checkpoint, see there for what each method gives."""

    def __init__(self, model: Artifact) -> None:
        """Load it. MeasurementError where it cannot be loaded, or has no head."""
        self._model = model
        self._network = load_network(model, classifier=True)
        self.config: Json = self._network.config.to_dict()

    @property
    def labels(self) -> list[str]:
        """The name of every logit, in order."""
        return labels_of(self.config, self._model.path)

    @property
    def context_length(self) -> int | None:
        """The most tokens that the model can read; None where its configuration does not say."""
        return context_of(self.config)

    def conditions(self) -> Json:
        """The device that its weights are on, data type, threads, versions."""
        return conditions_of(self._network, self._model.base is not None)

    def tokenise(self, texts: Sequence[str]) -> tuple[list[list[int]], int]:
        """Token ids of every text with its special tokens, and how many texts were too long."""
        return tokenise(tokenizer_folder(self._model), texts, self.context_length)

    def feed(self, rows: Sequence[Sequence[int]]) -> dict[str, Any]:
        """The network's inputs for token ids, padded at the end to one length, on its device."""
        import torch

        shape = len(rows), max(map(len, rows))
        ids, mask = padded(rows, shape, padding_of(self.config))
        device = self._network.device
        return {
            "input_ids": torch.from_numpy(ids).to(device),
            "attention_mask": torch.from_numpy(mask).to(device),
        }

    def logits(self, rows: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """The logits (rows, labels) of token ids; DeadModel where they are not finite."""
        with running():
            logits = self._forward(self.feed(rows))
        check_finite(logits)
        found: NDArray[np.float32] = logits.float().cpu().numpy()
        return found

    def log_probabilities(self, ids: Sequence[int]) -> dict[str, float]:
        """Label -> its log-probability, for the token ids of one text."""
        return by_label(self.logits([ids])[0], self.labels, self._model.path)

    def request(self, feed: Mapping[str, Any]) -> float:
        """Seconds of one run of the network on what `feed` gave, until its logits can be read."""
        started = time.perf_counter_ns()
        self._forward(feed).tolist()
        return (time.perf_counter_ns() - started) / 1e9

    def _forward(self, feed: Mapping[str, Any]) -> Any:
        import torch

        with torch.inference_mode():
            return self._network(**feed).logits
