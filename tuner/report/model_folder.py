"""Writes the model of an answer, and the base of one that is an adapter.

Each appears by one rename, after it is whole. Knows nothing of studies.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from evaluators.base import Artifact
from search_spaces.references import Reference
from search_spaces.sources import ADAPTER_CONFIG, BASE_FOLDER, BASE_KEY, MODEL_FOLDER
from tuner.execution.making import LostInput
from tuner.pipeline import store_owner
from tuner.pipeline.store import intact

_MARK = ".tune.json"  # in model/: which trial's model it is


def put_model(
    folder: Path, artifact: Artifact, source: Artifact, model: Reference, identity: str
) -> None:
    """Write `model/` in the folder of an answer, unless that of the trial `identity` is there.

    An adapter names its base as peft expects it: the model that came in (`source`, which `model`
    refers to), by its folder or its name at the hub; else the one that the pipeline made for it,
    of which a copy lies in `base/`. OSError; LostInput where what comes out of a store was damaged.
    """
    named = _put_base(folder / BASE_FOLDER, artifact, source, model, identity)
    _put_model(folder / MODEL_FOLDER, artifact, identity, named)


def _put_base(
    target: Path, artifact: Artifact, source: Artifact, model: Reference, identity: str
) -> Reference | None:
    """What an adapter is to name as its base: the model that came in, or a copy of what was made.

    None of a model that is no adapter; a base that an earlier answer left there goes away.
    """
    base = artifact.base
    if base is not None and base not in (source, source.base):
        _put_model(target, base, identity, None)
        return Reference("path", str(target), path=target.absolute())
    if (target / _MARK).is_file():
        shutil.rmtree(target)
    return None if base is None else model.checkpoint


def _name_base(adapter: Path, base: Reference) -> None:
    """Say in an adapter's configuration where its base is, as peft and its users expect it."""
    path = adapter / ADAPTER_CONFIG
    config = json.loads(path.read_text(encoding="utf-8"))
    config[BASE_KEY] = base.repo or (base.text if base.path is None else str(base.path))
    if base.revision is not None:
        config["revision"] = base.revision
    put_file(path, json.dumps(config, indent=2, sort_keys=True) + "\n")


def _put_model(target: Path, artifact: Artifact, identity: str, base: Reference | None) -> None:
    """`base`: what an adapter lies on."""
    mark = target / _MARK
    if mark.is_file() and json.loads(mark.read_text(encoding="utf-8")).get("trial") == identity:
        return
    if not intact(artifact.path):
        raise LostInput("the answer", artifact.path)
    fresh = _fresh(target)
    try:
        _copy(artifact.path, fresh)
        if base is not None:
            _name_base(fresh, base)
        put_file(fresh / _MARK, json.dumps({"trial": identity}))
        if target.exists():
            shutil.rmtree(target)
        fresh.rename(target)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _copy(source: Path, target: Path) -> None:
    """A copy, as the store's files must not be edited. OSError: the first of several."""
    failed: list[OSError] = []

    def copy(one: str, other: str) -> str:
        try:
            return shutil.copy2(one, other)
        except OSError as error:
            failed.append(error)
            raise

    try:
        shutil.copytree(source, target, copy_function=copy)
    except shutil.Error:
        if failed:
            raise failed[0] from None
        raise


def put_file(path: Path, text: str) -> None:
    """Write a file whole, or not at all."""
    fresh = _fresh(path)
    try:
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)


def _fresh(path: Path) -> Path:
    """A name beside it to write to, that says whose it is."""
    return path.with_name(f".{path.name}-{store_owner.new_name()}")
