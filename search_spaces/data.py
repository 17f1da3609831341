"""The data of a space: which files, how a row becomes text, and which rows are in which split.

Splits are stratified by label, depend on the seed and the rows alone, and never separate rows
that are equal. Knows nothing of models, tokens or metrics.
"""

from __future__ import annotations

import hashlib
import json
import math
import string
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

from search_spaces import data_locations
from search_spaces.chat import Chat, conversation_text, stored_turns
from search_spaces.data_files import DataError, Row, read_rows
from search_spaces.data_locations import Location
from search_spaces.problems import hint
from search_spaces.similarity import normalised

__all__ = [
    "DataError",
    "DataSpec",
    "Row",
    "content_key",
    "data_columns",
    "fetch",
    "labels",
    "read_split",
    "split_names",
    "stamps",
    "template_columns",
    "template_parts",
    "text_key",
    "text_of",
]

roles = ("all", "train", "dev", "test")


@dataclass(frozen=True, slots=True)
class DataSpec:
    """What a space says under `data:`.

    `files`: (role, absolute path or what lies elsewhere); a role is "all", "train", "dev" or
    "test" and may come more than once. A split without a file of its own is taken out of "all"
    (else out of "train") with its share under `split`; the rest of that pool is "train".
    `template`: text with {column} placeholders ({{ and }} for braces). `label`: the column that a
    model predicts, None where there is none. `answers`: that column holds answers in words of
    their own, not one of a few names: no split needs to have them all. `chat`: in place of the
    template, which is then empty, turns of a conversation.
    """

    files: tuple[tuple[str, Location], ...]
    template: str
    label: str | None = None
    split: tuple[tuple[str, float], ...] = (("dev", 0.2), ("test", 0.2))
    seed: int = 0
    answers: bool = False
    chat: Chat | None = None

    def to_json(self) -> dict[str, Any]:
        """A JSON form that `from_json` reads; what lies elsewhere is fetched, and pinned by it."""
        return {
            "files": [[role, data_locations.to_json(where)] for role, where in self.files],
            "template": self.template,
            "label": self.label,
            "split": [list(share) for share in self.split],
            "seed": self.seed,
            "answers": self.answers,
        } | ({} if self.chat is None else {"chat": self.chat.to_json()})

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The specification that `to_json` wrote."""
        return cls(
            files=tuple((role, data_locations.from_json(where)) for role, where in data["files"]),
            template=data["template"],
            label=data["label"],
            split=tuple((name, float(share)) for name, share in data["split"]),
            seed=data["seed"],
            answers=data["answers"],
            chat=None if data.get("chat") is None else Chat.from_json(data["chat"]),
        )


def template_parts(template: str) -> list[tuple[str, str | None]]:
    """A template as (literal text, the column that follows it); the column of the last may be None.

    DataError for single braces, empty placeholders, and formats such as {x:>10} or {x!r}.
    """
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError as error:
        raise DataError(f"template: {error}; write {{{{ and }}}} for braces") from None
    for _, column, form, conversion in parts:
        if column == "":
            raise DataError("template: {} names no column; expected {column}")
        if form or conversion:
            raise DataError(f"template: {{{column}}} cannot have a format; expected {{column}}")
    return [(literal, column) for literal, column, _, _ in parts]


def template_columns(template: str) -> tuple[str, ...]:
    """The columns that a template uses, each once, in order of appearance; DataError as above."""
    columns = (column for _, column in template_parts(template) if column is not None)
    return tuple(dict.fromkeys(columns))


def data_columns(spec: DataSpec) -> tuple[str, ...]:
    """The columns that a row becomes text with, in their order; the answer of messages is last."""
    if spec.chat is None:
        return template_columns(spec.template)
    if spec.chat.messages is not None:
        return (spec.chat.messages, str(spec.chat.answer))
    return tuple(dict.fromkeys(c for t in spec.chat.templates for c in template_columns(t)))


def fetch(spec: DataSpec, store_root: Path) -> None:
    """Have everything that lies elsewhere here, its copies kept below a store's folder.

    Without it the first reading fetches, into the usual store. DataError where that cannot be done.
    """
    for _, where in spec.files:
        if not isinstance(where, Path):
            where.copy(store_root)


def read_split(spec: DataSpec, split: str) -> list[Row]:
    """The rows of one split ("train", "dev", "test"), in the files' order.

    A row holds the columns of `data_columns`, as text. DataError for anything wrong with the data,
    in whichever split.
    """
    splits = _splits(spec, stamps(spec))
    if split not in splits:
        raise DataError(f"the data has no {split!r} split; it has {', '.join(splits)}")
    return [dict(row) for row in splits[split]]


def split_names(spec: DataSpec) -> tuple[str, ...]:
    """The splits that the data has, of "train", "dev" and "test" in this order."""
    return tuple(_splits(spec, stamps(spec)))


def text_of(spec: DataSpec, row: Row) -> str:
    """What a row holds besides its label: its other columns in the template's order, by lines."""
    return "\n".join(_texts(spec, row))


