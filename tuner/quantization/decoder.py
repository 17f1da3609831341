"""The matrices of a decoder: which are quantised, and what of a model the layout cannot hold.

Made for models of the Llama family and for Phi-3, whose query, key and value (and gate and up)
come as one matrix. The output head and the embedding are left alone. Knows nothing of methods.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tuner.models.quantized import Scheme
from tuner.passes.base import PassError
from tuner.quantization.parameters import GROUPS

_MATRIX = re.compile(
    r"model\.layers\.\d+\."
    r"(self_attn\.(q_proj|k_proj|v_proj|o_proj|qkv_proj)"
    r"|mlp\.(gate_proj|up_proj|down_proj|gate_up_proj))"
)
_WORD = 32

_ORDER = (
    ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.qkv_proj"),
    ("self_attn.o_proj",),
    ("mlp.gate_proj", "mlp.up_proj", "mlp.gate_up_proj"),
    ("mlp.down_proj",),
)
"""Matrices of a block in the order in which data flows; those of one entry read the same input."""


@dataclass(frozen=True, slots=True)
class Block:
    """One layer of the decoder: its module, and its matrices (nn.Linear) by name within it."""

    name: str
    module: Any
    linears: Mapping[str, Any]

    def full(self, name: str) -> str:
        """The name of a matrix in the whole model."""
        return f"{self.name}.{name}"

    def stages(self) -> list[list[str]]:
        """The matrices in the order in which data flows, those with the same input together."""
        found = ([name for name in names if name in self.linears] for names in _ORDER)
        return [names for names in found if names]


def blocks(model: Any) -> list[Block]:
    """The decoder's layers in order. PassError where its layout is not known."""
    layers = getattr(getattr(model, "model", None), "layers", None)
    if layers is None:
        raise PassError(
            f"weights of {type(model).__name__} cannot be packed: expected a decoder of the Llama "
            "family or Phi-3 (model.layers, with self_attn and mlp)"
        )
    return [_block(f"model.layers.{i}", layer) for i, layer in enumerate(layers)]


def _block(name: str, module: Any) -> Block:
    linears = {n: m for n, m in module.named_modules() if type(m).__name__ == "Linear"}
    for short in linears:
        if not _MATRIX.fullmatch(f"{name}.{short}"):
            raise PassError(
                f"{name}.{short} has no place in the packed layout: expected the matrices of the "
                "Llama family or of Phi-3 (q_proj, k_proj, v_proj or qkv_proj, o_proj, gate_proj, "
                "up_proj or gate_up_proj, down_proj)"
            )
    if not linears:
        raise PassError(f"{name} has no linear layer to quantise ({type(module).__name__})")
    return Block(name, module, linears)


def refuse_sizes(found: list[Block], scheme: Scheme) -> None:
    """PassError where a matrix does not divide into groups, or its zero points not into words."""
    for block in found:
        for name, linear in block.linears.items():
            _refuse_width(block.full(name), linear.in_features, found, scheme.group_size)
            if linear.out_features % (_WORD // scheme.bits):
                raise PassError(
                    f"{block.full(name)} has {linear.out_features} outputs, and zero points of "
                    f"{scheme.bits} bits are packed by {_WORD // scheme.bits}: such a model cannot "
                    "be packed; quantise it in genai_builder instead"
                )


def _refuse_width(name: str, width: int, found: list[Block], group: int) -> None:
    if width % group == 0:
        return
    widths = {m.in_features for block in found for m in block.linears.values()}
    fitting = [str(size) for size in GROUPS if all(w % size == 0 for w in widths)]
    raise PassError(
        f"{name} has rows of {width} weights, which groups of {group} do not divide; "
        + (f"group_size {', '.join(fitting)} fits this model" if fitting else "none fits it")
    )
