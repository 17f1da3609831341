"""Scaling inputs of matrices without changing what a decoder computes, as AWQ does.

A `Fold` is a place where the inputs of some matrices can be divided by factors: the weights of a
norm, or rows of the matrix before, take the division; the columns of the matrices take the
product. Knows nothing of which factors are good.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tuner.passes.base import PassError
from tuner.quantization.decoder import Block

_NORMS = {"input_layernorm", "post_attention_layernorm"}


@dataclass(frozen=True, slots=True)
class Fold:
    """One such place: the matrices (by name within their block) that read the divided inputs.

    `shared(sizes)` maps one number for each input to the numbers of a whole set of inputs that
    must have the same factor; `divide(factors)` folds them and gives the factors that were
    really taken, [in].
    """

    names: list[str]
    divide: Callable[[Any], Any]
    shared: Callable[[Any], Any] = lambda sizes: sizes

    def apply(self, block: Block, factors: Any) -> Any:
        """Divide the inputs and multiply the columns; the factors really taken."""
        taken = self.divide(factors)
        for name in self.names:
            block.linears[name].weight.data *= taken
        return taken


def folds(block: Block, config: Any, dtype: Any) -> list[Fold]:
    """Every fold of a block, in the order in which data flows.

    `dtype`: how weights of norms are stored; factors follow their rounding.
    PassError where the block is not built as in Llama or Phi-3.
    """
    attention, output, gates, down = block.stages()
    _refuse_norms(block)
    return [
        Fold(attention, _into_norm(block.module.input_layernorm, dtype)),
        _into_values(block, config, output),
        Fold(gates, _into_norm(block.module.post_attention_layernorm, dtype)),
        Fold(down, _into_rows(_last_rows(block, gates, block.linears[down[0]].in_features))),
    ]


def _refuse_norms(block: Block) -> None:
    """Only where both norms feed matrices, and their weights multiply, can they take a factor."""
    import torch

    norms = {n for n, m in block.module.named_children() if "norm" in type(m).__name__.lower()}
    if norms != _NORMS:
        raise PassError(
            f"awq knows the norms of Llama and Phi-3 ({', '.join(sorted(_NORMS))}), and "
            f"{block.name} has {', '.join(sorted(norms)) or 'none'}: use gptq, which needs none"
        )
    for name in sorted(norms):
        norm = getattr(block.module, name)
        probe = torch.linspace(-1, 1, norm.weight.shape[0])[None]
        before = norm(probe)
        norm.weight.data *= 2
        doubled = norm(probe)
        norm.weight.data /= 2
        if not torch.allclose(doubled, 2 * before):
            raise PassError(
                f"awq cannot fold factors into {type(norm).__name__}, whose weights do not "
                "multiply its output: use gptq, which needs no folding"
            )


def _into_norm(norm: Any, dtype: Any) -> Callable[[Any], Any]:
    import torch

    def divide(factors: Any) -> Any:
        before = norm.weight.data.clone()
        norm.weight.data = (before / factors).to(dtype).float()
        return torch.where(norm.weight.data == 0, factors, before / norm.weight.data)

    return divide


def _into_rows(rows: list[Any]) -> Callable[[Any], Any]:
    """Fold into rows of a matrix (and of its bias): views of the very tensors."""

    def divide(factors: Any) -> Any:
        for view in rows:
            view /= factors.reshape(-1, *[1] * (view.dim() - 1))
        return factors

    return divide


def _last_rows(block: Block, names: list[str], count: int) -> list[Any]:
    """The last `count` rows of the last of these matrices, and its bias: values, or up."""
    linear = block.linears[names[-1]]
    tensors = [linear.weight] if linear.bias is None else [linear.weight, linear.bias]
    return [tensor.data[-count:] for tensor in tensors]


def _into_values(block: Block, config: Any, output: list[str]) -> Fold:
    """The inputs of the output projection are values; query heads of a group share theirs."""
    heads, groups = config.num_attention_heads, config.num_key_value_heads
    width = block.linears[output[0]].in_features // heads
    rows = _last_rows(block, block.stages()[0], groups * width)
    divide_rows = _into_rows(rows)

    def shared(sizes: Any) -> Any:
        by_group = sizes.reshape(groups, heads // groups, width).mean(1, keepdim=True)
        return by_group.expand(groups, heads // groups, width).reshape(-1)

    def divide(factors: Any) -> Any:
        divide_rows(factors.reshape(groups, heads // groups, width)[:, 0].reshape(-1))
        return factors

    return Fold(output, divide, shared)
