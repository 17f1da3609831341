"""What is known of a model before it is fetched: its kind, its sizes, the names of its layers.

Reads a configuration that is here already, and asks nobody. Knows nothing of spaces.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from search_spaces.kinds import CAUSAL, ENCODER, kind_of
from search_spaces.references import Reference
from tuner.init.errors import CannotWrite

_ENCODER_NAMES = re.compile(
    r"bert|minilm|mpnet|electra|(?:^|[-_/])(?:e5|bge|gte)[-_]", re.IGNORECASE
)
_ATTENTION = {
    "phi3": ("qkv_proj", "o_proj"),
    "gpt2": ("c_attn", "c_proj"),
    "gpt_neox": ("query_key_value", "dense"),
}
_USUAL_ATTENTION = ("q_proj", "v_proj")
_USUAL = (
    "llama",
    "mistral",
    "qwen",
    "gemma",
    "phi",
    "smollm",
    "olmo",
    "granite",
    "stablelm",
    "opt",
)


@dataclass(frozen=True, slots=True)
class Model:
    """`kind`: "causal" or "encoder". `config`: its config.json, empty where it is not here.

    `notice`: what was assumed of the kind and why; None where it is known.
    """

    reference: Reference
    kind: str
    config: Mapping[str, Any] = field(default_factory=dict)
    notice: str | None = None

    @property
    def layers(self) -> int | None:
        """How many transformer layers it has."""
        found = self.config.get("num_hidden_layers", self.config.get("n_layer"))
        return found if isinstance(found, int) else None

    @property
    def attention(self) -> tuple[str, ...] | None:
        """Names of attention's linear modules, where the architecture is a known one."""
        type_ = str(self.config.get("model_type", ""))
        return _ATTENTION.get(type_) or (_USUAL_ATTENTION if type_.startswith(_USUAL) else None)


def look_at(reference: Reference, kind: str | None) -> Model:
    """What can be known of a model here and now; `kind` as its user says, None: find out.

    CannotWrite for a folder that is no checkpoint, and for a kind of model that no pass takes.
    """
    config = _config(reference)
    if config is None and reference.kind == "path":
        raise CannotWrite(f"{reference.text} is no transformers checkpoint: it has no config.json")
    told = None if config is None else kind_of(config)
    if config is not None and told is None:
        architecture = (config.get("architectures") or ["model of an unknown kind"])[0]
        raise CannotWrite(
            f"{reference.text} ({architecture}) is neither a language model that generates nor an "
            "encoder: no pass takes it"
        )
    if kind is not None and told is not None and kind != told:
        raise CannotWrite(f"{reference.text} is no {kind} model, its config.json says {told}")
    found = told or kind
    return _guessed(reference) if found is None else Model(reference, found, config or {})


def _guessed(reference: Reference) -> Model:
    named = str(reference.member or reference.repo)
    if named.endswith(".gguf"):
        return Model(reference, CAUSAL)
    if _ENCODER_NAMES.search(named) is not None:
        notice = f"taken to be an encoder, by its name; if it is not: --kind {CAUSAL}"
        return Model(reference, ENCODER, notice=notice)
    notice = f"taken to be a language model that generates; if it is not: --kind {ENCODER}"
    return Model(reference, CAUSAL, notice=notice)


def _config(reference: Reference) -> Mapping[str, Any] | None:
    """The model's config.json; None where it is not here."""
    path = _cached(reference) if reference.kind == "hub" else reference.path
    try:
        config = None if path is None else json.loads((path / "config.json").read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return config if isinstance(config, dict) else None


def _cached(reference: Reference) -> Path | None:
    """The folder of the hub's local cache that has the configuration; None where there is none."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(str(reference.repo), "config.json", revision=reference.revision)
    return Path(found).parent if isinstance(found, str) else None
