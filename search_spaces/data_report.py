"""What is to be known of the data before a number is believed: copies, leaks, odd labels.

Everything here can be lived with; what cannot is a `DataError` of the reading. Knows nothing of
models, and of no way to show what it finds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations, islice
from typing import Any, Self

from search_spaces import data_locations
from search_spaces.data import DataSpec, Row, read_split, split_names, text_key, text_of
from search_spaces.neighbours import Neighbour, neighbours
from search_spaces.problems import listed, short
from search_spaces.similarity import normalised, words_of

NEAR = 0.8
"""From this likeness on (shared words / all words of both), two texts are nearly the same."""

_TOLERATED = 0.01  # the share of rows up to which something is told, and no warning
_LONG = 20_000  # characters: some 5,000 tokens, beyond what is read of a row
_EXAMPLES = 2


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to know: `count` of `of` rows (or labels); `message` is a whole sentence.

    `kind`: "repeated", "leaked", "contradicted", "unseen_label", "similar_labels", "empty",
    "long", "encoding" or "copy". `split`: None where it is of all. `warning`: a result may be
    wrong.
    """

    kind: str
    split: str | None
    count: int
    of: int
    message: str
    examples: tuple[str, ...] = ()
    warning: bool = True


@dataclass(frozen=True, slots=True)
class DataReport:
    """`splits`: rows in each; `labels`: label -> rows, in each; what was found, worst first."""

    splits: Mapping[str, int]
    labels: Mapping[str, Mapping[str, int]]
    findings: tuple[Finding, ...]

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """The findings that may make a result wrong."""
        return tuple(f for f in self.findings if f.warning)

    def to_json(self) -> dict[str, Any]:
        """A JSON form that `from_json` reads."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The report that `to_json` wrote."""
        findings = (Finding(**{**f, "examples": tuple(f["examples"])}) for f in data["findings"])
        return cls(data["splits"], data["labels"], tuple(findings))

    def __str__(self) -> str:
        """`400 train, 160 dev, 160 test rows; labels fear, joy, sadness, surprise`."""
        rows = ", ".join(f"{count:,} {name}" for name, count in self.splits.items())
        names = sorted({label for counts in self.labels.values() for label in counts})
        few = ", ".join(short(n)[1:-1] for n in names[:6]) + (", ..." if len(names) > 6 else "")
        return f"{rows} rows" + (f"; {len(names)} labels: {few}" if names else "")


def report(spec: DataSpec) -> DataReport:
    """Look at all the data; DataError for what cannot be used at all.

    Equal rows are counted exactly: rows whose text is the same but for the label, case, spacing
    and Unicode form. Nearly equal ones are looked for as `neighbours` does, which says where it
    looks at some rows only.
    """
    splits = {name: read_split(spec, name) for name in split_names(spec)}
    keys = {name: [text_key(spec, row) for row in rows] for name, rows in splits.items()}
    data = _Data(spec, splits, keys)
    kinds = (_copies, _leaked, _contradicted, _unseen, _similar_labels, _repeated, _odd_texts)
    found = [finding for kind in kinds for finding in kind(data)]
    return DataReport(
        splits={name: len(rows) for name, rows in splits.items()},
        labels={name: data.labels(name) for name in splits if data.classes},
        findings=tuple(sorted(found, key=lambda f: not f.warning)),
    )


@dataclass(frozen=True, slots=True)
class _Data:
    """The rows of every split, and for each row its key: that of equal rows is the same."""

    spec: DataSpec
    splits: Mapping[str, Sequence[Row]]
    keys: Mapping[str, Sequence[str]]

    @property
    def classes(self) -> str | None:
        """The column of labels to tell apart; None where there is none, or it holds answers."""
        return None if self.spec.answers else self.spec.label

    def labels(self, name: str) -> dict[str, int]:
        """How many rows of a split have each label."""
        found = Counter(row[str(self.classes)] for row in self.splits[name])
        return dict(sorted(found.items()))

    def rows(self) -> Iterator[tuple[str, Row]]:
        """Every row with its key."""
        for name, rows in self.splits.items():
            yield from zip(self.keys[name], rows, strict=True)

    def text(self, row: Row) -> str:
        """What a row says, in quotes and cut."""
        return short(text_of(self.spec, row))

    def of(self, count: int, name: str) -> str:
        """`3 of 160 dev rows`."""
        return f"{count:,} of {len(self.splits[name]):,} {name} rows"


