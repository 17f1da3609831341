"""Which architectures the GenAI model builder knows, and how it is told of those under other names.

As of onnxruntime-genai 0.18; a test compares the list with the installed builder's own. Knows
nothing of passes, and imports no heavy library.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from search_spaces.paths import places_of
from tuner.models.architectures import guess

KNOWN = frozenset(
    {
        "ChatGLMForConditionalGeneration",
        "ChatGLMModel",
        "Ernie4_5ForCausalLM",
        "Gemma2ForCausalLM",
        "Gemma3ForCausalLM",
        "Gemma3ForConditionalGeneration",
        "Gemma4ForConditionalGeneration",
        "Gemma4UnifiedForConditionalGeneration",
        "GemmaForCausalLM",
        "GptOssForCausalLM",
        "GraniteForCausalLM",
        "GraniteMoeHybridForCausalLM",
        "HunYuanDenseV1ForCausalLM",
        "InternLM2ForCausalLM",
        "Lfm2AudioForConditionalGeneration",
        "Lfm2ForCausalLM",
        "Lfm2MoeForCausalLM",
        "Lfm2VlForConditionalGeneration",
        "LlamaForCausalLM",
        "Mistral3ForConditionalGeneration",
        "MistralForCausalLM",
        "NemotronForCausalLM",
        "OlmoForCausalLM",
        "Phi3ForCausalLM",
        "Phi3SmallForCausalLM",
        "Phi3VForCausalLM",
        "Phi4MMForCausalLM",
        "PhiForCausalLM",
        "PhiMoEForCausalLM",
        "Qwen2ForCausalLM",
        "Qwen2_5_VLForConditionalGeneration",
        "Qwen3ForCausalLM",
        "Qwen3VLForConditionalGeneration",
        "Qwen3_5ForConditionalGeneration",
        "Qwen3_5MoeForConditionalGeneration",
        "SmolLM3ForCausalLM",
        "VideoChatFlashQwenForCausalLM",
        "WhisperForConditionalGeneration",
    }
)
"""The architectures that the builder tells apart, by the names that a config.json has."""

_WHOLE = {
    "Qwen3_5ForCausalLM": "Qwen3_5ForConditionalGeneration",
    "Qwen3_5MoeForCausalLM": "Qwen3_5MoeForConditionalGeneration",
}
"""Text models that the builder knows only as part of a larger one, of which it builds the text."""

_BROKEN = {
    "Ministral3ForCausalLM": "the builder makes Ministral 3 only of a model that sees, too, and of "
    "its text alone a graph whose positions are a little off; it is not built here",
    "OlmoForCausalLM": "the builder's graph of OLMo gives other answers than the model (its norm "
    "has no weights, which the builder does not heed); OLMo cannot be built",
    "SmolLM3ForCausalLM": "the builder fails on SmolLM3, whose attention has no positions in some "
    "layers; SmolLM3 cannot be built",
}
"""Architectures that the builder knows and does not get right."""

_ARCHITECTURES = {
    "bloom": "BloomForCausalLM",
    "ernie4_5": "Ernie4_5ForCausalLM",
    "falcon": "FalconForCausalLM",
    "gemma": "GemmaForCausalLM",
    "gemma2": "Gemma2ForCausalLM",
    "gemma3_text": "Gemma3ForCausalLM",
    "gemma3n_text": "Gemma3nForCausalLM",
    "gemma4_text": "Gemma4ForCausalLM",
    "gpt2": "GPT2LMHeadModel",
    "gpt_neox": "GPTNeoXForCausalLM",
    "gpt_oss": "GptOssForCausalLM",
    "granite": "GraniteForCausalLM",
    "hunyuan_v1_dense": "HunYuanDenseV1ForCausalLM",
    "lfm2": "Lfm2ForCausalLM",
    "llama": "LlamaForCausalLM",
    "ministral3": "Ministral3ForCausalLM",
    "mistral": "MistralForCausalLM",
    "mixtral": "MixtralForCausalLM",
    "nemotron": "NemotronForCausalLM",
    "olmo": "OlmoForCausalLM",
    "olmo2": "Olmo2ForCausalLM",
    "olmo3": "Olmo3ForCausalLM",
    "opt": "OPTForCausalLM",
    "phi": "PhiForCausalLM",
    "phi3": "Phi3ForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
    "qwen3_5_moe_text": "Qwen3_5MoeForCausalLM",
    "qwen3_5_text": "Qwen3_5ForCausalLM",
    "qwen3_moe": "Qwen3MoeForCausalLM",
    "smollm3": "SmolLM3ForCausalLM",
    "starcoder2": "Starcoder2ForCausalLM",
}
"""transformers' name of the language model of a type."""


def refusal(architecture: str) -> str | None:
    """Why the builder cannot build an architecture, such as "OPTForCausalLM"; None: it can."""
    name = _WHOLE.get(architecture, architecture)
    if name in _BROKEN:
        return _BROKEN[name]
    if name in KNOWN:
        return None
    return (
        f"the GenAI model builder does not know {architecture}; a model of another architecture "
        "can be built"
    )


def refusal_of_type(model_type: str) -> str | None:
    """The same of transformers' model type, such as "opt"; None, too, where it is not told."""
    architecture = _ARCHITECTURES.get(model_type)
    return None if architecture is None else refusal(architecture)


def refusal_of_model(name: str, base: Path) -> str | None:
    """The same of a model by its reference, whose folder is looked for from `base`, too.

    The folder's own configuration tells the architecture, else the name; None: neither does.
    """
    try:
        text = (places_of(name, base)[0] / "config.json").read_text(encoding="utf-8")
        config = json.loads(text)
        named = config.get("architectures") if isinstance(config, dict) else None
    except (OSError, ValueError):
        model_type = guess(name.partition("@")[0])
        return None if model_type is None else refusal_of_type(model_type)
    return refusal(str(named[0])) if named else None


def adapt(config: Any) -> None:
    """Tell the builder of a model what it looks for: a configuration of transformers, changed.

    The weights are not touched, nor is what the model computes.
    """
    names = list(getattr(config, "architectures", None) or [""])
    config.architectures = [_WHOLE.get(name, name) for name in names]
    if config.architectures[0] in _WHOLE.values():
        _add_sections(config)
    if names[0] == "Gemma3ForCausalLM":
        _join_ropes(config)


def _add_sections(config: Any) -> None:
    """How a rope's turns are shared out between time, height and width: in a text all are one."""
    own = getattr(config, "text_config", config)
    rope = own.rope_parameters
    if rope.get("mrope_section") is None:
        half = int(own.head_dim * float(rope.get("partial_rotary_factor") or 1)) // 2
        third = half // 3
        own.rope_parameters = {**rope, "mrope_section": [half - 2 * third, third, third]}


def _join_ropes(config: Any) -> None:
    """One rope for all layers, and the base of the other's beside it, as they were once written."""
    ropes = config.rope_parameters
    if not isinstance(ropes, Mapping) or "full_attention" not in ropes:
        return
    whole, near = ropes["full_attention"], ropes["sliding_attention"]
    if whole.get("rope_type") == "default":
        config.rope_parameters = dict(whole)
        config.rope_local_base_freq = near["rope_theta"]
