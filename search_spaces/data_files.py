"""Reads rows of text out of JSON, JSON lines, CSV, TSV, Parquet and plain text files.

Knows nothing of splits, templates or labels: it is told which columns are wanted.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from search_spaces.problems import hint

Row = dict[str, str]
"""One item of a data set: column -> text."""

RawRow = tuple[int, Mapping[str, object]]
"""A row's number (from 1) and everything that it holds."""


class DataError(ValueError):
    """The data cannot be used; one sentence that names the file and the row."""


def read_raw_rows(path: Path) -> list[Mapping[str, object]]:
    """Every row with every column that it has; DataError for a file that cannot be read.

    Of JSON, numbers are the text that they are written as, and null is None.
    """
    rows = [raw for _, raw in _reader(path)(path)]
    if not rows:
        raise DataError(f"{path}: the file has no rows")
    return rows


def read_rows(path: Path, columns: Sequence[str], filled: Sequence[str] = ()) -> list[Row]:
    """The wanted columns of every row, as text, in the file's order.

    Numbers keep the digits that they are written with; true and false are "true" and "false".
    Blank lines are skipped. `filled`: columns in which blank text is an error (null always is).
    DataError for whatever is wrong with the file.
    """
    found = _reader(path)(path)
    rows = [_wanted(path, number, raw, columns, filled) for number, raw in found]
    if not rows:
        raise DataError(f"{path}: the file has no rows")
    return rows


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
) -> Row:
    row = {}
    for column in columns:
        if column not in raw:
            there = ", ".join(map(repr, raw)) or "none"
            near = hint(column, list(raw))
            raise DataError(f"{path}, row {number}: no column {column!r}; there is {there}{near}")
        text = _cell(raw[column])
        if text is None:
            kind = type(raw[column]).__name__
            found = "null" if raw[column] is None else f"a {kind}"
            raise DataError(f"{path}, row {number}: column {column!r} is {found}, expected text")
        if column in filled and not text.strip():
            raise DataError(f"{path}, row {number}: column {column!r} is empty")
        row[column] = text
    return row


def _cell(value: object) -> str | None:
    if isinstance(value, str):
        return value
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
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # The codec drops a byte order mark before it counts.
        offset = error.start + (3 if content.startswith(b"\xef\xbb\xbf") else 0)
        line = content.count(b"\n", 0, offset) + 1
        raise DataError(
            f"{path}, line {line}: byte {offset} (0x{content[offset]:02x}) is not UTF-8; "
            "the whole file must be UTF-8"
        ) from None


def _lines(text: str) -> Iterator[tuple[int, str]]:
    # Not str.splitlines: it would also split at form feeds and Unicode line separators.
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield number, line.removesuffix("\r")


def _parse_json(text: str) -> object:
    # Numbers stay as they are written; NaN and Infinity, which JSON does not have, become null.
    return json.loads(text, parse_int=str, parse_float=str, parse_constant=lambda _: None)


def _json_rows(path: Path) -> Iterator[RawRow]:
    text = _read_text(path)
    if text.lstrip().startswith("["):
        return _json_array(path, text)
    return _json_lines(path, text)


def _json_array(path: Path, text: str) -> Iterator[RawRow]:
    try:
        rows = _parse_json(text)
    except json.JSONDecodeError as error:
        raise DataError(f"{path}, line {error.lineno}: not JSON: {error.msg}") from None
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
        except RecursionError:
            raise DataError(f"{where}: not a row: nested too deeply") from None
        yield row, _object(value, where)


def _object(value: object, where: str) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise DataError(f"{where}: a {type(value).__name__}, expected an object of columns")
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
        raise DataError(f"{path}, line {reader.line_num}: {error}") from None


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
