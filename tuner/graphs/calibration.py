"""What a graph is fed with so that a quantiser sees the values in it: texts of the training split.

Knows nothing of quantisation.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from evaluators.base import Artifact
from evaluators.rows import Rows, encode_as_written
from evaluators.text import classifier_text
from search_spaces.data import DataSpec, read_split
from tuner.graphs import folders
from tuner.models.checkpoint import load_tokenizer
from tuner.passes.base import PassError

Feed = dict[str, Any]
"""Input name -> array."""


class Feeds:
    """Feeds one by one, in the form in which onnxruntime's calibration and quantisers read them."""

    def __init__(self, feeds: Sequence[Feed]) -> None:
        self._feeds = list(feeds)
        self._left: Iterator[Feed] = iter(self._feeds)

    def __len__(self) -> int:
        return len(self._feeds)

    def get_next(self) -> Feed | None:
        """The next feed, None behind the last."""
        return next(self._left, None)

    def set_range(self, start_index: int, end_index: int) -> None:
        """Begin again with the feeds from `start_index` up to `end_index`."""
        self._left = iter(self._feeds[start_index:end_index])

    def __iter__(self) -> Iterator[tuple[Feed, None]]:
        return ((feed, None) for feed in self._feeds)


def feeds(
    graph: Any, model: Artifact, data: DataSpec | None, samples: int, length: int
) -> list[Feed]:
    """`samples` texts, spread over the training split, as inputs of the graph, one text each.

    At most `length` tokens of a text are taken; none is padded, unless the graph has a fixed
    length. PassError where there are no texts, or the graph has inputs of another kind.
    """
    tokens = _tokens(model, data, samples)
    cache = folders.cache_shape(model.path) if model.format == "genai" else (0, 0)
    inputs = list(graph.graph.input)
    return [{info.name: _value(info, ids[:length], cache) for info in inputs} for ids in tokens]


def _tokens(model: Artifact, data: DataSpec | None, samples: int) -> list[list[int]]:
    rows = [] if data is None else read_split(data, "train")
    if data is None or not rows:
        raise PassError("calibration needs texts: the space has no training data")
    taken = min(samples, len(rows))
    spread = [rows[i * len(rows) // taken] for i in range(taken)]  # files are often sorted
    tokenizer = load_tokenizer(model.path)
    if model.format == "onnx" and data.label is not None:
        texts = [classifier_text(data.template, data.label, row) for row in spread]
    else:
        texts = Rows(tokenizer, data).texts(spread)
    if data.chat is not None:
        return encode_as_written(tokenizer, texts)
    tokens: list[list[int]] = tokenizer(texts)["input_ids"]
    return tokens


def _value(info: Any, ids: Sequence[int], cache: tuple[int, int]) -> Any:
    """One text as the array of one input; a cache of keys and values is empty."""
    import numpy as np

    sizes = [dim.dim_value for dim in info.type.tensor_type.shape.dim]
    if info.name.startswith("past_key_values"):
        heads, size = cache
        return np.zeros((1, heads, 0, size), _dtype(info))
    contents = {
        "input_ids": list(ids),
        "attention_mask": [1] * len(ids),
        "token_type_ids": [0] * len(ids),
        "position_ids": list(range(len(ids))),
    }
    if info.name not in contents or len(sizes) != 2:
        raise PassError(f"calibration does not know what to feed into the input {info.name!r}")
    batch, length = sizes[0] or 1, sizes[1] or len(ids)
    row = contents[info.name][:length]
    return np.tile(np.array(row + [0] * (length - len(row)), _dtype(info)), (batch, 1))


def _dtype(info: Any) -> Any:
    import onnx

    return onnx.helper.tensor_dtype_to_np_dtype(info.type.tensor_type.elem_type)
