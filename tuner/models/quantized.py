"""The "quantized" format: a causal checkpoint whose matrices are packed into few bits.

The model builder of ONNX Runtime GenAI and other readers of GPTQ checkpoints load it; the layout,
and reading it, is `evaluators.runtimes.packed`. Knows nothing of how the numbers were chosen.
Heavy libraries are imported inside the functions.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evaluators.runtimes.packed import CONFIG_KEY, Matrix, Scheme, dtype_of, load_dequantized
from tuner.models.checkpoint import copy_other_files, read_config

__all__ = ["Matrix", "Scheme", "dtype_of", "load_dequantized", "save_quantized"]

WEIGHTS_FILE = "model.safetensors"


def save_quantized(
    model: Any, matrices: Mapping[str, Matrix], scheme: Scheme, source: Path, output: Path
) -> None:
    """Write a checkpoint of `model` with `matrices` (by module name) in place of their weights.

    Tensors that are not packed keep the data type that the checkpoint `source` declares; its
    other files are copied.
    """
    import torch
    from safetensors.torch import save_file

    kept = _float_tensors(model, {f"{name}.weight" for name in matrices}, dtype_of(source))
    packed = {
        f"{name}.{part}": tensor
        for name, matrix in matrices.items()
        for part, tensor in matrix.packed(scheme.bits).items()
    }
    tensors: dict[str, torch.Tensor] = dict(sorted((kept | packed).items()))
    copy_other_files(source, output, but=("config.json",))
    save_file(tensors, output / WEIGHTS_FILE, metadata={"format": "pt"})
    config = read_config(source) | {CONFIG_KEY: scheme.to_json()}
    text = json.dumps(config, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    (output / "config.json").write_text(text, encoding="utf-8")


def _float_tensors(model: Any, without: set[str], dtype: Any) -> dict[str, Any]:
    """The model's tensors but `without`, each once: a tied head is the embedding."""
    if model.config.tie_word_embeddings:
        head = model.get_output_embeddings()
        tied = {name for name, module in model.named_modules() if module is head}
        without = without | {f"{name}.weight" for name in tied}
    return {
        name: tensor.detach().to(dtype).contiguous() if tensor.is_floating_point() else tensor
        for name, tensor in model.state_dict().items()
        if name not in without
    }
