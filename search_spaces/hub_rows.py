"""Writes the rows of a data set of the hub as JSON lines: `python -m search_spaces.hub_rows`.

Takes a JSON object on standard input (name, subset, split, revision, file) and answers with one on
standard output: the count of rows, or the error. Knows nothing of copies.
"""

from __future__ import annotations

import datetime
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

_SCALARS = (str, int, float, bool, type(None))
_BINARY = ("Image", "Audio", "Video", "Pdf", "Nifti")  # features that are no text


def main() -> None:
    """Do what standard input asks for."""
    print(json.dumps(_done(json.load(sys.stdin))))


def _done(asked: Mapping[str, Any]) -> dict[str, Any]:
    try:
        found = _loaded(asked)
    except Exception as error:  # noqa: BLE001 - a library that raises anything; told by who asked
        return {"error": " ".join(str(error).split())[:300] or type(error).__name__}
    return {"rows": write_rows(found, Path(asked["file"]))}


def _loaded(asked: Mapping[str, Any]) -> Any:
    """The `datasets.Dataset`. Offline it is in the cache of that library, or in the hub's own."""
    from datasets import load_dataset

    name, subset, split = asked["name"], asked["subset"], asked["split"]
    revision = {} if asked["revision"] is None else {"revision": asked["revision"]}
    try:
        return load_dataset(name, subset, split=split, **revision)
    except ConnectionError:
        folder = _downloaded(name, asked["revision"])
        if folder is None:
            raise
        return load_dataset(folder, subset, split=split)


def _downloaded(name: str, revision: str | None) -> str | None:
    """The data set's files in the cache of the hub, as `hf download` leaves them."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        found = snapshot_download(
            name, repo_type="dataset", revision=revision, local_files_only=True
        )
    except LocalEntryNotFoundError:
        return None
    return str(found)


def write_rows(found: Any, file: Path) -> int:
    """Write a `datasets.Dataset` as JSON lines, without its pictures and sounds; the row count."""
    features = found.features
    dropped = [name for name in features if type(features[name]).__name__ in _BINARY]
    count = 0
    with file.open("w", encoding="utf-8") as target:
        for row in _rows(found.remove_columns(dropped) if dropped else found):
            target.write(json.dumps(row, ensure_ascii=False) + "\n")
            count += 1
    return count


def _rows(found: Any) -> Iterator[dict[str, Any]]:
    names = {
        column: feature.names
        for column, feature in found.features.items()
        if type(feature).__name__ == "ClassLabel"
    }
    for row in found:
        yield {column: _value(value, names.get(column)) for column, value in row.items()}


def _value(value: Any, names: list[str] | None) -> Any:
    """A value that JSON has; a label's number becomes its name, and that of no label null."""
    if names is not None:
        return names[value] if value is not None and value >= 0 else None
    if isinstance(value, Mapping):
        return {str(key): _value(inner, None) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_value(inner, None) for inner in value]
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    return value if isinstance(value, _SCALARS) else str(value)


if __name__ == "__main__":
    main()
