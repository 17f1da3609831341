"""The model families that are checked: the configuration that makes each of them what it is.

Only what published checkpoints have beside the defaults of their type in transformers, before
`tuner.models.tiny` shrinks it. Knows nothing of passes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from search_spaces.kinds import CAUSAL, ENCODER

Config = Mapping[str, Any]

LLAMA3_ROPE = {
    "rope_type": "llama3",
    "factor": 32.0,
    "high_freq_factor": 4.0,
    "low_freq_factor": 1.0,
    "original_max_position_embeddings": 8192,
}
LONG_ROPE = {
    "type": "longrope",
    "short_factor": [1.0 + i / 64 for i in range(48)],
    "long_factor": [1.0 + i for i in range(48)],
}
DEBERTA_V3 = {
    "model_type": "deberta-v2",
    "relative_attention": True,
    "position_buckets": 256,
    "pos_att_type": ["p2c", "c2p"],
    "share_att_key": True,
    "norm_rel_ebd": "layer_norm",
    "position_biased_input": False,
    "max_relative_positions": -1,
}

CAUSAL_FAMILIES: dict[str, Config] = {
    "Llama 3": {
        "model_type": "llama",
        "num_key_value_heads": 8,
        "max_position_embeddings": 131072,
        "tie_word_embeddings": True,
        "rope_theta": 500000.0,
        "rope_scaling": LLAMA3_ROPE,
    },
    "Mistral": {"model_type": "mistral"},
    "Qwen 2": {"model_type": "qwen2", "num_key_value_heads": 8, "tie_word_embeddings": True},
    "Qwen 3": {
        "model_type": "qwen3",
        "hidden_size": 1024,
        "num_attention_heads": 16,
        "num_key_value_heads": 8,
        "tie_word_embeddings": True,
    },
    "Gemma": {"model_type": "gemma", "num_key_value_heads": 1},
    "Gemma 2": {"model_type": "gemma2"},
    "Gemma 3 (text)": {
        "model_type": "gemma3_text",
        "hidden_size": 1152,
        "num_attention_heads": 4,
        "num_key_value_heads": 1,
        "sliding_window": 512,
        "sliding_window_pattern": 6,
        "rope_theta": 1000000.0,
        "rope_local_base_freq": 10000.0,
    },
    "Phi 2": {"model_type": "phi", "partial_rotary_factor": 0.4},
    "Phi 3": {"model_type": "phi3", "sliding_window": 2047},
    "Phi 3 (long)": {
        "model_type": "phi3",
        "max_position_embeddings": 131072,
        "rope_scaling": LONG_ROPE,
    },
    "GPT-2": {"model_type": "gpt2"},
    "GPT-NeoX": {"model_type": "gpt_neox"},
    "OPT": {"model_type": "opt"},
    "SmolLM 3": {"model_type": "smollm3"},
    "Granite": {
        "model_type": "granite",
        "num_key_value_heads": 8,
        "embedding_multiplier": 12.0,
        "attention_multiplier": 0.25,
        "residual_multiplier": 0.22,
        "logits_scaling": 8.0,
        "tie_word_embeddings": True,
    },
    "OLMo": {"model_type": "olmo"},
    "OLMo 2": {"model_type": "olmo2"},
    "Nemotron": {"model_type": "nemotron", "num_key_value_heads": 8},
    "GLM 4": {"model_type": "glm"},
    "ERNIE 4.5": {"model_type": "ernie4_5"},
    "HunYuan (dense)": {"model_type": "hunyuan_v1_dense", "head_dim": 128},
    "LFM 2": {
        "model_type": "lfm2",
        "layer_types": (["conv", "conv", "full_attention", "conv"] * 8),
        "full_attn_idxs": None,
    },
    "gpt-oss": {"model_type": "gpt_oss"},
}

ENCODER_FAMILIES: dict[str, Config] = {
    "BERT": {"model_type": "bert"},
    "RoBERTa": {"model_type": "roberta"},
    "DistilBERT": {"model_type": "distilbert"},
    "XLM-RoBERTa": {"model_type": "xlm-roberta"},
    "ALBERT": {"model_type": "albert"},
    "ELECTRA": {"model_type": "electra"},
    "CamemBERT": {"model_type": "camembert"},
    "MPNet": {"model_type": "mpnet"},
    "DeBERTa 3": DEBERTA_V3,
    "ModernBERT": {"model_type": "modernbert"},
}

FAMILIES: dict[str, dict[str, Config]] = {CAUSAL: CAUSAL_FAMILIES, ENCODER: ENCODER_FAMILIES}