def text_key(spec: DataSpec, row: Row) -> str:
    """Rows with the same key are equal: the text without the label, case, spacing, form aside.

    They are never separated by a split. The label is left out, so that a phrase with two labels
    is not in training and in test at once.
    """
    return "\0".join(map(normalised, _texts(spec, row)))


def _texts(spec: DataSpec, row: Row) -> list[str]:
    """What a row says but for its label; of a conversation, every turn before the last."""
    if spec.chat is not None and spec.chat.messages is not None:
        return [turn["content"] for turn in stored_turns(row[spec.chat.messages])[:-1]]
    return [row[column] for column in _text_columns(spec)]


@lru_cache(maxsize=8)
def _text_columns(spec: DataSpec) -> tuple[str, ...]:
    columns = data_columns(spec)
    return tuple(c for c in columns if c != spec.label) or (str(spec.label),)


def labels(spec: DataSpec) -> tuple[str, ...]:
    """The distinct labels of all splits, sorted; empty where the data has no label column."""
    if spec.label is None:
        return ()
    return _label_set(spec.label, _splits(spec, stamps(spec)))


def content_key(spec: DataSpec, split: str) -> str:
    """SHA-256 (hex) of what a split says: its rows in order, the template (chat) and the label.

    The same rows in another file, or in another format, have the same key.
    """
    form = spec.template if spec.chat is None else spec.chat.to_json()
    content = [form, spec.label, read_split(spec, split)]
    text = json.dumps(content, ensure_ascii=True, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


Splits = Mapping[str, Sequence[Row]]
Stamps = tuple[tuple[int, int, int] | None, ...]


def stamps(spec: DataSpec) -> Stamps:
    """What tells a changed file from the one that was read before; None for a missing file."""
    return tuple(_stamp(data_locations.local_path(where)) for _, where in spec.files)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None  # reading it says why
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


@lru_cache(maxsize=8)
def _splits(spec: DataSpec, _files: Stamps) -> Splits:
    """Every split of the data. `_files` only keeps a changed file from being taken as read."""
    _check(spec)
    rows = _rows_by_role(spec)
    missing = [(name, share) for name, share in spec.split if name not in rows]
    pool = "all" if "all" in rows else "train"
    splits: dict[str, Sequence[Row]] = {n: r for n, r in rows.items() if n != "all"}
    if missing and pool in rows:
        splits |= _divide(spec, rows[pool], missing)
    elif "all" in rows:
        splits["train"] = rows["all"]
    _check_labels(spec, splits)
    return {name: splits[name] for name in roles if name in splits}


def _check(spec: DataSpec) -> None:
    columns = data_columns(spec)
    form = "template" if spec.chat is None else "chat"
    if not columns:
        raise DataError(f"{form}: no {{column}} in it, so that every row would be the same text")
    if spec.label is not None and spec.label not in columns:
        near = hint(spec.label, columns)
        raise DataError(f"label: {spec.label!r} is not in the {form}{near}")
    named = [role for role, _ in spec.files]
    for name in (*named, *(name for name, _ in spec.split)):
        if name not in roles:
            near = hint(name, roles)
            raise DataError(f"data: unknown split {name!r}; expected {', '.join(roles)}{near}")
    if not named:
        raise DataError("data: no files")
    if "all" in named and "train" in named:
        raise DataError("data: train is what is left of all; give one of the two")
    _check_shares(spec)


def _check_shares(spec: DataSpec) -> None:
    for name, share in spec.split:
        if name not in ("dev", "test"):
            raise DataError(f"split: {name!r} has no share; it is what dev and test leave")
        if not 0 < share < 1:
            raise DataError(f"split: {name} is {share:g}, expected a number between 0 and 1")
    total = sum(share for _, share in spec.split)
    if total >= 1:
        raise DataError(f"split: the shares add up to {total:g} and leave nothing to train on")


def _rows_by_role(spec: DataSpec) -> dict[str, list[Row]]:
    if spec.chat is not None and spec.chat.messages is not None:
        return _conversations(spec.files, spec.chat)
    columns = data_columns(spec)
    filled = () if spec.label is None else (spec.label,)
    uniform = () if spec.answers else filled
    rows: dict[str, list[Row]] = {}
    for role, where in spec.files:
        found = data_locations.reading(where, lambda p: read_rows(p, columns, filled, uniform))
        rows.setdefault(role, []).extend(found)
    return rows


def _conversations(files: Sequence[tuple[str, Location]], chat: Chat) -> dict[str, list[Row]]:
    """Rows of conversations, each with its last answer as a column of its own."""
    column, answer = str(chat.messages), str(chat.answer)
    rows: dict[str, list[Row]] = {}
    forms = {column: conversation_text}
    for role, where in files:
        found = data_locations.reading(where, lambda path: read_rows(path, (column,), forms=forms))
        rows.setdefault(role, []).extend(
            row | {answer: stored_turns(row[column])[-1]["content"]} for row in found
        )
    return rows


def _divide(
    spec: DataSpec, rows: Sequence[Row], shares: Sequence[tuple[str, float]]
) -> dict[str, list[Row]]:
    """Train and the splits of `shares`. Groups of equal rows are dealt whole, label by label."""
    keys = [text_key(spec, row) for row in rows]
    side: dict[str, str] = {}
    strata = _strata(spec, rows, keys)
    if spec.answers and any(len(groups) <= len(shares) for groups in strata.values()):
        strata = {"": [group for groups in strata.values() for group in groups]}
    for label, groups in strata.items():
        if len(groups) <= len(shares):
            raise DataError(_too_few(spec, label, len(groups), [name for name, _ in shares]))
        ordered = sorted(groups, key=lambda group: _hash(spec.seed, label, group))
        names = [name for name, n in _counts(len(groups), shares) for _ in range(n)]
        side |= dict(zip(ordered, names, strict=True))
    divided: dict[str, list[Row]] = {name: [] for name in ("train", *(name for name, _ in shares))}
    for row, key in zip(rows, keys, strict=True):
        divided[side[key]].append(row)
    return divided


def _strata(spec: DataSpec, rows: Sequence[Row], keys: Sequence[str]) -> dict[str, list[str]]:
    """Label -> groups; a group whose rows disagree counts under its most frequent label."""
    votes: dict[str, Counter[str]] = {}
    for row, key in zip(rows, keys, strict=True):
        label = "" if spec.label is None else row[spec.label]
        votes.setdefault(key, Counter())[label] += 1
    strata: dict[str, list[str]] = {}
    for key, counter in votes.items():
        label = min(counter, key=lambda name: (-counter[name], name))
        strata.setdefault(label, []).append(key)
    return strata


def _hash(seed: int, label: str, group: str) -> bytes:
    # A hash, as the order that `random` gives is only promised within one Python version.
    return hashlib.sha256(f"{seed}\0{label}\0{group}".encode("utf-8", "surrogatepass")).digest()


def _counts(groups: int, shares: Sequence[tuple[str, float]]) -> list[tuple[str, int]]:
    """How many groups each split gets: its share, rounded, but at least one; the rest is train."""
    counts = {name: max(1, math.floor(share * groups + 0.5)) for name, share in shares}
    while sum(counts.values()) >= groups:
        counts[max(counts, key=lambda name: counts[name])] -= 1
    return [*counts.items(), ("train", groups - sum(counts.values()))]


def _too_few(spec: DataSpec, label: str, found: int, names: Sequence[str]) -> str:
    splits = ", ".join(("train", *names))
    which = f"label {label!r}" if label else "the data"
    rows = "1 row" if found == 1 else f"{found} different rows"
    needed = f"it takes {len(names) + 1} different rows"
    needed += " of every label" if label else ""
    where = _where(spec, "all", "train")
    return f"{where}: {which} has {rows}, too few to be in every split ({splits}); {needed}"


def _where(spec: DataSpec, *roles: str) -> str:
    """The files of some roles."""
    return ", ".join(data_locations.shown(where) for role, where in spec.files if role in roles)


def _label_set(label: str, splits: Splits) -> tuple[str, ...]:
    return tuple(sorted({row[label] for rows in splits.values() for row in rows}))


def _check_labels(spec: DataSpec, splits: Splits) -> None:
    """That there is something to tell, and that what is trained for can be judged.

    A label that training lacks is no error: what is only asked, and not trained, can know it.
    """
    if spec.label is None or spec.answers:
        return
    expected = _label_set(spec.label, splits)
    if len(expected) < 2:
        where, found = _where(spec, *roles), f"{spec.label!r} is {expected[0]!r} in every row"
        raise DataError(f"{where}: column {found}; it takes two labels to tell apart")
    for name, rows in splits.items():
        absent = set(expected) - {row[spec.label] for row in rows}
        if absent and name != "train":
            raise DataError(_lacks(spec, splits, name, sorted(absent)))


def _lacks(spec: DataSpec, splits: Splits, name: str, absent: Sequence[str]) -> str:
    where = _where(spec, name)
    words = f"{where}: " if where else ""
    words += f"the {name} split has no row with label {', '.join(map(repr, absent))}"
    counts = {n: sum(row[str(spec.label)] in absent for row in rows) for n, rows in splits.items()}
    others = ", ".join(f"{n} has {count:,}" for n, count in counts.items() if count)
    advice = f"add such rows to {name}, or leave the label out of the others"
    return f"{words} ({others}), so that accuracy could say nothing of it; {advice}"
