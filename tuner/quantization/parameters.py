"""The parameters that quantisers have in common, and what they accept.

Loads no heavy library: declarations are read at no cost. Knows nothing of how rounding is done.
"""

from __future__ import annotations

from collections.abc import Mapping

from search_spaces.vocabulary import ParameterSpec, Value
from tuner.models.quantized import Scheme

BITS = (4, 8)
GROUPS = (16, 32, 64, 128, 256)
"""What both the packed layout and ONNX Runtime's MatMulNBits take."""


def scheme_parameters(*, symmetric: bool) -> tuple[ParameterSpec, ...]:
    """bits, group_size and symmetric, the last with this default."""
    return (
        ParameterSpec("bits", int, 4, "Bits of a weight.", choices=BITS),
        ParameterSpec(
            "group_size",
            int,
            32,
            "Weights of a row that share one scale; must divide the width of every matrix.",
            choices=GROUPS,
            search=(32, 64, 128),
        ),
        ParameterSpec(
            "symmetric",
            bool,
            symmetric,
            "Round around zero; false: a zero point for each group.",
            search=(True, False),
        ),
    )


def calibration_parameters(samples: int = 32, length: int = 256) -> tuple[ParameterSpec, ...]:
    """How much of the training split is run through the model, and in which order."""
    return (
        ParameterSpec(
            "calibration_samples",
            int,
            samples,
            "Sequences of the training split that the model is run on; fewer where it has fewer.",
            low=1,
            high=65536,
            search=(16, 32, 64),
        ),
        ParameterSpec(
            "calibration_length",
            int,
            length,
            "Tokens of such a sequence; texts are strung together to fill it.",
            low=8,
            high=1_048_576,
        ),
        ParameterSpec("seed", int, 0, "Seed of the order of texts.", low=0, high=2**31),
    )


def scheme_of(parameters: Mapping[str, Value]) -> Scheme:
    """The packing that the parameters ask for."""
    return Scheme(
        bits=int(str(parameters["bits"])),
        group_size=int(str(parameters["group_size"])),
        symmetric=bool(parameters["symmetric"]),
    )
