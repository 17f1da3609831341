"""From parameters to the options of the GenAI model builder, under its own names.

The builder ignores every key that it does not know, so each one that version 0.18 reads is either
set by a parameter, or in `NOT_OFFERED` with the reason. Knows nothing of models.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from search_spaces.vocabulary import Value
from tuner.genai.parameters import QUANTISED

NOT_OFFERED = {
    "hf_token": "always false: a local folder needs nobody's token",
    "hf_remote": "always false: no code of a model folder is run",
    "filename": "always model.onnx, where every reader of a GenAI folder looks for it",
    "config_only": "the result would have no model",
    "num_hidden_layers": "for the builder's own tests; drop_layers removes layers for real",
    "adapter_path": "an adapter is merged (merge_adapter) or kept apart (multi_lora)",
    "exclude_embeds": "without its embedding a model takes no tokens: nothing can run it alone",
    "exclude_lm_head": "without its head a model gives no logits: it cannot generate",
    "disable_qkv_fusion": "the old name of fuse_qkv=false",
    "use_8bits_moe": "the old name of moe_quant_type=int8",
    "aux_hidden_state_layers": "feeds a draft model, which no pass makes",
    "dflash2_path": "a draft model, which no pass makes",
    "dflash2_precision": "belongs to a draft model",
    "dflash2_num_draft_tokens": "belongs to a draft model",
    "dflash2_fuse_gate_up": "belongs to a draft model",
    "dflash2_fuse_qkv": "belongs to a draft model",
    "dspark_path": "a draft model, which no pass makes",
    "dspark_precision": "belongs to a draft model",
    "dspark_num_draft_tokens": "belongs to a draft model",
    "dspark_top_k": "belongs to a draft model",
    "max_draft_tokens": "speculative decoding, which GenAI's generator does not do",
    "mtp_quant_config": "speculative decoding, which GenAI's generator does not do",
    "state_window": "speculative decoding, which GenAI's generator does not do",
    "state_update_capacity": "speculative decoding, which GenAI's generator does not do",
}
"""Options that the builder reads and that are no parameters, with the reason."""


@dataclass(frozen=True, slots=True)
class _Option:
    """A key of the builder: the parameter, how its value is spelt, and where it is left out.

    `unless`: the value at which the builder does the same without being told.
    """

    parameter: str
    key: str
    unless: Value
    spelt: Callable[[Value], str] = str


def _flag(value: Value) -> str:
    return str(value).lower()


def _opposite(value: Value) -> str:
    return str(not value).lower()


def _names(value: Value) -> str:
    assert isinstance(value, tuple)
    return ",".join(map(str, value))


def _layout(value: Value) -> str:
    return str(("none", "sm80", "sm90").index(str(value)))


_OPTIONS = (
    _Option("unquantized_nodes", "nodes_to_exclude", (), _names),
    _Option("quantize_embedding", "op_types_to_quantize", False, lambda _: "MatMul/Gather"),
    _Option("qdq", "use_qdq", False, _flag),
    _Option("fuse_qkv", "fuse_qkv", True, _flag),
    _Option("fuse_gate_up", "fuse_mlp_gate_up", False, _flag),
    # Not true: that would be an error for a model that ties none.
    _Option("share_embeddings", "shared_embeddings", True, _flag),
    _Option("fuse_qk_norm", "fuse_qk_norm_gqa", True, _flag),
    _Option("prune_head", "prune_lm_head", False, _flag),
    _Option("hidden_states", "include_hidden_states", False, _flag),
    _Option("windowed_cache", "windowed_kv_cache", True, _flag),
    _Option("device_initializers", "use_device_allocator_for_initializers", False, _flag),
    _Option("linear_attention_op", "linear_attn_op", "linear_attention"),
    _Option("mtp_head", "exclude_mtp", True, _opposite),
    _Option("fpa_intb_gemm", "enable_cuda_fpa_intb_gemm", False, _flag),
    _Option("prepacked_for", "matmulnbits_weights_prepacked", "none", _layout),
    _Option("moe_precision", "moe_quant_type", None),
    _Option("moe_block_size", "qmoe_block_size", None),
    _Option("moe_prepacked", "qmoe_weights_prepacked", None, lambda v: str(int(bool(v)))),
    _Option("paged_attention", "use_paged_attention", False, _flag),
    _Option("paged_block_size", "paged_block_size", 256),
    _Option("paged_chunk_size", "paged_chunk_size", None),
    _Option("paged_batch_size", "max_batch_size", 100),
    _Option("paged_scheduled_tokens", "max_scheduled_tokens", None),
    _Option("paged_blocks", "num_blocks", None),
    _Option("paged_memory", "gpu_utilization_factor", 0.6),
    _Option("kv_cache", "kv_cache_quant_scheme", "none"),
    _Option("kv_cache_scales", "kv_cache_scale_file", None),
    _Option("kv_cache_rotation", "kv_cache_rotation", "none"),
)
_ACTIVATIONS = {"fp32": "use_webgpu_fp32", "bf16": "use_cuda_bf16"}
_CAPTURES = {
    "cuda": "enable_cuda_graph",
    "dml": "enable_dml_graph",
    "webgpu": "enable_webgpu_graph",
}
_PLACES = {
    "head_precision": "last_matmul",
    "sensitive_precision": "mixed_layers",
    "linear_attention_precision": "linear_attn",
}

OFFERED = (
    *(option.key for option in _OPTIONS),
    *_ACTIVATIONS.values(),
    *_CAPTURES.values(),
    "block_size",
    "accuracy_level",
    "algo_config",
    "is_symmetric",
    "matmul_mixed_precision",
)
"""Every key of the builder that some parameter sets."""


def builder_options(parameters: Mapping[str, Value]) -> dict[str, str]:
    """What to tell the builder, under its own names; parameters that are missing are not set."""
    found = {"hf_token": "false"}
    if parameters["precision"] in QUANTISED:
        found |= _rounding(parameters)
    for option in _OPTIONS:
        value = parameters.get(option.parameter, option.unless)
        if value != option.unless:
            found[option.key] = option.spelt(value)
    activation = parameters.get("activation_dtype")
    if activation is not None:
        found[_ACTIVATIONS[str(activation)]] = "true"
    capture = _CAPTURES.get(str(parameters["execution_provider"]))
    if capture is not None and parameters.get("graph_capture") is not None:
        found[capture] = _flag(parameters["graph_capture"])
    return found


def _rounding(parameters: Mapping[str, Value]) -> dict[str, str]:
    """How weights are rounded, and which of them to other bits than the rest."""
    found = {
        "block_size": str(parameters["block_size"]),
        "accuracy_level": str(parameters["accuracy_level"]),
        "algo_config": str(parameters["algorithm"]),
        "is_symmetric": _flag(parameters["symmetric"]),
    }
    places = {place: parameters.get(name) for name, place in _PLACES.items()}
    given = [f"{place}:{bits}" for place, bits in places.items() if bits is not None]
    return found | ({"matmul_mixed_precision": ",".join(given)} if given else {})
