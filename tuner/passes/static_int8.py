"""The `static_int8` pass: weights and activations in 8 bits, with scales found beforehand.

Knows nothing of how the model was exported or is run.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

from search_spaces.vocabulary import Aspect, ParameterSpec, PassSpec, Value
from tuner.graphs import calibration, folders, nodes, parameters, quantised, quiet
from tuner.passes.base import Pass, PassError, StageContext
from tuner.passes.tolerances import EIGHT_BIT_ACTIVATIONS

QOPERATOR = (
    *("Add", "ArgMax", "AveragePool", "Clip", "Concat", "Conv", "EmbedLayerNormalization"),
    *("Flatten", "Gather", "Gemm", "GlobalAveragePool", "LeakyRelu", "MatMul", "MaxPool", "Mul"),
    *("Pad", "Relu", "Reshape", "Resize", "Sigmoid", "Softmax", "Split", "Squeeze", "Transpose"),
    *("Unsqueeze", "Where"),
)
QDQ = (
    *QOPERATOR,
    *("BatchNormalization", "ConvTranspose", "CumSum", "Div", "Erf", "GatherElements", "Gelu"),
    *("InstanceNormalization", "LayerNormalization", "Pow", "ReduceMean", "Slice", "Sqrt", "Sub"),
    *("Tanh", "TopK"),
)
"""Operators that onnxruntime quantises; in the QDQ format it takes any that it is given."""


class StaticInt8(Pass):
    """Quantises to 8 bits; the ranges of the activations are measured on texts for training.

    Source: `quant_pre_process` and `quantize_static` of onnxruntime.quantization; entropy after
    Migacz, "8-bit Inference with TensorRT" (2017). What applies the attention mask is never
    quantised: its lowest number means "do not look", and texts for calibration have no padding.
    onnxruntime's SmoothQuant needs a version of neural-compressor that cannot be installed here.
    """

    spec = PassSpec(
        name="static_int8",
        version=1,
        help="Quantise weights and activations to 8 bits, with ranges measured on training texts.",
        accepts=frozenset({"onnx"}),
        gives=None,
        changes=frozenset({Aspect.WEIGHTS, Aspect.STRUCTURE}),
        uses_data=True,
        kinds=frozenset({"encoder"}),
        tasks=("text-classification",),
        libraries=("onnxruntime", "onnxruntime-gpu", "onnx", "sympy", "tokenizers"),
        parameters=(
            ParameterSpec(
                "format",
                str,
                "qdq",
                "qdq: pairs of (de)quantisers that the runtime fuses; qoperator: 8-bit operators.",
                choices=("qdq", "qoperator"),
                search=("qdq", "qoperator"),
            ),
            ParameterSpec(
                "calibration",
                str,
                "minmax",
                "How far an activation's range goes: to its extremes, or leaving outliers out.",
                choices=("minmax", "entropy", "percentile"),
                search=("minmax", "entropy", "percentile"),
            ),
            ParameterSpec(
                "percentile",
                float,
                99.99,
                "Share of the values, in percent, that the range covers.",
                low=50.0,
                high=100.0,
                search=(99.0, 99.9, 99.99, 99.999),
                applies={"calibration": ("percentile",)},
            ),
            ParameterSpec(
                "moving_average",
                bool,
                False,
                "Average the extremes of the texts, rather than take the farthest.",
                applies={"calibration": ("minmax",)},
            ),
            ParameterSpec(
                "calibration_samples",
                int,
                64,
                "Texts to measure ranges on.",
                low=1,
                high=65_536,
                search=(16, 64, 256),
            ),
            ParameterSpec(
                "calibration_length",
                int,
                128,
                "Tokens of a text for calibration; longer ones lose their end.",
                low=2,
                high=1_048_576,
            ),
            ParameterSpec(
                "activation_type",
                str,
                "quint8",
                "Activations as unsigned (quint8) or signed (qint8) numbers; 16 bits: only in qdq.",
                choices=("quint8", "qint8", "quint16", "qint16"),
                search=("quint8", "qint8"),
            ),
            ParameterSpec(
                "weight_type",
                str,
                "qint8",
                "Weights as signed (qint8) or unsigned (quint8) numbers.",
                choices=("qint8", "quint8"),
            ),
            ParameterSpec(
                "activation_symmetric",
                bool,
                False,
                "Ranges of activations around zero; false: as measured.",
                search=(True, False),
            ),
            ParameterSpec(
                "weight_symmetric",
                bool,
                True,
                "Ranges of weights around zero; false: with a zero point.",
            ),
            *parameters.EIGHT_BIT_WEIGHTS,
            ParameterSpec(
                "op_types",
                list,
                ("Gemm", "MatMul"),
                "Operators to quantise; more of them rarely make a transformer faster.",
                search=(("Gemm", "MatMul"), ("Gather", "Gemm", "MatMul")),
            ),
            ParameterSpec(
                "const_b_only",
                bool,
                True,
                "Only products with stored matrices; false: those of attention scores too.",
                search=(True, False),
            ),
            parameters.EXCLUDE_NODES,
            parameters.EXCLUDE_OPS,
        ),
    )

    def check(self, parameters: Mapping[str, Value]) -> list[str]:
        """Refuse operators and data types that a format cannot hold."""
        known = QDQ if parameters["format"] == "qdq" else QOPERATOR
        problems = nodes.check_op_types("op_types", parameters["op_types"], known)
        activation, weight = str(parameters["activation_type"]), str(parameters["weight_type"])
        if activation.endswith("16") and parameters["format"] == "qoperator":
            problems.append(f"activation_type {activation} needs format qdq: no operator has it")
        if activation == "qint8" and weight == "quint8":
            problems.append(
                "onnxruntime cannot multiply qint8 activations by quint8 weights: use weight_type "
                "qint8, or activation_type quint8"
            )
        unsaid = ("qdq", True, "qint8", False)
        named = ("format", "per_channel", "weight_type", "weight_symmetric")
        if tuple(parameters[name] for name in named) == unsaid:
            problems.append(
                "weight_symmetric false has no effect on qint8 weights with a scale per channel in "
                "format qdq: use weight_type quint8, or leave it true"
            )
        return problems

    def tolerance(self, parameters: Mapping[str, Value], model_format: str) -> float | None:
        """What 8 bits may change; nothing to hold it to where ranges leave out a lot."""
        cut = (
            parameters["calibration"] == "percentile"
            and cast("float", parameters["percentile"]) < 99
        )
        return None if cut else EIGHT_BIT_ACTIVATIONS

    def run(self, context: StageContext) -> None:
        """Measure, quantise, and link the model's other files."""
        given = context.parameters
        graph = folders.load(context.model)
        quantised.refuse(graph, quantised.INT8 | quantised.PACKED, "give it the float model")
        quantised.require_floats(graph)
        feeds = calibration.feeds(
            graph,
            context.model,
            context.data,
            cast("int", given["calibration_samples"]),
            cast("int", given["calibration_length"]),
        )
        print(f"{len(feeds)} texts to measure ranges on", flush=True)
        with TemporaryDirectory() as folder:
            made = _quantise(graph, calibration.Feeds(feeds), given, Path(folder))
        folders.save(made, context.model, context.output)


