"""Reads rows of text out of JSON, JSON lines, CSV, TSV, Parquet and plain text files.

Knows nothing of splits, templates or labels: it is told which columns are wanted.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from search_spaces.problems import hint, short

Row = dict[str, str]
"""One item of a data set: column -> text."""

RawRow = tuple[int, Mapping[str, object]]
"""A row's number (from 1) and everything that it holds."""

Form = Callable[[object], str | None]
"""What a value is as text; None for what is no text, ValueError to say why."""

_NAMED = 12  # columns that a message lists


class DataError(ValueError):
    """The data cannot be used; one sentence that names the file and the row."""


class DataUnavailable(DataError):
    """The data cannot be had now, by no fault of what is asked: another time it may be."""


def read_raw_rows(path: Path) -> list[Mapping[str, object]]:
    """Every row with every column that it has; DataError for a file that cannot be read.

    Of JSON, numbers are the text that they are written as, and null is None.
    """
    rows = [raw for _, raw in _reader(path)(path)]
    if not rows:
        raise DataError(_no_rows(path))
    return rows


def read_rows(
    path: Path,
    columns: Sequence[str],
    filled: Sequence[str] = (),
    uniform: Sequence[str] = (),
    forms: Mapping[str, Form] | None = None,
) -> list[Row]:
    """The wanted columns of every row, as text, in the file's order.

    Numbers keep the digits that they are written with; true and false are "true" and "false".
    Blank lines are skipped. `filled`: columns in which blank text is an error (null always is);
    `uniform`: columns in which values of different types in different rows are one. `forms`: how
    columns of other values than text become text. DataError for whatever is wrong with the file.
    """
    rows: list[Row] = []
    types: dict[str, tuple[int, object]] = {}
    for number, raw in _reader(path)(path):
        rows.append(_wanted(path, number, raw, columns, filled, forms or {}))
        for column in uniform:
            before, other = types.setdefault(column, (number, raw[column]))
            if _type(raw[column]) != _type(other):
                raise DataError(
                    f"{path}, row {number}: column {column!r} is {_found(raw[column])}, but in "
                    f"row {before} it is {_found(other)}; write all of them as text, or none"
                )
    if not rows:
        raise DataError(_no_rows(path))
    return rows


def _no_rows(path: Path) -> str:
    only = " below its header" if path.suffix.lower() in (".csv", ".tsv") else ""
    return f"{path}: the file has no rows{only}"


def _reader(path: Path) -> Callable[[Path], Iterator[RawRow]]:
    if path.is_dir():
        raise DataError(f"{path}: a folder, expected a file")
    reader = _readers.get(path.suffix.lower())
    if reader is None:
        raise DataError(f"{path}: unknown kind {path.suffix!r}; expected {', '.join(_readers)}")
    return reader


def _wanted(
    path: Path,
    number: int,
    raw: Mapping[str, object],
    columns: Sequence[str],
    filled: Sequence[str],
    forms: Mapping[str, Form],
) -> Row:
    row = {}
    for column in columns:
        if column not in raw:
            there = _named(raw)
            near = hint(column, list(raw))
            raise DataError(f"{path}, row {number}: no column {column!r}; there is {there}{near}")
        try:
            text = forms.get(column, _cell)(raw[column])
        except ValueError as error:
            raise DataError(f"{path}, row {number}: column {column!r}: {error}") from None
        if text is None:
            found = _type(raw[column])
            raise DataError(f"{path}, row {number}: column {column!r} is {found}, expected text")
        if column in filled and not text.strip():
            raise DataError(f"{path}, row {number}: column {column!r} is empty")
        row[column] = text
    return row


class _Number(str):
    """A number of a JSON file, as it is written there."""

    __slots__ = ()


def _named(raw: Mapping[str, object]) -> str:
    """The columns of a row in words, as many as a person reads."""
    names = [short(str(name)) for name in raw]
    more = [f"{len(names) - _NAMED} more"] if len(names) > _NAMED else []
    return ", ".join(names[:_NAMED] + more) or "none"


def _found(value: object) -> str:
    return f"{_type(value)} ({short(str(value))[1:-1]})"


def _type(value: object) -> str:
    """What a value is, in words."""
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, _Number | int | float):
        return "a number"
    if value is None or isinstance(value, str):
        return "null" if value is None else "text"
    if isinstance(value, dict):
        return "an object"
    return f"a {type(value).__name__}"


def _cell(value: object) -> str | None:
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else None


def _read_bytes(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        raise DataError(f"{path}: there is no such file{hint(path.name, beside)}") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    if not content.strip():
        raise DataError(f"{path}: the file is empty")
    return content


def _read_text(path: Path) -> str:
    content = _read_bytes(path)
    for mark, name in _FOREIGN_MARKS:
        if content.startswith(mark):
            raise DataError(
                f"{path}: the file is {name} (as its first bytes say); save it as UTF-8"
            )
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # The codec drops a byte order mark before it counts.
        offset = error.start + (3 if content.startswith(codecs.BOM_UTF8) else 0)
        raise DataError(_not_utf8(path, content, offset)) from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise DataError(
            f"{path}, line {line}: a zero byte, which text has none of; is the file UTF-16, or "
            "no text at all? Save it as UTF-8"
        )
    return text


_FOREIGN_MARKS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
    (b"\x1f\x8b", "compressed (gzip)"),
    (b"PK\x03\x04", "a zip archive, such as a spreadsheet"),
)


