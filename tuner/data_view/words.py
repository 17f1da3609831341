"""A view of a data set in words, for a terminal of 80 columns or a pipe.

Whatever stands in the data is shown harmlessly: what is not printable is written as its code.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence

from rich.cells import cell_len, chop_cells

from search_spaces.data import DataSpec
from tuner.data_view.columns import Column
from tuner.data_view.reading import Lengths, Read
from tuner.data_view.view import View

_WIDTH = 79
_MOST_LABELS = 12
_MOST_COLUMNS = 40
_MOST_LINES = 14
"""Lines of a row that are shown: its beginning and its end."""


def lines(view: View, model: bool) -> Iterator[str]:
    """Everything, line by line. `model`: rows are read by a model's tokenizer."""
    for name in view.names:
        yield from _wrapped(f"data         {harmless(name)}")
    yield f"rows         {view.rows:,}{_splits(view)}"
    yield from _columns(view.columns)
    yield from _reading(view)
    if view.spec is None:
        return
    yield from _labels(view)
    yield from _copies(view)
    yield from _lengths(view.lengths)
    if not model:
        yield from _wrapped("             --model FOLDER counts in its tokens", 13)
    yield from _rows(view, model)


def harmless(text: str) -> str:
    """Text on one line, in which nothing can move a cursor or turn the direction of writing."""
    return "".join(c if c.isprintable() else _code(c) for c in text)


def _code(character: str) -> str:
    return (
        repr(character)[1:-1]
        if ord(character) > 31 or character in "\n\t\r"
        else (f"\\x{ord(character):02x}")
    )


def fitting(text: str, width: int) -> str:
    """At most so many columns of a terminal, the rest of it as an ellipsis."""
    shown = harmless(text[: 4 * width])
    if cell_len(shown) <= width and len(text) <= 4 * width:
        return shown
    return (chop_cells(shown, max(1, width - 3)) or [""])[0] + "..."


def _padded(text: str, width: int) -> str:
    return text + " " * (width - cell_len(text))


def _wrapped(text: str, indent: int = 13) -> Iterator[str]:
    blank = " " * indent
    lines = textwrap.wrap(text, _WIDTH, subsequent_indent=blank, break_on_hyphens=False)
    for line in lines:  # by characters, of which some are two columns wide
        first, *others = chop_cells(line, _WIDTH)
        yield first
        yield from (blank + part for other in others for part in chop_cells(other, _WIDTH - indent))


def _splits(view: View) -> str:
    if len(view.splits) < 2:
        return ""
    return f" ({', '.join(f'{count:,} {name}' for name, count in view.splits.items())})"


def _columns(columns: Sequence[Column]) -> Iterator[str]:
    """A table, a line for each."""
    shown = columns[:_MOST_COLUMNS]
    name = min(20, max([6, *(cell_len(harmless(c.name)) for c in shown)]))
    kind = min(18, max([4, *(len(c.type) for c in shown)]))
    head = f"{'column':<{name}}  {'type':<{kind}}  {'filled':>8}  {'distinct':>8}  "
    yield ""
    yield f"{head}example"
    for column in shown:
        filled = "all" if column.filled == column.rows else f"{column.filled:,}"
        text = f"{_padded(fitting(column.name, name), name)}  "
        text += f"{_padded(fitting(column.type, kind), kind)}  {filled:>8}  {column.distinct:>8,}  "
        yield (text + fitting(column.example, _WIDTH - len(head))).rstrip()
    if len(columns) > len(shown):
        yield f"and {len(columns) - len(shown):,} more columns"
    yield ""


def _reading(view: View) -> Iterator[str]:
    """How a row is read, and who says so."""
    spec = view.spec
    if spec is None:
        yield from _wrapped(
            "read as      nothing looks like text to read; say how by --template, --chat-user and "
            "--chat-assistant, or --messages"
        )
        return
    by = " (guessed; --template, --chat-... or --messages says otherwise)" if view.guessed else ""
    yield from _wrapped(f"read as      {_form(spec)}{by}")
    if spec.label is not None and (spec.chat is None or spec.chat.messages is None):
        kind = "answers in words of their own" if spec.answers else "labels"
        yield from _wrapped(f"label        {fitting(spec.label, 40)}: {kind}")


