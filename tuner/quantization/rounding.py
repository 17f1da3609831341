"""Rounding a matrix to a grid for each group of weights.

Scales are kept as the float16 that is stored, so that codes belong to the very scale that is
read back. Knows nothing of models.
"""

from __future__ import annotations

from typing import Any

from tuner.models.quantized import Matrix, Scheme

SMALLEST_SCALE = 2.0**-20
"""A group of zeros has some scale; float16 still holds this one."""


def in_groups(weights: Any, group_size: int) -> Any:
    """[out, in] as float32 [out, groups, group_size]."""
    return weights.detach().float().reshape(weights.shape[0], -1, group_size)


def range_grid(grouped: Any, scheme: Scheme, shrink: Any = 1.0) -> tuple[Any, Any]:
    """(scales, zero points), each [out, groups], that span the weights' range times `shrink`.

    `shrink`: a number, or one for each group [out, groups]. The range always has zero in it.
    """
    import torch

    if scheme.symmetric:
        spans = grouped.abs().amax(-1) * shrink / (scheme.middle - 1)
        scales = storable(spans)
        return scales, torch.full_like(scales, scheme.middle)
    low, high = grouped.amin(-1).clamp(max=0) * shrink, grouped.amax(-1).clamp(min=0) * shrink
    scales = storable((high - low) / (scheme.levels - 1))
    return scales, (-low / scales).round().clamp(0, scheme.levels - 1)


def storable(scales: Any) -> Any:
    """Scales as the layout stores them, as float32; none is zero."""
    return scales.clamp(min=SMALLEST_SCALE).half().float()


def codes_of(grouped: Any, scales: Any, zeros: Any, levels: int) -> Any:
    """The nearest codes on a grid, float32 [out, groups, group_size]."""
    return ((grouped / scales[..., None]).round() + zeros[..., None]).clamp(0, levels - 1)


def values_of(codes: Any, scales: Any, zeros: Any) -> Any:
    """The weights that codes stand for, as `codes` are grouped."""
    return (codes - zeros[..., None]) * scales[..., None]


def matrix_of(codes: Any, scales: Any, zeros: Any) -> Matrix:
    """Grouped codes as what is stored."""
    import torch

    return Matrix(
        codes.reshape(codes.shape[0], -1).to(torch.uint8),
        zeros.to(torch.uint8),
        scales.to(torch.float16),
    )


def rounded(weights: Any, scheme: Scheme, shrink: Any = 1.0) -> Matrix:
    """Every weight of [out, in] rounded to the nearest value of its group's grid."""
    grouped = in_groups(weights, scheme.group_size)
    scales, zeros = range_grid(grouped, scheme, shrink)
    return matrix_of(codes_of(grouped, scales, zeros, scheme.levels), scales, zeros)