def _copies(data: _Data) -> Iterator[Finding]:
    """Files that could not be asked for now, and were read as they were some time ago."""
    for text in data_locations.notices(where for _, where in data.spec.files):
        yield Finding("copy", None, 1, len(data.spec.files), text)


# Copies


def _leaked(data: _Data) -> Iterator[Finding]:
    """Rows of a split that stand in an earlier one, too."""
    for known, name in combinations(data.splits, 2):
        there, rows = set(data.keys[known]), data.splits[name]
        copies = [r for k, r in zip(data.keys[name], rows, strict=True) if k in there]
        if known == "train":
            yield from _from_training(data, name, copies)
        elif copies:
            text = f"{data.of(len(copies), name)} stand in {known} too: what was chosen by {known} "
            text += "is not confirmed on unseen rows"
            examples = _first(data.text(row) for row in copies)
            leak = _matters(len(copies), len(rows))
            yield Finding("leaked", name, len(copies), len(rows), text, examples, leak)


def _from_training(data: _Data, name: str, copies: Sequence[Row]) -> Iterator[Finding]:
    """Rows of an evaluation split that training has as well: equal, or nearly so."""
    near, rows = neighbours(data.spec, name), data.splits[name]
    equal = {text_key(data.spec, row) for row in copies}
    alike = [
        n
        for n in near.found
        if n is not None and n.likeness >= NEAR and text_key(data.spec, n.row) not in equal
    ]
    count = len(copies) + len(alike)
    if not count:
        return
    some = "" if len(near.rows) == near.of else f" of {len(near.rows):,} looked at"
    text = f"{data.of(count, name)} are (near) copies of training rows ({len(copies):,} equal, "
    text += f"{len(alike):,} with nearly the same words{some}): "
    text += "what is measured on them" if data.classes is None else "accuracy"
    text += " is flattered"
    examples = _first(data.text(row) for row in copies)
    examples += _first(_difference(data, n) for n in alike)
    leak = _matters(len(copies), len(rows)) or _matters(len(alike), len(near.rows))
    yield Finding("leaked", name, count, len(rows), text, examples, leak)


def _difference(data: _Data, near: Neighbour) -> str:
    """`'A red, red rose', in training without 'rose', with 'nose'`."""
    own, other = (words_of(text_of(data.spec, row)) for row in (near.row, near.nearest))
    apart = {"without": sorted(own - other), "with": sorted(other - own)}
    words = [f"{how} {listed(map(repr, some), 'and')}" for how, some in apart.items() if some]
    in_training = ", ".join(words) or "in other order or punctuation"
    return f"{data.text(near.row)}, in training {in_training}"


def _repeated(data: _Data) -> Iterator[Finding]:
    """Rows beyond the first of their kind, wherever that is."""
    counts = Counter(key for key, _ in data.rows())
    total = sum(counts.values())
    extra = total - len(counts)
    if not extra:
        return
    within = {n: len(keys) - len(set(keys)) for n, keys in data.keys.items()}
    inside = ", ".join(f"{count:,} within {name}" for name, count in within.items() if count)
    text = f"{extra:,} of {total:,} rows {_verb(extra, 'repeat')} an earlier one"
    text += f" ({inside})" if inside else ""
    if sum(within.values()) == extra:
        text += "; all copies of a row are on one side of the split"
    judged = sum(count for name, count in within.items() if name != "train")
    text += "; a row that is judged twice counts twice" if judged else ""
    key, most = counts.most_common(1)[0]
    example = f"{data.text(next(row for k, row in data.rows() if k == key))} comes {most} times"
    evaluated = sum(len(rows) for name, rows in data.splits.items() if name != "train")
    warning = judged > _TOLERATED * evaluated
    yield Finding("repeated", None, extra, total, text, (example,), warning)


