"""ONNX Runtime GenAI folders: what their configuration says, and requests in their own runtime.

Knows nothing of data, metrics or statistics.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evaluators import machine
from evaluators.base import Json, MeasurementError
from evaluators.runtimes import providers
from evaluators.runtimes.adapters import active_adapter, adapter_named
from evaluators.runtimes.endings import end_tokens, room
from evaluators.runtimes.errors import check_finite, refusals
from evaluators.runtimes.sampling import GREEDY, Sampling
from search_spaces.problems import listed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def read_config(folder: Path) -> Json:
    """The "model" part of genai_config.json; MeasurementError where there is none."""
    path = folder / "genai_config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise MeasurementError(f"{path}: there is no such file; expected a GenAI folder") from None
    except ValueError as error:
        raise MeasurementError(f"{path}: not JSON ({error})") from None
    model: Json = config.get("model", {})
    if "filename" not in model.get("decoder", {}):
        raise MeasurementError(f"{path}: there is no model.decoder.filename in it")
    return model


def session_options(config: Json) -> Json:
    """The session options that the folder asks for, without the providers'."""
    options = config["decoder"].get("session_options", {})
    return {name: value for name, value in options.items() if name != "provider_options"}


def provider_options(config: Json) -> dict[str, Json]:
    """The providers that the folder asks for, under its own names, each with its options."""
    found = config["decoder"].get("session_options", {}).get("provider_options", [])
    return {name: options for entry in found for name, options in entry.items()}


def refuse_paged(config: Json) -> None:
    """MeasurementError where the model has a cache in pages."""
    if "block_table" in config["decoder"].get("inputs", {}):
        raise MeasurementError(
            "the model was built with paged_attention, which GenAI's engine alone can run; it can "
            "be built with --build-only, but not measured"
        )


