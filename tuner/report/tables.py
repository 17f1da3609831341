"""The tables of a study as CSV and Parquet files, written part by part.

One wide table of the trials (`tuner.study.frames`), and the public views as they are. Text that a
spreadsheet would take for a formula is kept from that in CSV. Knows nothing of the command line.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TextIO

from search_spaces.installed import is_installed
from tuner.pipeline.store_owner import new_name
from tuner.study.api import Study
from tuner.study.frames import Column, Kind, Scan
from tuner.study.reader import StudyReader

TRIALS = "trials"

_ORDER = {
    "params": "number, name",
    "objectives": "number, position",
    "metrics": "number, split, metric, statistic",
    "constraints": "number, position",
    "stages": "number, position",
    "measurements": "number, evaluator, split, key",
    "events": "id",
    "front": "objective_1, number",
    "runs": "started_at",
    "confirmations": "confirmed_at, number",
}

TABLES = (TRIALS, *_ORDER)
"""Names of tables; all but the first are the views `tuner_NAME`."""

FORMATS = ("csv", "parquet")

_ROWS = 2000  # at a time
_LARGE = {"measurements": 50, "confirmations": 50}  # rows that may be megabytes each

_KINDS = {
    Kind.INTEGER: (
        *("number", "position", "samples", "bytes", "peak_memory", "id", "trials", "complete"),
        *("feasible", "failures", "front", "chosen"),
    ),
    Kind.FLOAT: (
        *("objective_1", "objective_2", "objective_3", "value", "low", "high", "seconds", "share"),
        *("ratio", "ratio_low", "ratio_high", "limit_value", "violation", "value_number"),
    ),
    Kind.BOOLEAN: ("on_front", "cached", "minimize", "deterministic"),
    Kind.TIME: (
        *("at", "started_at", "finished_at", "stopped_at", "last_event_at", "created_at"),
        *("measured_at", "confirmed_at", "front_since", "front_until", "since"),
    ),
}
_KIND_OF = {name: kind for kind, names in _KINDS.items() for name in names}
_TEXT = {("params", "value")}  # where a name means text that elsewhere means a number

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class TableError(Exception):
    """A table cannot be written; one sentence that says why and what would work."""


@dataclass(frozen=True)
class Table:
    """A table: its columns, and its rows part by part. `parts` may be asked for once."""

    name: str
    columns: Sequence[Column]
    parts: Iterator[Sequence[Sequence[Any]]]


def table_of(reader: StudyReader, study: str, name: str) -> Table:
    """A table of a study. StudyNotFoundError, DatabaseError."""
    return _trials(Study(reader, study)) if name == TRIALS else _view(reader, study, name)


def _trials(study: Study) -> Table:
    scan = Scan(study.confirmations, study.info.chosen)
    for part in study.parts(_ROWS):
        for trial in part:
            scan.see(trial)
    rows = ([scan.row(trial) for trial in part] for part in study.parts(_ROWS))
    return Table(TRIALS, scan.columns(), rows)


def _view(reader: StudyReader, study: str, name: str) -> Table:
    parts = reader.view(study, f"tuner_{name}", _ORDER[name], _LARGE.get(name, _ROWS))
    names, _ = next(parts)
    columns = [Column(column, kind_of(name, column)) for column in names]
    return Table(name, columns, (rows for _, rows in parts))


def kind_of(table: str, column: str) -> Kind:
    """What a column of a view holds; text where nothing else is known of the name."""
    return Kind.TEXT if (table, column) in _TEXT else _KIND_OF.get(column, Kind.TEXT)


# Writing


def write(table: Table, path: Path, file_format: str) -> None:
    """Write a file whole, or leave what was there as it is. TableError."""
    writer = _csv_file if file_format == "csv" else _parquet_file
    put(path, lambda fresh: writer(table, fresh))


def put(path: Path, make: Callable[[Path], object]) -> None:
    """Let `make` write a file beside it, which then takes its place. TableError."""
    fresh = path.with_name(f".{path.name}-{new_name()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        make(fresh)
        fresh.replace(path)
    except OSError as error:
        raise TableError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        with suppress(OSError):  # it has taken the place, or was never made
            fresh.unlink()


def _csv_file(table: Table, path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        write_csv(table, file)


def write_csv(table: Table, stream: TextIO) -> None:
    """Write CSV with a line of names; missing values are empty, times ISO 8601 in UTC."""
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([guarded(c.name) for c in table.columns])
    cells = [_CELLS[c.kind] for c in table.columns]
    for rows in table.parts:
        for row in rows:
            pairs = zip(cells, row, strict=True)
            writer.writerow(["" if v is None else cell(v) for cell, v in pairs])


def guarded(text: str) -> str:
    """Text with an apostrophe before it where a spreadsheet would run it as a formula."""
    return f"'{text}" if text.startswith(_FORMULA) and not _is_number(text) else text


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _iso(seconds: float) -> str:
    return _moment(seconds).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _moment(seconds: float) -> datetime:
    return _EPOCH + timedelta(microseconds=round(seconds * 1e6))


_CELLS: Mapping[Kind, Callable[[Any], str]] = {
    Kind.TEXT: lambda v: guarded(str(v)),
    Kind.INTEGER: lambda v: str(int(v)),
    Kind.FLOAT: lambda v: repr(float(v)),
    Kind.BOOLEAN: lambda v: "true" if v else "false",
    Kind.TIME: _iso,
}

_VALUES: Mapping[Kind, Callable[[Any], Any]] = {
    Kind.TEXT: str,
    Kind.INTEGER: int,
    Kind.FLOAT: float,
    Kind.BOOLEAN: bool,
    Kind.TIME: _moment,
}


def _parquet_file(table: Table, path: Path) -> None:
    """Columns that have a unit say so in their metadata (`unit`)."""
    if not is_installed("pyarrow"):
        raise TableError("Parquet needs pyarrow: pip install 'tuner[parquet]', or write CSV")
    import pyarrow as pa
    from pyarrow import parquet

    types = {
        Kind.TEXT: pa.string(),
        Kind.INTEGER: pa.int64(),
        Kind.FLOAT: pa.float64(),
        Kind.BOOLEAN: pa.bool_(),
        Kind.TIME: pa.timestamp("us", tz="UTC"),
    }
    units = [{"unit": c.unit} if c.unit else None for c in table.columns]
    named = zip(table.columns, units, strict=True)
    schema = pa.schema([pa.field(c.name, types[c.kind], metadata=unit) for c, unit in named])
    with parquet.ParquetWriter(path, schema) as writer:
        for rows in table.parts:
            arrays = [
                pa.array(_converted(rows, position, c.kind), types[c.kind])
                for position, c in enumerate(table.columns)
            ]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))


def _converted(rows: Sequence[Sequence[Any]], position: int, kind: Kind) -> list[Any]:
    convert = _VALUES[kind]
    values = (row[position] for row in rows)
    return [None if v is None else convert(v) for v in values]
