"""Olive's GraphSurgeries, one by one.

Most of them give a graph the form that a vendor's compiler wants; the rest is what the builder of
ONNX Runtime GenAI does by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from search_spaces.problems import hint
from tuner.olive.config import OlivePass, Setting
from tuner.olive.draft import Kind
from tuner.olive.passes.names import words
from tuner.olive.passes.work import Taker, Work

_NPU = "forms that NPUs want"
_SAME = "forms of graphs"
_ELSEWHERE = (
    Kind.ELSEWHERE,
    "it gives the graph a form that the compilers of NPUs want",
    _NPU,
)
_FORM = (
    Kind.OMITTED,
    "the graph keeps the form in which it is written; it computes the same",
    _SAME,
)
_TYPED = (Kind.ASIDE, "inputs and outputs are named by the exporter", "names in graphs")
_WRITTEN = (Kind.ASIDE, "graphs are written without it", _SAME)

SURGEONS: Mapping[str, tuple[Kind, str, str]] = {
    **dict.fromkeys(
        words(
            "AttentionMaskToSequenceLengths RemoveRopeMultiCache SimplifiedLayerNormToL2Norm "
            "RMSNormToL2Norm PowReduceSumPowDiv2LpNorm RemoveQDQ QDQToClip RemoveDeqLin "
            "Non4DModelInputs Non4DModelOutputs Non4DInitializers Non4DReshape Non4DExpand "
            "Non4DTranspose Non4DSlice Non4DLpNorm MatMulToTransposeConvTranspose "
            "StandaloneReduceSum Gather GatherElements Flatten ReshapeReduceSum "
            "ReshapeClipReduceSum ReduceMax RemoveIntermediarySqueezeAndUnsqueeze "
            "RemoveAllTensorValueShapes"
        ),
        _ELSEWHERE,
    ),
    **dict.fromkeys(
        words(
            "MatMulAddToGemm GemmToMatMulAdd ReplaceAttentionMaskValue ReplaceErfWithTanh "
            "DecomposeQuickGelu DecomposeRotaryEmbedding SimplifiedLayerNormToRMSNorm "
            "ZeroOutInput PackedAttentionToLoopMHA PackedAttentionToPackedMHA ReciprocalMulToDiv "
            "RemoveMemcpy"
        ),
        _FORM,
    ),
    **dict.fromkeys(
        words(
            "RenameInputs RenameOutputs RenameInputDims RenameOutputDims ReorderInputs RemoveInputs"
        ),
        _TYPED,
    ),
    **dict.fromkeys(
        words(
            "InferShapes RemoveShapes RemoveInitializerFromInputs DeduplicateSubgraphInitializers "
            "DeduplicateNodes"
        ),
        _WRITTEN,
    ),
    **dict.fromkeys(
        ["ExposeOutputs", "ExposeQuantizedOutput", "AddIntermediateTensorsToOutputs"],
        (Kind.OMITTED, "models give out logits only (and hidden_states, of genai_builder)", _SAME),
    ),
    "RemoveGidxFromMatMulNBits": (
        Kind.ASIDE,
        "packed weights come without the order that it takes out, unless act_order asks for it",
        "forms of graphs",
    ),
}
"""What becomes of each surgeon, but for those that share an embedding, which `_shared` answers."""

_SHARED = frozenset({"TieWordEmbeddings", "ShareEmbeddingLmHead"})
_EMBEDDING = "QuantizeEmbeddingInt8"
_NAMES = frozenset({*SURGEONS, *_SHARED, _EMBEDDING})
_BY_PLAIN = {name.casefold(): name for name in _NAMES}


def surgeries(work: Work, found: OlivePass, type_: str) -> None:
    """GraphSurgeries."""
    taker = Taker(work, found, type_)
    setting = taker.take("surgeries")
    taker.aside(
        "remove_duplicate_initializers", reason="graphs are written without doubles", group=_SAME
    )
    if setting is None or not isinstance(setting.value, list):
        shown = "missing" if setting is None else repr(setting.value)
        line = found.line if setting is None else setting.line
        work.wrong(line, f"{found.where}.surgeries is {shown}, expected a list of surgeons")
    else:
        for number, one in enumerate(setting.value):
            _surgeon(taker, Setting(one, f"{setting.where}[{number}]", setting.line))
    taker.finish()


def _surgeon(taker: Taker, setting: Setting) -> None:
    named = setting.value.get("surgeon") if isinstance(setting.value, Mapping) else None
    if not isinstance(named, str):
        taker.work.wrong(setting.line, f"{setting.where}: expected a mapping with `surgeon`")
        return
    name = _BY_PLAIN.get(named.casefold())
    if name is None:
        message = f"{setting.where}: unknown surgeon {named!r}{hint(named, _NAMES)}"
        taker.work.wrong(setting.line, message)
        return
    shown = Setting(_shown(setting.value), setting.where, setting.line)
    if name in _SHARED:
        _shared(taker.work, shown)
    elif name == _EMBEDDING:
        _embedding(taker.work, shown)
    else:
        taker.work.draft.omit(shown, *SURGEONS[name])


def _shown(value: Mapping[str, Any]) -> Any:
    """A surgeon by its name alone, where there is no more to it."""
    return value["surgeon"] if len(value) == 1 else dict(value)


def _shared(work: Work, setting: Setting) -> None:
    """One table for embedding and head, which the builder makes of models that tie them."""
    built = work.draft.last("genai_builder")
    if built is None:
        kind, reason = Kind.OMITTED, "an encoder has no head to share a table with"
        if work.is_causal:
            kind, reason = Kind.ASIDE, "genai_builder makes one of them where the model ties them"
        work.draft.omit(setting, kind, reason, _SAME)
    elif built.parameters.get("share_embeddings") is not False:
        built.parameters["share_embeddings"] = True
        work.taken.add(setting.where)
    else:
        reason = "a table that is shared cannot be written as dequantise-multiply pairs"
        work.draft.omit(setting, Kind.OMITTED, reason, "dequantise-multiply pairs")


def _embedding(work: Work, setting: Setting) -> None:
    built = work.draft.last("genai_builder")
    reason = "the embedding keeps its floats, unless it is shared with a quantised head"
    if built is not None and built.parameters.get("precision") == "int4" and _is_free(work):
        built.parameters["quantize_embedding"] = True
        reason = "the embedding is quantised to 4 bits rather than 8 (quantize_embedding)"
    work.draft.omit(setting, Kind.OMITTED, reason, "quantised embeddings")


def _is_free(work: Work) -> bool:
    """Whether the weights come to the builder unpacked."""
    packing = ("gptq", "awq", "rtn", "hqq", "autoround")
    return all(work.draft.last(name) is None for name in packing)
