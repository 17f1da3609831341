"""The `mixed_float16` pass: an ONNX model in 16 bits, but for what 16 bits would harm.

Knows nothing of how the model was exported or is run.
"""

from __future__ import annotations

from collections.abc import Mapping

from search_spaces.vocabulary import Aspect, ParameterSpec, PassSpec, Value
from tuner.graphs import folders, half, nodes, parameters
from tuner.passes.base import Pass, PassError, StageContext
from tuner.passes.tolerances import HALF

SENSITIVE = (
    "Softmax",
    "LayerNormalization",
    "SkipLayerNormalization",
    "EmbedLayerNormalization",
    "SimplifiedLayerNormalization",
    "ReduceMean",
    "ReduceSum",
    "Pow",
    "Sqrt",
    "Exp",
    "Erf",
)
"""Operators that add up many numbers, or whose results go far beyond or below their inputs."""


class MixedFloat16(Pass):
    """Converts to 16-bit floats, and keeps accuracy-sensitive operators in 32.

    Source: `convert_float_to_float16` of onnxruntime.transformers with a block list, after
    Micikevicius et al., "Mixed Precision Training" (2018), which keeps sums and softmax in 32 bits.
    `keep_last`: the operators from the end of the graph on, such as the head, stay in 32 bits too.
    """

    spec = PassSpec(
        name="mixed_float16",
        version=1,
        help="Convert an ONNX model to 16-bit floats, with sensitive operators kept in 32 bits.",
        accepts=frozenset({"onnx"}),
        gives=None,
        changes=frozenset({Aspect.WEIGHTS, Aspect.STRUCTURE}),
        kinds=frozenset({"encoder"}),
        tasks=("text-classification",),
        providers=frozenset({"cpu", "cuda", "dml", "openvino"}),
        libraries=("onnxruntime", "onnxruntime-gpu", "onnx"),
        parameters=(
            parameters.KEEP_IO,
            ParameterSpec(
                "op_block_list",
                list,
                SENSITIVE,
                "Operators that keep 32 bits.",
            ),
            ParameterSpec(
                "node_block_list",
                list,
                (),
                "Nodes that keep 32 bits, by name or pattern, such as [*/classifier/*].",
            ),
            ParameterSpec(
                "keep_last",
                int,
                0,
                "Matrix products at the end of the graph that keep 32 bits, such as the head's.",
                low=0,
                high=64,
                search=(0, 2),
            ),
            parameters.MIN_POSITIVE,
            parameters.MAX_FINITE,
        ),
    )

    def check(self, parameters: Mapping[str, Value]) -> list[str]:
        """Refuse a conversion that would keep nothing."""
        kept = ("op_block_list", "node_block_list", "keep_last")
        if not any(parameters[name] for name in kept):
            return ["nothing keeps 32 bits: name operators in op_block_list, or use float16"]
        return []

    def tolerance(self, parameters: Mapping[str, Value], model_format: str) -> float | None:
        """What numbers of 16 bits may change."""
        return HALF

    def run(self, context: StageContext) -> None:
        """Convert, and link the model's other files."""
        given = context.parameters
        graph = folders.load(context.model)
        keep = nodes.of_types(graph, nodes.names(given["op_block_list"]))
        keep += nodes.matching(graph, "node_block_list", given["node_block_list"])
        products = nodes.of_types(graph, ("MatMul", "Gemm"))
        keep += products[max(0, len(products) - int(str(given["keep_last"]))) :]
        if not keep:
            raise PassError(
                "this graph has none of the operators in op_block_list: use float16, or name some "
                f"of {', '.join(sorted(nodes.count(graph)))}"
            )
        folders.save(half.to_half(graph, keep, given), context.model, context.output)
