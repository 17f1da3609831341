"""The `rtn` pass: every weight is rounded to the nearest value of its group's grid.

By neural-compressor's `quant_tensor`, what its RTNConfig does to each matrix; its own packing
lacks the group index that readers of the GPTQ layout expect. Knows nothing of data.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from search_spaces.vocabulary import Aspect, ParameterSpec, PassSpec, Value
from tuner.passes.base import Pass, StageContext
from tuner.passes.tolerances import of_bits
from tuner.quantization.parameters import scheme_parameters


class Rtn(Pass):
    """Rounds to nearest: no data, seconds. The yardstick of the other quantisers.

    Source: neural-compressor, `weight_only.utility.quant_tensor` and `search_clip`.
    """

    spec = PassSpec(
        name="rtn",
        version=1,
        help="Quantise the weights by rounding to nearest, without data.",
        accepts=frozenset({"hf"}),
        gives="quantized",
        changes=frozenset({Aspect.WEIGHTS, Aspect.STRUCTURE}),
        kinds=frozenset({"causal"}),
        libraries=("torch", "transformers", "neural-compressor-pt"),
        parameters=(
            *scheme_parameters(symmetric=False),
            ParameterSpec(
                "full_range",
                bool,
                False,
                "Use the lowest code too, the scale's sign following the larger side.",
                search=(True, False),
                applies={"symmetric": (True,)},
            ),
            ParameterSpec(
                "clip_search",
                bool,
                False,
                "Shrink each matrix's ranges by the factor (0.8 to 1) of least squared error.",
                search=(True, False),
            ),
        ),
    )

    def tolerance(self, parameters: Mapping[str, Value], model_format: str) -> float | None:
        """What weights of so many bits may change."""
        return of_bits(parameters["bits"])

    def run(self, context: StageContext) -> None:
        """Round every matrix of the decoder, and write the packed checkpoint."""
        from tuner.quantization.stage import run_quantiser

        run_quantiser(context, lambda _, found, scheme: quantise(found, scheme, context.parameters))


def quantise(found: list[Any], scheme: Any, parameters: Mapping[str, Value]) -> dict[str, Any]:
    """Every matrix by its name."""
    from tuner.quantization.stage import each_matrix

    return each_matrix(
        found,
        _rounder(
            scheme,
            full_range=scheme.symmetric and bool(parameters["full_range"]),
            clip_search=bool(parameters["clip_search"]),
        ),
    )


def _rounder(scheme: Any, *, full_range: bool, clip_search: bool) -> Callable[[Any], Any]:
    """A function from weights [out, in] to their Matrix."""
    from tuner.quantization.neural_compressor import algorithms

    library = algorithms("utility")
    options = {
        "bits": scheme.bits,
        "group_size": scheme.group_size,
        "scheme": "sym" if scheme.symmetric else "asym",
    }

    def best_range(weights: Any) -> float:
        import torch

        linear = torch.nn.Linear(1, 1)
        linear.weight = torch.nn.Parameter(weights.detach().clone())
        return float(library.search_clip(linear, **options, enable_full_range=full_range))

    def rounded(weights: Any) -> Any:
        codes, scales, zeros = library.quant_tensor(
            weights.detach().clone(),  # it works in place
            **options,
            quantile=best_range(weights) if clip_search else 1.0,
            return_int=True,
            full_range=full_range,
        )
        return _matrix(codes, scales, zeros, scheme)

    return rounded


def _matrix(codes: Any, scales: Any, zeros: Any, scheme: Any) -> Any:
    """What `quant_tensor` gives, as the layout stores it: symmetric codes begin at zero there."""
    import torch

    from tuner.quantization.rounding import matrix_of

    if zeros is None:
        codes, zeros = codes + scheme.middle, torch.full_like(scales, scheme.middle)
    return matrix_of(codes, scales, zeros)
