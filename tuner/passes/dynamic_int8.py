"""The `dynamic_int8` pass: weights in 8 bits, activations rounded while the model runs.

Knows nothing of how the model was exported or is run.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from search_spaces.vocabulary import Aspect, ParameterSpec, PassSpec, Value
from tuner.graphs import folders, nodes, parameters, quantised, quiet
from tuner.passes.base import Pass, StageContext
from tuner.passes.tolerances import EIGHT_BIT_ACTIVATIONS

OPS = ("Attention", "Conv", "EmbedLayerNormalization", "Gather", "LSTM", "MatMul", "Transpose")


class DynamicInt8(Pass):
    """Quantises to 8 bits; the scale of each activation is found anew at every run.

    Source: `quantize_dynamic` of onnxruntime.quantization. Needs no calibration.
    """

    spec = PassSpec(
        name="dynamic_int8",
        version=1,
        help="Quantise weights to 8 bits, and activations while the model runs.",
        accepts=frozenset({"onnx", "genai"}),
        gives=None,
        changes=frozenset({Aspect.WEIGHTS, Aspect.STRUCTURE}),
        libraries=("onnxruntime", "onnxruntime-gpu", "onnx"),
        parameters=(
            ParameterSpec(
                "weight_type",
                str,
                "qint8",
                "Weights as signed (qint8) or unsigned (quint8) numbers.",
                choices=("qint8", "quint8"),
                search=("qint8", "quint8"),
            ),
            ParameterSpec(
                "weight_symmetric",
                bool,
                True,
                "Round around zero; false: a zero point, so that no part of the range is wasted.",
                search=(True, False),
            ),
            *parameters.EIGHT_BIT_WEIGHTS,
            ParameterSpec(
                "op_types",
                list,
                ("Attention", "EmbedLayerNormalization", "Gather", "MatMul"),
                "Operators to quantise; without Gather the embeddings stay in 32 bits.",
                search=(("Attention", "MatMul"), ("Attention", "Gather", "MatMul")),
            ),
            ParameterSpec(
                "const_b_only",
                bool,
                True,
                "Only products with stored matrices; false: those of attention scores too.",
            ),
            parameters.EXCLUDE_NODES,
            parameters.EXCLUDE_OPS,
        ),
    )

    def check(self, parameters: Mapping[str, Value]) -> list[str]:
        """Refuse operators that cannot be quantised dynamically."""
        return nodes.check_op_types("op_types", parameters["op_types"], OPS)

    def tolerance(self, parameters: Mapping[str, Value], model_format: str) -> float | None:
        """What 8 bits for weights and activations may change."""
        return EIGHT_BIT_ACTIVATIONS

    def run(self, context: StageContext) -> None:
        """Quantise, and link the model's other files."""
        graph = folders.load(context.model)
        quantised.refuse(graph, quantised.INT8 | quantised.PACKED, "give it the float model")
        quantised.require_floats(graph)
        before = nodes.count(graph)
        with TemporaryDirectory() as folder:
            made = quantise(graph, context.parameters, Path(folder))
        quantised.require(made, before, " or ".join(op_types(context.parameters)))
        folders.save(made, context.model, context.output)


def op_types(parameters: Mapping[str, Value]) -> list[str]:
    """The operators to quantise."""
    excluded = nodes.names(parameters["exclude_ops"])
    return [op for op in nodes.names(parameters["op_types"]) if op not in excluded]


def quantise(graph: Any, parameters: Mapping[str, Value], folder: Path) -> Any:
    """The graph, quantised; `folder` is for the quantiser's files."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    source, target = folder / "source.onnx", folder / "target.onnx"
    folders.write(graph, source)
    types = {"qint8": QuantType.QInt8, "quint8": QuantType.QUInt8}
    with quiet.quiet():
        quantize_dynamic(
            source,
            target,
            op_types_to_quantize=op_types(parameters),
            per_channel=parameters["per_channel"],
            reduce_range=parameters["reduce_range"],
            weight_type=types[str(parameters["weight_type"])],
            nodes_to_exclude=_excluded(graph, parameters),
            use_external_data_format=folders.weight_bytes(graph) >= folders.BIG,
            extra_options={
                "MatMulConstBOnly": parameters["const_b_only"],
                "WeightSymmetric": parameters["weight_symmetric"],
                "DefaultTensorType": onnx.TensorProto.FLOAT,  # behind operators of its own
            },
        )
    return folders.read(target)


def _excluded(graph: Any, parameters: Mapping[str, Value]) -> list[str]:
    """The nodes that stay, under the names that they have when the quantiser looks."""
    found = nodes.matching(graph, "exclude_nodes", parameters["exclude_nodes"])
    found += nodes.of_types(graph, nodes.names(parameters["exclude_ops"]))
    found += nodes.standard_attention(graph)
    products = [f"{name}_MatMul" for name in nodes.of_types(graph, ("Gemm",)) if name in found]
    return found + products  # the quantiser turns a Gemm into a MatMul of that name first
