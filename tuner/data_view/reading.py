"""Rows as a model will read them: how long they are, and what of each is learned.

With a model's tokenizer these are its own tokens, made as training makes them; without, characters
and words. Knows nothing of how it is shown.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from evaluators.rows import Rows, turns
from evaluators.text import classifier_text, render, split_prompt
from search_spaces.data import DataError, DataSpec, Row
from search_spaces.kinds import ENCODER, kind_of_folder
from search_spaces.similarity import spread
from search_spaces.vocabulary import Value
from tuner.passes.base import PassError
from tuner.training.declarations import training_parameters
from tuner.training.examples import Example, examples_of, shortened
from tuner.training.settings import Training

_MOST = 10_000  # rows that are measured; of more, some from all over the file

Piece = tuple[str, bool]
"""A part of a text, and whether it is learned."""


@dataclass(frozen=True, slots=True)
class Lengths:
    """How long texts are, in `unit`: of `measured` rows, spread over all `rows`.

    `limit`: how much is read of one; `over`: texts that are longer; `lost`: the share of all that
    is cut off.
    """

    unit: str
    rows: int
    measured: int
    least: int
    median: float
    most_have: int
    """95 % of the texts are no longer."""
    longest: int
    total: int
    limit: int | None = None
    over: int = 0
    lost: float = 0.0


@dataclass(frozen=True, slots=True)
class Read:
    """A row as it is read: its pieces in order, how long it is, and its label where that is aside.

    `cut`: how much of the row's start and end is not read (tokens).
    """

    pieces: tuple[Piece, ...]
    length: int
    unit: str
    label: str | None = None
    cut: int = 0


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads rows for a model. `folder`: its local folder; None: no model is known."""

    data: DataSpec
    folder: Path | None
    limit: int
    loss: str

    def lengths(self, rows: Sequence[Row]) -> list[Lengths]:
        """In tokens; without a model in words and characters."""
        taken = spread(list(rows), _MOST)
        if self.folder is None:
            texts = [without_model(self.data, row) for row in taken]
            words = [len("".join(piece for piece, _ in text).split()) for text in texts]
            characters = [sum(len(piece) for piece, _ in text) for text in texts]
            return [_lengths("words", words, rows), _lengths("characters", characters, rows)]
        whole, kept = self._counts(taken)
        found = _lengths("tokens", whole, rows)
        over = sum(a < b for a, b in zip(kept, whole, strict=True))
        lost = (sum(whole) - sum(kept)) / max(1, sum(whole))
        return [replace(found, limit=self.limit, over=over, lost=lost)]

    def read(self, rows: Sequence[Row]) -> list[Read]:
        """Rows as the model meets them in training."""
        if self.folder is None:
            return [self._plain(row) for row in rows]
        tokenizer = self._tokenizer()
        if self._encodes():
            return [self._classified(tokenizer, row) for row in rows]
        whole = self._examples(tokenizer, rows)
        kept = [self._cut(example) for example in whole]
        return [_read(tokenizer, a, b) for a, b in zip(kept, whole, strict=True)]

    def _plain(self, row: Row) -> Read:
        pieces = without_model(self.data, row)
        full = self.loss == "full"
        length = sum(len(text) for text, _ in pieces)
        shown = tuple((text, full or learned) for text, learned in pieces)
        return Read(shown, length, "characters")

    def _counts(self, rows: Sequence[Row]) -> tuple[list[int], list[int]]:
        """Tokens of every row: in all, and those that are read."""
        tokenizer = self._tokenizer()
        if self._encodes():
            whole = [len(self._encoded(tokenizer, row)) for row in rows]
            return whole, [min(count, self.limit) for count in whole]
        examples = self._examples(tokenizer, rows)
        kept = [self._cut(example) for example in examples]
        return [len(e.ids) for e in examples], [len(e.ids) for e in kept]

    def _cut(self, example: Example) -> Example:
        try:
            return shortened(example, self._settings(), self.data)
        except PassError as error:
            raise DataError(str(error)) from None

    def _examples(self, tokenizer: Any, rows: Sequence[Row]) -> list[Example]:
        try:
            return examples_of(tokenizer, self.data, rows, self._settings())
        except PassError as error:
            raise DataError(str(error)) from None

    def _settings(self) -> Training:
        values: dict[str, Value] = {p.name: p.default for p in training_parameters()}
        return Training.of(values | {"loss": self.loss, "max_length": self.limit})

    def _encodes(self) -> bool:
        return self.folder is not None and kind_of_folder(self.folder) == ENCODER

    def _encoded(self, tokenizer: Any, row: Row) -> list[int]:
        """What an encoder reads of a row."""
        data = self.data
        if data.label is None:
            text = Rows(tokenizer, data).texts([row])[0]
        else:
            text = classifier_text(data.template, data.label, row)
        return list(tokenizer(text)["input_ids"])

    def _classified(self, tokenizer: Any, row: Row) -> Read:
        ids = self._encoded(tokenizer, row)
        cut = max(0, len(ids) - self.limit)
        text = _decoded(tokenizer, ids[: self.limit])
        label = None if self.data.label is None else row[self.data.label]
        return Read(((text, False),), len(ids), "tokens", label, cut)

    def _tokenizer(self) -> Any:
        from evaluators.base import MeasurementError
        from evaluators.runtimes.tokenizer import load_tokenizer

        assert self.folder is not None
        try:
            return load_tokenizer(self.folder)
        except MeasurementError as error:
            raise DataError(str(error)) from None


def without_model(data: DataSpec, row: Row) -> tuple[Piece, ...]:
    """A row's text, and what of it is the answer; turns of a chat by their speakers' names."""
    if data.chat is not None:
        pieces: list[Piece] = []
        for turn in turns(data, row):
            pieces += [(f"{turn['role']}: ", False)]
            pieces += [(turn["content"], turn["role"] == "assistant"), ("\n", False)]
        return tuple(pieces[:-1])
    if data.label is None:
        return ((render(data.template, row), False),)
    prompt, rest = split_prompt(data.template, data.label, row)
    return (prompt, False), (rest, True)


def _lengths(unit: str, found: Sequence[int], rows: Sequence[Row]) -> Lengths:
    ordered = sorted(found)
    return Lengths(
        unit,
        rows=len(rows),
        measured=len(ordered),
        least=ordered[0],
        median=statistics.median(ordered),
        most_have=ordered[max(0, -(-95 * len(ordered) // 100) - 1)],
        longest=ordered[-1],
        total=sum(ordered),
    )


def _read(tokenizer: Any, example: Example, whole: Example) -> Read:
    """The example's tokens as text, in runs that are learned, or not."""
    learned = set(example.places)
    pieces: list[Piece] = []
    start = 0
    for i in range(1, len(example.ids) + 1):
        if i == len(example.ids) or (i in learned) != (start in learned):
            pieces.append((_decoded(tokenizer, example.ids[start:i]), start in learned))
            start = i
    cut = len(whole.ids) - len(example.ids)
    return Read(tuple(pieces), len(whole.ids), "tokens", cut=cut)


def _decoded(tokenizer: Any, ids: Sequence[int]) -> str:
    """Special tokens are shown, and nothing is tidied."""
    return str(tokenizer.decode(list(ids), clean_up_tokenization_spaces=False))
