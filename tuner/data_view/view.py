"""All that is to be told of a data set, put together. Knows nothing of how it is shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from search_spaces.data import DataError, DataSpec, Row, read_split, split_names, text_key, text_of
from search_spaces.data_files import read_raw_rows
from search_spaces.data_locations import reading
from search_spaces.data_report import NEAR, Finding, report
from search_spaces.problems import short
from search_spaces.similarity import alike_pairs, spread, words_of
from tuner.data_view.columns import Column, Rows, columns_of
from tuner.data_view.guessing import Guess, guess
from tuner.data_view.reading import Lengths, Read, Reader

_COMPARED = 20_000  # rows among which nearly equal ones are looked for


@dataclass(frozen=True, slots=True)
class Copies:
    """Different rows with nearly the same words: `count` of `of` looked at, and a pair of them."""

    count: int
    of: int
    example: tuple[str, str] | None


@dataclass(frozen=True, slots=True)
class View:
    """What is to be told of a data set.

    `spec`: how rows are read; None where nobody says and nothing looks right. `guessed`: nobody
    said. `splits`: rows in each. `labels`: label -> rows in each split. `first`: rows as they are
    read.
    """

    names: tuple[str, ...]
    rows: int
    columns: tuple[Column, ...]
    spec: DataSpec | None
    guessed: bool
    splits: Mapping[str, int]
    labels: Mapping[str, Mapping[str, int]]
    findings: tuple[Finding, ...]
    near: Copies | None
    lengths: tuple[Lengths, ...]
    first: tuple[Read, ...]

    def to_json(self) -> dict[str, Any]:
        """As plain data; of the files only their names."""
        found = asdict(replace(self, spec=None, findings=()))
        del found["spec"]
        spec = self.spec
        reading: dict[str, Any] | None = None
        if spec is not None:
            form = spec.template if spec.chat is None else spec.chat.to_json()
            reading = {"template" if spec.chat is None else "chat": form, "label": spec.label}
        return found | {"reading": reading, "findings": [asdict(f) for f in self.findings]}


def columns_in(spec: DataSpec) -> tuple[Rows, tuple[Column, ...]]:
    """Every row of all files with all that it holds, and the columns; DataError as in reading."""
    rows = [row for _, place in spec.files for row in reading(place, read_raw_rows)]
    return rows, tuple(columns_of(rows))


def as_guessed(spec: DataSpec, found: Guess) -> DataSpec:
    """The data, read as was guessed."""
    return replace(
        spec,
        template=found.template,
        chat=found.chat,
        label=found.label,
        answers=found.answers,
    )


def look(
    spec: DataSpec,
    names: Sequence[str],
    reader: Reader,
    first: int,
    *,
    label: str | None = None,
) -> View:
    """Look at all rows. A `spec` without template and chat is read as seems right.

    `names`: of the files. `label`: the column that is known to be the label of such data. DataError
    for what cannot be used, or not be read as is asked.
    """
    rows, columns = columns_in(spec)
    guessed = not spec.template and spec.chat is None
    nothing = View(tuple(names), len(rows), columns, None, True, {}, {}, (), None, (), ())
    if guessed:
        found = guess(rows, columns, label)
        if found is None:
            return nothing
        spec = as_guessed(spec, found)
    try:
        told = report(spec)
    except DataError:
        if not guessed or label is not None or spec.split:
            raise
        return nothing
    splits = {name: read_split(spec, name) for name in split_names(spec)}
    every = [row for part in splits.values() for row in part]
    reader = replace(reader, data=spec, loss=_loss(spec, reader.loss))
    return replace(
        nothing,
        spec=spec,
        guessed=guessed,
        splits=told.splits,
        labels=told.labels,
        findings=told.findings,
        near=_near(spec, every),
        lengths=tuple(reader.lengths(every)),
        first=tuple(reader.read(next(iter(splits.values()))[:first])),
    )


def _loss(spec: DataSpec, asked: str) -> str:
    """Without a label the whole text is learned; a chat has answers always."""
    return "full" if spec.label is None and spec.chat is None else asked


def _near(spec: DataSpec, rows: Sequence[Row]) -> Copies:
    """Rows that are nearly copies of an earlier one; equal ones are told of by the report."""
    different = {text_key(spec, row): text_of(spec, row) for row in reversed(rows)}
    texts = spread(list(reversed(different.values())), _COMPARED)
    pairs = list(alike_pairs([words_of(text) for text in texts], NEAR))
    example = None if not pairs else (short(texts[pairs[0][0]]), short(texts[pairs[0][1]]))
    return Copies(len(pairs), len(texts), example)