def _not_utf8(path: Path, content: bytes, offset: int) -> str:
    """Where the first byte is that cannot be read, and what it would be in the usual others."""
    line = content.count(b"\n", 0, offset) + 1
    start = content.rfind(b"\n", 0, offset) + 1
    around = (
        content[max(start, offset - 15) : offset + 15].splitlines()[0].decode("cp1252", "replace")
    )
    return (
        f"{path}, line {line}: byte {offset} (0x{content[offset]:02x}) is not UTF-8; "
        f"in Windows-1252 it would be {around!r}; the whole file must be UTF-8"
    )


def _lines(text: str) -> Iterator[tuple[int, str]]:
    # Not str.splitlines: it would also split at form feeds and Unicode line separators.
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield number, line.removesuffix("\r")


def _parse_json(text: str) -> object:
    # Numbers stay as they are written; NaN and Infinity, which JSON does not have, become null.
    return json.loads(
        text,
        parse_int=_Number,
        parse_float=_Number,
        parse_constant=lambda _: None,
        object_pairs_hook=_columns,
    )


class _Twice(ValueError):
    """A column that comes twice in a row of JSON."""


def _columns(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise _Twice(f"column {next(n for n in names if names.count(n) > 1)!r} comes twice")
    return found


def _json_rows(path: Path) -> Iterator[RawRow]:
    text = _read_text(path)
    if text.lstrip().startswith("["):
        return _json_array(path, text)
    return _json_lines(path, text)


def _json_array(path: Path, text: str) -> Iterator[RawRow]:
    try:
        rows = _parse_json(text)
    except json.JSONDecodeError as error:
        lines = error.msg == "Extra data"
        more = "; in a file of JSON lines every line is an object {...}" if lines else ""
        raise DataError(f"{path}, line {error.lineno}: not JSON: {error.msg}{more}") from None
    except _Twice as error:
        raise DataError(f"{path}: in one of the rows {error}") from None
    except RecursionError:
        raise DataError(f"{path}: not a list of rows: nested too deeply") from None
    assert isinstance(rows, list)  # the text starts with a bracket
    for number, row in enumerate(rows, 1):
        yield number, _object(row, f"{path}, row {number}")


def _json_lines(path: Path, text: str) -> Iterator[RawRow]:
    for row, (number, line) in enumerate(_lines(text), 1):
        where = f"{path}, line {number}"
        try:
            value = _parse_json(line)
        except json.JSONDecodeError as error:
            found = line if len(line) <= 60 else line[:57] + "..."
            raise DataError(f"{where}: not JSON: {error.msg}; found {found!r}") from None
        except _Twice as error:
            raise DataError(f"{where}: {error}") from None
        except RecursionError:
            raise DataError(f"{where}: not a row: nested too deeply") from None
        yield row, _object(value, where)


def _object(value: object, where: str) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise DataError(f"{where}: {_type(value)}, expected an object of columns")
    return value


def _csv_rows(path: Path) -> Iterator[RawRow]:
    return _delimited(path, ",")


def _tsv_rows(path: Path) -> Iterator[RawRow]:
    return _delimited(path, "\t")


def _delimited(path: Path, delimiter: str) -> Iterator[RawRow]:
    reader = csv.reader(io.StringIO(_read_text(path), newline=""), delimiter=delimiter, strict=True)
    try:
        header = next(fields for fields in reader if fields)
        if len(set(header)) < len(header):
            twice = next(name for name in header if header.count(name) > 1)
            raise DataError(f"{path}, line {reader.line_num}: column {twice!r} comes twice")
        for number, fields in enumerate((fields for fields in reader if fields), 1):
            if len(fields) != len(header):
                raise DataError(
                    f"{path}, line {reader.line_num}: {len(fields)} fields, "
                    f"expected {len(header)} as in the header ({', '.join(header)})"
                )
            yield number, dict(zip(header, fields, strict=True))
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: {_csv_fault(error)}") from None


def _csv_fault(error: csv.Error) -> str:
    if "field limit" not in str(error):
        return str(error)
    limit = f"{csv.field_size_limit():,}"
    return f"a cell of over {limit} characters; is a quotation mark left open above?"


def _parquet_rows(path: Path) -> Iterator[RawRow]:
    content = _read_bytes(path)
    import pandas as pd

    try:
        frame = pd.read_parquet(io.BytesIO(content))
    except ImportError:
        raise DataError(
            f"{path}: reading Parquet needs the package pyarrow, which is not installed"
        ) from None
    except (ValueError, OSError) as error:
        raise DataError(f"{path}: not a Parquet file ({error})") from None
    columns = [str(name) for name in frame.columns]
    values = frame.astype(object).where(frame.notna(), None).to_numpy().tolist()
    for number, cells in enumerate(values, 1):
        yield number, dict(zip(columns, cells, strict=True))


def _text_rows(path: Path) -> Iterator[RawRow]:
    for row, (_, line) in enumerate(_lines(_read_text(path)), 1):
        yield row, {"text": line}


_readers: Mapping[str, Callable[[Path], Iterator[RawRow]]] = {
    ".json": _json_rows,
    ".jsonl": _json_rows,
    ".csv": _csv_rows,
    ".tsv": _tsv_rows,
    ".parquet": _parquet_rows,
    ".txt": _text_rows,
}
