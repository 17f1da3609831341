"""What every quantiser does around its method: load, refuse what cannot be packed, write.

Knows nothing of methods.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tuner.models.quantized import Matrix, Scheme, save_quantized
from tuner.passes.base import StageContext
from tuner.quantization.decoder import Block, blocks, refuse_sizes
from tuner.quantization.parameters import scheme_of

Method = Callable[[Any, list[Block], Scheme], Mapping[str, Matrix]]
"""(model, its blocks, how to pack) -> the matrices by their names in the model."""


def run_quantiser(context: StageContext, method: Method) -> None:
    """Quantise the context's checkpoint by `method`, which may change the model it is given."""
    import torch

    from tuner.models.checkpoint import load_causal

    scheme = scheme_of(context.parameters)
    model = load_causal(context.model, torch.float32)
    found = blocks(model)
    refuse_sizes(found, scheme)
    with torch.no_grad():
        matrices = method(model, found, scheme)
    save_quantized(model, matrices, scheme, context.model.path, context.output)


def each_matrix(found: list[Block], quantise: Callable[[Any], Matrix]) -> dict[str, Matrix]:
    """Every matrix quantised from its weights [out, in] alone."""
    return {
        block.full(name): quantise(linear.weight)
        for block in found
        for name, linear in block.linears.items()
    }
