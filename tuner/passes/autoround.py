"""The `autoround` pass: whether each weight is rounded up or down is learned, layer by layer.

Calls auto-round in memory and packs what it found itself: its exporter's files say more than the
model (versions, settings). Its many lines of progress go to the log. Knows nothing of packing.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from search_spaces.vocabulary import Aspect, ParameterSpec, PassSpec, SearchRange, Value
from tuner.passes.base import Pass, PassError, StageContext
from tuner.passes.tolerances import of_bits
from tuner.quantization.parameters import calibration_parameters, scheme_parameters


class AutoRound(Pass):
    """Learns an offset to each rounding, and each group's range, by signed gradient descent.

    What is minimised is the error of a layer's output on the training texts, each layer seeing
    the outputs of those quantised before.
    Source: Cheng et al., "Optimize Weight Rounding via Signed Gradient Descent for the
    Quantization of LLMs" (2023); auto-round, `AutoRound` with `SignRoundConfig`.
    """

    spec = PassSpec(
        name="autoround",
        version=1,
        help="Quantise the weights by AutoRound: rounding is learned, layer by layer.",
        accepts=frozenset({"hf"}),
        gives="quantized",
        changes=frozenset({Aspect.WEIGHTS, Aspect.STRUCTURE}),
        kinds=frozenset({"causal"}),
        uses_data=True,
        libraries=("torch", "transformers", "auto-round"),
        requires={"auto-round": "autoround"},
        parameters=(
            *scheme_parameters(symmetric=True),
            ParameterSpec(
                "iterations",
                int,
                200,
                "Steps of learning for each layer.",
                low=1,
                high=100_000,
                search=(50, 200),
            ),
            ParameterSpec(
                "learning_rate",
                float,
                None,
                "Size of a step, as a share of a rounding step; null: 1 / iterations.",
                low=1e-6,
                high=1.0,
                nullable=True,
                search=SearchRange(1e-3, 2e-2, log=True),
            ),
            ParameterSpec("batch_size", int, 8, "Sequences of a step.", low=1, high=4096),
            ParameterSpec(
                "learn_ranges", bool, True, "Learn the range of each group too, not rounding alone."
            ),
            ParameterSpec(
                "quantized_input",
                bool,
                True,
                "Show each layer the outputs of quantised layers; false: those of the float model.",
            ),
            *calibration_parameters(),
        ),
    )

    def check(self, parameters: Mapping[str, Value]) -> list[str]:
        """Refuse what auto-round refuses."""
        if parameters["bits"] == 8 and not parameters["symmetric"]:
            return [
                "auto-round does not round to 8 bits with zero points: use symmetric: true, or "
                "bits: 4"
            ]
        return []

    def tolerance(self, parameters: Mapping[str, Value], model_format: str) -> float | None:
        """What weights of so many bits may change."""
        return of_bits(parameters["bits"])

    def run(self, context: StageContext) -> None:
        """Learn on the training texts, and write the packed checkpoint."""
        from tuner.models.checkpoint import load_tokenizer
        from tuner.quantization.calibration import calibration_sequences
        from tuner.quantization.stage import run_quantiser

        def method(model: Any, found: list[Any], scheme: Any) -> Mapping[str, Any]:
            sequences = calibration_sequences(context)
            tokenizer = load_tokenizer(context.model.path)
            return quantise(model, found, scheme, sequences, tokenizer, context.parameters)

        run_quantiser(context, method)


def quantise(
    model: Any,
    found: list[Any],
    scheme: Any,
    sequences: Any,
    tokenizer: Any,
    parameters: Mapping[str, Value],
) -> dict[str, Any]:
    """Every matrix by its name; the model's weights become those that the codes stand for."""
    import torch

    library = import_module("auto_round")
    settings = import_module("auto_round.algorithms.quantization.sign_round.config")

    config = settings.SignRoundConfig(
        bits=scheme.bits,
        group_size=scheme.group_size,
        sym=scheme.symmetric,
        iters=parameters["iterations"],
        lr=parameters["learning_rate"],
        enable_minmax_tuning=parameters["learn_ranges"],
        enable_quanted_input=parameters["quantized_input"],
    )
    samples, length = sequences.shape
    tokenizer.pad_token = None  # what pads is left out of the loss, and often ends texts too
    texts = [{"input_ids": s[None], "attention_mask": torch.ones_like(s[None])} for s in sequences]
    try:
        with torch.enable_grad():
            library.AutoRound(
                model,
                tokenizer=tokenizer,
                alg_configs=config,
                dataset=texts,
                nsamples=samples,
                seqlen=length,
                batch_size=min(int(str(parameters["batch_size"])), samples),
                device_map="cpu",
                seed=int(str(parameters["seed"])),
                enable_torch_compile=False,
                low_cpu_mem_usage=False,
                amp=False,
            ).quantize()
    except SystemExit as error:
        raise PassError("auto-round ended the process: the log above says why") from error
    return {
        block.full(name): _matrix(block.full(name), model.get_submodule(block.full(name)), scheme)
        for block in found
        for name in block.linears
    }


def _matrix(name: str, linear: Any, scheme: Any) -> Any:
    """What the library left at a layer: rounded weights, `scale`, and `zp`, a number or many."""
    import torch

    from tuner.quantization.rounding import codes_of, in_groups, matrix_of

    if getattr(linear, "scale", None) is None:
        raise PassError(f"auto-round left {name} as it was: it does not know this model")
    grouped = in_groups(linear.weight, scheme.group_size)
    scales = linear.scale.float().reshape(grouped.shape[:2])
    zeros = torch.as_tensor(linear.zp).float().expand(grouped.shape[:2])
    return matrix_of(codes_of(grouped, scales, zeros, scheme.levels), scales, zeros)
