"""The options of the GenAI builder, in an Olive config's own keys and in `extra_options`.

`tuner.genai.options` knows which options that builder reads; each that it has is a parameter of
`genai_builder`, or is omitted with the reason. The builder ignores all others, and so it is said.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from search_spaces.problems import hint
from tuner.genai.options import NOT_OFFERED, OFFERED
from tuner.olive.config import OlivePass, Setting
from tuner.olive.draft import Kind, StepDraft
from tuner.olive.passes.values import Unfit, wrong
from tuner.olive.passes.work import Taker

QUANTISED = ("int8", "int4")

_OLD = "int4_"
_FLAGS: Mapping[str, tuple[str, bool]] = {
    "use_qdq": ("qdq", False),
    "include_hidden_states": ("hidden_states", False),
    "prune_lm_head": ("prune_head", False),
    "shared_embeddings": ("share_embeddings", False),
    "fuse_qkv": ("fuse_qkv", False),
    "disable_qkv_fusion": ("fuse_qkv", True),
    "fuse_mlp_gate_up": ("fuse_gate_up", False),
    "fuse_qk_norm_gqa": ("fuse_qk_norm", False),
    "windowed_kv_cache": ("windowed_cache", False),
    "use_device_allocator_for_initializers": ("device_initializers", False),
    "exclude_mtp": ("mtp_head", True),
    "enable_cuda_fpa_intb_gemm": ("fpa_intb_gemm", False),
    "use_paged_attention": ("paged_attention", False),
    "qmoe_weights_prepacked": ("moe_prepacked", False),
}
"""Options that are true or false: our parameter, and whether it says the opposite."""

_VALUES: Mapping[str, str] = {
    "accuracy_level": "accuracy_level",
    "block_size": "block_size",
    "algo_config": "algorithm",
    "moe_quant_type": "moe_precision",
    "qmoe_block_size": "moe_block_size",
    "linear_attn_op": "linear_attention_op",
    "paged_block_size": "paged_block_size",
    "paged_chunk_size": "paged_chunk_size",
    "max_batch_size": "paged_batch_size",
    "max_scheduled_tokens": "paged_scheduled_tokens",
    "num_blocks": "paged_blocks",
    "gpu_utilization_factor": "paged_memory",
    "kv_cache_quant_scheme": "kv_cache",
    "kv_cache_scale_file": "kv_cache_scales",
    "kv_cache_rotation": "kv_cache_rotation",
}
"""Options of the builder with other values: our parameter."""

_GRAPHS = ("enable_cuda_graph", "enable_webgpu_graph", "enable_dml_graph")
_PARTS = ("exclude_embeds", "exclude_lm_head")
_AGAINST = {
    "cuda": ("enable_cuda_graph",),
    "dml": ("enable_dml_graph",),
    "webgpu": ("enable_webgpu_graph",),
}
_INDIVIDUAL = frozenset(
    {*_FLAGS, *_VALUES, *_GRAPHS, "use_webgpu_fp32", "use_cuda_bf16", "use_8bits_moe"}
    | {"is_symmetric", "op_types_to_quantize", "nodes_to_exclude", "matmul_mixed_precision"}
    | {"matmulnbits_weights_prepacked"}
)
GROUNDS = "options of the GenAI builder"

BUILDER_OPTIONS = frozenset({*OFFERED, *NOT_OFFERED})
"""Every option that the builder reads, under its own name."""


def options_of(taker: Taker) -> Taker:
    """All options under the builder's own names: those of the pass, then `extra_options`.

    `extra_options` overrule the pass's own keys, as Olive has it.
    """
    extra = taker.take("extra_options")
    found: dict[str, Setting] = {}
    for key in tuple(taker.found.settings):
        if key in ("precision", "metadata_only", "search", "extra_options"):
            continue
        if taker.peek(key) is not None and _plain(key) in {*_INDIVIDUAL, *_PARTS}:
            setting = taker.take(key)
            if setting is not None:
                found[_plain(key)] = setting
    if extra is not None and not isinstance(extra.value, Mapping):
        taker.work.wrong(extra.line, f"{extra.where}: {wrong(extra.value, 'an object')}")
    elif extra is not None:
        for key, value in extra.value.items():
            where = f"{extra.where}.{key}"
            if _plain(str(key)) in found:
                overruled = found[_plain(str(key))]
                taker.note(overruled, Kind.ASIDE, f"{where} overrules it", "overruled")
            found[_plain(str(key))] = Setting(value, where, extra.line)
    held = OlivePass("options", taker.found.type, taker.found.where, taker.found.line, found)
    known = BUILDER_OPTIONS | set(found)  # what it ignores is told later
    return Taker(taker.work, held, "options of the builder", known)


def _plain(key: str) -> str:
    """The name of an option without the prefix of old."""
    return key.removeprefix(_OLD)


def rounding(taker: Taker, step: StepDraft, options: Taker, packed: bool) -> None:
    """How weights are rounded, where they are and it is the builder that does."""
    if step.parameters.get("precision") not in (None, *QUANTISED):
        options.aside(
            *("block_size", "accuracy_level", "is_symmetric", "algo_config", "nodes_to_exclude"),
            *("op_types_to_quantize", "use_qdq", "matmul_mixed_precision"),
            reason=f"nothing is rounded at precision {step.parameters['precision']}",
            group="options without effect",
        )
        return
    provider = step.parameters.get("execution_provider", "cpu")
    level = 4 if provider in ("cpu", "webgpu") else 0
    options.put(step, "accuracy_level", "accuracy_level", default=level)
    if packed:
        options.aside(
            *("block_size", "is_symmetric", "algo_config"),
            reason="the weights come packed, with a grid of their own",
            group="options without effect",
        )
        _packed_types(options)
    else:
        _grid(taker, step, options)
        _types(options, step)
    options.put(step, "unquantized_nodes", "nodes_to_exclude", convert=_nodes)


def _grid(taker: Taker, step: StepDraft, options: Taker) -> None:
    rounding = taker.work.rounding
    algorithm = rounding.pop("algorithm", None)
    rounding.pop("bits", None)
    if algorithm is not None:
        step.parameters["algorithm"] = algorithm
        step.comments["algorithm"] = "by KQuant"
        setting, convert = rounding.pop("block_size", (None, None))
        if setting is not None:
            taker.place(step, "block_size", setting, convert)
    options.put(step, "block_size", "block_size", convert=_number, search=(32, 64, 128))
    options.put(
        step,
        "algorithm",
        "algo_config",
        search=("default", "rtn", "k_quant_mixed", "k_quant_last"),
    )
    options.put(step, "symmetric", "is_symmetric", convert=_truth, search=(True, False))


def _types(options: Taker, step: StepDraft) -> None:
    """`op_types_to_quantize`: matrices always are, embeddings where Gather is named."""
    setting = options.take("op_types_to_quantize")
    if setting is None:
        return
    named = _names(setting.value)
    if not all(isinstance(one, str) for one in named):
        options.work.wrong(setting.line, f"{setting.where}: expected a list of operators")
        return
    if "Gather" in named and step.parameters.get("precision") == "int4":
        step.parameters["quantize_embedding"] = True
    if "MatMul" not in named:
        reason = "matrices are always quantised at this precision; unquantized_nodes spares some"
        options.note(setting, Kind.OMITTED, reason, "operators that are quantised")


def _packed_types(options: Taker) -> None:
    """Of packed weights, the builder has only the embedding to decide about."""
    setting = options.take("op_types_to_quantize")
    if setting is None:
        return
    if "Gather" in _names(setting.value):
        reason = "the embedding is quantised where it is tied to the head, and keeps floats else"
        options.note(setting, Kind.OMITTED, reason, "quantised embeddings")
    else:
        options.note(setting, Kind.ASIDE, "the weights come packed", "options without effect")


def others(taker: Taker, step: StepDraft, options: Taker) -> None:
    """Everything but the rounding."""
    provider = str(step.parameters.get("execution_provider", "cpu"))
    for key, (parameter, opposite) in _FLAGS.items():
        convert = _untruth if opposite else _truth
        _offer(taker, step, options, parameter, key, convert)
    for key, parameter in _VALUES.items():
        _offer(taker, step, options, parameter, key, None)
    _capture(step, options, provider)
    _data_types(step, options, provider)
    if _said(options, "use_8bits_moe"):
        step.parameters["moe_precision"] = "int8"
    _layout(options)
    options.aside(
        *("hf_token", "hf_remote", "filename", "cache_dir", "config_only"),
        reason="the model is a local folder, and what is built is model.onnx",
        group="files and caches",
    )
    _parts(taker, options)
    _ignored(options)


def _offer(
    taker: Taker, step: StepDraft, options: Taker, parameter: str, key: str, convert: Any
) -> None:
    """An option that is a parameter of ours, unless this step has none such."""
    specs = taker.work.specs[step.pass_]
    if any(spec.name == parameter for spec in specs.parameters):
        options.put(step, parameter, key, convert=convert)


def _capture(step: StepDraft, options: Taker, provider: str) -> None:
    for key in _GRAPHS:
        if key in _AGAINST.get(provider, ()):
            options.put(step, "graph_capture", key, convert=_truth)
        options.aside(
            key,
            reason=f"it changes nothing of a model for {provider}",
            group="options without effect",
        )


def _data_types(step: StepDraft, options: Taker, provider: str) -> None:
    """The data type between the matrices, for those providers that have a choice."""
    for key, fitting, dtype in (
        ("use_webgpu_fp32", ("webgpu",), "fp32"),
        ("use_cuda_bf16", ("cuda", "NvTensorRtRtx"), "bf16"),
    ):
        if provider in fitting and _said(options, key):
            step.parameters["activation_dtype"] = dtype
        options.aside(
            key,
            reason=f"it changes nothing of a model for {provider}",
            group="options without effect",
        )


def _said(options: Taker, key: str) -> bool:
    """Whether a flag is set; it is then answered."""
    setting = options.take(key)
    if setting is None:
        return False
    try:
        return _truth(setting.value)
    except Unfit as unfit:
        options.work.wrong(setting.line, f"{setting.where}: {unfit}")
        return False


def _layout(options: Taker) -> None:
    options.omit(
        *("matmulnbits_weights_prepacked", "matmul_mixed_precision"),
        reason="prepacked_for, head_precision and their like say it here, for one purpose each",
        group=GROUNDS,
    )


def _parts(taker: Taker, options: Taker) -> None:
    """A model without its embedding or head is part of something else."""
    for key in _PARTS:
        setting = options.take(key)
        if setting is None:
            continue
        try:
            left = _truth(setting.value)
        except Unfit as unfit:
            taker.work.wrong(setting.line, f"{setting.where}: {unfit}")
            continue
        if left:
            options.note(setting, Kind.CANNOT, NOT_OFFERED[key], "models of several parts")


def _ignored(options: Taker) -> None:
    """Options that are offered to nobody, with the reason, and those that the builder ignores."""
    for key, reason in NOT_OFFERED.items():
        options.omit(key, reason=reason, group=GROUNDS)
    for key in tuple(options.found.settings):
        if key not in OFFERED:
            reason = f"the builder has no such option and ignores it{hint(key, OFFERED)}"
            options.aside(key, reason=reason, group="options that the builder ignores")


# Values


def _truth(value: Any) -> bool:
    """The builder reads "1", "true" and the like as true."""
    if isinstance(value, (bool, int)) and value in (0, 1):
        return bool(value)
    if isinstance(value, str) and value.casefold() in ("0", "1", "true", "false"):
        return value.casefold() in ("1", "true")
    raise wrong(value, "true or false")


def _untruth(value: Any) -> bool:
    return not _truth(value)


def _number(value: Any) -> Any:
    """A number, or its text."""
    return int(value) if isinstance(value, str) and value.isdecimal() else value


def _names(value: Any) -> list[Any]:
    """Names as a list; the builder takes them in one text, too."""
    if isinstance(value, str):
        return [one for part in value.split("/") for one in part.split(",") if one]
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _nodes(value: Any) -> Any:
    return [one for one in value.split(",") if one] if isinstance(value, str) else value
