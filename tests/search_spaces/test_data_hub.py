"""Data sets of the hub: from a folder that is one, and from the hub's cache without a network."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path

import pytest

from search_spaces.data import DataSpec, fetch, labels, read_split
from search_spaces.data_files import DataError, DataUnavailable
from search_spaces.data_locations import HubDataset

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("datasets") is None, reason="datasets is not installed"
)

CARD = """---
configs:
- config_name: tones
  data_files:
  - {split: train, path: train.csv}
dataset_info:
- config_name: tones
  features:
  - {name: phrase, dtype: string}
  - name: tone
    dtype:
      class_label:
        names: {'0': joy, '1': fear}
---
"""
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    (folder / "README.md").write_text(CARD)
    rows = "".join(f"phrase {i},{i % 2}\n" for i in range(40))
    (folder / "train.csv").write_text(f"phrase,tone\n{rows}")
    return folder


@pytest.fixture(autouse=True)
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache of the hub, which is not there itself."""
    home = tmp_path / "hub"
    monkeypatch.setenv("HF_HOME", str(home))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    return home


def test_a_slice_of_a_folder_has_names_for_labels(repository: Path, tmp_path: Path) -> None:
    part = HubDataset(str(repository), "tones", "train[10%:50%]")
    spec = DataSpec((("train", part),), "{phrase}\n{tone}", "tone", split=())
    fetch(spec, tmp_path / "store")
    rows = read_split(spec, "train")
    assert rows[0] == {"phrase": "phrase 4", "tone": "joy"}
    assert len(rows) == 16
    assert labels(spec) == ("fear", "joy")
    again = HubDataset(str(repository), "tones", "train[10%:50%]")
    assert again.copy(tmp_path / "store") == part.copy()


def test_what_a_data_set_lacks_is_told(repository: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"Unknown split .*'train'"):
        HubDataset(str(repository), "tones", "dev").copy(tmp_path / "store")


def test_without_a_network_what_was_downloaded_serves(
    repository: Path, hub: Path, tmp_path: Path
) -> None:
    cached = hub / "hub" / "datasets--someone--tones"
    shutil.copytree(repository, cached / "snapshots" / COMMIT)
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text(COMMIT)
    found = HubDataset("someone/tones").copy(tmp_path / "store")
    assert json.loads(found.path.read_text().splitlines()[1]) == {
        "phrase": "phrase 1",
        "tone": "fear",
    }
    assert "was read from the cache of the hub" in str(found.notice)
    shutil.rmtree(cached)
    later = HubDataset("someone/tones").copy(tmp_path / "store")
    assert later.path == found.path
    assert "was read from the copy of" in str(later.notice)


def test_without_network_and_cache_it_is_said_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataUnavailable, match="hf download --repo-type dataset someone/other"):
        HubDataset("someone/other").copy(tmp_path / "store")
