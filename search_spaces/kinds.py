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
        "camembert",
        "deberta",
        "deberta-v2",
        "distilbert",
        "electra",
        "modernbert",
        "mpnet",
        "roberta",
        "xlm-roberta",
    }
)
_CAUSAL_HEADS = ("ForCausalLM", "LMHeadModel")


def kind_of(config: Mapping[str, Any]) -> str | None:
    """The kind of a checkpoint, "causal" or "encoder"; None where it is neither.

    The architecture's name decides, then the model's type: a checkpoint of a bare BERT has no
    head in its name. Encoder-decoder models are neither.
    """
    if config.get("is_encoder_decoder"):
        return None
    architectures = config.get("architectures") or [""]
    if str(architectures[0]).endswith(_CAUSAL_HEADS):
        return CAUSAL
    if config.get("model_type") in _ENCODERS:
        return ENCODER
    return CAUSAL if "num_hidden_layers" in config or "n_layer" in config else None


def kind_of_folder(folder: Path) -> str | None:
    """The kind of the checkpoint in a folder; None where that cannot be told."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return kind_of(config) if isinstance(config, dict) else None


def kind_words(kinds: Iterable[str]) -> str:
    """Kinds of model in words, as a message names them."""
    words = {CAUSAL: "language models that generate", ENCODER: "encoders"}
    return listed(words[kind] for kind in sorted(kinds))
