"""Reads peft LoRA adapters, and checks that they fit a base model before anything is built.

What comes out is what a graph needs: for each adapted matrix the two factors, transposed, with
the adapter's strength in the second. Knows nothing of graphs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search_spaces.problems import hint, listed
from search_spaces.sources import ADAPTER_CONFIG, BASE_KEY
from tuner.genai.errors import Unbuildable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CONFIG, WEIGHTS = ADAPTER_CONFIG, "adapter_model.safetensors"

_KEY = re.compile(r"^base_model\.model\.(?P<module>.+)\.lora_(?P<factor>[AB])\.weight$")
_NOT_LORA = {
    "use_dora": "is a DoRA adapter, whose magnitudes change with the weights they scale",
    "modules_to_save": "replaces whole modules, which adapters on one base cannot",
    "trainable_token_indices": "replaces rows of the embedding, which adapters on one base cannot",
    "layer_replication": "repeats layers, which adapters on one base cannot",
    "lora_bias": "has biases, which the graph has no place for",
    "target_parameters": "adapts parameters that are no linear modules",
    "fan_in_fan_out": "stores its weights transposed, as for GPT-2, which is not read",
    "alora_invocation_tokens": "is switched on by tokens (aLoRA), which the graph cannot do",
    "use_bdlora": "has block-diagonal factors, which are not read",
}
_CHANGED_BASE = ("pissa", "olora", "corda", "loftq", "lora_ga")


@dataclass(frozen=True, slots=True)
class Factors:
    """The change of one matrix: x @ a @ b. `a`: [in, rank], `b`: [rank, out], float32."""

    a: NDArray[np.float32]
    b: NDArray[np.float32]

    @property
    def rank(self) -> int:
        """The rank of the change."""
        return int(self.a.shape[1])


Adapter = Mapping[str, Factors]
"""An adapter: module name in the base ("model.layers.0.mlp.up_proj") -> its change."""


def refusal(folder: Path) -> str | None:
    """Why an adapter cannot be used at all, told from its configuration; None where it can."""
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return f"{folder} is no adapter: there is no {CONFIG} in it"
    except (OSError, ValueError) as error:
        return f"{folder / CONFIG} cannot be read: {error}"
    if config.get("peft_type") != "LORA":
        return f"{folder} is a {config.get('peft_type')} adapter, expected LORA"
    for key, why in _NOT_LORA.items():
        if config.get(key):
            return f"{folder} {why} ({key}); merge_adapter can put it into the base"
    if config.get("bias", "none") != "none":
        return f"{folder} trained biases of the base; merge_adapter can put them into it"
    start = str(config.get("init_lora_weights"))
    if start.startswith(_CHANGED_BASE):
        return (
            f"{folder} was trained on a base that its start ({start}) had changed, and cannot be "
            "used with the base as it was; save it converted to plain LoRA"
        )
    if not (folder / WEIGHTS).is_file():
        return f"{folder} has no {WEIGHTS}"
    return None


def content_key(folder: Path) -> str:
    """SHA-256 (hex) of an adapter, whatever it calls its base; "absent" where it cannot be read."""
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        config.pop(BASE_KEY, None)  # a place on this machine, mostly
        digest = sha256(json.dumps(config, sort_keys=True).encode())
        digest.update(sha256((folder / WEIGHTS).read_bytes()).digest())
    except (OSError, ValueError, AttributeError):
        return "absent"
    return digest.hexdigest()


def read_adapter(folder: Path) -> Adapter:
    """An adapter with its strength multiplied in; Unbuildable where it cannot be read."""
    import torch
    from safetensors.torch import load_file

    why = refusal(folder)
    if why is not None:
        raise Unbuildable(why)
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    found: dict[str, dict[str, Any]] = {}
    for key, tensor in load_file(folder / WEIGHTS).items():
        match = _KEY.match(key)
        if match is None:
            raise Unbuildable(f"{folder / WEIGHTS}: {key} is no factor of a LoRA of linear modules")
        found.setdefault(match["module"], {})[match["factor"]] = tensor.to(torch.float32)
    if not found:
        raise Unbuildable(f"{folder / WEIGHTS} holds no LoRA factors")
    return {module: _factors(folder, config, module, found[module]) for module in sorted(found)}


def _factors(folder: Path, config: Mapping[str, Any], module: str, pair: Any) -> Factors:
    if pair.keys() != {"A", "B"} or pair["A"].shape[0] != pair["B"].shape[1]:
        shapes = listed((f"lora_{k} {list(v.shape)}" for k, v in sorted(pair.items())), "and")
        raise Unbuildable(f"{folder / WEIGHTS}: {module} has {shapes}, which do not fit together")
    rank = pair["A"].shape[0]
    strength = _strength(config, module, rank)
    return Factors(pair["A"].T.contiguous().numpy(), (pair["B"].T * strength).contiguous().numpy())


def _strength(config: Mapping[str, Any], module: str, rank: int) -> float:
    """Alpha / r, or alpha / sqrt(r) of a rank-stabilised adapter; alpha may differ by module."""
    patterns = config.get("alpha_pattern") or {}
    given = (v for p, v in patterns.items() if re.match(rf"(.*\.)?({p})$", module))
    alpha = float(next(given, config.get("lora_alpha", 8)))
    return alpha / (rank**0.5 if config.get("use_rslora") else rank)


def check_fits(name: str, adapter: Adapter, shapes: Mapping[str, tuple[int, int]]) -> None:
    """Unbuildable where an adapter does not fit a base whose linear modules have these shapes.

    `shapes`: module name -> (in, out).
    """
    for module, factors in adapter.items():
        if module not in shapes:
            near = hint(module, shapes)
            raise Unbuildable(f"adapter {name} changes {module}, which the base lacks{near}")
        found = (factors.a.shape[0], factors.b.shape[1])
        if found != shapes[module]:
            raise Unbuildable(
                f"adapter {name} was trained on another base: its {module} takes {found[0]} "
                f"inputs and gives {found[1]} outputs, but this base's {module} takes "
                f"{shapes[module][0]} and gives {shapes[module][1]}"
            )


def linear_shapes(base: Path) -> dict[str, tuple[int, int]]:
    """(in, out) of every linear module of a checkpoint, by name; nothing is loaded."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(base, local_files_only=True, trust_remote_code=False)
    if hasattr(config, "quantization_config"):
        del config.quantization_config  # the shapes are those of the float model
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    return dict(_linear(model))


def _linear(model: Any) -> Iterator[tuple[str, tuple[int, int]]]:
    import torch

    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear):
            yield name, (module.in_features, module.out_features)
