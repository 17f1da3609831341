"""The `gptq` pass: rounds column by column, and lets the rest of a row make up for each error.

By neural-compressor's `GPTQ`, one matrix at a time: its entry point for whole models returns the
scales of the last group only where groups are static, which `act_order` needs here, as the packed
layout keeps the groups of inputs in order. Knows nothing of how the matrices are packed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from search_spaces.vocabulary import Aspect, ParameterSpec, PassSpec, SearchRange, Value
from tuner.passes.base import Pass, PassError, StageContext
from tuner.passes.tolerances import of_bits
from tuner.quantization.parameters import calibration_parameters, scheme_parameters


class Gptq(Pass):
    """Chooses codes with the second moments of each matrix's inputs over the training texts.

    Layers are quantised in order, each on the outputs of those that are quantised already.
    Source: Frantar et al., "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained
    Transformers" (2022); neural-compressor, `weight_only.gptq.GPTQ`.
    """

    spec = PassSpec(
        name="gptq",
        version=1,
        help="Quantise the weights by GPTQ: errors are made up for in what is rounded later.",
        accepts=frozenset({"hf"}),
        gives="quantized",
        changes=frozenset({Aspect.WEIGHTS, Aspect.STRUCTURE}),
        kinds=frozenset({"causal"}),
        uses_data=True,
        libraries=("torch", "transformers", "neural-compressor-pt"),
        parameters=(
            *scheme_parameters(symmetric=False),
            ParameterSpec(
                "damp_percent",
                float,
                0.01,
                "Share of the mean of the second moments that is added to each input's own.",
                low=1e-6,
                high=1.0,
                search=SearchRange(0.005, 0.1, log=True),
            ),
            ParameterSpec(
                "act_order",
                bool,
                True,
                "Round the inputs with the largest moments first; groups are static then.",
                search=(True, False),
            ),
            ParameterSpec(
                "static_groups",
                bool,
                False,
                "Find the grids of all groups before the first column is rounded.",
                search=(True, False),
                applies={"act_order": (False,)},
            ),
            ParameterSpec(
                "mse",
                bool,
                False,
                "Shrink each group's range to where the rounding error is least.",
                search=(True, False),
            ),
            ParameterSpec(
                "true_sequential",
                bool,
                True,
                "Within a layer too, measure inputs after the matrices before are quantised.",
                search=(True, False),
            ),
            ParameterSpec(
                "block_columns",
                int,
                128,
                "Columns between updates of the rest; a matter of speed, but for rounding.",
                low=1,
                high=65536,
            ),
            *calibration_parameters(),
        ),
    )

    def tolerance(self, parameters: Mapping[str, Value], model_format: str) -> float | None:
        """What weights of so many bits may change."""
        return of_bits(parameters["bits"])

    def run(self, context: StageContext) -> None:
        """Run the texts through the layers, quantise each, and write the packed checkpoint."""
        from tuner.quantization.calibration import calibration_sequences
        from tuner.quantization.stage import run_quantiser

        def method(model: Any, found: list[Any], scheme: Any) -> Mapping[str, Any]:
            sequences = calibration_sequences(context)
            return quantise(model, found, scheme, sequences, context.parameters)

        run_quantiser(context, method)


def quantise(
    model: Any, found: list[Any], scheme: Any, sequences: Any, parameters: Mapping[str, Value]
) -> dict[str, Any]:
    """Every matrix by its name; the model's weights become those that the codes stand for."""
    from tuner.quantization.activations import Flow

    flow = Flow(model, found, sequences)
    made: dict[str, Any] = {}
    for index, block in enumerate(found):
        stages = block.stages()
        for together in (
            [[names] for names in stages] if parameters["true_sequential"] else [stages]
        ):
            for name, inputs in flow.inputs(index, together).items():
                linear, full = block.linears[name], block.full(name)
                made[full] = _matrix(full, linear, inputs.gram, scheme, parameters)
                linear.weight.data = made[full].dequantised()
        flow.advance(index)
    return made


def _matrix(name: str, linear: Any, gram: Any, scheme: Any, parameters: Mapping[str, Value]) -> Any:
    """One matrix by the library's algorithm; `gram`: mean of x x^T over its inputs, [in, in]."""
    from torch.linalg import LinAlgError  # type: ignore[attr-defined]

    from tuner.quantization.neural_compressor import algorithms
    from tuner.quantization.rounding import codes_of, in_groups, matrix_of

    weights = linear.weight.data.float()
    worker = algorithms("gptq").GPTQ(linear, weights, device="cpu")
    worker.quantizer.configure(
        {
            "dtype": "int",
            "bits": scheme.bits,
            "sym": scheme.symmetric,
            "perchannel": True,
            "mse": bool(parameters["mse"]),
            "use_double_quant": False,
            "double_quant_sym": False,
        }
    )
    worker.H = gram.clone()
    static = bool(parameters["act_order"]) or bool(parameters["static_groups"])
    try:
        scales, _, zeros, values = worker.fasterquant(
            weights.clone(),
            blocksize=int(str(parameters["block_columns"])),
            percdamp=float(str(parameters["damp_percent"])),
            groupsize=scheme.group_size,
            act_order=bool(parameters["act_order"]),
            static_groups=static,
        )
    except LinAlgError as error:
        raise PassError(
            f"the inputs of {name} vary in too few directions to be inverted: raise damp_percent "
            f"({parameters['damp_percent']}) or calibration_samples"
        ) from error
    if static:  # what it returns is the last group's
        scales, zeros = _static_grids(worker, weights, gram, scheme.group_size)
    grouped = in_groups(values, scheme.group_size)
    return matrix_of(codes_of(grouped, scales, zeros, scheme.levels), scales, zeros)


def _static_grids(worker: Any, weights: Any, gram: Any, group_size: int) -> tuple[Any, Any]:
    """(scales, zero points) [out, groups] of the groups as they were before rounding."""
    import torch

    alive = torch.where(gram.diagonal() == 0, 0.0, weights)  # as it treats unused inputs
    grids = []
    for group in torch.split(alive, group_size, dim=1):
        worker.quantizer.find_params(group, weight=True)
        grids.append((worker.quantizer.scale, worker.quantizer.zero))
    return torch.cat([s for s, _ in grids], 1), torch.cat([z for _, z in grids], 1)
