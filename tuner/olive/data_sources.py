"""Where the rows of a config are: a file, a data set of the hub, or a place that is not reached.

Knows the arguments of `datasets.load_dataset` by name, and loads nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from search_spaces.problems import Problem, SpaceError, short
from tuner.olive.config import OliveData, Setting, Settings
from tuner.olive.draft import Draft, Kind

PLACEHOLDER = "./data.jsonl"
"""Stands for rows that only the config's user has."""

_FORMATS = ("json", "csv", "parquet", "text")
_HUB = ("subset", "split", "revision")
_ASIDE = {
    "trust_remote_code": ("code of a data set is never run here", "code from elsewhere"),
    "streaming": ("rows are read where they are needed", "handing over of rows"),
    "batch_size": ("rows are read one by one", "handing over of rows"),
}
_READ = ("type", "data_name", "data_files", "data_dir", *_HUB)


def files_of(draft: Draft, data: OliveData) -> Any:
    """What stands under `files:`: a path, a list of paths, or a mapping with `hub`."""
    load = data.load
    _answer(draft, load)
    name, files = load.get("data_name"), load.get("data_files")
    if files is not None and files.value:
        return _local(draft, load, files)
    assert name is not None, "rows without a name or files are a function's"
    text = _text(draft, name)
    if text.startswith((".", "/", "~")):
        _no_slices(draft, load)
        return text
    return _hub(draft, load, text)


def _hub(draft: Draft, load: Settings, name: str) -> dict[str, str]:
    found = {"hub": name} | {key: _text(draft, load[key]) for key in _HUB if _says(load, key)}
    # Olive's own default, which is another one than the library's.
    return found if "split" in found else found | {"split": "validation"}


def _text(draft: Draft, setting: Setting) -> str:
    if not isinstance(setting.value, str) or not setting.value.strip():
        raise refused(draft, setting, "expected text")
    return setting.value


def refused(draft: Draft, setting: Setting, message: str) -> SpaceError:
    """What is wrong with a setting, with its line."""
    shown = short(json.dumps(setting.value, ensure_ascii=False, default=str))
    text = f"{setting.where}: found {shown}; {message}"
    return SpaceError([Problem(text, str(draft.config.path), setting.line)])


def _says(load: Settings, key: str) -> bool:
    return key in load and load[key].value is not None


def _answer(draft: Draft, load: Settings) -> None:
    for key, setting in load.items():
        if key in _ASIDE:
            draft.omit(setting, Kind.ASIDE, *_ASIDE[key])
        elif key not in _READ:
            reason = "nothing here filters or picks rows but their order and a share of them"
            draft.omit(setting, Kind.OMITTED, reason, "how rows are picked")


def _local(draft: Draft, load: Settings, files: Setting) -> Any:
    """Files beside the config; those of another file system keep their address."""
    name = load.get("data_name")
    if name is not None and _text(draft, name) not in _FORMATS:
        return _in_hub(draft, load, name, files)
    value = files.value
    if isinstance(value, Mapping) and "type" in value:
        return _remote(draft, files)
    if isinstance(value, Mapping):
        split = _text(draft, load["split"]) if _says(load, "split") else "train"
        value = value.get(split.partition("[")[0], next(iter(value.values())))
    _no_slices(draft, load)
    folder = _text(draft, load["data_dir"]) if _says(load, "data_dir") else ""
    named = value if isinstance(value, list) else [value]
    if not named or not all(isinstance(path, str) and path for path in named):
        raise refused(draft, files, "expected the path of a file, or a list of paths")
    paths = [_path(path, folder) for path in named]
    return paths[0] if len(paths) == 1 else paths


def _path(path: str, folder: str) -> str:
    whole = f"{folder.rstrip('/')}/{path}" if folder else path
    return whole if whole.startswith((".", "/", "~")) or "://" in whole else f"./{whole}"


def _in_hub(draft: Draft, load: Settings, name: Setting, files: Setting) -> dict[str, Any]:
    reason = "the data set's own files of the split are read"
    draft.omit(files, Kind.OMITTED, reason, "how rows are picked")
    return _hub(draft, load, _text(draft, name))


def _remote(draft: Draft, files: Setting) -> str:
    """An object that names a place, such as a datastore of Azure ML."""
    type_ = str(files.value["type"])
    inner = files.value.get("config")
    inner = inner if isinstance(inner, Mapping) else files.value
    path = inner.get("relative_path") or inner.get("path") or inner.get("name")
    named = f" ({json.dumps(path, ensure_ascii=False)})" if path else ""
    reason = f"the rows lie in an {_words(type_)}{named}; give them as a file: --data FILE"
    draft.omit(files, Kind.OMITTED, reason, "rows in Azure ML")
    return PLACEHOLDER


def _words(type_: str) -> str:
    known = {"azureml_datastore": "Azure ML datastore", "azureml_job_output": "Azure ML job"}
    return known.get(type_, f"object of the type {type_}")


def _no_slices(draft: Draft, load: Settings) -> None:
    if _says(load, "split") and "[" in str(load["split"].value):
        reason = "a file is read whole; cut it, or take a share with data.split"
        draft.omit(load["split"], Kind.OMITTED, reason, "how rows are picked")
