"""The LoRA adapters beside a GenAI model: which file is to be active. Knows no runtime."""

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
    listing = folder / ADAPTERS_FILE
    if not listing.exists():
        return None
    try:
        found = json.loads(listing.read_text(encoding="utf-8"))
        name = found["active"]
        file = folder / found["adapters"][name]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MeasurementError(f"{listing}: expected {{active, adapters}}: {error!r}") from error
    if not file.is_file():
        raise MeasurementError(f"{file}: there is no such adapter, which {listing.name} names")
    return name, file
