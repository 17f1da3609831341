"""What a file of data says about itself: which column is the label, which ones are the text.

Guesses, and says what it guessed. Knows nothing of models or pipelines.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from search_spaces import data_locations
from search_spaces.data import DataError, DataSpec, labels, read_split, template_columns
from search_spaces.data_files import read_raw_rows
from search_spaces.data_locations import Location
from search_spaces.problems import hint, listed
from tuner.init.errors import CannotWrite

Rows = Sequence[Mapping[str, object]]

_LABEL_NAMES = (
    *("label", "labels", "class", "category", "target", "tone", "sentiment", "emotion"),
    *("intent", "topic", "rating", "y"),
)
_TEXT_NAMES = (
    *("text", "sentence", "phrase", "content", "body", "review", "message", "utterance"),
    *("premise", "hypothesis", "sentence1", "sentence2", "question", "context", "title"),
    *("instruction", "input", "prompt", "output", "completion", "answer", "response"),
)
_MOST_LABELS = 100
_CHARACTERS_OF_A_TOKEN = 4


@dataclass(frozen=True, slots=True)
class Dataset:
    """`texts`: the columns that a model reads; `label`: the one that it predicts.

    `guessed`: nobody said which column is the label. `train`, `dev`: rows to train on and to
    score with. `tokens`: about how many a text has. `classes`: the labels.
    """

    path: Location
    texts: tuple[str, ...]
    label: str | None
    template: str
    train: int
    dev: int
    tokens: int
    classes: tuple[str, ...]
    guessed: bool


def look_at(path: Location, label: str | None, *, classify: bool, named: bool) -> Dataset:
    """What a file holds; CannotWrite where that cannot be told, or cannot be used.

    `classify`: a label is needed, and guessed where none is given. `named`: the template names the
    columns, as a language model reads them best.
    """
    name = data_locations.shown(path)
    try:
        rows = data_locations.reading(path, read_raw_rows)
        columns = list(dict.fromkeys(name for row in rows for name in row))
        if label is not None and label not in columns:
            known = listed(columns, "and")
            raise CannotWrite(
                f"{name}: no column {label!r}; there are {known}{hint(label, columns)}"
            )
        found = (label or _label(name, rows, columns)) if classify else None
        texts = _texts(name, rows, [c for c in columns if c != found])
        template = guess_template(texts, found, named=named)
        spec = DataSpec((("all", path),), template, found)
        if set(template_columns(template)) != {*texts, *([found] if found else [])}:
            raise CannotWrite(f"{name}: a column's name has one of {{}}!: in it; rename it")
        return Dataset(
            path=path,
            texts=texts,
            label=found,
            template=template,
            train=len(read_split(spec, "train")),
            dev=len(read_split(spec, "dev")),
            tokens=_tokens(rows, texts),
            classes=labels(spec),
            guessed=found is not None and label is None,
        )
    except DataError as error:
        raise CannotWrite(str(error)) from error


def _label(file: str, rows: Rows, columns: Sequence[str]) -> str:
    found = guess_labels(rows, columns)
    if len(found) == 1:
        return found[0]
    which = "more than one column could be" if found else "no column looks like"
    raise CannotWrite(
        f"{file}: {which} the label; say which: --label {' or --label '.join(found or columns)}"
    )


def guess_labels(rows: Rows, columns: Sequence[str]) -> list[str]:
    """The columns that could be the label: the one with a usual name, else all with classes."""
    by_name = [c for name in _LABEL_NAMES for c in columns if c.casefold() == name]
    return by_name[:1] or [c for c in columns if is_class(rows, c)]


def is_class(rows: Rows, column: str) -> bool:
    """Whether a column has few values, each of them often."""
    values = {str(row.get(column)) for row in rows}
    return 2 <= len(values) <= min(_MOST_LABELS, max(2, len(rows) // 5))


def _texts(file: str, rows: Rows, columns: Sequence[str]) -> tuple[str, ...]:
    found = guess_texts(rows, columns)
    if not found:
        raise CannotWrite(f"{file}: there is no column of text to read")
    return found


def guess_texts(rows: Rows, columns: Sequence[str]) -> tuple[str, ...]:
    """Columns with a usual name, else the longest one and those at least half as long."""
    texts = [c for c in columns if _length(rows, c) > 0]
    named = tuple(c for c in texts if c.casefold() in _TEXT_NAMES)
    if named or not texts:
        return named
    longest = max(_length(rows, c) for c in texts)
    return tuple(c for c in texts if 2 * _length(rows, c) >= longest)


def _length(rows: Rows, column: str) -> float:
    """The middle number of characters; 0 where some row has no text there."""
    values = [row.get(column) for row in rows]
    return statistics.median(len(v) if isinstance(v, str) else 0 for v in values)


def guess_template(texts: Sequence[str], label: str | None, *, named: bool) -> str:
    """A line for each column, the label's last; `named`: with the columns' names before them."""
    columns = [*texts, *([label] if label else [])]
    if not named or columns == list(texts[:1]):
        return "\n".join(f"{{{column}}}" for column in columns)
    return "\n".join(f"{_title(column)}: {{{column}}}" for column in columns)


def _title(column: str) -> str:
    words = column.replace("_", " ").strip()
    return words[:1].upper() + words[1:]


def _tokens(rows: Rows, texts: Sequence[str]) -> int:
    """About how many tokens a text has, in steps of 16."""
    characters = sum(_length(rows, column) for column in texts)
    return min(1024, max(16, 16 * round(characters / _CHARACTERS_OF_A_TOKEN / 16)))
