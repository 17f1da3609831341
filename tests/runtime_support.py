"""What tests of runtimes share: models in two forms that say the same."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pass_support import filled_in

from evaluators.base import Artifact
from evaluators.runtimes.packed import Matrix, Scheme

AGREES = 1e-3
"""How far logits and log-probabilities may be apart, in fp32."""


def agree(first: Any, second: Any) -> None:
    np.testing.assert_allclose(first, second, rtol=0, atol=AGREES)


def save_like(network: Any, source: Path, folder: Path) -> Path:
    """Write a network as a checkpoint, with the tokenizer of another."""
    from transformers import AutoTokenizer

    network.save_pretrained(folder)
    AutoTokenizer.from_pretrained(source).save_pretrained(folder)
    return folder


def with_adapter(network: Any, targets: Sequence[str], head: Sequence[str] = ()) -> Any:
    """The network with a LoRA adapter whose weights are not nothing."""
    import torch
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(
        r=4,
        target_modules=list(targets),
        init_lora_weights=False,
        modules_to_save=list(head) or None,
    )
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return get_peft_model(network, config)


def rounded(weights: Any, scheme: Scheme) -> Matrix:
    """A matrix to the nearest of the scheme's levels."""
    import torch

    out = weights.shape[0]
    groups = weights.reshape(out, -1, scheme.group_size)
    scales = (groups.abs().amax(-1) / (scheme.middle - 1)).half()
    codes = (groups / scales[:, :, None].float()).round() + scheme.middle
    codes = codes.clamp(0, scheme.levels - 1).to(torch.uint8).reshape(out, -1)
    return Matrix(codes, torch.full(scales.shape, scheme.middle, dtype=torch.uint8), scales)


def quantised(source: Path, folder: Path) -> tuple[Artifact, Artifact]:
    """A packed checkpoint of a tiny Llama, and a plain one of the weights that it stands for."""
    from transformers import AutoModelForCausalLM

    from tuner.models.quantized import save_quantized

    network = AutoModelForCausalLM.from_pretrained(source)
    scheme = Scheme(bits=4, group_size=32, symmetric=True)
    modules = {
        name: module
        for name, module in network.named_modules()
        if name.endswith("_proj") and ".layers." in name
    }
    matrices = {name: rounded(m.weight.detach(), scheme) for name, m in modules.items()}
    (folder / "packed").mkdir(parents=True)
    save_quantized(network, matrices, scheme, source, folder / "packed")
    for name, module in modules.items():
        module.weight.data = matrices[name].dequantised()
    plain = save_like(network, source, folder / "plain")
    return Artifact("quantized", folder / "packed"), Artifact("hf", plain)


def adapted(source: Path, folder: Path) -> tuple[Artifact, Artifact]:
    """An adapter on a tiny Phi-3, and the checkpoint that it is merged into."""
    from transformers import AutoModelForCausalLM

    network = AutoModelForCausalLM.from_pretrained(source)
    network = with_adapter(network, ["qkv_proj", "o_proj"])
    network.save_pretrained(folder / "adapter")
    merged = save_like(network.merge_and_unload(), source, folder / "merged")
    adapter = Artifact("adapter", folder / "adapter", Artifact("hf", source))
    return adapter, Artifact("hf", merged)


def served(adapter: Artifact, folder: Path) -> Artifact:
    """A GenAI folder that has the adapter beside its base, active."""
    from tuner.passes import StageContext, all_passes

    pass_ = all_passes()["multi_lora"]
    folder.mkdir()
    parameters = filled_in(pass_, {"precision": "fp32"}, "adapter")
    pass_.run(StageContext(adapter, parameters, folder, "text-generation", None))
    return Artifact("genai", folder)
