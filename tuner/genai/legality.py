"""What the GenAI model builder cannot build, or no runtime could run, said before it is tried.

Found with version 0.18: each combination that is refused here fails, and most of them only when
the model is opened, or never and with wrong results. Knows nothing of how to build.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from search_spaces.problems import listed
from search_spaces.vocabulary import Value
from tuner.genai.architectures import refusal
from tuner.genai.errors import Unbuildable
from tuner.genai.parameters import BLOCKS, STATIC_CACHES

PRECISIONS_OF = {
    "cpu": ("fp32", "int8", "int4"),
    "cuda": ("fp16", "bf16", "int8", "int4"),
    "dml": ("fp16", "int4"),
    "webgpu": ("fp32", "fp16", "int8", "int4"),
    "NvTensorRtRtx": ("fp16", "bf16", "int4"),
}
"""The precisions that each execution provider can run."""

_NO_FP32 = "the builder's fp32 graph for it has outputs that nothing makes, and no runtime opens it"
_WHY_NOT = {
    ("cpu", "bf16"): "ONNX Runtime has no kernels for it there",
    ("cpu", "fp16"): "ONNX Runtime fails in the attention's key-value cache",
    ("cuda", "fp32"): _NO_FP32,
    ("dml", "fp32"): _NO_FP32,
    ("NvTensorRtRtx", "fp32"): _NO_FP32,
    ("dml", "bf16"): "DirectML does not know that data type",
    ("dml", "int8"): "the builder writes 8-bit matrices for cpu, cuda and webgpu only",
    ("webgpu", "bf16"): "WebGPU does not know that data type",
    ("NvTensorRtRtx", "int8"): "it needs dequantise-multiply pairs, which the builder writes of "
    "4 bits only",
}

Parameters = Mapping[str, Value]


def check(parameters: Parameters) -> list[str]:
    """What is wrong with a combination whatever the model, in words; empty when nothing is."""
    provider, precision = str(parameters["execution_provider"]), str(parameters["precision"])
    if precision not in PRECISIONS_OF[provider]:
        why = _WHY_NOT[provider, precision]
        can = listed(PRECISIONS_OF[provider])
        return [f"precision {precision} cannot run on {provider}: {why}; it takes {can}"]
    return [
        *_quantisation(parameters),
        *_activations(parameters),
        *_experts(parameters),
        *_cache(parameters),
    ]


def is_qdq(parameters: Parameters) -> bool:
    """Whether quantised matrices become dequantise-multiply pairs."""
    forced = parameters["execution_provider"] == "NvTensorRtRtx"
    return parameters["precision"] == "int4" and bool(forced or parameters.get("qdq"))


def _quantisation(parameters: Parameters) -> Iterator[str]:
    for name in _list(parameters, "unquantized_nodes"):
        if "," in name or not name:
            yield f"unquantized_nodes: {name!r} is no name of a node"
    if is_qdq(parameters):
        yield from _pairs(parameters)
    layout, block = parameters.get("prepacked_for", "none"), parameters["block_size"]
    fitting = (32, 64, 128) if layout == "sm80" else (64, 128)
    if layout != "none" and block not in fitting:
        yield f"prepacked_for {layout} needs block_size {listed(fitting)}, not {block}"


def _pairs(parameters: Parameters) -> Iterator[str]:
    """What dequantise-multiply pairs cannot be."""
    whose = "qdq" if parameters.get("qdq") else "NvTensorRtRtx, whose matrices are QDQ,"
    mixed = str(parameters["algorithm"]).endswith(("_last", "_mixed", "_linear"))
    places = ("head_precision", "sensitive_precision", "linear_attention_precision")
    if mixed or any(parameters.get(place) == "int8" for place in places):
        yield f"{whose} cannot have matrices of 8 bits among those of 4; use 4 bits for all"
    if parameters.get("quantize_embedding"):
        yield f"{whose} cannot have a quantised embedding; set quantize_embedding: false"


def _activations(parameters: Parameters) -> Iterator[str]:
    wanted, provider = parameters.get("activation_dtype"), parameters["execution_provider"]
    if wanted == "fp32" and provider != "webgpu":
        yield f"activation_dtype fp32 is for webgpu, not {provider}"
    if wanted == "bf16" and (provider == "webgpu" or parameters["precision"] != "int4"):
        yield "activation_dtype bf16 is for precision int4 on cuda or NvTensorRtRtx"


def _experts(parameters: Parameters) -> Iterator[str]:
    wanted, provider = parameters.get("moe_precision"), parameters["execution_provider"]
    if wanted in ("int2", "mxfp4", "nvfp4") and provider != "cuda":
        yield f"moe_precision {wanted} is for cuda, not {provider}"
    if wanted == "int2" and parameters.get("moe_block_size") not in (64, 128):
        yield "moe_precision int2 needs moe_block_size 64 or 128"
    whole = parameters["precision"] in ("int4", "int8") and parameters["symmetric"]
    if wanted == "mxfp4" and not whole:
        yield "moe_precision mxfp4 needs precision int4 or int8, symmetric"


def _cache(parameters: Parameters) -> Iterator[str]:
    scheme, paged = str(parameters.get("kv_cache", "none")), bool(parameters.get("paged_attention"))
    provider = parameters["execution_provider"]
    if (
        paged
        and provider == "webgpu"
        and "fp32"
        in (
            parameters["precision"],
            parameters.get("activation_dtype"),
        )
    ):
        yield "paged_attention on webgpu needs activations in fp16, not fp32"
    if scheme.startswith("fp8") and provider == "cpu":
        yield f"kv_cache {scheme} cannot run on the CPU: ONNX Runtime has no kernel for it there"
    if scheme.endswith("per_token") and not (provider == "cuda" and paged):
        yield f"kv_cache {scheme} needs execution_provider cuda and paged_attention: true"
    if scheme.endswith("per_channel") and parameters.get("kv_cache_rotation") != "none":
        yield f"kv_cache_rotation cannot be had with {scheme}; one scale a tensor can be rotated"
    if scheme in STATIC_CACHES:
        yield from _scales(scheme, parameters.get("kv_cache_scales"))


def _scales(scheme: str, file: Value) -> Iterator[str]:
    if file is None:
        yield f"kv_cache {scheme} needs kv_cache_scales, the file of scales measured beforehand"
        return
    try:
        found = json.loads(Path(str(file)).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        yield f"kv_cache_scales {file}: {error}"
        return
    if not isinstance(found, dict):
        yield f"kv_cache_scales {file}: found no object with scales.k_scales and scales.v_scales"


def _list(parameters: Parameters, name: str) -> tuple[str, ...]:
    value = parameters.get(name) or ()
    assert isinstance(value, tuple)
    return tuple(map(str, value))


# What depends on the model


def refuse_model(config: Mapping[str, Any], parameters: Parameters) -> None:
    """Unbuildable where this model (its config.json) cannot be built or opened with these."""
    architecture = next(iter(config.get("architectures") or ()), None)
    unknown = None if architecture is None else refusal(str(architecture))
    if unknown is not None:
        raise Unbuildable(unknown)
    if "quantization_config" in config:
        _refuse_packed(parameters)
    if parameters["precision"] != "int4":
        return
    algorithm, symmetric = str(parameters["algorithm"]), bool(parameters["symmetric"])
    if config.get("tie_word_embeddings") and parameters["share_embeddings"]:
        _refuse_shared(parameters)
    if algorithm.startswith("k_quant") or (algorithm.startswith("rtn") and not symmetric):
        _refuse_odd_blocks(config, int(str(parameters["block_size"])))


def _refuse_packed(parameters: Parameters) -> None:
    if parameters["precision"] not in ("int4", "int8"):
        raise Unbuildable(
            "this model's weights are packed in few bits already, and the builder cannot unpack "
            "them: use precision int4"
        )
    if parameters["execution_provider"] == "NvTensorRtRtx":
        raise Unbuildable(
            "the builder writes packed weights wrongly for NvTensorRtRtx (the model would give "
            "other answers): build it from a model that is not quantized yet, or for another "
            "execution_provider"
        )


def _refuse_shared(parameters: Parameters) -> None:
    """The ways in which a 4-bit table cannot be embedding and output head at once."""
    plain = parameters["algorithm"] == "default"
    if plain and not parameters["symmetric"]:
        raise Unbuildable(
            "this model's embedding is tied to its output head, and the default algorithm cannot "
            "share an asymmetric 4-bit table: use algorithm rtn, symmetric: true, or "
            "share_embeddings: false"
        )
    if plain and parameters.get("head_precision") == "int8":
        raise Unbuildable(
            "this model's embedding is tied to its output head, and the default algorithm cannot "
            "share a table of 8 bits: use algorithm rtn, head_precision null, or "
            "share_embeddings: false"
        )
    if is_qdq(parameters):
        raise Unbuildable(
            "this model's embedding is tied to its output head, and a shared table cannot be "
            "written as dequantise-multiply pairs: use share_embeddings: false"
        )


def _refuse_odd_blocks(config: Mapping[str, Any], block: int) -> None:
    """Two 4-bit zero points share a byte, and the quantiser packs whole rows only."""
    odd = _odd_width(config, block)
    if odd is None:
        return
    fitting = [str(size) for size in BLOCKS if _odd_width(config, size) is None]
    raise Unbuildable(
        f"with 4-bit zero points a matrix must have an even number of blocks in each row, but "
        f"{odd} weights in blocks of {block} make {_blocks(odd, block)}; "
        + (f"block_size {' or '.join(fitting)} fits this model" if fitting else "none fits it")
    )


def _odd_width(config: Mapping[str, Any], block: int) -> int | None:
    """The first width of a row of weights that makes an odd number of blocks."""
    return next((width for width in _widths(config) if _blocks(width, block) % 2), None)


def _blocks(width: int, block: int) -> int:
    return -(-width // block)


def _widths(config: Mapping[str, Any]) -> list[int]:
    """How many inputs the matrices have: of the hidden size, the attention heads and the MLP."""
    hidden, heads = config.get("hidden_size"), config.get("num_attention_heads")
    head = config.get("head_dim") or (hidden // heads if hidden and heads else None)
    attention = heads * head if heads and head else None
    return [width for width in (hidden, attention, config.get("intermediate_size")) if width]
