"""What classifiers have in common in every runtime: their room, their tokens, their labels.

`config` is what config.json says. Knows nothing of any one runtime.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evaluators.base import Json, MeasurementError
from evaluators.runtimes.tokenizer import load_tokenizer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CONFIG = "config.json"

_OFFSET_POSITIONS = ("roberta", "xlm-roberta", "camembert", "mpnet")


def context_of(config: Json) -> int | None:
    """The most tokens that a model can read; None where its configuration does not say."""
    room = config.get("max_position_embeddings")
    if room is not None and config.get("model_type") in _OFFSET_POSITIONS:
        room -= (config.get("pad_token_id") or 0) + 1  # these count from behind padding
    return room


def labels_of(config: Json, folder: Path) -> list[str]:
    """The name of every logit, in order. MeasurementError where the configuration names none."""
    names = config.get("id2label")
    if not isinstance(names, dict) or not names:
        raise MeasurementError(f"{folder / CONFIG}: there is no id2label in it")
    return [str(names[key]) for key in sorted(names, key=int)]


def tokenise(
    folder: Path, texts: Sequence[str], context: int | None
) -> tuple[list[list[int]], int]:
    """Token ids of every text with its special tokens, and how many texts were too long.

    A text beyond what the model can read is cut at its end, as it is in training.
    """
    tokenizer = load_tokenizer(folder)
    # A tokenizer that knows no limit says so with a huge number.
    limit = min(context or tokenizer.model_max_length, tokenizer.model_max_length)
    whole = tokenizer(list(texts))["input_ids"]
    if all(len(ids) <= limit for ids in whole):
        return [list(ids) for ids in whole], 0
    cut = tokenizer(list(texts), truncation=True, max_length=limit)["input_ids"]
    return [list(ids) for ids in cut], sum(len(ids) > limit for ids in whole)


def padded(
    rows: Sequence[Sequence[int]], shape: tuple[int, int], padding: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Token ids and their mask, of a shape (batch, tokens), filled up at the end of each row.

    Where there are more rows in the shape, the last one is repeated.
    """
    import numpy as np

    filled = [*rows, *(rows[-1] for _ in range(shape[0] - len(rows)))]
    ids, mask = np.full(shape, padding, np.int64), np.zeros(shape, np.int64)
    for i, row in enumerate(filled):
        ids[i, : len(row)] = row
        mask[i, : len(row)] = 1
    return ids, mask


def padding_of(config: Json) -> int:
    """The id that fills rows up. It is masked, so that any would do in a model with a mask."""
    return int(config.get("pad_token_id") or 0)


def by_label(row: NDArray[Any], labels: Sequence[str], folder: Path) -> dict[str, float]:
    """Label -> its log-probability, from the logits of one text.

    MeasurementError where there are not as many logits as labels.
    """
    import numpy as np

    if len(row) != len(labels):
        raise MeasurementError(
            f"{folder / CONFIG} names {len(labels)} labels, but the graph gives {len(row)} logits"
        )
    shifted = row.astype(np.float64) - row.max()
    found = (shifted - np.log(np.exp(shifted).sum())).tolist()
    return dict(zip(labels, found, strict=True))
