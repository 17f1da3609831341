"""A built model that writes: text in, text out as it is made, in the runtime of its format.

One interface over onnxruntime-genai and torch. A GenAI model has its text made into tokens and
back by the runtime itself, as in a program that serves it: transformers is not needed. Knows
nothing of conversations or of how text is shown.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from evaluators.base import Artifact, Json, MeasurementError
from evaluators.runtimes.endings import room
from evaluators.runtimes.errors import refusals
from evaluators.runtimes.sampling import Sampling, chooser

Message = Mapping[str, str]
"""{"role": "system", "user" or "assistant", "content": text}."""


class Writer(Protocol):
    """A language model that is loaded, with its tokenizer."""

    @property
    def context_length(self) -> int | None:
        """The most tokens that prompt and answer can have; None where the folder does not say."""
        ...

    def encode(self, text: str) -> list[int]:
        """The tokens of a text, as the tokenizer makes them of a whole text."""
        ...

    def encode_chat(self, messages: Sequence[Message]) -> list[int]:
        """The tokens of a conversation in the model's chat template, up to the answer's start.

        MeasurementError where the template refuses it.
        """
        ...

    def stream(self, prompt: Sequence[int], most: int, sampling: Sampling) -> Iterator[str]:
        """The text that each new token adds; empty as long as a character is not whole.

        `most` tokens, or fewer where the text or the context ends. MeasurementError, DeadModel.
        """
        ...

    def conditions(self) -> Json:
        """The provider or device really used, threads, versions, the active adapter."""
        ...


def open_writer(model: Artifact, adapter: str | None = None) -> Writer:
    """Load a model that generates. `adapter`: of those beside a GenAI model, in place of its own.

    MeasurementError where it cannot be loaded.
    """
    if model.format == "genai":
        return GenAIWriter(model.path, adapter)
    return TorchWriter(model)


def has_chat_template(model: Artifact) -> bool:
    """Whether the folder of the model's tokenizer has a chat template."""
    from evaluators.runtimes.torch_loading import tokenizer_folder

    folder = tokenizer_folder(model)
    if (folder / "chat_template.jinja").is_file() or (folder / "chat_template.json").is_file():
        return True
    try:
        found = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(found, dict) and bool(found.get("chat_template"))


class GenAIWriter:
    """The `Writer` of a GenAI folder, see there for what each method gives."""

    def __init__(self, folder: Path, adapter: str | None = None) -> None:
        """Load it. MeasurementError where the runtime refuses the model or its tokenizer."""
        from evaluators.runtimes.genai import Generation

        self._generation = Generation(folder, adapter)
        import onnxruntime_genai as og

        with refusals(f"{folder}: onnxruntime-genai cannot load the tokenizer"):
            self._tokenizer = og.Tokenizer(self._generation.model)

    @property
    def context_length(self) -> int | None:
        """The most tokens of prompt and answer; None where the folder does not say."""
        found = self._generation.config.get("context_length")
        return None if found is None else int(found)

    def encode(self, text: str) -> list[int]:
        """The tokens of a text."""
        with refusals("onnxruntime-genai cannot make tokens of the text"):
            return [int(token) for token in self._tokenizer.encode(text)]

    def encode_chat(self, messages: Sequence[Message]) -> list[int]:
        """The tokens of a conversation, up to the answer's start."""
        with refusals("the chat template refuses the conversation"):
            text = self._tokenizer.apply_chat_template(
                json.dumps([dict(m) for m in messages]), add_generation_prompt=True
            )
        return self.encode(text)

    def stream(self, prompt: Sequence[int], most: int, sampling: Sampling) -> Iterator[str]:
        """The text that each new token adds."""
        pieces = self._tokenizer.create_stream()
        for token in self._generation.stream(prompt, most, sampling):
            yield pieces.decode(token)

    def conditions(self) -> Json:
        """The device really used, session options, versions, the active adapter."""
        return self._generation.conditions()


class TorchWriter:
    """The `Writer` of a checkpoint, packed or with an adapter; see there for each method."""

    def __init__(self, model: Artifact) -> None:
        """Load it. MeasurementError where it cannot be loaded."""
        from evaluators.runtimes.torch_models import TorchLanguageModel

        self._model = TorchLanguageModel(model)
        self._tokenizer = self._model.tokenizer

    @property
    def context_length(self) -> int | None:
        """The most tokens of prompt and answer; None where the configuration does not say."""
        return self._model.context_length

    def encode(self, text: str) -> list[int]:
        """The tokens of a text."""
        return list(self._tokenizer(text)["input_ids"])

    def encode_chat(self, messages: Sequence[Message]) -> list[int]:
        """The tokens of a conversation, up to the answer's start."""
        from jinja2 import TemplateError

        try:
            text = self._tokenizer.apply_chat_template(
                [dict(m) for m in messages], tokenize=False, add_generation_prompt=True
            )
        except (TemplateError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise MeasurementError(
                f"the chat template refuses the conversation: {reason}"
            ) from error
        return list(self._tokenizer(text, add_special_tokens=False)["input_ids"])

    def stream(self, prompt: Sequence[int], most: int, sampling: Sampling) -> Iterator[str]:
        """The text that each new token adds."""
        import numpy as np

        most, choose = room(prompt, most, self.context_length), chooser(sampling)
        pieces = _Pieces(self._tokenizer)
        ids, past = np.array([prompt], np.int64), None
        for _ in range(most):
            logits, past = self._model.step(ids, past, keep=True)
            token = choose(logits[0])
            if token in self._model.ends:
                break
            yield pieces.add(token)
            ids = np.array([[token]], np.int64)

    def conditions(self) -> Json:
        """The device that its weights are on, data type, threads, versions."""
        return self._model.conditions()


class _Pieces:
    """Tokens into text, piece by piece, such that no character is shown in parts.

    What a token stands for may depend on those before it, so that the last whole piece is decoded
    along with what is new.
    """

    _PART = "\N{REPLACEMENT CHARACTER}"

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._ids: list[int] = []
        self._start = self._shown = 0

    def add(self, token: int) -> str:
        """The text that a token adds; empty as long as a character is not whole."""
        self._ids.append(token)
        before = self._text(self._ids[self._start : self._shown])
        after = self._text(self._ids[self._start :])
        if after.endswith(self._PART) or len(after) <= len(before):
            return ""
        self._start, self._shown = self._shown, len(self._ids)
        return after[len(before) :]

    def _text(self, ids: Sequence[int]) -> str:
        return str(self._tokenizer.decode(ids, skip_special_tokens=True))
