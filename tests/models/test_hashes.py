"""What a folder's hash depends on, and what is remembered."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tuner.models.hashes import file_hash, folder_hash


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "model"
    (made / "sub").mkdir(parents=True)
    (made / "config.json").write_text("{}")
    (made / "sub" / "weights").write_bytes(b"\x00" * 1000)
    return made


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def test_same_content_elsewhere_has_the_same_hash(
    folder: Path, cache: Path, tmp_path: Path
) -> None:
    before = folder_hash(folder, cache)
    folder.rename(tmp_path / "moved")
    assert folder_hash(tmp_path / "moved", cache) == before
    assert len(before) == 64


def test_any_name_or_byte_counts(folder: Path, cache: Path) -> None:
    found = {folder_hash(folder, cache)}
    (folder / "config.json").write_text("[]")
    found.add(folder_hash(folder, cache))
    (folder / "config.json").rename(folder / "other.json")
    found.add(folder_hash(folder, cache))
    (folder / "empty").touch()
    found.add(folder_hash(folder, cache))
    assert len(found) == 4


def test_hidden_files_do_not_count(folder: Path, cache: Path) -> None:
    before = folder_hash(folder, cache)
    (folder / ".cache").mkdir()
    (folder / ".cache" / "x").write_text("x")
    (folder / ".lock").write_text("x")
    assert folder_hash(folder, cache) == before


def test_flipped_byte_is_seen_even_where_size_and_time_are_the_same(
    folder: Path, cache: Path
) -> None:
    file = folder / "sub" / "weights"
    before, times = folder_hash(folder, cache), (file.stat().st_atime_ns, file.stat().st_mtime_ns)
    with file.open("r+b") as opened:
        opened.write(b"\x01")
    os.utime(file, ns=times)
    assert folder_hash(folder, cache) != before


def test_unchanged_files_are_not_read_again(folder: Path, cache: Path) -> None:
    with (folder / "sub" / "weights").open("wb") as file:
        file.truncate(300_000_000)
    start = time.perf_counter()
    first = folder_hash(folder, cache)
    middle = time.perf_counter()
    assert folder_hash(folder, cache) == first
    assert time.perf_counter() - middle < 0.1 * (middle - start)


@pytest.mark.parametrize("content", ["", "not json", "[]", '{"x": 1}', '{"x": [1]}'])
def test_damaged_memory_is_forgotten(content: str, folder: Path, cache: Path) -> None:
    before = folder_hash(folder, cache)
    (cache / "file-hashes.json").write_text(content)
    assert folder_hash(folder, cache) == before


def test_memory_that_cannot_be_written_costs_time_only(folder: Path, tmp_path: Path) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.touch()
    assert folder_hash(folder, in_the_way) == folder_hash(folder, tmp_path / "cache")


def test_file_hash_is_sha256(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    assert file_hash(tmp_path / "abc").startswith("ba7816bf8f01cfea")
