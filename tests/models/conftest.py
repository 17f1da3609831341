"""Fixtures for tests of models' sources: a package index of one folder."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

AddWheel = Callable[[str, dict[str, bytes]], None]


@pytest.fixture
def add_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AddWheel:
    """A function that puts a wheel of that name, version 1.0, where pip looks for packages."""
    index = tmp_path / "index"
    index.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")

    def add(name: str, files: dict[str, bytes]) -> None:
        info = f"{name}-1.0.dist-info"
        written = files | {
            f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
            "Requires-Dist: never-to-be-fetched\n".encode(),
            f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            f"{info}/RECORD": b"",
        }
        with zipfile.ZipFile(index / f"{name}-1.0-py3-none-any.whl", "w") as archive:
            for path, content in written.items():
                archive.writestr(path, content)

    return add
