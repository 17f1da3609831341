"""The `lora` pass: low-rank adapters are trained on the data's training split.

Knows nothing of how the adapter is merged, scored or searched for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evaluators.base import Artifact
from search_spaces.vocabulary import Aspect, PassSpec, Value
from tuner.models.checkpoint import load_causal
from tuner.passes.base import Pass, StageContext
from tuner.training.adapters import add_adapters, check_targets, first_weights, save_adapter
from tuner.training.declarations import adapter_parameters, training_parameters
from tuner.training.loop import train
from tuner.training.resuming import Part
from tuner.training.settings import Adapters, Training
from tuner.training.subject import device, prepare


class Lora(Pass):
    """Trains an adapter with AdamW; the base model stays as it is.

    Loss of a language model: the mean cross-entropy over the tokens of the labels (`loss: label`)
    or of the whole text (`loss: full`), and the end of the text. An encoder learns the labels by a
    classification head, which is trained whole and lies in the adapter. Batches hold texts of about
    the same length. An adapter that began by `pissa` or `olora`, which change the base, is written
    as a plain one of twice the rank on the base as it was.
    Source: Hu et al., "LoRA" (2021), by the library peft; rsLoRA, DoRA, PiSSA, OLoRA as options.
    """

    spec = PassSpec(
        name="lora",
        version=2,
        help="Fine-tune low-rank adapters (LoRA) on the training data.",
        accepts=frozenset({"hf", "quantized"}),
        gives="adapter",
        changes=frozenset({Aspect.WEIGHTS}),
        neutral=None,
        uses_data=True,
        budget="max_steps",
        libraries=("torch", "transformers", "peft"),
        parameters=(
            *adapter_parameters(),
            *training_parameters(),
        ),
    )

    def check(self, parameters: Mapping[str, Value]) -> list[str]:
        """Refuse target modules that say nothing, or two things."""
        return check_targets(parameters)

    def run(self, context: StageContext) -> None:
        """Train, and write the adapter in peft's format."""
        import torch

        settings, adapters = Training.of(context.parameters), Adapters.of(context.parameters)
        subject = prepare(context, settings, _load)
        torch.manual_seed(settings.seed)
        model = add_adapters(subject.model, adapters, subject.head)
        first = first_weights(model, adapters)
        train(model, subject.examples, settings, subject.loss, part=Part.of(context))
        save_adapter(model, context.output, first, subject.facts)


def _load(model: Artifact) -> Any:
    import torch

    return load_causal(model, torch.bfloat16 if device() == "cuda" else torch.float32)
