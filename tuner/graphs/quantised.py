"""What a quantised graph is told by, and the refusal to quantise one again.

Knows nothing of how graphs are quantised.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from tuner.graphs import nodes
from tuner.passes.base import PassError

INT8 = frozenset(
    {
        "DequantizeLinear",
        "DynamicQuantizeLinear",
        "DynamicQuantizeMatMul",
        "MatMulInteger",
        "MatMulIntegerToFloat",
        "QAttention",
        "QEmbedLayerNormalization",
        "QLinearMatMul",
        "QuantizeLinear",
    }
)
PACKED = frozenset({"MatMulNBits", "GatherBlockQuantized"})


def refuse(graph: Any, quantised: frozenset[str], advice: str) -> None:
    """PassError, with advice, where the graph has one of the operators."""
    found = sorted(quantised & nodes.count(graph).keys())
    if found:
        raise PassError(f"this graph is quantised already ({', '.join(found)}): {advice}")


def require_floats(graph: Any) -> None:
    """PassError where the matrices are in 16 bits: 8-bit operators give 32."""
    from onnx import TensorProto

    stored = nodes.weights(graph)
    if any(stored[n.input[1]].data_type != TensorProto.FLOAT for n, _ in nodes.matrices(graph)):
        raise PassError(
            "the weights of this graph are in 16 bits: quantise the one in 32 bits instead"
        )


def require(graph: Any, before: Counter[str], wanted: object) -> None:
    """PassError where a quantiser has left a graph, of which it had the operators, in floats."""
    if not INT8 & nodes.count(graph).keys():
        raise PassError(
            f"nothing could be quantised: no {wanted} of this graph has stored weights and is not "
            f"excluded; it has {', '.join(f'{n} {op}' for op, n in sorted(before.items()))}"
        )
