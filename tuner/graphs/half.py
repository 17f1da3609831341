"""Turns the floats of a graph into 16-bit ones, but for nodes that keep theirs.

Source: onnxruntime.transformers.float16. Knows nothing of folders.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from search_spaces.vocabulary import Value
from tuner.graphs import quantised, quiet
from tuner.passes.base import PassError


def to_half(graph: Any, keep: Collection[str], parameters: Mapping[str, Value]) -> Any:
    """The graph in 16 bits; the nodes named in `keep` compute in 32.

    `parameters`: keep_io, min_positive and max_finite. PassError where the graph is in 16 bits
    already, or holds integers that stand for floats.
    """
    _refuse(graph)
    from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16

    with quiet.quiet():
        return convert_float_to_float16(
            graph,
            keep_io_types=bool(parameters["keep_io"]),
            op_block_list=DEFAULT_OP_BLOCK_LIST,
            node_block_list=list(keep),
            min_positive_val=parameters["min_positive"],
            max_finite_val=parameters["max_finite"],
        )


def _refuse(graph: Any) -> None:
    from onnx import TensorProto

    types = {tensor.data_type for tensor in graph.graph.initializer}
    if TensorProto.FLOAT not in types:
        raise PassError("this graph has no 32-bit floats that could become 16-bit ones")
    quantised.refuse(
        graph, quantised.INT8, "its scales must stay in 32 bits; take one of the two, not both"
    )
