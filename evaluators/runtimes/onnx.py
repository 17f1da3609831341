"""Encoder classifiers ("onnx" folders) in onnxruntime: texts to tokens, tokens to logits.

A folder holds `model.onnx`, the configuration with its labels, the tokenizer, and optionally
`session.json`: how its session is to be opened. Knows nothing of data, metrics or statistics.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from evaluators import machine
from evaluators.base import Json, MeasurementError
from evaluators.runtimes import providers
from evaluators.runtimes.classifiers import (
    CONFIG,
    by_label,
    context_of,
    labels_of,
    padded,
    padding_of,
    tokenise,
)
from evaluators.runtimes.errors import check_finite, refusals
from search_spaces.problems import listed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

GRAPH = "model.onnx"
SESSION = "session.json"

_ENUMS = {
    "graph_optimization_level": ("GraphOptimizationLevel", "ORT_"),
    "execution_mode": ("ExecutionMode", "ORT_"),
}


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """What `session.json` says. `session_options`: attributes of onnxruntime's SessionOptions.

    The level of optimisation and the execution mode have onnxruntime's names ("ORT_ENABLE_ALL",
    "ORT_PARALLEL"). `config_entries` are its string pairs, `provider_options` the provider's own.
    """

    execution_provider: str = "cpu"
    session_options: Mapping[str, Any] = field(default_factory=dict)
    config_entries: Mapping[str, str] = field(default_factory=dict)
    provider_options: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """The folder's settings; the defaults where it has none. MeasurementError for others."""
        path = folder / SESSION
        if not path.exists():
            return cls()
        found = _read_json(path)
        unknown = sorted(set(found) - {"execution_provider", *_MAPPINGS})
        if unknown:
            expected = listed(["execution_provider", *_MAPPINGS])
            raise MeasurementError(f"{path}: found {unknown[0]!r}, expected {expected}")
        settings = cls(**found)
        if settings.execution_provider not in providers.PROVIDERS:
            name, known = settings.execution_provider, listed(providers.PROVIDERS)
            raise MeasurementError(f"{path}: execution_provider {name!r}, expected {known}")
        if not all(isinstance(getattr(settings, name), dict) for name in _MAPPINGS):
            raise MeasurementError(f"{path}: {listed(_MAPPINGS, 'and')} must be JSON objects")
        return settings

    def to_json(self) -> Json:
        """What `session.json` says, with everything in it."""
        return {
            "execution_provider": self.execution_provider,
            "session_options": dict(self.session_options),
            "config_entries": dict(self.config_entries),
            "provider_options": dict(self.provider_options),
        }

    def options(self) -> Any:
        """A SessionOptions of onnxruntime; a thread for each core unless it says otherwise."""
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.log_severity_level = 3  # errors only
        options.intra_op_num_threads = machine.cores()
        for name, value in self.session_options.items():
            _set_option(options, name, value)
        for name, text in self.config_entries.items():
            options.add_session_config_entry(name, text)
        return options


_MAPPINGS = ("session_options", "config_entries", "provider_options")


def _set_option(options: Any, name: str, value: Any) -> None:
    import onnxruntime as ort

    if not hasattr(options, name):
        raise MeasurementError(f"{SESSION}: onnxruntime knows no session option {name!r}")
    if name in _ENUMS:
        kind = getattr(ort, _ENUMS[name][0])
        if not str(value).startswith(_ENUMS[name][1]) or not hasattr(kind, str(value)):
            raise MeasurementError(f"{SESSION}: onnxruntime knows no {name} {value!r}")
        value = getattr(kind, str(value))
    try:
        setattr(options, name, value)
    except TypeError:
        raise MeasurementError(f"{SESSION}: {name} cannot be {value!r}") from None


