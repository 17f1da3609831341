"""Puts a model and what belongs to it into a zip file, the same bytes for the same folder.

Files are read piece by piece, so that a model may be larger than memory; weights are stored as
they are. The zip file is written beside its place and renamed: there is all of it or nothing.
"""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from evaluators.base import TRAINING_STATE, Artifact
from search_spaces.sources import BASE_FOLDER, BASE_KEY, MODEL_FOLDER
from tuner.models.errors import ModelError
from tuner.packaging.answer_folder import RECIPE, Contents
from tuner.packaging.cleaning import (
    CONFIGS,
    clean_config,
    clean_recipe,
    is_elsewhere,
    last_name,
    without_paths,
)
from tuner.packaging.readme import files_of_licence, readme
from tuner.packaging.sample import PACKAGES, sample_program

README, SAMPLE, REQUIREMENTS = "README.md", "sample.py", "requirements.txt"

_TIME = (1980, 1, 1, 0, 0, 0)  # the first that a zip file knows
_MODE = 0o100644 << 16  # a plain file that all may read
_STORED = (".bin", ".data", ".gguf", ".onnx", ".onnx_adapter", ".pt", ".safetensors")
_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class Member:
    """A file of the package: its name in it, and its text or the file that it is a copy of."""

    name: str
    size: int
    text: str | None = None
    path: Path | None = None


@dataclass(frozen=True, slots=True)
class Package:
    """What a package consists of. `notes`: what was cleaned or left out, a sentence each."""

    members: Sequence[Member]
    notes: Sequence[str]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(member.size for member in self.members)


def gather(found: Contents, card: str | None = None) -> Package:
    """What goes into the package. `card`: the README's text where a study's database gave one.

    ModelError where a file of the model is damaged.
    """
    notes: list[str] = []
    members = list(_model_members(found, notes))
    recipe = found.folder / RECIPE
    if found.recipe:
        text, needed = clean_recipe(recipe.read_text(encoding="utf-8"))
        members.append(_text(RECIPE, text))
        if needed:
            notes.append(f"{RECIPE} needs files that are not packed: {', '.join(needed)}")
    sample = sample_program(found, _context(found.model), _base(found))
    requirements = _requirements(found)
    if sample is None:
        notes.append("there is no sample program for a classifying adapter: merge it first")
    else:
        members.append(_text(SAMPLE, sample))
    members.append(_text(REQUIREMENTS, "".join(f"{line}\n" for line in requirements)))
    members += _licences(found)
    text = readme(found, requirements, sample=sample is not None, notes=notes)
    members.append(_text(README, text if card is None else without_paths(card)))
    return Package(sorted(members, key=lambda member: member.name), notes)


def write(package: Package, path: Path) -> None:
    """Write the zip file to a path that there is not yet. OSError where it cannot be written."""
    with zipfile.ZipFile(path, "x") as archive:
        for member in package.members:
            info = zipfile.ZipInfo(member.name, _TIME)
            info.external_attr, info.file_size = _MODE, member.size
            stored = member.name.endswith(_STORED)
            info.compress_type = zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED
            with archive.open(info, "w") as target:
                if member.path is None:
                    target.write(str(member.text).encode())
                else:
                    with member.path.open("rb") as source:
                        shutil.copyfileobj(source, target, _PIECE)


def _text(name: str, text: str) -> Member:
    return Member(name, len(text.encode()), text=text)


def _model_members(found: Contents, notes: list[str]) -> Iterator[Member]:
    folders = {MODEL_FOLDER: found.model.path}
    if found.base is not None:
        folders[BASE_FOLDER] = found.base
    base = _base(found)
    names = {BASE_KEY: "../base" if base == "base" else base} if base is not None else {}
    for top, folder in folders.items():
        for path in _files(folder):
            name = f"{top}/{path.relative_to(folder).as_posix()}"
            if path.name not in CONFIGS:
                yield Member(name, path.stat().st_size, path=path)
                continue
            text, cleaned = _cleaned(path, names)
            yield _text(name, text)
            if cleaned:
                keys = ", ".join(dict.fromkeys(cleaned))
                notes.append(f"{name}: a path of this machine was taken out of {keys}")
    if found.model.base is not None and base is None:
        was = last_name(str(found.model.base.path))
        notes.append(f"the adapter's base model, {was}, is not packed")


def _files(folder: Path) -> Iterator[Path]:
    """The files of a model in order, without hidden ones and the state of its training."""
    for path in sorted(folder.rglob("*"), key=lambda p: p.relative_to(folder).as_posix()):
        parts = path.relative_to(folder).parts
        hidden = any(part.startswith(".") for part in parts) or parts[0] == TRAINING_STATE
        if path.is_file() and not hidden:
            yield path


def _cleaned(path: Path, names: dict[str, str]) -> tuple[str, list[str]]:
    try:
        return clean_config(path.read_text(encoding="utf-8"), names)
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} is no JSON: {error}") from None


def _base(found: Contents) -> str | None:
    """What an adapter's base is called: "base" in the package, a hub's id; None: not known."""
    if found.base is not None:
        return "base"
    if found.base_name is None or is_elsewhere(found.base_name):
        return None
    return None if Path(found.base_name).exists() else found.base_name


def _licences(found: Contents) -> Iterator[Member]:
    """Licence and notice files at the top, where who unpacks it looks for them."""
    for name in files_of_licence(found):
        there = (folder / name for folder in (found.folder, found.model.path))
        path = next(path for path in there if path.is_file())
        yield Member(name, path.stat().st_size, path=path)


def _requirements(found: Contents) -> list[str]:
    """The libraries of the sample program with the versions that were used, else those here."""
    lines = []
    for name in PACKAGES[found.model.format]:
        version = found.environment.get(name)
        if version in (None, "absent"):
            try:
                version = metadata.version(name)
            except metadata.PackageNotFoundError:
                version = None
        plain = None if version is None else version.partition("+")[0]  # a local build's mark
        lines.append(name if plain is None else f"{name}=={plain}")
    return lines


def _context(model: Artifact) -> int | None:
    """The most tokens that a model takes; None where its configuration does not say."""
    genai = model.format == "genai"
    folder = (model.base or model).path
    path = folder / ("genai_config.json" if genai else "config.json")
    try:
        config: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} is no JSON: {error}") from None
    if genai:
        found = config.get("model", {}).get("context_length")
    else:
        found = config.get("max_position_embeddings")
    return found if isinstance(found, int) else None
