"""The `float16` pass: every number of an ONNX model in 16 bits.

Knows nothing of how the model was exported or is run.
"""

from __future__ import annotations

from collections.abc import Mapping

from search_spaces.vocabulary import Aspect, ParameterSpec, PassSpec, Value
from tuner.graphs import folders, half, nodes, parameters
from tuner.passes.base import Pass, StageContext
from tuner.passes.tolerances import HALF


class Float16(Pass):
    """Converts weights and operators to 16-bit floats; half the size, and quick on a GPU.

    Source: `convert_float_to_float16` of onnxruntime.transformers. ONNX Runtime's CPU provider
    has few 16-bit kernels and converts back and forth there: smaller, but not quicker. Operators
    that know no 16 bits (such as TopK, CumSum, Range) keep 32 in any case.
    """

    spec = PassSpec(
        name="float16",
        version=1,
        help="Convert an ONNX model to 16-bit floats.",
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
                (),
                "Operators that keep 32 bits, beside those that know no 16.",
            ),
            ParameterSpec(
                "node_block_list",
                list,
                (),
                "Nodes that keep 32 bits, by name or pattern, such as [*/classifier/*].",
            ),
            parameters.MIN_POSITIVE,
            parameters.MAX_FINITE,
        ),
    )

    def tolerance(self, parameters: Mapping[str, Value], model_format: str) -> float | None:
        """What numbers of 16 bits may change."""
        return HALF

    def run(self, context: StageContext) -> None:
        """Convert, and link the model's other files."""
        given = context.parameters
        graph = folders.load(context.model)
        nodes.require_ops(graph, "op_block_list", given["op_block_list"])
        keep = nodes.of_types(graph, nodes.names(given["op_block_list"]))
        keep += nodes.matching(graph, "node_block_list", given["node_block_list"])
        folders.save(half.to_half(graph, keep, given), context.model, context.output)