def _quantise(
    graph: Any, feeds: calibration.Feeds, parameters: Mapping[str, Value], folder: Path
) -> Any:
    """The graph, quantised; `folder` is for the quantiser's files."""
    from onnxruntime.quantization import quantize_static

    source, ready, target = (folder / f"{name}.onnx" for name in ("source", "ready", "target"))
    big = folders.weight_bytes(graph) >= folders.BIG
    folders.write(graph, source)
    with quiet.quiet():
        _prepare(source, ready, big, bool(nodes.standard_attention(graph)))
    prepared = folders.read(ready)
    before = nodes.count(prepared)
    excluded = _excluded(graph, prepared, parameters)
    ops = [op for op in nodes.names(parameters["op_types"]) if op in before]
    with quiet.quiet():
        quantize_static(
            ready,
            target,
            feeds,
            op_types_to_quantize=ops or ["none of these"],  # an empty list would stand for all
            nodes_to_exclude=excluded,
            use_external_data_format=big,
            **_options(parameters),
        )
    made = folders.read(target)
    quantised.require(made, before, " or ".join(nodes.names(parameters["op_types"])))
    return made


def _prepare(source: Path, target: Path, big: bool, plain: bool) -> None:
    """Shapes of all tensors, constants folded. `plain`: without symbolic shapes."""
    from onnxruntime.quantization.shape_inference import quant_pre_process

    quant_pre_process(
        source,
        target,
        auto_merge=True,
        skip_symbolic_shape=plain,
        save_as_external_data=big,
        all_tensors_to_one_file=True,
        external_data_location=f"{target.name}.data",
    )


def _excluded(graph: Any, prepared: Any, parameters: Mapping[str, Value]) -> list[str]:
    """Nodes of the prepared graph that stay: those asked for, and those of the mask.

    PassError for a name that the graph had, but that preparing it has done away with.
    """
    wanted = nodes.matching(graph, "exclude_nodes", parameters["exclude_nodes"])
    there = {node.name for node in prepared.graph.node}
    for name in nodes.names(parameters["exclude_nodes"]):
        if name in wanted and name not in there:
            raise PassError(
                f"exclude_nodes: {name!r} is folded into others before the graph is quantised, "
                "so that nothing is left to exclude; leave it out"
            )
    types = nodes.of_types(prepared, nodes.names(parameters["exclude_ops"]))
    products = nodes.products_of_activations(prepared) if parameters["const_b_only"] else []
    return sorted({*wanted, *types, *products, *nodes.masking(prepared)} & there)


def _options(parameters: Mapping[str, Value]) -> dict[str, Any]:
    """The parameters under the names that onnxruntime knows."""
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType

    types = {
        "qint8": QuantType.QInt8,
        "quint8": QuantType.QUInt8,
        "qint16": QuantType.QInt16,
        "quint16": QuantType.QUInt16,
    }
    formats = {"qdq": QuantFormat.QDQ, "qoperator": QuantFormat.QOperator}
    methods = {
        "minmax": CalibrationMethod.MinMax,
        "entropy": CalibrationMethod.Entropy,
        "percentile": CalibrationMethod.Percentile,
    }
    method = str(parameters["calibration"])
    extra = {
        "ActivationSymmetric": parameters["activation_symmetric"],
        "WeightSymmetric": parameters["weight_symmetric"],
        "CalibStridedMinMax": 1,  # text by text: lengths may differ, and memory does not grow
    }
    if method == "percentile":
        extra["CalibPercentile"] = parameters["percentile"]
    if method == "minmax":
        extra["CalibMovingAverage"] = parameters["moving_average"]
    return {
        "quant_format": formats[str(parameters["format"])],
        "calibrate_method": methods[method],
        "activation_type": types[str(parameters["activation_type"])],
        "weight_type": types[str(parameters["weight_type"])],
        "per_channel": parameters["per_channel"],
        "reduce_range": parameters["reduce_range"],
        "extra_options": extra,
    }
