"""How far the results of passes may lie from what came in: what `Pass.tolerance` is made of.

Mean KL divergences in nats, on the texts of `evaluators.fidelity`. Each bound is about three
times the worst, or more, that was seen of honest results with usual parameters, on
SmolLM2-135M-Instruct, on a fine-tuned MiniLM classifier (its rows, and other
texts) and on the tests' tiny models:

    merged, exported, fused, built in fp32   1e-6 (GELU approximated), else 1e-9
    weights in 16 bits                       2e-5 (fp16), 7e-5 (bf16); computed in bf16: 2e-3
    weights in 8 bits                        0.007
    weights in 4 bits                        0.2 to 0.6 in blocks of 32, 1.03 in blocks of 256
    packed layers, head in 4 bits            0.14
    8-bit operators fused or not             0.005
    activations in 8 bits as well            0.72 (SmolLM2), 0.81 (MiniLM, ranges cut at 99 %)

Of wrong ones, on SmolLM2: all norms taken for one 12, the head's rows in another order 10, those of
every query matrix 4.7; but in one layer of 30 0.1 to 0.3, which is nothing beside rounding to
4 bits: such a fault is found where the same pass is asked for 8 bits or more, as the baseline is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from search_spaces.vocabulary import Value

EXACT = 1e-3
"""The same numbers in another place: merged, exported or built in 32 bits."""

FUSED = 5e-2
"""Operators that are fused, or not: next to nothing in floats, but of 8-bit ones others round."""

HALF = 2e-2
"""Numbers of 16 bits."""

_BITS = {32: EXACT, 16: HALF, 8: 0.1, 4: 3.0}
"""Bits of a weight -> how far; activations that are multiplied by them in 8 bits included."""

PACKED_HEAD = 1.0
"""Layers that were packed before; only the output head and the embedding are rounded now."""

EIGHT_BIT_ACTIVATIONS = 3.0
"""Activations in 8 bits with one scale for a whole tensor: outliers cost all the others."""

OTHER_PROVIDER = 0.1
"""A provider that computes quantised matrices in its own way."""


def of_bits(bits: Value) -> float | None:
    """What weights of so many bits may change; None, nothing to hold a pass to, below 4 bits."""
    assert isinstance(bits, int)
    return _BITS.get(bits)


def of_genai(parameters: Mapping[str, Value], model_format: str) -> float | None:
    """What the GenAI builder may change: by the fewest bits that anything is kept in.

    Of layers that came packed only what is rounded besides counts.
    """
    given = (re.search(r"\d+", str(parameters.get(place))) for place in _GENAI_PLACES)
    bits = min(int(found.group()) for found in given if found)
    rounded_here = model_format != "quantized" or parameters["kv_cache"] != "none"
    return PACKED_HEAD if bits == 4 and not rounded_here else of_bits(bits)


_GENAI_PLACES = (
    "precision",
    "head_precision",
    "sensitive_precision",
    "linear_attention_precision",
    "moe_precision",
    "kv_cache",
)
"""The parameters that name bits (int4, bf16, fp8_per_tensor); null or none: nothing of its own."""
