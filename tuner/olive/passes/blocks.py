"""Olive's quantisers of matrices in blocks of few bits, as `weight_only` or the builder's own.

Behind a builder that rounds nothing yet, the builder rounds by the same algorithm itself: the model
need not be written in full first. Source: Olive's passes over MatMulNBits.
"""

from __future__ import annotations

from typing import Any

from tuner.genai.legality import PRECISIONS_OF
from tuner.olive.config import OlivePass
from tuner.olive.draft import Kind, StepDraft
from tuner.olive.passes import values
from tuner.olive.passes.values import wrong
from tuner.olive.passes.work import Taker, Work

_PAIRS = "dequantise-multiply pairs"


def blocks(work: Work, found: OlivePass, type_: str) -> None:
    """Quantisers of the matrices of a graph, of the builder's too, in blocks."""
    taker = Taker(work, found, type_)
    algorithm, size = {
        "OnnxBlockWiseRtnQuantization": ("default", 128),
        "OnnxMatMul4Quantizer": ("default", 32),
        "OnnxHqqQuantization": ("hqq", 128),
        "OnnxKQuantQuantization": ("k_quant", 32),
    }[type_]
    built = _rounding_builder(taker, algorithm)
    if built is not None:
        _by_builder(taker, built, algorithm, size)
        return
    step = work.add("weight_only", type_)
    if algorithm != "default":
        step.parameters["algorithm"] = algorithm
    taker.put(step, "algorithm", "algorithm", convert=_block_algorithm)
    if step.parameters.get("algorithm") == "hqq":
        taker.unless(4, "bits", reason="hqq rounds to 4 bits here", group="bits of weights")
    taker.put(step, "bits", "bits", "precision", default=4, convert=values.few_bits)
    taker.put(step, "block_size", "block_size", default=size, convert=values.group_size)
    if step.parameters.get("algorithm", "default") == "default":
        taker.put(step, "symmetric", "is_symmetric", default=True)
    taker.put(step, "accuracy_level", "accuracy_level")
    taker.put(step, "exclude_nodes", "nodes_to_exclude")
    if type_ == "OnnxBlockWiseRtnQuantization" and step.parameters.get("bits", 4) == 4:
        step.parameters["embeddings"] = True
        step.comments["embeddings"] = "as Olive has it"
    _block_rest(taker)
    taker.finish()


def _rounding_builder(taker: Taker, algorithm: str) -> StepDraft | None:
    """The builder just before, where it rounds nothing yet and knows how: it needs no texts."""
    work = taker.work
    last = work.draft.pipeline[-1] if work.draft.pipeline else None
    if not isinstance(last, StepDraft) or last.pass_ != "genai_builder" or work.alternatives:
        return None
    bits = taker.peek("bits", 4)
    named = str(taker.peek("algorithm", algorithm)).casefold()
    wanted = "int8" if bits == 8 else "int4"
    can = PRECISIONS_OF[str(last.parameters.get("execution_provider", "cpu"))]
    plain = last.parameters.get("precision") in ("fp32", "fp16", "bf16")
    fits = plain and bits in (4, 8) and wanted in can and named in ("default", "rtn", "k_quant")
    return last if fits else None


def _by_builder(taker: Taker, step: StepDraft, algorithm: str, size: int) -> None:
    """Let the builder round by the same algorithm what it would have written in full."""
    step.origin = f"{step.origin}, {taker.type}"
    step.parameters["precision"] = "int8" if taker.peek("bits", 4) == 8 else "int4"
    step.comments.pop("precision", None)
    taker.take("bits")
    named = taker.take("algorithm")
    algorithm = algorithm if named is None else str(named.value).casefold()
    if algorithm != "default":
        step.parameters["algorithm"] = algorithm
    taker.put(step, "block_size", "block_size", default=size, convert=values.group_size)
    if algorithm != "k_quant":
        taker.put(step, "symmetric", "is_symmetric", default=True)
    taker.put(step, "accuracy_level", "accuracy_level", default=0)
    taker.put(step, "unquantized_nodes", "nodes_to_exclude")
    if taker.type == "OnnxBlockWiseRtnQuantization" and step.parameters["precision"] == "int4":
        step.parameters["quantize_embedding"] = True
        step.comments["quantize_embedding"] = "as Olive has it"
    taker.aside("precision", reason="4 bits are what it makes", group="details of blocks")
    _block_rest(taker)
    taker.finish()


def _block_algorithm(value: Any) -> str:
    name = str(value).casefold()
    if name in ("default", "rtn", "hqq", "gptq", "k_quant"):
        return name
    raise wrong(value, "DEFAULT, RTN, HQQ or GPTQ")


def _block_rest(taker: Taker) -> None:
    taker.unless(
        0,
        "axis",
        reason="blocks lie along the inputs of a matrix",
        group="details of blocks",
    )
    taker.aside("is_symmetric", reason="this algorithm has zero points", group="details of blocks")
    taker.take("data_config")
    taker.omit(
        *("customized_weight_config", "nodes_to_include", "quant_axes", "op_types_to_quantize"),
        "weight_only_quant_configs",
        reason="matrices that are left out can be named (exclude_nodes); the others are alike",
        group="bits of single matrices",
    )


def bitsandbytes(work: Work, found: OlivePass, type_: str) -> None:
    """OnnxBnb4Quantization: 4 bits of another kind, in blocks of 64."""
    taker = Taker(work, found, type_)
    step = work.add("weight_only", type_)
    step.parameters["block_size"] = 64
    work.note(
        found,
        Kind.OMITTED,
        "matrices of a graph have evenly spaced values of 4 bits, not nf4 or fp4",
        "nf4 and fp4 in graphs",
    )
    taker.put(step, "exclude_nodes", "nodes_to_exclude")
    taker.rest(Kind.OMITTED, "it belongs to nf4 and fp4", "nf4 and fp4 in graphs")


def pairs(work: Work, found: OlivePass, type_: str) -> None:
    """MatMulNBitsToQDQ: the builder writes dequantise-multiply pairs where it rounds itself."""
    taker = Taker(work, found, type_)
    built = work.draft.last("genai_builder")
    excluded = "matrices are written as such pairs, all or none"
    reason = "the matrices stay MatMulNBits: the same numbers, multiplied by one operator"
    if built is None or not _can_pair(work, built):
        work.note(found, Kind.OMITTED, reason, _PAIRS)
        excluded = reason
    elif built.parameters.get("execution_provider") != "NvTensorRtRtx":  # which always has them
        built.parameters["qdq"] = True
        built.parameters["share_embeddings"] = False
        built.comments["share_embeddings"] = "a shared table cannot be written as such pairs"
        built.origin = f"{built.origin}, {type_}"
    taker.omit(
        *("nodes_to_exclude", "nodes_to_include"),
        reason=excluded,
        group="dequantise-multiply pairs",
    )
    taker.rest(
        Kind.ASIDE,
        "how such pairs are written is the builder's affair",
        "dequantise-multiply pairs",
    )


def _can_pair(work: Work, built: StepDraft) -> bool:
    """Whether the builder can write this model's matrices as pairs."""
    given = built.parameters
    plain = given.get("algorithm", "default") in ("default", "rtn", "k_quant")
    mixed = "head_precision" in given or given.get("quantize_embedding")
    steps = [step for step in work.draft.pipeline if isinstance(step, StepDraft)]
    packed = any(work.specs[step.pass_].gives == "quantized" for step in steps)
    return given.get("precision") == "int4" and plain and not mixed and not packed
