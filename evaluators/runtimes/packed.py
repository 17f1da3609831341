"""The packed layout of "quantized" checkpoints, and such a checkpoint loaded as floats.

The layout is the one that GPTQ checkpoints have on the model hub (`quantization_config` with
quant_method gptq, version 1 of the format). Knows nothing of how the numbers were chosen, or of
how a checkpoint is written. Heavy libraries are imported inside the functions.

For each packed matrix of `in` x `out` weights, in groups of `group_size` inputs:
    qweight  int32   [in * bits / 32, out]      codes, the first in the lowest bits
    qzeros   int32   [groups, out * bits / 32]  zero points less one, modulo 2**bits
    scales   float16 [groups, out]
    g_idx    int32   [in]                       the group of each input, in order
A weight is (code - zero point) * scale. Every other tensor is as it was.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search_spaces.sources import packing_problem

CONFIG_KEY = "quantization_config"
PACKED = ("qweight", "qzeros", "scales", "g_idx")

_WORD = 32
_PLAIN = "has plain weights, expected a checkpoint with quant_method gptq"


@dataclass(frozen=True, slots=True)
class Scheme:
    """How every matrix of a checkpoint is packed."""

    bits: int
    group_size: int
    symmetric: bool

    @property
    def levels(self) -> int:
        """How many values a code can have."""
        return 1 << self.bits

    @property
    def middle(self) -> int:
        """The zero point of every group where the scheme is symmetric."""
        return self.levels // 2

    def to_json(self) -> dict[str, Any]:
        """The `quantization_config` of config.json."""
        return {
            "quant_method": "gptq",
            "checkpoint_format": "gptq",
            "bits": self.bits,
            "group_size": self.group_size,
            "sym": self.symmetric,
            "desc_act": False,
            "lm_head": False,
        }

    @classmethod
    def of(cls, folder: Path) -> Scheme:
        """The scheme of a checkpoint. ValueError where it is not in this layout."""
        found = _config(folder).get(CONFIG_KEY)
        why = packing_problem(found) if found else _PLAIN
        if found is None or why is not None:
            raise ValueError(f"{folder} {why}")
        return cls(int(found["bits"]), int(found["group_size"]), bool(found.get("sym")))


@dataclass(frozen=True, slots=True)
class Matrix:
    """One quantised matrix: codes uint8 [out, in], zeros uint8 and scales float16 [out, groups]."""

    codes: Any
    zeros: Any
    scales: Any

    def dequantised(self) -> Any:
        """The weights that it stands for, float32 [out, in]."""
        out, groups = self.scales.shape
        codes = self.codes.reshape(out, groups, -1).float()
        weights = (codes - self.zeros.float()[:, :, None]) * self.scales.float()[:, :, None]
        return weights.reshape(out, -1)

    def packed(self, bits: int) -> dict[str, Any]:
        """The tensors of the layout, by their last names."""
        import torch

        inputs, groups = self.codes.shape[1], self.scales.shape[1]
        stored = (self.zeros.to(torch.int32) - 1) & ((1 << bits) - 1)
        return {
            "qweight": _pack(self.codes, bits).T.contiguous(),
            "qzeros": _pack(stored.T, bits),
            "scales": self.scales.T.to(torch.float16).contiguous(),
            "g_idx": torch.arange(inputs, dtype=torch.int32) // (inputs // groups),
        }

    @classmethod
    def unpacked(cls, tensors: Mapping[str, Any], bits: int) -> Matrix:
        """The matrix of `packed`. ValueError where the inputs of groups are not in order."""
        import torch

        groups, inputs = tensors["scales"].shape[0], tensors["g_idx"].shape[0]
        if not torch.equal(tensors["g_idx"].long(), torch.arange(inputs) // (inputs // groups)):
            raise ValueError("groups whose inputs are not in order (act-order) are not read")
        zeros = (_unpack(tensors["qzeros"], bits) + 1) & ((1 << bits) - 1)
        return cls(
            _unpack(tensors["qweight"].T, bits).to(torch.uint8),
            zeros.T.to(torch.uint8).contiguous(),
            tensors["scales"].T.contiguous(),
        )


def _pack(values: Any, bits: int) -> Any:
    """Numbers of `bits` bits, [rows, n], as int32 [rows, n * bits / 32]."""
    import torch

    per_word = _WORD // bits
    shifts = torch.arange(per_word, dtype=torch.int64) * bits
    words = values.to(torch.int64).reshape(values.shape[0], -1, per_word) << shifts
    return words.sum(-1).to(torch.int32)  # above 2**31 it wraps, as the layout wants it


def _unpack(words: Any, bits: int) -> Any:
    """What `_pack` was given, as int32."""
    import torch

    shifts = torch.arange(_WORD // bits, dtype=torch.int32) * bits
    values = (words[:, :, None] >> shifts) & ((1 << bits) - 1)
    return values.reshape(words.shape[0], -1)


def dtype_of(folder: Path) -> Any:
    """The torch data type that a checkpoint declares for its weights; float32 where it does not."""
    import torch

    config = _config(folder)
    return getattr(torch, str(config.get("dtype") or config.get("torch_dtype") or "float32"))


def load_dequantized(folder: Path, dtype: Any = "auto") -> Any:
    """The model of a "quantized" checkpoint with float weights, on the CPU, in eval mode.

    Its weights are those that the packed ones stand for. `dtype`: a torch data type, or "auto"
    for the one that the checkpoint declares. ValueError where the folder is not in this layout,
    or lacks tensors.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    scheme = Scheme.of(folder)
    config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    del config.quantization_config  # the loader would look for a library that unpacks it
    wanted = dtype_of(folder) if dtype == "auto" else dtype
    with torch.device("meta"):  # only to learn the class; nothing is allocated
        kind = type(AutoModelForCausalLM.from_config(config))
    state = {name: tensor.to(wanted) for name, tensor in _dequantised(folder, scheme).items()}
    model, found = kind.from_pretrained(
        None, config=config, state_dict=state, dtype=wanted, output_loading_info=True
    )
    refuse_missing(folder, found["missing_keys"])
    return model


def refuse_missing(folder: Path, missing: Iterable[str]) -> None:
    """ValueError for tensors that a checkpoint lacks: the loader fills the gaps at random."""
    names = sorted(missing)
    if names:
        raise ValueError(f"{folder}: the checkpoint lacks {len(names)} tensors, such as {names[0]}")


def _config(folder: Path) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return config


def _dequantised(folder: Path, scheme: Scheme) -> dict[str, Any]:
    """Every tensor of the checkpoint by name, packed ones as the float weights they stand for."""
    from safetensors.torch import load_file

    tensors: dict[str, Any] = {}
    for path in sorted(folder.glob("*.safetensors")):
        tensors |= load_file(path)
    names = [name.removesuffix(".qweight") for name in tensors if name.endswith(".qweight")]
    for name in names:
        parts = {part: tensors.pop(f"{name}.{part}") for part in PACKED}
        tensors[f"{name}.weight"] = Matrix.unpacked(parts, scheme.bits).dequantised()
    return tensors
