"""`tune export`: the tables of a study as CSV or Parquet files."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from search_spaces.problems import hint
from tuner.report.tables import FORMATS, TABLES, TRIALS, TableError, table_of, write, write_csv
from tuner.study.reader import StudyReader

ALL = "all"


def export_study(arguments: argparse.Namespace, reader: StudyReader) -> int:
    """Write what the command line asks for; the exit code."""
    try:
        _export(arguments, reader)
    except TableError as error:
        print(f"tune export: {error}", file=sys.stderr)
        return 2
    return 0


def _export(arguments: argparse.Namespace, reader: StudyReader) -> None:
    output: str = arguments.output
    names = (*TABLES, ALL)
    if arguments.table not in names:
        near = hint(arguments.table, names)
        raise TableError(f"there is no table {arguments.table!r}{near}; tables: {', '.join(names)}")
    if arguments.table == ALL:
        _export_all(arguments, reader)
    elif output == "-":
        if arguments.format == "parquet":
            raise TableError("Parquet goes into a file: -o FILE.parquet")
        write_csv(table_of(reader, arguments.study, arguments.table), sys.stdout)
    else:
        path = Path(output)
        if path.is_dir():
            raise TableError(f"{path} is a folder: name a file in it, or give --table all")
        file_format = arguments.format or _format_of(path)
        write(table_of(reader, arguments.study, arguments.table), path, file_format)
        print(f"wrote {path}")


def _export_all(arguments: argparse.Namespace, reader: StudyReader) -> None:
    folder = Path(arguments.output)
    if arguments.output == "-" or (folder.exists() and not folder.is_dir()):
        raise TableError("all tables go into a folder: -o FOLDER")
    file_format = arguments.format or FORMATS[0]
    for name in TABLES:
        path = folder / f"{name}.{file_format}"
        write(table_of(reader, arguments.study, name), path, file_format)
    print(f"wrote {len(TABLES)} tables into {folder}/: {TRIALS}.{file_format} has the trials")


def _format_of(path: Path) -> str:
    suffix = path.suffix[1:].lower()
    if suffix not in FORMATS:
        known = " or ".join(f".{name}" for name in FORMATS)
        raise TableError(f"{path} does not say its format: end it with {known}, or give --format")
    return suffix
