"""The `qlora` pass: adapters are trained on a base that is held in 4 bits.

Knows nothing of how the adapter is merged, scored or searched for.
"""

from __future__ import annotations

from collections.abc import Mapping

from search_spaces.vocabulary import Aspect, ParameterSpec, PassSpec, Value
from tuner.passes.base import Pass, StageContext
from tuner.training.adapters import add_adapters, check_targets, save_adapter
from tuner.training.declarations import adapter_parameters, training_parameters
from tuner.training.loop import train
from tuner.training.quantized_base import DTYPES, Quantisation, load_quantised
from tuner.training.resuming import Part
from tuner.training.settings import Adapters, Training
from tuner.training.subject import device, prepare


class QLora(Pass):
    """Trains an adapter as `lora` does, at a fraction of the base's memory.

    The linear modules of the decoder are quantised, block by block, not the embedding and not the
    head. The adapter is one of the base as it was; `merge_adapter` takes it there, or, with
    `dequantize`, onto the base as it was in training.
    Source: Dettmers et al., "QLoRA" (2023), by the libraries bitsandbytes and peft.
    """

    spec = PassSpec(
        name="qlora",
        version=1,
        help="Fine-tune low-rank adapters on a base that is held in 4 bits (QLoRA).",
        accepts=frozenset({"hf"}),
        gives="adapter",
        changes=frozenset({Aspect.WEIGHTS}),
        neutral=None,
        uses_data=True,
        budget="max_steps",
        kinds=frozenset({"causal"}),
        libraries=("torch", "transformers", "peft", "bitsandbytes", "accelerate"),
        parameters=(
            ParameterSpec(
                "quant_type",
                str,
                "nf4",
                "The 16 values of a weight: normal quantiles (nf4) or floating point (fp4).",
                choices=("nf4", "fp4"),
                search=("nf4", "fp4"),
            ),
            ParameterSpec(
                "double_quant", bool, True, "Quantise the scales too: 0.4 bits a weight less."
            ),
            ParameterSpec(
                "compute_dtype",
                str,
                "fp32",
                "Data type of the base's matrix products.",
                choices=tuple(DTYPES),
                search=("fp32", "bf16"),
            ),
            *adapter_parameters(("default", "gaussian")),
            *training_parameters(),
        ),
    )

    def check(self, parameters: Mapping[str, Value]) -> list[str]:
        """Refuse target modules that say nothing, or two things."""
        return check_targets(parameters)

    def run(self, context: StageContext) -> None:
        """Train, and write the adapter in peft's format, with a record of the quantisation."""
        import torch

        settings = Training.of(context.parameters)
        how = Quantisation.of(context.parameters)
        subject = prepare(context, settings, lambda m: load_quantised(m.path, how, device()))
        torch.manual_seed(settings.seed)
        model = add_adapters(subject.model, Adapters.of(context.parameters))
        train(model, subject.examples, settings, subject.loss, part=Part.of(context))
        save_adapter(model, context.output, {}, {"quantisation": how.to_json()})
