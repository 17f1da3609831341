"""The `full_finetune` pass: every weight of a model is trained on the data's training split.

Knows nothing of adapters.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from evaluators.base import Artifact
from search_spaces.vocabulary import Aspect, ParameterSpec, PassSpec, SearchRange
from tuner.models.checkpoint import copy_other_files, is_encoder, load_causal
from tuner.models.layers import transformer_layers
from tuner.models.quantized import dtype_of
from tuner.passes.base import Pass, PassError, StageContext
from tuner.training.declarations import Defaults, training_parameters
from tuner.training.loop import Faster, train
from tuner.training.losses import BatchLoss
from tuner.training.resuming import Part
from tuner.training.settings import Training
from tuner.training.subject import device, prepare


class FullFinetune(Pass):
    """Trains all weights with AdamW, in fp32 (on a GPU with bf16 products), for small models.

    An encoder gets a classification head, or keeps the one it has where its labels are the data's.
    The head learns faster than the rest (`head_factor`): it begins with nothing.
    The checkpoint that comes out has the data type of the one that came in.
    """

    spec = PassSpec(
        name="full_finetune",
        version=1,
        help="Fine-tune all weights of a small model on the training data.",
        accepts=frozenset({"hf"}),
        gives="hf",
        changes=frozenset({Aspect.WEIGHTS}),
        neutral=None,
        uses_data=True,
        budget="max_steps",
        libraries=("torch", "transformers"),
        parameters=(
            *training_parameters(
                Defaults(
                    learning_rate=2e-4,
                    rates=SearchRange(2e-5, 4e-4, log=True),
                    max_steps=80,
                    steps=(40, 80, 120),
                    batch_size=16,
                    warmup_ratio=0.1,
                )
            ),
            ParameterSpec(
                "head_factor",
                float,
                10.0,
                "An encoder's head and pooler learn at so many times the learning rate.",
                low=0.01,
                high=1000.0,
                search=(1.0, 10.0),
            ),
            ParameterSpec(
                "freeze_embeddings",
                bool,
                False,
                "Leave the embeddings as they are: quicker, as they are most of a small model.",
                search=(False, True),
            ),
            ParameterSpec(
                "freeze_layers",
                int,
                0,
                "Leave so many of the first layers as they are.",
                low=0,
                high=1024,
            ),
        ),
    )

    def run(self, context: StageContext) -> None:
        """Train, and write a checkpoint like the one that came in."""
        import torch

        settings, source = Training.of(context.parameters), context.model.path
        subject = prepare(context, settings, _load)
        model = subject.model
        torch.manual_seed(settings.seed)
        if context.parameters["freeze_embeddings"]:
            _freeze([m for m in model.modules() if isinstance(m, torch.nn.Embedding)])
        _freeze(_first_layers(model, int(str(context.parameters["freeze_layers"]))))
        faster = Faster(subject.head_parameters, float(str(context.parameters["head_factor"])))
        loss = _in_16_bits_on_gpu(subject.loss)
        part = Part.of(context)
        train(model, subject.examples, settings, loss, faster, fused=True, part=part)
        model.to(dtype_of(source)).save_pretrained(context.output)
        own = ("config.json",) if is_encoder(source) else ()
        copy_other_files(source, context.output, but=own)


def _load(model: Artifact) -> Any:
    import torch

    return load_causal(model, torch.float32)


def _first_layers(model: Any, count: int) -> Sequence[Any]:
    if count == 0:
        return ()
    _, layers = transformer_layers(model)
    if count > len(layers):
        raise PassError(f"freeze_layers is {count}, but the model has {len(layers)} layers")
    return list(layers[:count])


def _freeze(modules: Sequence[Any]) -> None:
    for module in modules:
        module.requires_grad_(False)


def _in_16_bits_on_gpu(loss: BatchLoss) -> BatchLoss:
    """The loss, on a GPU with matrix products in bf16 while the weights stay in fp32."""
    import torch

    if device() != "cuda":
        return loss

    def wrapped(model: Any, batch: Sequence[Any]) -> Any:
        with torch.autocast("cuda", torch.bfloat16):
            return loss(model, batch)

    return wrapped