class Encoder:
    """A classifier in onnxruntime, with the provider and session options of its folder."""

    def __init__(self, folder: Path) -> None:
        """Open it. MeasurementError where it, or its provider, cannot be used."""
        if not (folder / GRAPH).is_file():
            raise MeasurementError(f"{folder}: there is no {GRAPH}; expected an ONNX classifier")
        self.folder = folder
        self.config = _read_json(folder / CONFIG)
        self.settings = SessionSettings.read(folder)
        options = self.settings.options()
        self._threads = options.intra_op_num_threads
        self._session = providers.open_session(
            str(folder / GRAPH),
            options,
            self.settings.execution_provider,
            self.settings.provider_options,
        )
        self._shapes = {i.name: i.shape for i in self._session.get_inputs()}
        self._check_graph()

    @property
    def labels(self) -> list[str]:
        """The name of every logit, in order. MeasurementError where the folder names none."""
        return labels_of(self.config, self.folder)

    @property
    def context_length(self) -> int | None:
        """The most tokens that the model can read; None where its folder does not say."""
        return context_of(self.config)

    def conditions(self) -> Json:
        """The provider really used, what of the graph runs where, threads, options, versions."""
        elsewhere = self.settings.execution_provider != "cpu"
        found = self.settings.to_json()
        del found["execution_provider"]
        libraries = providers.libraries(self.settings.execution_provider)
        return {
            "provider": self._session.get_providers()[0],
            "nodes": providers.assigned(self._session) if elsewhere else None,
            "threads": self._threads,
            "versions": machine.versions("onnxruntime", *libraries),
            **found,
        }

    def tokenise(self, texts: Sequence[str]) -> tuple[list[list[int]], int]:
        """Token ids of every text with its special tokens, and how many texts were too long.

        A text beyond what the model can read is cut at its end, as it is in training.
        """
        return tokenise(self.folder, texts, self.context_length)

    def feed(self, rows: Sequence[Sequence[int]]) -> dict[str, NDArray[np.int64]]:
        """The graph's inputs for token ids, padded at the end to one length, or to its shape.

        Where the graph takes a fixed number of rows, the last one is repeated to fill it.
        MeasurementError where the rows do not fit.
        """
        shape = self._room(len(rows), max(map(len, rows)))
        ids, mask = padded(rows, shape, padding_of(self.config))
        feed = {"input_ids": ids, "attention_mask": mask, "token_type_ids": ids * 0}
        return {name: values for name, values in feed.items() if name in self._shapes}

    def logits(self, rows: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """The logits (rows, labels) of token ids; MeasurementError where they are not finite."""
        import numpy as np

        with refusals("onnxruntime cannot run the model"):
            all_rows = self._session.run(["logits"], self.feed(rows))[0]
        found: NDArray[np.float32] = all_rows[: len(rows)].astype(np.float32, copy=False)
        check_finite(found)
        if found.ndim != 2:
            raise MeasurementError(f"the logits have shape {found.shape}, expected (batch, labels)")
        return found

    def log_probabilities(self, ids: Sequence[int]) -> dict[str, float]:
        """Label -> its log-probability, for the token ids of one text."""
        return by_label(self.logits([ids])[0], self.labels, self.folder)

    def request(self, feed: Mapping[str, NDArray[np.int64]]) -> float:
        """Seconds of one run of the graph on what `feed` gave."""
        started = time.perf_counter_ns()
        self._session.run(["logits"], feed)
        return (time.perf_counter_ns() - started) / 1e9

    def _check_graph(self) -> None:
        known = {"input_ids", "attention_mask", "token_type_ids"}
        unknown = sorted(set(self._shapes) - known)
        if unknown or "input_ids" not in self._shapes:
            found = listed(self._shapes, "and") or "none"
            raise MeasurementError(
                f"{GRAPH}: expected the inputs {listed(sorted(known), 'and')}, found {found}"
            )
        outputs = [output.name for output in self._session.get_outputs()]
        if "logits" not in outputs:
            raise MeasurementError(f"{GRAPH}: found the outputs {listed(outputs)}, expected logits")

    def _room(self, rows: int, length: int) -> tuple[int, int]:
        """The shape (batch, tokens) in which the graph takes so many rows of this length."""
        batch, tokens = (s if isinstance(s, int) else None for s in self._shapes["input_ids"])
        if batch is not None and rows > batch:
            raise MeasurementError(
                f"the graph takes {batch} sequences at a time, not {rows}: export it with a batch "
                "of that many, or with dynamic shapes"
            )
        if tokens is not None and length > tokens:
            raise MeasurementError(
                f"the graph takes {tokens} tokens, but there is a sequence of {length}: export it "
                "for longer ones, or with dynamic shapes"
            )
        return batch or rows, tokens or length


def _read_json(path: Path) -> Json:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise MeasurementError(f"{path}: there is no such file, which a classifier has") from None
    except ValueError as error:
        raise MeasurementError(f"{path}: not JSON ({error})") from None
    if not isinstance(found, dict):
        raise MeasurementError(f"{path}: expected a JSON object")
    return found
