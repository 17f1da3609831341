"""The transformer layers of a model, whatever its architecture calls them.

Knows nothing of which layers are worth keeping.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def transformer_layers(model: Any) -> tuple[str, Any]:
    """(name, list) of the model's transformer layers, a torch ModuleList.

    It is the list as long as the configuration says that there are layers; of several the one with
    the most weights. ValueError where there is none, as where all layers share their weights.
    """
    from torch.nn import ModuleList

    count = model.config.get_text_config().num_hidden_layers
    found = [
        (name, module)
        for name, module in model.named_modules()
        if isinstance(module, ModuleList) and len(module) == count
    ]
    if not found:
        kind = type(model).__name__
        raise ValueError(f"{kind} has no list of {count} transformer layers, each with its weights")
    return max(found, key=lambda item: sum(p.numel() for p in item[1].parameters()))


def keep_layers(model: Any, kept: Sequence[int]) -> dict[str, Any]:
    """Leave only these layers, by number in rising order; what changes in the configuration.

    Layers are numbered anew, as each finds its part of a key-value cache by its number.
    """
    from torch.nn import ModuleList

    name, layers = transformer_layers(model)
    parent, _, last = name.rpartition(".")
    left = ModuleList([layers[i] for i in kept])
    for number, layer in enumerate(left):
        for module in layer.modules():
            if hasattr(module, "layer_idx"):
                vars(module)["layer_idx"] = number
    setattr(model.get_submodule(parent), last, left)
    return _shorten(model.config, len(layers), kept)


def _shorten(config: Any, count: int, kept: Sequence[int]) -> dict[str, Any]:
    """Adjust the number of layers, and every list that has an entry for each; the new values."""
    changed: dict[str, Any] = {}
    for key, value in config.to_dict().items():
        if isinstance(value, list | tuple) and len(value) == count and "layer" in key:
            changed[key] = [value[i] for i in kept]
    changed[config.attribute_map.get("num_hidden_layers", "num_hidden_layers")] = len(kept)
    for key, value in changed.items():
        setattr(config, key, value)
    return changed
