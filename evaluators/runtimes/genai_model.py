"""A GenAI folder as a language model: logits by its graph, generation by its own runtime.

Each session is opened when it is first needed. Knows nothing of data or metrics.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evaluators.base import Json
from evaluators.runtimes.genai import Generation, provider_options, read_config, refuse_paged
from evaluators.runtimes.scoring import Cache, Scoring
from evaluators.runtimes.tokenizer import load_tokenizer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class GenAIModel:
    """The `LanguageModel` of a GenAI folder; see there for what each method gives.

    Logits come from a plain session of onnxruntime, as `Scoring` describes; what is generated
    comes from onnxruntime-genai, on the provider that the folder asks for.
    """

    def __init__(self, folder: Path) -> None:
        """Read its configuration. MeasurementError where it cannot be run."""
        self._folder = folder
        self._config = read_config(folder)
        refuse_paged(self._config)

    @cached_property
    def tokenizer(self) -> Any:
        """The model's own tokenizer, as transformers loads it."""
        return load_tokenizer(self._folder)

    @property
    def context_length(self) -> int | None:
        """The most tokens that it can take; None where its folder does not say."""
        found = self._config.get("context_length")
        return None if found is None else int(found)

    def step(
        self, ids: NDArray[np.int64], past: Cache | None, keep: bool
    ) -> tuple[NDArray[np.float32], Cache]:
        """Logits (batch, vocabulary) at the last position, and the cache; see `Scoring.step`."""
        return self._last.step(ids, past, keep)

    def logits(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """Logits (batch, tokens, vocabulary) at every position; see `Scoring.logits`."""
        return self._all.logits(ids)

    def generate(self, prompt: Sequence[int], most: int) -> list[int]:
        """Greedy tokens after a prompt; see `Generation.generate`."""
        return self._generation.generate(prompt, most)

    def conditions(self) -> Json:
        """The provider, threads and versions of every session that has been used.

        `providers`: what the folder asks for. `provider` and `threads` are those of the logits;
        `generation`: those of what was generated.
        """
        found: Json = {"providers": list(provider_options(self._config))}
        opened = vars(self)
        for name in ("_all", "_last"):
            if name in opened:
                found |= opened[name].conditions()
        if "_generation" in opened:
            found["generation"] = self._generation.conditions()
        return found

    @cached_property
    def _last(self) -> Scoring:
        return Scoring(self._folder)

    @cached_property
    def _all(self) -> Scoring:
        return Scoring(self._folder, every_position=True)

    @cached_property
    def _generation(self) -> Generation:
        return Generation(self._folder)
