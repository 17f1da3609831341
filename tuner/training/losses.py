"""The loss of a batch, for language models and for classifiers. Knows nothing of training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tuner.training.examples import END_SHARE, Example, LabelledText

BatchLoss = Callable[[Any, Sequence[Any]], Any]
"""(model, examples) -> the loss, summed over what is learned: a scalar tensor."""


def token_loss(model: Any, batch: Sequence[Example]) -> Any:
    """The cross-entropy of the learned tokens, summed: a scalar tensor.

    Texts are padded behind their end, where causal attention lets no token of theirs look, so
    that neither a mask nor a padding token is needed. Logits, of which there is one for each
    word of the vocabulary, are computed at positions of learned tokens only.
    """
    import torch

    width = max(len(example.ids) for example in batch)
    ids = [example.ids + [0] * (width - len(example.ids)) for example in batch]
    learned = [example.places for example in batch]
    before = [[place - 1 for place in places] for places in learned]
    kept = sorted({position for positions in before for position in positions})
    column = {position: i for i, position in enumerate(kept)}
    logits = model(
        input_ids=torch.tensor(ids, device=model.device),
        logits_to_keep=torch.tensor(kept, device=model.device),
        use_cache=False,
    ).logits
    rows = [row for row, positions in enumerate(before) for _ in positions]
    columns = [column[position] for positions in before for position in positions]
    pairs = zip(batch, learned, strict=True)
    wanted = [example.ids[place] for example, places in pairs for place in places]
    return _cross_entropy(logits[rows, columns].float(), wanted, _shares(batch))


def _shares(batch: Sequence[Example]) -> list[float] | None:
    """What each learned token counts; None where all count the same."""
    if not any(example.end_aside for example in batch):
        return None
    return [
        share
        for example in batch
        for share in [1.0] * example.learned + [END_SHARE] * example.end_aside
    ]


def _cross_entropy(logits: Any, wanted: list[int], shares: list[float] | None) -> Any:
    import torch

    tokens = torch.tensor(wanted, device=logits.device)
    if shares is None:
        return torch.nn.functional.cross_entropy(logits, tokens, reduction="sum")
    costs = torch.nn.functional.cross_entropy(logits, tokens, reduction="none")
    return (costs * torch.tensor(shares, device=logits.device)).sum()


def label_loss(padding: int) -> BatchLoss:
    """The cross-entropy of the labels, summed. `padding`: the token that fills a batch up."""

    def loss(model: Any, batch: Sequence[LabelledText]) -> Any:
        import torch

        ids, mask = padded([example.ids for example in batch], padding, model.device)
        labels = torch.tensor([example.label for example in batch], device=model.device)
        logits = model(input_ids=ids, attention_mask=mask).logits
        return torch.nn.functional.cross_entropy(logits.float(), labels, reduction="sum")

    return loss


def padded(texts: Sequence[list[int]], padding: int, device: Any) -> tuple[Any, Any]:
    """Token ids filled up behind their ends, and the attention mask: int64 [texts, longest]."""
    import torch

    width = max(map(len, texts))
    ids = [text + [padding] * (width - len(text)) for text in texts]
    mask = [[1] * len(text) + [0] * (width - len(text)) for text in texts]
    return torch.tensor(ids, device=device), torch.tensor(mask, device=device)
