"""GPTQ on a graph: matrices rounded column by column, each error made up for by what is left.

Source: Frantar et al., "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained
Transformers" (2022). onnxruntime has a `gptq_quantize`, but it multiplies by the empty half of the
triangular matrix, so that nothing is made up for and the result is that of plain rounding.
Knows nothing of folders.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tuner.graphs import calibration, folders, nodes

CHUNK = 128
"""Rows, at least a block, that are rounded before the rest of a matrix is brought up to date."""

AT_ONCE = 1 << 30
"""Bytes of second moments that are measured in one run over the texts."""


@dataclass(frozen=True, slots=True)
class Grid:
    """What weights are rounded to: `bits`, in blocks of `block` weights that share a scale.

    Symmetric: the zero point is the middle of the range. `damp`: added to the diagonal of the
    second moments, as a share of its mean. `by_size`: inputs that vary most are rounded first.
    """

    bits: int
    block: int
    symmetric: bool
    damp: float
    by_size: bool

    def fit(self, weights: Any) -> tuple[Any, Any]:
        """Scale and zero point [columns] of one block of weights [rows, columns]."""
        import numpy as np

        top = 2**self.bits - 1
        low = np.minimum(weights.min(axis=0), 0.0)
        high = np.maximum(weights.max(axis=0), 0.0)
        if self.symmetric:
            high = np.maximum(high, -low)
            low = -high
        scale = (high - low) / top
        scale[scale == 0] = 1.0
        zero = np.full_like(scale, (top + 1) / 2) if self.symmetric else np.round(-low / scale)
        return scale, zero


@dataclass(frozen=True, slots=True)
class Part:
    """A rounded matrix: `dtype` of its floats, and what `rounded` gives."""

    dtype: Any
    integers: Any
    scales: Any
    zeros: Any


def moments(
    graph: Any, names: Sequence[str], feeds: Sequence[calibration.Feed], folder: Path
) -> Iterator[tuple[str, Any]]:
    """The second moments [width, width] of tensors of the graph, over all tokens of the feeds.

    `names`: the tensors, each once; `folder` is for files.
    """
    import numpy as np

    for some in _batches(graph, names):
        session = _session_with_outputs(graph, some, folder)
        sums: dict[str, Any] = {}
        for feed in feeds:
            for name, value in zip(some, session.run(some, feed), strict=True):
                rows = value.reshape(-1, value.shape[-1]).astype(np.float32)
                sums[name] = sums.get(name, 0.0) + rows.T @ rows
        yield from sums.items()


def _batches(graph: Any, names: Sequence[str]) -> Iterator[list[str]]:
    """The tensors in groups whose second moments fit into memory together."""
    widths = {node.input[0]: shape[0] for node, shape in nodes.matrices(graph)}
    batch: list[str] = []
    for name in names:
        if batch and sum(4 * widths[n] ** 2 for n in (*batch, name)) > AT_ONCE:
            yield batch
            batch = []
        batch.append(name)
    yield batch


def _session_with_outputs(graph: Any, names: Sequence[str], folder: Path) -> Any:
    import onnx
    import onnxruntime as ort

    outputs = graph.graph.output
    own = len(outputs)
    known = {output.name for output in outputs}
    outputs.extend(onnx.ValueInfoProto(name=name) for name in names if name not in known)
    path = folder / "watched.onnx"
    folders.write(graph, path)
    del outputs[own:]
    options = ort.SessionOptions()
    options.log_severity_level = 3
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def rounded(weights: Any, moment: Any, grid: Grid) -> tuple[Any, Any, Any]:
    """(integers [rows, columns], scales and zero points [blocks, columns]) of one matrix."""
    import numpy as np

    left = weights.astype(np.float32)
    rows, chunk = len(left), max(CHUNK, grid.block)
    scales, zeros = _fit_all(left, grid) if grid.by_size else ([], [])
    order = np.argsort(-np.diag(moment), kind="stable") if grid.by_size else np.arange(rows)
    left = left[order]
    factor = _factor(moment[np.ix_(order, order)], grid.damp).astype(np.float32)
    integers = np.zeros((rows, left.shape[1]), np.uint8)
    for start in range(0, rows, chunk):
        end = min(start + chunk, rows)
        errors = np.zeros_like(left[start:end])
        for row in range(start, end):
            if not grid.by_size and row % grid.block == 0:
                scale, zero = grid.fit(left[row : row + grid.block])
                scales.append(scale)
                zeros.append(zero)
            block = order[row] // grid.block
            scale, zero = scales[block], zeros[block]
            integer = np.clip(np.round(left[row] / scale) + zero, 0, 2**grid.bits - 1)
            integers[order[row]] = integer
            error = (left[row] - (integer - zero) * scale) / factor[row, row]
            left[row:end] -= np.outer(factor[row, row:end], error)
            errors[row - start] = error
        left[end:] -= factor[start:end, end:].T @ errors
    return integers, np.array(scales), np.array(zeros)


def _fit_all(weights: Any, grid: Grid) -> tuple[list[Any], list[Any]]:
    starts = range(0, len(weights), grid.block)
    fits = [grid.fit(weights[start : start + grid.block]) for start in starts]
    return [scale for scale, _ in fits], [zero for _, zero in fits]


def _factor(moment: Any, damp: float) -> Any:
    """The upper triangular factor of the inverse of the second moments, float64."""
    import numpy as np

    matrix = moment.astype(np.float64)
    diagonal = np.diag_indices_from(matrix)
    matrix[diagonal] += damp * matrix[diagonal].mean() + 1e-10
    return np.linalg.cholesky(np.linalg.inv(matrix)).T


def quantise(
    graph: Any,
    chosen: Sequence[Any],
    feeds: Sequence[calibration.Feed],
    grid: Grid,
    accuracy_level: int,
    folder: Path,
) -> None:
    """Replace the chosen MatMul nodes of the graph by MatMulNBits, in place.

    A matrix that several nodes share is rounded once, for all that flows into any of them.
    """
    made = {}
    parts = _parts(graph, chosen, feeds, grid, folder)
    for node in chosen:
        made[node.name] = _node(node, parts[node.input[1]], grid, accuracy_level)
    _replace(graph, made)


def _parts(
    graph: Any,
    chosen: Sequence[Any],
    feeds: Sequence[calibration.Feed],
    grid: Grid,
    folder: Path,
) -> dict[str, Part]:
    """Every matrix, rounded, by name."""
    from onnx import numpy_helper

    stored = nodes.weights(graph)
    left = Counter(node.input[1] for node in chosen)
    readers: dict[str, list[Any]] = {}
    for node in chosen:
        readers.setdefault(node.input[0], []).append(node)
    sums: dict[str, Any] = {}
    parts: dict[str, Part] = {}
    for name, moment in moments(graph, list(readers), feeds, folder):
        for matrix in (node.input[1] for node in readers[name]):
            sums[matrix] = sums[matrix] + moment if matrix in sums else moment
            left[matrix] -= 1
            if not left[matrix]:
                weights = numpy_helper.to_array(stored[matrix])
                parts[matrix] = Part(weights.dtype, *rounded(weights, sums.pop(matrix), grid))
    return parts


def _node(node: Any, part: Part, grid: Grid, accuracy_level: int) -> tuple[Any, list[Any]]:
    """The MatMulNBits node in the place of a MatMul, and its constants."""
    import numpy as np
    from onnxruntime.quantization.neural_compressor.weight_only import make_matmul_weight_only_node

    blocks, columns = part.scales.shape
    padding = blocks * grid.block - len(part.integers)
    whole = np.pad(part.integers, ((0, padding), (0, 0))).T.reshape(columns * blocks, grid.block)
    zeros = None if grid.symmetric else part.zeros.T.reshape(-1, 1).astype(np.uint8)
    replacement, constants = make_matmul_weight_only_node(
        node=node,
        weight_shape=part.integers.shape,
        num_bits=grid.bits,
        group_size=grid.block,
        k_blocks=blocks,
        q_weight=whole,
        scale=part.scales.T.reshape(-1, 1).astype(part.dtype),
        zero_point=zeros,
        accuracy_level=accuracy_level,
    )
    return replacement, constants


def _replace(graph: Any, made: Mapping[str, tuple[Any, list[Any]]]) -> None:
    """Put the nodes where those of the same name were, and store what they read."""
    for node in graph.graph.node:
        if node.name in made:
            node.CopyFrom(made[node.name][0])
    fresh = {tensor.name: tensor for _, constants in made.values() for tensor in constants}
    graph.graph.initializer.extend(fresh.values())
    nodes.drop_unread(graph)
    if not any(opset.domain == "com.microsoft" for opset in graph.opset_import):
        graph.opset_import.add(domain="com.microsoft", version=1)
