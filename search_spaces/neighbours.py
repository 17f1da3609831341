"""For every row of a split, the training row whose words are most like its own.

Looked up once for each state of the files. Knows nothing of what is concluded from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from search_spaces.data import DataSpec, Row, Stamps, read_split, stamps, text_of
from search_spaces.similarity import WordIndex, spread, words_of

_MOST_KNOWN = 50_000
_PAIRS = 100_000_000  # compared in about a second
_AT_LEAST = 500


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A row, the most similar training row, and how alike they are (Jaccard, above 0 to 1)."""

    row: Row
    nearest: Row
    likeness: float


@dataclass(frozen=True, slots=True)
class Neighbours:
    """`rows`: those that were looked at, `found`: for each its neighbour, or None: no word shared.

    Of many rows only some are looked at, evenly over the split (`of`: all there are), among at
    most 50,000 training rows (`known`).
    """

    rows: tuple[Row, ...]
    found: tuple[Neighbour | None, ...]
    of: int
    known: int


def neighbours(spec: DataSpec, split: str) -> Neighbours:
    """The neighbours of a split's rows; DataError where it or the training split is missing.

    Labels and the template's own words are not compared. About a second at most.
    """
    return _neighbours(spec, split, stamps(spec))


@lru_cache(maxsize=8)
def _neighbours(spec: DataSpec, split: str, _files: Stamps) -> Neighbours:
    rows = read_split(spec, split)
    train = spread(read_split(spec, "train"), _MOST_KNOWN)
    asked = spread(rows, max(_AT_LEAST, _PAIRS // len(train)))
    index = WordIndex([words_of(text_of(spec, row)) for row in train])
    found = tuple(_neighbour(spec, index, train, row) for row in asked)
    return Neighbours(tuple(asked), found, len(rows), len(train))


def _neighbour(
    spec: DataSpec, index: WordIndex, train: Sequence[Row], row: Row
) -> Neighbour | None:
    nearest = index.nearest(words_of(text_of(spec, row)))
    return None if nearest is None else Neighbour(row, train[nearest[0]], nearest[1])
