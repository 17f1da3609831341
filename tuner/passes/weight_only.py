"""The `weight_only` pass: matrices of 4 or 8 bits in an ONNX model, activations in floats.

Knows nothing of how the model was exported or is run.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

from search_spaces.problems import listed
from search_spaces.vocabulary import Aspect, ParameterSpec, PassSpec, Value
from tuner.graphs import calibration, folders, gptq, nodes, parameters, quantised, quiet
from tuner.passes.base import Pass, PassError, StageContext
from tuner.passes.tolerances import of_bits

BLOCKS = (16, 32, 64, 128, 256)
GPTQ: dict[str, tuple[Value, ...]] = {"algorithm": ("gptq",)}
CHOOSES_SYMMETRY = ("default", "rtn", "gptq")
"""The algorithms that can round with a zero point or without; the others always have one."""


class WeightOnly(Pass):
    """Stores the matrices that are multiplied by in blocks of few bits (MatMulNBits).

    Source: onnxruntime.quantization (`MatMulNBitsQuantizer` for default and hqq, its port of
    neural-compressor's `rtn_quantize` for rtn and k_quant); gptq is `tuner.graphs.gptq`. HQQ: Badri
    and Shaji, "Half-Quadratic Quantization" (2023); k_quant: after llama.cpp; GPTQ: Frantar et al.
    (2022). Matrices in Gemm, such as a classifier's, stay as they are.
    """

    spec = PassSpec(
        name="weight_only",
        version=1,
        help="Quantise the matrices of an ONNX model to 4 or 8 bits, and compute in floats.",
        accepts=frozenset({"onnx", "genai"}),
        gives=None,
        changes=frozenset({Aspect.WEIGHTS, Aspect.STRUCTURE}),
        uses_data=True,
        data_where={"algorithm": ("gptq",)},
        libraries=("onnxruntime", "onnxruntime-gpu", "onnx", "onnx-ir", "torch", "tokenizers"),
        parameters=(
            ParameterSpec(
                "algorithm",
                str,
                "default",
                "How weights are rounded; gptq measures on texts which errors matter.",
                choices=("default", "rtn", "hqq", "k_quant", "gptq"),
                search=("default", "hqq", "k_quant", "gptq"),
            ),
            ParameterSpec(
                "bits",
                int,
                4,
                "Bits of a weight; hqq has zero points in floats, which run with 4 only.",
                choices=(4, 8),
                search=(4, 8),
                applies={"algorithm": ("default", "rtn", "k_quant", "gptq")},
            ),
            ParameterSpec(
                "block_size",
                int,
                32,
                "Weights that share one scale.",
                choices=BLOCKS,
                search=(32, 64, 128),
            ),
            ParameterSpec(
                "symmetric",
                bool,
                False,
                "Round around zero; false: a zero point for each block. hqq, k_quant: always one.",
                search=(True, False),
                applies={"algorithm": CHOOSES_SYMMETRY},
            ),
            ParameterSpec(
                "accuracy_level",
                int,
                0,
                "Arithmetic of quantised matrices: 4: int8, 1: fp32, 0: the runtime decides.",
                choices=(0, 1, 2, 3, 4),
                search=(0, 4),
            ),
            ParameterSpec(
                "embeddings",
                bool,
                False,
                "Quantise embedding tables too.",
                search=(True, False),
                applies={"algorithm": ("default",), "bits": (4,)},
            ),
            ParameterSpec(
                "percdamp",
                float,
                0.01,
                "Damping of the Hessian, as a share of its mean.",
                low=1e-4,
                high=1.0,
                applies=GPTQ,
            ),
            ParameterSpec(
                "act_order",
                bool,
                False,
                "Round the inputs that vary most first.",
                search=(True, False),
                applies=GPTQ,
            ),
            ParameterSpec(
                "calibration_samples",
                int,
                64,
                "Texts to measure on.",
                low=1,
                high=65_536,
                search=(16, 64, 256),
                applies=GPTQ,
            ),
            ParameterSpec(
                "calibration_length",
                int,
                128,
                "Tokens of a text to measure on; longer ones lose their end.",
                low=2,
                high=1_048_576,
                applies=GPTQ,
            ),
            parameters.EXCLUDE_NODES,
        ),
    )

    def tolerance(self, parameters: Mapping[str, Value], model_format: str) -> float | None:
        """What weights of so many bits may change."""
        return of_bits(parameters["bits"])

    def run(self, context: StageContext) -> None:
        """Quantise, and link the model's other files."""
        given = context.parameters
        graph = folders.load(context.model)
        quantised.refuse(graph, quantised.INT8 | quantised.PACKED, "give it the float model")
        excluded = nodes.matching(graph, "exclude_nodes", given["exclude_nodes"])
        chosen = [(n, shape) for n, shape in nodes.matrices(graph) if n.name not in excluded]
        if not chosen:
            raise PassError("there is no product with a stored matrix that is not excluded")
        _refuse_odd_blocks({rows for _, (rows, _) in chosen}, given)
        matrices = [node for node, _ in chosen]
        if given["algorithm"] in ("default", "hqq"):
            made = _quantised_here(graph, excluded, given)
        elif given["algorithm"] == "gptq":
            made = _by_gptq(graph, matrices, context)
        else:
            made = _rounded(graph, [node.name for node in matrices], excluded, given)
        folders.save(made, context.model, context.output)


def _refuse_odd_blocks(rows: set[int], parameters: Mapping[str, Value]) -> None:
    """Two 4-bit zero points share a byte, and all quantisers but the default pack whole rows."""
    algorithm, block = str(parameters["algorithm"]), cast("int", parameters["block_size"])
    has_zero_points = algorithm == "k_quant" or not parameters["symmetric"]
    if algorithm in ("default", "hqq") or parameters["bits"] != 4 or not has_zero_points:
        return
    odd = sorted(width for width in rows if _blocks(width, block) % 2)
    if not odd:
        return
    fitting = [size for size in BLOCKS if not any(_blocks(width, size) % 2 for width in rows)]
    ways = [f"block_size {listed(fitting)}"] if fitting else []
    ways += ["symmetric: true"] if algorithm != "k_quant" else []
    raise PassError(
        f"{algorithm} with 4-bit zero points needs an even number of blocks in each column, but "
        f"{odd[0]} weights in blocks of {block} make {_blocks(odd[0], block)}; use "
        + listed([*ways, "bits: 8", "algorithm default"])
    )


def _blocks(width: int, block: int) -> int:
    return -(-width // block)


def _quantised_here(graph: Any, excluded: list[str], parameters: Mapping[str, Value]) -> Any:
    """The algorithms that onnxruntime has of its own."""
    from onnxruntime.quantization import matmul_nbits_quantizer as nbits

    tables = bool(parameters["embeddings"])
    if parameters["algorithm"] == "hqq":
        config = nbits.HQQWeightOnlyQuantConfig(block_size=parameters["block_size"], bits=4)
    else:
        config = nbits.DefaultWeightOnlyQuantConfig(
            block_size=parameters["block_size"],
            is_symmetric=bool(parameters["symmetric"]),
            accuracy_level=parameters["accuracy_level"],
            op_types_to_quantize=("MatMul", "Gather") if tables else ("MatMul",),
            bits=parameters["bits"],
        )
    with quiet.quiet():
        quantizer = nbits.MatMulNBitsQuantizer(graph, nodes_to_exclude=excluded, algo_config=config)
        quantizer.process()
    made = quantizer.model.model
    if parameters["algorithm"] == "hqq":
        _set_accuracy_level(made, cast("int", parameters["accuracy_level"]))
    elif tables and not nodes.count(made)["GatherBlockQuantized"]:
        raise PassError(
            "embeddings: true changes nothing: this graph's tables are excluded, fused, or shared "
            "with the output head; leave it false"
        )
    return made


def _set_accuracy_level(graph: Any, level: int) -> None:
    import onnx

    for node in graph.graph.node:
        if node.op_type == "MatMulNBits" and level:
            node.attribute.append(onnx.helper.make_attribute("accuracy_level", level))


def _rounded(
    graph: Any, chosen: list[str], excluded: list[str], parameters: Mapping[str, Value]
) -> Any:
    """The algorithms that onnxruntime has from neural-compressor."""
    from onnxruntime.quantization.neural_compressor import rtn_quantize

    each = {
        "bits": parameters["bits"],
        "group_size": parameters["block_size"],
        "scheme": "sym" if parameters["symmetric"] else "asym",
    }
    names = {"rtn": "RTN", "k_quant": "k_quant"}
    with quiet.quiet():
        made = rtn_quantize(
            graph,
            weight_config=dict.fromkeys(chosen, each) | dict.fromkeys(excluded, "fp32"),
            accuracy_level=parameters["accuracy_level"],
            algorithm=names[str(parameters["algorithm"])],
        )
    return made.model


def _by_gptq(graph: Any, chosen: list[Any], context: StageContext) -> Any:
    """GPTQ, on texts of the training split."""
    given = context.parameters
    samples, length = (cast("int", given[f"calibration_{n}"]) for n in ("samples", "length"))
    feeds = calibration.feeds(graph, context.model, context.data, samples, length)
    print(f"{len(feeds)} texts to measure on", flush=True)
    grid = gptq.Grid(
        bits=cast("int", given["bits"]),
        block=cast("int", given["block_size"]),
        symmetric=bool(given["symmetric"]),
        damp=cast("float", given["percdamp"]),
        by_size=bool(given["act_order"]),
    )
    with TemporaryDirectory() as folder:
        level = cast("int", given["accuracy_level"])
        gptq.quantise(graph, chosen, feeds, grid, level, Path(folder))
    return graph
