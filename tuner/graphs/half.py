"""Turns the floats of a graph into 16-bit ones, but for nodes that keep theirs.

Source: onnxruntime.transformers.float16. Knows nothing of folders.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from search_spaces.vocabulary import Value
from tuner.graphs import nodes, quantised, quiet
from tuner.passes.base import PassError


def to_half(graph: Any, keep: Collection[str], parameters: Mapping[str, Value]) -> Any:
    """The graph in 16 bits; the nodes named in `keep` compute in 32.

    `parameters`: keep_io, min_positive and max_finite. PassError where the graph is in 16 bits
    already, or holds integers that stand for floats.
    """
    _refuse(graph)
    from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16

    with quiet.quiet():
        half = convert_float_to_float16(
            _with_types(graph, bool(keep)),
            disable_shape_infer=True,
            keep_io_types=bool(parameters["keep_io"]),
            op_block_list=DEFAULT_OP_BLOCK_LIST,
            node_block_list=list(keep),
            min_positive_val=parameters["min_positive"],
            max_finite_val=parameters["max_finite"],
        )
        return _tidy(half)


def _with_types(graph: Any, mixed: bool) -> Any:
    """The graph with the type of every tensor, which is needed wherever widths meet (`mixed`)."""
    import onnx

    own = any(node.domain for node in graph.graph.node)  # of these operators ONNX knows nothing
    standard = bool(nodes.standard_attention(graph))
    if own and standard and mixed:
        raise PassError(
            "this graph has ONNX' Attention beside operators of ONNX Runtime, and no tool infers "
            "the types of both: export it with an opset below 23, or leave optimize_graph out"
        )
    if own and not standard:
        from onnxruntime.tools.symbolic_shape_infer import SymbolicShapeInference

        return SymbolicShapeInference.infer_shapes(graph, auto_merge=True)
    return onnx.shape_inference.infer_shapes(graph)


def _tidy(graph: Any) -> Any:
    """The graph in order, with one conversion of a tensor that several nodes read, not one each."""
    from onnxruntime.transformers.onnx_model import OnnxModel

    first = {node.output[0]: node for node in reversed(graph.graph.node) if node.output}
    kept = [node for node in graph.graph.node if not node.output or node is first[node.output[0]]]
    fresh = [type(node).FromString(node.SerializeToString()) for node in kept]
    del graph.graph.node[:]
    graph.graph.node.extend(fresh)
    model = OnnxModel(graph)
    model.topological_sort()
    return model.model


def _refuse(graph: Any) -> None:
    from onnx import TensorProto

    types = {tensor.data_type for tensor in graph.graph.initializer}
    if TensorProto.FLOAT not in types:
        raise PassError("this graph has no 32-bit floats that could become 16-bit ones")
    quantised.refuse(
        graph, quantised.INT8, "its scales must stay in 32 bits; take one of the two, not both"
    )
