"""The `awq` pass: inputs that matter are scaled up before rounding, and back before the matrix.

An own implementation: neural-compressor's cannot fold its factors on Phi-3. Where factors can be
folded is `tuner.quantization.scaling`. Knows nothing of how the matrices are packed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from search_spaces.vocabulary import Aspect, ParameterSpec, PassSpec, Value
from tuner.passes.base import Pass, StageContext
from tuner.passes.tolerances import of_bits
from tuner.quantization.parameters import calibration_parameters, scheme_parameters

CLIP_RATIOS = tuple(1 - 0.05 * step for step in range(11))
_UNCLIPPED = ("q_proj", "k_proj", "qkv_proj")
"""Attention scores suffer from clipping more than the error of these matrices shows."""


class Awq(Pass):
    """Factors are the inputs' mean size to a power that is searched, matrix by matrix.

    Sought is the power of least squared error of the outputs of the matrices that read the
    input, over the training texts; power 0 is plain rounding. Then, with `clip`, ranges shrink
    group by group to where the same error is least. For Llama's and Phi-3's layers.
    Source: Lin et al., "AWQ: Activation-aware Weight Quantization for LLM Compression and
    Acceleration" (2023).
    """

    spec = PassSpec(
        name="awq",
        version=1,
        help="Quantise the weights by AWQ: inputs are scaled by how large they get.",
        accepts=frozenset({"hf"}),
        gives="quantized",
        changes=frozenset({Aspect.WEIGHTS, Aspect.STRUCTURE}),
        kinds=frozenset({"causal"}),
        uses_data=True,
        libraries=("torch", "transformers"),
        parameters=(
            *scheme_parameters(symmetric=False),
            ParameterSpec(
                "n_grid",
                int,
                20,
                "Powers that are tried, from 0 in steps of 1 / n_grid; 1: no scaling.",
                low=1,
                high=1000,
                search=(10, 20, 40),
            ),
            ParameterSpec(
                "clip",
                bool,
                True,
                "Shrink ranges of groups, to half at most, where that lessens the output error.",
                search=(True, False),
            ),
            *calibration_parameters(),
        ),
    )

    def tolerance(self, parameters: Mapping[str, Value], model_format: str) -> float | None:
        """What weights of so many bits may change."""
        return of_bits(parameters["bits"])

    def run(self, context: StageContext) -> None:
        """Run the texts through the layers, scale and round each, write the checkpoint."""
        from tuner.models.quantized import dtype_of
        from tuner.quantization.calibration import calibration_sequences
        from tuner.quantization.stage import run_quantiser

        def method(model: Any, found: list[Any], scheme: Any) -> Mapping[str, Any]:
            sequences = calibration_sequences(context)
            stored = dtype_of(context.model.path)
            return quantise(model, found, scheme, sequences, stored, context.parameters)

        run_quantiser(context, method)


def quantise(
    model: Any,
    found: list[Any],
    scheme: Any,
    sequences: Any,
    stored: Any,
    parameters: Mapping[str, Value],
) -> dict[str, Any]:
    """Every matrix by its name; factors are folded into the model. Inputs are the float model's.

    `stored`: the data type in which the checkpoint keeps the norms.
    """
    from tuner.quantization.activations import Flow
    from tuner.quantization.scaling import folds

    flow = Flow(model, found, sequences)
    made: dict[str, Any] = {}
    for index, block in enumerate(found):
        places = folds(block, model.config, stored)  # refuses before anything is measured
        inputs = flow.inputs(index, block.stages())
        flow.advance(index)
        for place in places:
            first = inputs[place.names[0]]
            weights = [block.linears[name].weight.data for name in place.names]
            factors = best_factors(
                weights, first, place.shared(first.size), scheme, int(str(parameters["n_grid"]))
            )
            scaled = first.scaled(place.apply(block, factors))
            inputs |= dict.fromkeys(place.names, scaled)
        for name, linear in block.linears.items():
            clip = bool(parameters["clip"]) and not name.endswith(_UNCLIPPED)
            made[block.full(name)] = _matrix(linear.weight.data, inputs[name], scheme, clip)
    return made


def best_factors(weights: Sequence[Any], inputs: Any, sizes: Any, scheme: Any, n_grid: int) -> Any:
    """The factors [in] of least output error of matrices [out, in] that read the same input."""
    import torch

    best, least = torch.ones_like(sizes), float("inf")
    for step in range(n_grid):
        factors = sizes.clamp(min=1e-4).pow(step / n_grid)
        factors = factors / (factors.max() * factors.min()).sqrt()
        error = sum(_scaled_error(w, factors, inputs.gram, scheme) for w in weights)
        if error < least:
            best, least = factors, error
    return best


def _scaled_error(weights: Any, factors: Any, gram: Any, scheme: Any) -> float:
    """Mean squared error of the outputs where columns are multiplied by factors and rounded."""
    from tuner.quantization.rounding import rounded

    change = rounded(weights * factors, scheme).dequantised() / factors - weights
    return float(((change @ gram) * change).sum())


def _matrix(weights: Any, inputs: Any, scheme: Any, clip: bool) -> Any:
    from tuner.quantization.rounding import rounded

    shrink = best_shrink(weights, inputs.gram, scheme) if clip else 1.0
    return rounded(weights, scheme, shrink)


def best_shrink(weights: Any, gram: Any, scheme: Any) -> Any:
    """For each group the ratio of its range of least output error, as if it were alone."""
    import torch

    from tuner.quantization.rounding import in_groups, rounded

    size = scheme.group_size
    grouped = in_groups(weights, size)
    groups = grouped.shape[1]
    own = torch.stack(
        [gram[i * size : (i + 1) * size, i * size : (i + 1) * size] for i in range(groups)]
    )
    best = torch.ones(grouped.shape[:2])
    least = torch.full_like(best, float("inf"))
    for ratio in CLIP_RATIOS:
        change = in_groups(rounded(weights, scheme, ratio).dequantised(), size) - grouped
        error = (torch.einsum("ogi,gij->ogj", change, own) * change).sum(-1)
        better = error < least
        best[better], least[better] = ratio, error[better]
    return best
