"""The `hqq` pass: half-quadratic quantisation, which fits each group's grid without data.

neural-compressor's solver moves the zero points. They come out fractional, and the packed layout
holds whole ones: they are rounded, and the scales are then fitted by the same half-quadratic
steps, with the zero points fixed. Its module for whole models is not used, as its groups run over
outputs instead of inputs. Knows nothing of data.
"""

from __future__ import annotations

import gc
from collections.abc import Mapping
from typing import Any

from search_spaces.vocabulary import Aspect, ParameterSpec, PassSpec, Value
from tuner.passes.base import Pass, StageContext
from tuner.passes.tolerances import of_bits
from tuner.quantization.parameters import scheme_parameters


class Hqq(Pass):
    """Fits grids to minimise |weights - rounded|^p with p below 1: outliers matter less.

    Groups that the fit makes worse by that measure keep the grid of plain rounding.
    Source: Badri and Shaji, "Half-Quadratic Quantization of Large Machine Learning Models" (2023);
    neural-compressor, `weight_only.hqq.optimizer.optimize_weights_proximal`.
    """

    spec = PassSpec(
        name="hqq",
        version=1,
        help="Quantise the weights by HQQ: grids fitted to the weights, without data.",
        accepts=frozenset({"hf"}),
        gives="quantized",
        changes=frozenset({Aspect.WEIGHTS, Aspect.STRUCTURE}),
        kinds=frozenset({"causal"}),
        libraries=("torch", "transformers", "neural-compressor-pt"),
        parameters=(
            *scheme_parameters(symmetric=False),
            ParameterSpec(
                "lp_norm",
                float,
                0.7,
                "The p of the error that is minimised; smaller: outliers matter less.",
                low=0.1,
                high=1.0,
                search=(0.5, 0.7, 1.0),
            ),
            ParameterSpec(
                "beta",
                float,
                10.0,
                "Weight of the quadratic part in the first step; it grows by kappa.",
                low=0.1,
                high=1e5,
                search=(1.0, 10.0, 100.0),
            ),
            ParameterSpec(
                "kappa", float, 1.01, "Growth of beta from step to step.", low=1.0, high=10.0
            ),
            ParameterSpec(
                "iterations", int, 20, "Steps of each fit.", low=1, high=1000, search=(10, 20, 40)
            ),
        ),
    )

    def tolerance(self, parameters: Mapping[str, Value], model_format: str) -> float | None:
        """What weights of so many bits may change."""
        return of_bits(parameters["bits"])

    def run(self, context: StageContext) -> None:
        """Fit every matrix of the decoder, and write the packed checkpoint."""
        from tuner.quantization.stage import run_quantiser

        run_quantiser(context, lambda _, found, scheme: quantise(found, scheme, context.parameters))


def quantise(found: list[Any], scheme: Any, parameters: Mapping[str, Value]) -> dict[str, Any]:
    """Every matrix by its name."""
    from tuner.quantization.stage import each_matrix

    gc.freeze()  # the library collects garbage after each matrix: leave it nothing to walk
    try:
        return each_matrix(found, lambda weights: fitted(weights, scheme, parameters))
    finally:
        gc.unfreeze()


def fitted(weights: Any, scheme: Any, parameters: Mapping[str, Value]) -> Any:
    """The Matrix of weights [out, in]."""
    import torch

    from tuner.quantization.rounding import (
        codes_of,
        in_groups,
        matrix_of,
        range_grid,
        storable,
        values_of,
    )

    grouped = in_groups(weights, scheme.group_size)
    scales, zeros = range_grid(grouped, scheme)
    whole = zeros if scheme.symmetric else _zero_points(grouped, scales, zeros, scheme, parameters)
    moved = storable(_scales(grouped, scales, whole, scheme.levels, parameters))
    norm = float(str(parameters["lp_norm"]))

    def error(scales: Any, zeros: Any) -> Any:
        codes = codes_of(grouped, scales, zeros, scheme.levels)
        return (grouped - values_of(codes, scales, zeros)).abs().pow(norm).sum(-1)

    better = error(moved, whole) < error(scales, zeros)
    scales, zeros = torch.where(better, moved, scales), torch.where(better, whole, zeros)
    return matrix_of(codes_of(grouped, scales, zeros, scheme.levels), scales, zeros)


def _zero_points(
    grouped: Any, scales: Any, zeros: Any, scheme: Any, parameters: Mapping[str, Value]
) -> Any:
    """The library's zero points, rounded. It takes the inverse of scales."""
    from tuner.quantization.neural_compressor import algorithms

    _, moved = algorithms("hqq.optimizer").optimize_weights_proximal(
        grouped,
        1 / scales[..., None],
        zeros[..., None],
        (0, scheme.levels - 1),
        axis=-1,
        opt_params={
            "lp_norm": parameters["lp_norm"],
            "beta": parameters["beta"],
            "kappa": parameters["kappa"],
            "iters": parameters["iterations"],
        },
    )
    return moved[..., 0].clone().round().clamp(0, scheme.levels - 1)


def _scales(
    grouped: Any, scales: Any, zeros: Any, levels: int, parameters: Mapping[str, Value]
) -> Any:
    """Scales fitted with the zero points fixed.

    Each step rounds, takes the sparse part of the error out by the generalised soft threshold,
    and fits the scale to what is left by least squares.
    """
    from tuner.quantization.rounding import codes_of, values_of

    norm, beta = float(str(parameters["lp_norm"])), float(str(parameters["beta"]))
    for _ in range(int(str(parameters["iterations"]))):
        codes = codes_of(grouped, scales, zeros, levels)
        error = grouped - values_of(codes, scales, zeros)
        size = error.abs()
        sparse = error.sign() * (size - size.clamp(min=1e-12).pow(norm - 1) / beta).clamp(min=0)
        steps = codes - zeros[..., None]
        power = steps.square().sum(-1)
        fit = (steps * (grouped - sparse)).sum(-1) / power.clamp(min=1)
        scales = fit.where((power > 0) & (fit > 0), scales)
        beta *= float(str(parameters["kappa"]))
    return scales
