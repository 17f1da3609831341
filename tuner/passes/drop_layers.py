"""The `drop_layers` pass: a model keeps some of its transformer layers, and runs that much faster.

What is lost is for a fine-tuning pass behind it to win back. Knows nothing of training.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from evaluators.rows import Rows
from evaluators.text import classifier_text
from search_spaces.data import read_split
from search_spaces.vocabulary import Aspect, ParameterSpec, PassSpec
from tuner.models.checkpoint import copy_other_files, is_encoder, load_tokenizer, read_config
from tuner.models.layers import keep_layers, transformer_layers
from tuner.passes.base import Pass, PassError, StageContext
from tuner.training.losses import padded

REDUNDANCY = "redundancy"
_BATCH = 8


class DropLayers(Pass):
    """Keeps `layers` of the transformer layers, unchanged and in their order.

    Which: the `first`; `spread` evenly from the first to the last; `protect_ends`: the last two
    and the first, so that one block goes that ends before the last but one; or by `redundancy`:
    those go whose output is most like their input (by cosine, over training texts), never the
    first. What sorts of layers a model has is kept with them.
    Source: Men et al., "ShortGPT: Layers in Large Language Models are More Redundant Than You
    Expect" (2024) for redundancy; Gromov et al., "The Unreasonable Ineffectiveness of the Deeper
    Layers" (2024) for the block.
    """

    spec = PassSpec(
        name="drop_layers",
        version=1,
        help="Keep only some of the transformer layers: faster, to be fine-tuned afterwards.",
        accepts=frozenset({"hf"}),
        gives="hf",
        changes=frozenset({Aspect.WEIGHTS, Aspect.STRUCTURE}),
        neutral=None,
        uses_data=True,
        libraries=("torch", "transformers"),
        parameters=(
            ParameterSpec(
                "layers",
                int,
                None,
                "Layers that are kept; null: half of them.",
                low=1,
                high=1024,
                nullable=True,
                search=(3, 4, 6),
            ),
            ParameterSpec(
                "which",
                str,
                "spread",
                "The layers that are kept: the first, evenly spread, all but a block before the "
                "last two, or the least redundant.",
                choices=("first", "spread", "protect_ends", REDUNDANCY),
                search=("first", "spread", "protect_ends", REDUNDANCY),
            ),
            ParameterSpec(
                "samples",
                int,
                64,
                "Training texts, from all over the data, on which redundancy is measured.",
                low=1,
                high=100_000,
                applies={"which": (REDUNDANCY,)},
            ),
            ParameterSpec(
                "max_length",
                int,
                256,
                "Tokens of such a text; what is longer is cut.",
                low=2,
                high=1_048_576,
                applies={"which": (REDUNDANCY,)},
            ),
        ),
    )

    def run(self, context: StageContext) -> None:
        """Write a checkpoint like the one that came in, with fewer layers."""
        source, output = context.model.path, context.output
        model = _load(context)
        try:
            count = len(transformer_layers(model)[1])
        except ValueError as error:
            raise PassError(f"no layer can be dropped: {error}") from error
        kept = _choose(context, model, count)
        print(f"of layers 0 to {count - 1} these are kept: {', '.join(map(str, kept))}", flush=True)
        config = read_config(source) | keep_layers(model, kept)
        model.save_pretrained(output)
        copy_other_files(source, output, but=("config.json",))
        text = json.dumps(config, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
        (output / "config.json").write_text(text, encoding="utf-8")


def _load(context: StageContext) -> Any:
    """The model by the class that its checkpoint names: with the head that it has, or without."""
    import transformers

    folder = context.model.path
    named = (read_config(folder).get("architectures") or ["AutoModel"])[0]
    kind = getattr(transformers, named, None)
    if kind is None:
        raise PassError(f"transformers has no model class {named}, which the checkpoint names")
    return kind.from_pretrained(folder, dtype="auto", local_files_only=True)


def _choose(context: StageContext, model: Any, count: int) -> list[int]:
    """The numbers of the layers that are kept, in rising order."""
    wanted, which = context.parameters["layers"], context.parameters["which"]
    left = (count + 1) // 2 if wanted is None else int(str(wanted))
    if left > count:
        raise PassError(f"layers: {left} cannot be kept, the model has {count}")
    if which == REDUNDANCY and left < count:
        return most_changing(influences(model, _texts(context, model)), left)
    return evenly(count, left) if which == "spread" else ends(count, left, which == "protect_ends")


def evenly(count: int, left: int) -> list[int]:
    """`left` of `count` numbers, the first and the last among them."""
    return [round(i * (count - 1) / max(1, left - 1)) for i in range(left)]


def ends(count: int, left: int, last_two: bool) -> list[int]:
    """The first `left` of `count` numbers, or, in place of the last of them, the last two."""
    tail = min(2, left - 1) if last_two else 0
    return [*range(left - tail), *range(count - tail, count)]


def most_changing(influence: Sequence[float], left: int) -> list[int]:
    """The first layer and those of the highest influence, `left` in all."""
    ranked = sorted(range(1, len(influence)), key=lambda i: (-influence[i], i))
    return sorted([0, *ranked[: left - 1]])


def _texts(context: StageContext, model: Any) -> list[list[int]]:
    """Training texts as tokens, shortest first so that a batch holds texts of like length."""
    data, most = context.data, int(str(context.parameters["samples"]))
    if data is None:
        raise PassError("which: redundancy is measured on data: the space has no `data`")
    rows = read_split(data, "train")
    taken = [rows[i * len(rows) // most] for i in range(most)] if most < len(rows) else rows
    encoder = is_encoder(context.model.path)
    tokenizer = load_tokenizer(context.model.path)
    texts = [_read(Rows(tokenizer, data), row, encoder) for row in taken]
    limit = int(str(context.parameters["max_length"]))
    positions = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    if positions is not None:
        limit = min(limit, positions - 2)  # some architectures begin behind the padding's
    signs = data.chat is None  # a chat's template writes its special tokens itself
    tokens = tokenizer(texts, truncation=True, max_length=limit, add_special_tokens=signs)
    return sorted((list(ids) for ids in tokens["input_ids"] if ids), key=len)


def _read(reading: Rows, row: dict[str, str], encoder: bool) -> str:
    data = reading.data
    if encoder and data.label is not None:
        return classifier_text(data.template, data.label, row)
    return reading.texts([row])[0]


def influences(model: Any, texts: Sequence[list[int]]) -> list[float]:
    """How much each layer changes what goes through it: 1 - cosine, the mean over all tokens."""
    import torch

    _, layers = transformer_layers(model)
    sums = [0.0] * len(layers)
    mask = torch.empty(0)

    def hook(number: int) -> Any:
        def add(_: Any, given: Any, named: Any, result: Any) -> None:
            before = given[0] if given else named["hidden_states"]
            after = result[0] if isinstance(result, tuple) else result
            like = torch.nn.functional.cosine_similarity(before.float(), after.float(), dim=-1)
            sums[number] += float(((1 - like) * mask).sum())

        return add

    handles = [
        layer.register_forward_hook(hook(i), with_kwargs=True) for i, layer in enumerate(layers)
    ]
    model.eval()
    with torch.no_grad():
        for start in range(0, len(texts), _BATCH):
            ids, mask = padded(texts[start : start + _BATCH], 0, model.device)
            model(input_ids=ids, attention_mask=mask)
    for handle in handles:
        handle.remove()
    found = [value / sum(map(len, texts)) for value in sums]
    print("influence of each layer: " + ", ".join(f"{value:.4f}" for value in found), flush=True)
    return found
