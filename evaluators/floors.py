"""What an accuracy is to be read against: how far one gets with no model at all.

Knows nothing of models, and imports nothing that is slow to import.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

from search_spaces.data import DataError, DataSpec, read_split, split_names
from search_spaces.neighbours import Neighbours, neighbours


@dataclass(frozen=True, slots=True)
class Floors:
    """The accuracy on a split of two answers that need no model; shares between 0 and 1.

    `majority`: of always answering `majority_label`, the most frequent label of the training rows
    (of the split itself where there are none). `nearest`: of answering with the label of the
    training row that shares most words (Jaccard similarity of the sets of words, of equals the
    first; the majority label where no row shares any), on `compared` rows evenly taken from the
    split's `rows` where those are many; None where there are no training rows.
    """

    split: str
    rows: int
    train_rows: int
    majority: float
    majority_label: str
    nearest: float | None
    compared: int

    def to_json(self) -> dict[str, Any]:
        """A JSON form that `from_json` reads."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The floors that `to_json` wrote."""
        return cls(**data)

    def __str__(self) -> str:
        """`always 'joy' 25.0 %, nearest training row 33.1 %`."""
        text = f"always {self.majority_label!r} {100 * self.majority:.1f} %"
        if self.nearest is None:
            return text
        text += f", nearest training row {100 * self.nearest:.1f} %"
        some = self.compared < self.rows
        return text + (f" (of {self.compared:,} of {self.rows:,} rows)" if some else "")


def floors(data: DataSpec, split: str) -> Floors:
    """The floors of a split; a second or two at most, the neighbours being kept in the process.

    Texts are compared without the template's own words and without the label. DataError for data
    without a label, or without the split.
    """
    if data.label is None:
        raise DataError("without a label column there is no accuracy, and no floor to it")
    rows = read_split(data, split)
    train = read_split(data, "train") if split != "train" and "train" in split_names(data) else []
    label = _most_frequent([row[data.label] for row in train or rows])
    near = neighbours(data, split) if train else None
    return Floors(
        split=split,
        rows=len(rows),
        train_rows=len(train),
        majority=sum(row[data.label] == label for row in rows) / len(rows),
        majority_label=label,
        nearest=None if near is None else _nearest(near, data.label, label),
        compared=0 if near is None else len(near.rows),
    )


def _most_frequent(labels: Sequence[str]) -> str:
    counts = Counter(labels)
    return min(counts, key=lambda name: (-counts[name], name))


def _nearest(near: Neighbours, column: str, otherwise: str) -> float:
    """The share of rows whose nearest training row has the same label."""
    right = 0
    for row, found in zip(near.rows, near.found, strict=True):
        answer = otherwise if found is None else found.nearest[column]
        right += answer == row[column]
    return right / len(near.rows)
