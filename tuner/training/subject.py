"""What is trained: a model, the examples that it learns from, and the loss that fits it.

For language models and encoders alike. Knows nothing of which weights are trained.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from evaluators.base import Artifact
from search_spaces.data import DataSpec, labels
from tuner.models.checkpoint import is_encoder, load_causal, load_classifier, load_tokenizer
from tuner.passes.base import PassError, StageContext
from tuner.training.adapters import classifier_head
from tuner.training.examples import (
    AnyExample,
    longest_text,
    read_examples,
    read_labelled,
    read_rows,
)
from tuner.training.losses import BatchLoss, label_loss, token_loss
from tuner.training.settings import Training

LoadCausal = Callable[[Artifact], Any]


@dataclass(frozen=True, slots=True)
class Subject:
    """A model in training, on its device.

    `labels`: those of a classifier, in the order of its outputs. `head`: its modules that classify.
    """

    model: Any
    examples: Sequence[AnyExample]
    loss: BatchLoss
    labels: tuple[str, ...] = ()
    head: Sequence[str] = field(default=())

    @property
    def facts(self) -> dict[str, Any]:
        """What an adapter's folder says of the base; nothing for a language model."""
        return {"labels": list(self.labels)} if self.labels else {}

    @property
    def head_parameters(self) -> list[Any]:
        """The weights of the modules that classify; none in a language model."""
        names = set(self.head)
        return [p for name, p in self.model.named_parameters() if names & set(name.split("."))]


def device() -> str:
    """Where training runs: "cuda" where there is a GPU, or else "cpu"."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def prepare(context: StageContext, settings: Training, load: LoadCausal = load_causal) -> Subject:
    """Load the model of a stage, and read what it is to learn.

    `load` gives a language model; an encoder is loaded in fp32. The data comes first: whatever is
    wrong with it is said before a large model is read.
    """
    if is_encoder(context.model.path):
        return _classifier(context, settings)
    tokenizer = load_tokenizer(context.model.path)
    examples = read_examples(tokenizer, context.data, settings, context.tell)
    return Subject(load(context.model).to(device()), examples, token_loss)


def _classifier(context: StageContext, settings: Training) -> Subject:
    import torch

    folder = context.model.path
    data, rows = read_rows(context.data)
    model = load_classifier(folder, _labels(data), torch.float32).to(device())
    names = tuple(model.config.id2label[i] for i in range(model.config.num_labels))
    tokenizer = load_tokenizer(folder)
    limit = longest_text(tokenizer, model.config, settings.max_length)
    numbers = {name: i for i, name in enumerate(names)}
    examples = read_labelled(tokenizer, data, rows, numbers, limit, context.tell)
    padding = model.config.pad_token_id or 0
    return Subject(model, examples, label_loss(padding), names, classifier_head(model))


def _labels(data: DataSpec) -> tuple[str, ...]:
    found = labels(data)
    if not found:
        raise PassError("an encoder learns labels: name the label column under data")
    return found