def _contradicted(data: _Data) -> Iterator[Finding]:
    """Texts that come with more than one label."""
    label = data.classes
    if label is None:
        return
    said: dict[str, tuple[Row, set[str]]] = {}
    for key, row in data.rows():
        said.setdefault(key, (row, set()))[1].add(row[label])
    torn = [(row, labels) for row, labels in said.values() if len(labels) > 1]
    if not torn:
        return
    text = f"{len(torn):,} of {len(said):,} different texts {_verb(len(torn), 'come')} with more "
    text += "than one label: no model can be right about all of their rows"
    examples = _first(
        f"{data.text(row)} is {listed(map(repr, sorted(labels)), 'and')}" for row, labels in torn
    )
    warning = _matters(len(torn), len(said))
    yield Finding("contradicted", None, len(torn), len(said), text, examples, warning)


# Labels


def _unseen(data: _Data) -> Iterator[Finding]:
    """Labels that are asked for and never trained."""
    if data.classes is None or "train" not in data.splits:
        return
    trained = data.labels("train")
    for name, rows in data.splits.items():
        unseen = {k: n for k, n in data.labels(name).items() if k not in trained}
        if unseen:
            count = sum(unseen.values())
            text = f"{data.of(count, name)} have a label that no training row has "
            text += f"({', '.join(map(repr, unseen))}): what is fine-tuned cannot know it"
            yield Finding("unseen_label", name, count, len(rows), text)


def _similar_labels(data: _Data) -> Iterator[Finding]:
    """Labels that a person would take for the same, and that are told apart here."""
    if data.classes is None:
        return
    names = sorted({label for name in data.splits for label in data.labels(name)})
    groups: dict[object, list[str]] = {}
    for name in names:
        groups.setdefault(_meaning(name), []).append(name)
    for group in groups.values():
        if len(group) > 1:
            text = f"the labels {listed(map(repr, group), 'and')} differ only in how they are "
            text += "written, and are told apart"
            yield Finding("similar_labels", None, len(group), len(names), text)


def _meaning(label: str) -> object:
    try:
        return float(label)
    except ValueError:
        return normalised(label)


# Texts


def _odd_texts(data: _Data) -> Iterator[Finding]:
    for name, rows in data.splits.items():
        texts = [text_of(data.spec, row) for row in rows]
        for kind, is_so, words in _ODD:
            found = [text for text in texts if is_so(text)]
            if found:
                text = f"{data.of(len(found), name)} {words}"
                yield Finding(kind, name, len(found), len(rows), text, _first(map(short, found)))


def _is_garbled(text: str) -> bool:
    """Whether characters were lost, or UTF-8 was taken for Latin-1 (`cafÃ©`)."""
    if text.isascii():
        return False
    if "\ufffd" in text:
        return True
    for encoding in ("cp1252", "latin-1"):
        try:
            return text.encode(encoding).decode("utf-8") != text
        except UnicodeError:
            continue
    return False


_ODD: Sequence[tuple[str, Callable[[str], bool], str]] = (
    ("empty", lambda text: not text.strip(), "have no text: only guessing is left"),
    ("long", lambda text: len(text) > _LONG, f"have over {_LONG:,} characters, more than is read"),
    ("encoding", _is_garbled, "look as if they had been read in a wrong encoding once"),
)


# Words


def _verb(count: int, verb: str) -> str:
    return f"{verb}s" if count == 1 else verb


def _matters(count: int, total: int) -> bool:
    return count > _TOLERATED * total


def _first(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(islice(dict.fromkeys(texts), _EXAMPLES))
