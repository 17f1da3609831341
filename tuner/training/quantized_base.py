"""A base model whose matrices bitsandbytes holds in 4 bits while adapters are trained on it.

How it was quantised is a small record, which lies beside the adapter, so that the base can be had
again as training saw it. Knows nothing of adapters.
Source: Dettmers et al., "QLoRA: Efficient Finetuning of Quantized LLMs" (2023).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from evaluators.base import Artifact
from tuner.models.checkpoint import load_causal
from tuner.training.settings import FromParameters

DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}


@dataclass(frozen=True, slots=True)
class Quantisation(FromParameters):
    """How bitsandbytes holds the matrices; the names are the pass's parameters."""

    quant_type: str
    double_quant: bool
    compute_dtype: str

    def to_json(self) -> dict[str, Any]:
        """The record, as `Quantisation(**record)` takes it."""
        return asdict(self)


def load_quantised(folder: Path, how: Quantisation, device: str) -> Any:
    """The language model of a checkpoint with 4-bit matrices; the rest, and the head, is fp32."""
    import torch
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    return AutoModelForCausalLM.from_pretrained(
        folder,
        dtype=torch.float32,
        quantization_config=BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type=how.quant_type,
            bnb_4bit_use_double_quant=how.double_quant,
            bnb_4bit_compute_dtype=getattr(torch, DTYPES[how.compute_dtype]),
        ),
        device_map={"": device},
        local_files_only=True,
        trust_remote_code=False,
    )


def load_as_seen(model: Artifact, how: Quantisation) -> Any:
    """The language model of a checkpoint with the float weights that its 4-bit matrices stand for.

    On the CPU, fp32; of the same modules as the checkpoint's own model.
    """
    import torch
    from bitsandbytes.functional import dequantize_4bit
    from transformers.pytorch_utils import Conv1D

    packed = load_quantised(model.path, how, "cpu")
    seen = load_causal(model, torch.float32)
    with torch.no_grad():
        for name, module in packed.named_modules():
            if type(module).__name__ == "Linear4bit":
                weight = dequantize_4bit(module.weight.data, module.weight.quant_state)
                target = seen.get_submodule(name)
                target.weight.copy_(weight.T if isinstance(target, Conv1D) else weight)
    return seen