class Generation:
    """A model in onnxruntime-genai, with the providers and session options of its folder.

    Of adapters beside the model, the one that the folder says is active, or the one asked for.
    """

    def __init__(self, folder: Path, adapter: str | None = None) -> None:
        """Load it. MeasurementError where the runtime refuses, or there is no such adapter."""
        self.config = read_config(folder)
        refuse_paged(self.config)
        import onnxruntime_genai as og

        asked = [providers.named_in_genai(name) for name in provider_options(self.config)]
        for name in filter(None, asked):
            providers.register_in_genai(name)
        with refusals("onnxruntime-genai cannot load the model"):
            self._model = og.Model(str(folder))
        if self._model.device_type == "CPU" and set(asked) - {"cpu"}:
            names = listed(provider_options(self.config))
            raise MeasurementError(f"the model asks for {names}, but GenAI runs it on the CPU")
        self._adapter = (
            active_adapter(folder) if adapter is None else adapter_named(folder, adapter)
        )
        if self._adapter is not None:
            name, file = self._adapter
            with refusals("onnxruntime-genai cannot load the adapter"):
                self._adapters = og.Adapters(self._model)
                self._adapters.load(str(file), name)

    def conditions(self) -> Json:
        """The device really used, the providers asked for, the session options, versions.

        A session without `intra_op_num_threads` has as many threads as the runtime chooses.
        """
        asked = filter(None, map(providers.named_in_genai, provider_options(self.config)))
        libraries = [name for provider in asked for name in providers.libraries(provider)]
        return {
            "device": self._model.device_type,
            "providers": list(provider_options(self.config)),
            "provider_options": provider_options(self.config),
            "threads": session_options(self.config).get("intra_op_num_threads"),
            "session_options": session_options(self.config),
            "versions": machine.versions("onnxruntime", "onnxruntime-genai", *libraries),
            "adapter": None if self._adapter is None else self._adapter[0],
        }

    def request(self, prompt: NDArray[np.int32], new_tokens: int) -> tuple[float, float]:
        """One request: (seconds for all of it, seconds until its first token could be read).

        `prompt`: (batch, tokens). Exactly `new_tokens` greedy tokens per sequence, each read as a
        streaming client would. The clock runs from before the generator is made, since a
        generator holds one request's cache and no server can make it beforehand.
        """
        started = time.perf_counter_ns()
        generator = self._start(prompt, new_tokens)
        self._next(generator)
        first = time.perf_counter_ns()
        for _ in range(new_tokens - 1):
            self._next(generator)
        ended = time.perf_counter_ns()
        return (ended - started) / 1e9, (first - started) / 1e9

    @property
    def model(self) -> Any:
        """The model as onnxruntime-genai has it."""
        return self._model

    def generate(self, prompt: Sequence[int], most: int) -> list[int]:
        """All of `stream`, greedily."""
        return list(self.stream(prompt, most))

    def stream(
        self, prompt: Sequence[int], most: int, sampling: Sampling = GREEDY
    ) -> Iterator[int]:
        """Tokens after a prompt as they are made: `most`, or fewer where text or context ends.

        The end-of-sequence token, of those that the folder names, is left out. MeasurementError
        where the model cannot run or the prompt leaves no room, DeadModel where its logits are not
        finite at the prompt, or at the last token.
        """
        import numpy as np

        most = room(prompt, most, self.config.get("context_length"))
        ends = end_tokens(self.config)
        made = 0
        with refusals("onnxruntime-genai cannot run the model"):
            generator = self._start(np.array([prompt], np.int32), most, True, sampling)
            check_finite(generator.get_output("logits"))
        while made < most and not generator.is_done():
            with refusals("onnxruntime-genai cannot run the model"):
                generator.generate_next_token()
                token = int(generator.get_next_tokens()[0])
            if token in ends:
                break
            made += 1
            yield token
        with refusals("onnxruntime-genai cannot run the model"):
            check_finite(generator.get_output("logits"))

    def check(self, prompt: NDArray[np.int32], new_tokens: int) -> None:
        """A request, to see whether it can be measured: its length is right, its logits finite."""
        limit = self.config.get("context_length")
        length = prompt.shape[1] + new_tokens
        if limit is not None and length > limit:
            raise MeasurementError(
                f"prompt_tokens + new_tokens is {length}, over the model's context of {limit}"
            )
        with refusals("onnxruntime-genai cannot run the model"):
            generator = self._start(prompt, new_tokens)
            check_finite(generator.get_output("logits"))
            for _ in range(new_tokens):
                self._next(generator)
            check_finite(generator.get_output("logits"))
        if generator.token_count() != length:
            found = generator.token_count() - prompt.shape[1]
            raise MeasurementError(f"the runtime made {found} tokens, expected {new_tokens}")

    def _start(
        self,
        prompt: NDArray[np.int32],
        new_tokens: int,
        may_end: bool = False,
        sampling: Sampling = GREEDY,
    ) -> Any:
        import onnxruntime_genai as og

        batch, tokens = prompt.shape
        length = tokens + new_tokens
        parameters = og.GeneratorParams(self._model)
        # min_length keeps an end-of-sequence token from being chosen early.
        parameters.set_search_options(
            batch_size=batch,
            max_length=max(length, self.least_cache()),
            min_length=0 if may_end else length,
            num_beams=1,
            **_drawing(sampling),
        )
        generator = og.Generator(self._model, parameters)
        if self._adapter is not None:
            generator.set_active_adapter(self._adapters, self._adapter[0])
        generator.append_tokens(prompt)
        return generator

    def least_cache(self) -> int:
        """The fewest tokens that there must be room for: layers with a window keep all of it."""
        window = self.config["decoder"].get("sliding_window") or {}
        return int(window["window_size"]) if window.get("layers") else 0

    def _next(self, generator: Any) -> None:
        generator.generate_next_token()
        generator.get_next_tokens()


def _drawing(sampling: Sampling) -> dict[str, Any]:
    """The runtime's own search options; top_k 0 is no limit of the candidates' number."""
    if sampling.greedy:
        return {"do_sample": False}
    return {
        "do_sample": True,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": 0,
        "random_seed": sampling.seed,
    }
