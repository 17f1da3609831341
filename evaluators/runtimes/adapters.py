"""The LoRA adapters beside a GenAI model: which there are, and the file of the one to use.

Knows no runtime.
"""

from __future__ import annotations

import json
from pathlib import Path

from evaluators.base import MeasurementError

ADAPTERS = "adapters"
ADAPTERS_FILE = "adapters.json"


def active_adapter(folder: Path) -> tuple[str, Path] | None:
    """The name and file of the adapter to use; None for a model without adapters.

    MeasurementError where `adapters.json` names a file that is not there, or cannot be read.
    """
    found = _listing(folder)
    return None if found is None else _file(folder, found[1], found[0])


def adapter_names(folder: Path) -> tuple[str, ...]:
    """The names of the adapters beside a model, the active one first; none for one without.

    MeasurementError where `adapters.json` cannot be read.
    """
    found = _listing(folder)
    return () if found is None else tuple(dict.fromkeys([found[0], *sorted(found[1])]))


def adapter_named(folder: Path, name: str) -> tuple[str, Path]:
    """An adapter and its file. MeasurementError where there is none of that name, or no file."""
    found = _listing(folder)
    if found is None or name not in found[1]:
        raise MeasurementError(f"{folder}: there is no adapter {name!r}")
    return _file(folder, found[1], name)


def _listing(folder: Path) -> tuple[str, dict[str, str]] | None:
    """The active adapter's name, and the file of every adapter as the listing has it."""
    listing = folder / ADAPTERS_FILE
    if not listing.exists():
        return None
    try:
        found = json.loads(listing.read_text(encoding="utf-8"))
        active, files = str(found["active"]), {str(k): str(v) for k, v in found["adapters"].items()}
        files[active]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise MeasurementError(f"{listing}: expected {{active, adapters}}: {error!r}") from error
    return active, files


def _file(folder: Path, files: dict[str, str], name: str) -> tuple[str, Path]:
    file = folder / files[name]
    if not file.is_file():
        raise MeasurementError(f"{file}: there is no such adapter, which {ADAPTERS_FILE} names")
    return name, file
