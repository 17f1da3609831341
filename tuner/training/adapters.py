"""LoRA adapters: putting them on a model, and writing them as peft reads them.

Knows nothing of how they are trained or merged.
Sources: Hu et al., "LoRA" (2021); Kalajdzievski, "A Rank Stabilization Scaling Factor for
Fine-Tuning with LoRA" (2023); Liu et al., "DoRA" (2024); Meng et al., "PiSSA" (2024);
Büyükakyüz, "OLoRA" (2024); all as peft implements them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from search_spaces.problems import hint
from search_spaces.vocabulary import Value
from tuner.passes.base import PassError
from tuner.training.declarations import ALL_LINEAR
from tuner.training.settings import Adapters

FACTS = "trained_on.json"
"""What of an adapter's base is not in the base's own files: its labels, how it was quantised."""

_LINEAR = ("Linear", "Conv1D", "Linear4bit")
_MOVES_BASE = ("pissa", "olora")
_WEIGHTS = "adapter_model.safetensors"
_CONFIG = "adapter_config.json"


def check_targets(parameters: Mapping[str, Value]) -> list[str]:
    """What is wrong with target modules that say nothing, or two things."""
    value = parameters["target_modules"]
    targets = value if isinstance(value, tuple) else (value,)
    if not targets:
        return [f"target_modules is empty: name linear modules, or [{ALL_LINEAR}]"]
    if ALL_LINEAR in targets and len(targets) > 1:
        return [f"target_modules: {ALL_LINEAR} stands alone, it covers every other name"]
    return []


def add_adapters(model: Any, settings: Adapters, head: Sequence[str] = ()) -> Any:
    """The model with fresh adapters; only they, and the modules of `head`, are trained.

    `head`: names of an encoder's modules that classify; a language model has none.
    """
    from peft import LoraConfig, get_peft_model

    targets = target_modules(model, settings.targets, head)
    if settings.initialisation in _MOVES_BASE:
        _check_start(model, settings, targets, head)
    plain = settings.initialisation == "default"
    return get_peft_model(
        model,
        LoraConfig(
            task_type="SEQ_CLS" if head else "CAUSAL_LM",
            r=settings.r,
            lora_alpha=cast("int", settings.alpha),  # peft declares a whole number, takes any
            lora_dropout=settings.dropout,
            use_rslora=settings.rslora,
            use_dora=settings.dora,
            init_lora_weights=True if plain else cast("Any", settings.initialisation),
            target_modules=targets,
            modules_to_save=list(head) or None,
        ),
    )


def target_modules(
    model: Any, requested: tuple[str, ...], head: Sequence[str] = ()
) -> str | list[str]:
    """What peft is told; PassError where the model has no linear module of a requested name."""
    if requested == (ALL_LINEAR,):
        return ALL_LINEAR
    linear = _linear(model, head)
    short = sorted({name.rsplit(".", 1)[-1] for name in linear})
    for wanted in requested:
        if not any(_is_named(name, wanted) for name in linear):
            raise PassError(
                f"target_modules: this model has no linear module {wanted!r}{hint(wanted, short)}"
                f" It has {', '.join(short)}"
            )
    return sorted(requested)


def _linear(model: Any, head: Sequence[str]) -> dict[str, Any]:
    """The modules that can have adapters, by name: not the head."""
    output = model.get_output_embeddings()
    return {
        name: module
        for name, module in model.named_modules()
        if type(module).__name__ in _LINEAR
        and module is not output
        and not set(head) & set(name.split("."))
    }


def _is_named(name: str, wanted: str) -> bool:
    return f".{name}".endswith(f".{wanted}")


def _check_start(
    model: Any, settings: Adapters, targets: str | list[str], head: Sequence[str]
) -> None:
    """Refuse what peft would fail on, or get wrong without a word, beginning by the base."""
    found = {
        name: module
        for name, module in _linear(model, head).items()
        if targets == ALL_LINEAR or any(_is_named(name, wanted) for wanted in targets)
    }
    kind = settings.initialisation
    if kind == "olora" and any(type(module).__name__ == "Conv1D" for module in found.values()):
        raise PassError(
            "initialisation: olora cannot begin on this model's Conv1D modules; use pissa"
        )
    name, least = min(
        ((n, min(m.weight.shape)) for n, m in found.items()), key=lambda pair: pair[1]
    )
    if settings.r > least:
        raise PassError(f"initialisation: {kind} needs r of at most {least}, the rank of {name}")


def classifier_head(model: Any) -> list[str]:
    """The modules of an encoder that turn hidden states into labels: they are trained whole.

    What is beside the backbone, and the backbone's pooler, which the training of an encoder leaves
    aside or teaches something else.
    """
    backbone = model.base_model_prefix
    beside = [
        name
        for name, module in model.named_children()
        if name != backbone and any(True for _ in module.parameters())
    ]
    pooler = getattr(getattr(model, backbone), "pooler", None)
    return [*beside, *(["pooler"] if pooler is not None else [])]


def first_weights(model: Any, settings: Adapters) -> dict[str, Any]:
    """The adapters before training, where the base was changed to make up for them; else nothing.

    `save_adapter` takes them off again, so that the adapter belongs to the base as it is stored.
    """
    if settings.initialisation not in _MOVES_BASE:
        return {}
    from peft import get_peft_model_state_dict

    return {name: tensor.clone() for name, tensor in get_peft_model_state_dict(model).items()}


def save_adapter(
    model: Any, output: Path, first: Mapping[str, Any], facts: Mapping[str, Any]
) -> None:
    """Write the adapter, leaving out what peft adds of this machine or in random order.

    `first`: of `first_weights`. `facts`: what `read_facts` is to give back.
    """
    model.save_pretrained(output, save_embedding_layers=False)  # else it asks the hub about them
    (output / "README.md").unlink(missing_ok=True)
    config = json.loads((output / _CONFIG).read_text(encoding="utf-8"))
    config["base_model_name_or_path"] = None
    config["target_modules"] = sorted(config["target_modules"])
    if config["modules_to_save"]:
        config["modules_to_save"] = sorted(set(config["modules_to_save"]))
    if first:
        config |= _as_plain(output / _WEIGHTS, first, config)
    _write_json(output / _CONFIG, config)
    if facts:
        _write_json(output / FACTS, facts)


def read_facts(adapter: Path) -> dict[str, Any]:
    """What `save_adapter` was told of the base; empty where there was nothing to say."""
    path = adapter / FACTS
    if not path.exists():
        return {}
    facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return facts


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _as_plain(weights: Path, first: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """Rewrite the adapter as a difference to its first weights; what changes in its configuration.

    The base computes W - s*B0*A0 beside s*B*A, which is W beside s*[B, -B0]*[A; A0]: an adapter of
    twice the rank, on the base as it is stored.
    """
    import torch
    from safetensors.torch import load_file, save_file

    tensors = load_file(weights)
    for name, before in first.items():
        now = tensors[name]
        if ".lora_A." in name:
            tensors[name] = torch.cat([now, before.to(now)], 0).contiguous()
        elif ".lora_B." in name:
            tensors[name] = torch.cat([now, -before.to(now)], 1).contiguous()
    save_file(tensors, weights, metadata={"format": "pt"})
    scale = math.sqrt(2) if config["use_rslora"] else 2
    return {
        "r": 2 * config["r"],
        "lora_alpha": scale * config["lora_alpha"],
        "init_lora_weights": True,
    }
