"""Where a model comes from: a local folder, the hub, or a package on a package index.

Reads the text form and looks whether a local folder is there; fetches nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from search_spaces.paths import is_file, is_folder, name_hint, places_of
from search_spaces.problems import short


class ReferenceError(ValueError):
    """Not a reference to a model; one sentence that says what was expected."""


@dataclass(frozen=True, slots=True)
class Reference:
    """Where a model comes from. `text` is what the user wrote.

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


_KINDS = "a local folder, a hub id (org/name) or pypi:PACKAGE==VERSION/path/in/package"
_PATH_STARTS = ("/", "~", "./", "../")
_HUB = re.compile(r"([A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?:@([\w./-]+))?")
_PACKAGE = re.compile(r"[A-Za-z0-9](?:[\w.-]*[A-Za-z0-9])?")
_VERSION = re.compile(r"[A-Za-z0-9][\w.!+-]*")
_PYPI_FORM = "pypi:PACKAGE==VERSION/path/in/package"


def parse_reference(text: str, base: Path) -> Reference:
    """What a text refers to; a relative folder is looked for in `base`, then in the current one.

    ReferenceError for a folder that is not there, and for anything of no known form.
    """
    text = text.strip()
    if text.startswith("pypi:"):
        return _pypi(text)
    if not text:
        raise ReferenceError(f"found an empty text, expected {_KINDS}")
    tried = places_of(text, base)
    for path in tried:
        if is_folder(path):
            return Reference("path", text, path=path.resolve())
    for path in tried:
        if is_file(path):
            raise ReferenceError(f"{path} is a file, expected the folder of a model")
    if text.startswith(_PATH_STARTS) or text in (".", ".."):
        looked = " or ".join(str(path) for path in tried)
        raise ReferenceError(f"there is no folder {looked}{name_hint(tried[0])}")
    return _hub(text, tried[0])


def _hub(text: str, tried: Path) -> Reference:
    match = _HUB.fullmatch(text)
    if match is not None:
        return Reference("hub", text, repo=match[1], revision=match[2])
    scheme = re.match(r"([a-z]\w*):", text)
    if scheme is not None:
        raise ReferenceError(f"unknown kind of model {scheme[1] + ':'!r}, expected {_KINDS}")
    raise ReferenceError(
        f"{short(text)} is neither a folder nor a hub id, expected {_KINDS}{name_hint(tried)}"
    )


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
