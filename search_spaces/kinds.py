"""Which kind of model a transformers checkpoint is, told from its configuration alone.

Knows nothing of torch or transformers: a space is checked before either is imported.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from search_spaces.problems import listed

CAUSAL, ENCODER = "causal", "encoder"

_ENCODERS = frozenset(
    {
        "albert",
        "bert",
        "big_bird",
        "camembert",
        "convbert",
        "data2vec-text",
        "deberta",
        "deberta-v2",
        "distilbert",
        "electra",
        "ernie",
        "esm",
        "eurobert",
        "flaubert",
        "fnet",
        "funnel",
        "gte",
        "ibert",
        "longformer",
        "luke",
        "megatron-bert",
        "mobilebert",
        "modernbert",
        "mpnet",
        "mra",
        "nomic_bert",
        "nystromformer",
        "rembert",
        "roberta",
        "roberta-prelayernorm",
        "roc_bert",
        "roformer",
        "squeezebert",
        "xlm",
        "xlm-roberta",
        "xlm-roberta-xl",
        "xmod",
        "yoso",
    }
)
_CAUSAL_HEADS = ("ForCausalLM", "LMHeadModel")
_LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")


def kind_of(config: Mapping[str, Any]) -> str | None:
    """The kind of a checkpoint, "causal" or "encoder"; None where it is neither.

    The architecture's name decides, then the model's type: a checkpoint of a bare BERT has no
    head in its name. Encoder-decoder models are neither, nor are other types with a head for
    anything else than text to come, such as a classifying Llama, or without a vocabulary.
    """
    if config.get("is_encoder_decoder"):
        return None
    architectures = config.get("architectures") or [""]
    name = str(architectures[0])
    if name.endswith(_CAUSAL_HEADS):
        return CAUSAL
    if config.get("model_type") in _ENCODERS:
        return ENCODER
    bare = "For" not in name and "vocab_size" in config
    return CAUSAL if bare and any(layers in config for layers in _LAYERS) else None


def kind_of_folder(folder: Path) -> str | None:
    """The kind of the checkpoint in a folder; None where that cannot be told."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return kind_of(config) if isinstance(config, dict) else None


def kind_of_source(model_format: str, folder: Path) -> str | None:
    """The kind of a model of this format in a folder; of an adapter ask that of its base."""
    if model_format in ("genai", "quantized"):
        return CAUSAL
    return ENCODER if model_format == "onnx" else kind_of_folder(folder)


def kind_words(kinds: Iterable[str]) -> str:
    """Kinds of model in words, as a message names them."""
    words = {CAUSAL: "language models that generate", ENCODER: "encoders"}
    return listed(words[kind] for kind in sorted(kinds))