def _form(spec: DataSpec) -> str:
    if spec.chat is None:
        return f"template {_quoted(spec.template)}"
    if spec.chat.messages is not None:
        return f"chat, conversations of the column {harmless(spec.chat.messages)}"
    said = spec.chat.to_json()
    return "chat, " + ", ".join(f"{name} {_quoted(text)}" for name, text in said.items())


def _quoted(text: str) -> str:
    inner = harmless(text).replace('"', '\\"')
    return f'"{inner}"'


def _labels(view: View) -> Iterator[str]:
    """The balance of the labels, most frequent first."""
    names = {name for counts in view.labels.values() for name in counts}
    totals = {n: sum(counts.get(n, 0) for counts in view.labels.values()) for n in names}
    ordered = sorted(totals, key=lambda name: (-totals[name], name))
    total = sum(totals.values())
    width = min(20, max([0, *(cell_len(harmless(name)) for name in names)]))
    for i, name in enumerate(ordered[:_MOST_LABELS]):
        head = f"labels ({len(ordered)})" if i == 0 else ""
        parts = ", ".join(f"{c.get(name, 0):,} {s}" for s, c in view.labels.items())
        more = f"  ({parts})" if len(view.labels) > 1 else ""
        share = f"{totals[name]:>8,}  {100 * totals[name] / total:5.1f} %"
        yield fitting(f"{head:<13}{_padded(fitting(name, width), width)}{share}{more}", _WIDTH)
    if len(ordered) > _MOST_LABELS:
        yield f"{'':<13}and {len(ordered) - _MOST_LABELS:,} more"


def _copies(view: View) -> Iterator[str]:
    """What is to be known: equal and nearly equal rows, leaks, contradictions, odd texts."""
    said = list(view.findings)
    if not any(finding.kind == "repeated" for finding in said):
        yield "copies       no row comes twice"
    for finding in said:
        head = "warning" if finding.warning else "note"
        example = f"; for example {finding.examples[0]}" if finding.examples else ""
        yield from _wrapped(f"{head:<13}{harmless(finding.message + example)}")
    near = view.near
    if near is not None and near.count:
        text = (
            f"near copies  {near.count:,} of {near.of:,} different rows have nearly the words of "
        )
        text += "an earlier one"
        if near.example is not None:
            text += f": {near.example[0]} and {near.example[1]}"
        yield from _wrapped(harmless(text))


def _lengths(found: Iterable[Lengths]) -> Iterator[str]:
    for one in found:
        some = "" if one.measured == one.rows else f" (of {one.measured:,} rows looked at)"
        yield from _wrapped(
            f"{one.unit:<13}{one.least:,} to {one.longest:,} a row, half have up to "
            f"{one.median:,.0f}, 95 % up to {one.most_have:,}; {one.total:,} in all{some}"
        )
        if one.limit is not None:
            cut = f"{one.over:,} of {one.measured:,} rows are longer than {one.limit:,}"
            lost = f"; {100 * one.lost:.1f} % of all tokens would be cut" if one.over else ""
            yield from _wrapped(f"{'':<13}{cut}{lost}")


def _rows(view: View, model: bool) -> Iterator[str]:
    """The first rows, what is learned between brackets."""
    if not view.first:
        return
    yield ""
    what = "as the model reads it" if model else "without a model's own tokens"
    yield f"the first rows, {what}; what is learned stands in ⟦ ⟧"
    for number, row in enumerate(view.first, 1):
        aside = "" if row.label is None else f", its label {fitting(row.label, 30)}"
        cut = f", {row.cut:,} cut off" if row.cut else ""
        yield f"row {number}: {row.length:,} {row.unit}{cut}{aside}"
        yield from _shortened([f"    {line}" for line in _text_lines(row)])


def _text_lines(row: Read) -> Iterator[str]:
    whole = "".join(f"⟦{text}⟧" if learned else text for text, learned in row.pieces if text)
    for line in whole.split("\n"):
        yield from chop_cells(harmless(line), _WIDTH - 5) or [""]


def _shortened(found: list[str]) -> list[str]:
    """The beginning and the end of many lines."""
    if len(found) <= _MOST_LINES:
        return found
    half = _MOST_LINES // 2
    left = len(found) - 2 * half
    return [*found[:half], f"    ... {left:,} more lines ...", *found[-half:]]
