from __future__ import annotations

from pathlib import Path

import pytest

from search_spaces import catalog
from search_spaces.catalog import find_space, shipped
from search_spaces.problems import SpaceError


@pytest.fixture
def ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of shipped spaces, and an empty current directory."""
    folder = tmp_path / "shipped"
    folder.mkdir()
    for name in ("phi3", "quickstart"):
        (folder / f"{name}.yaml").write_text("model: a/b\n")
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setattr(catalog, "_FOLDER", folder)
    return folder


def test_shipped_spaces_go_by_their_bare_names(ready: Path) -> None:
    assert shipped() == ["phi3", "quickstart"]
    assert find_space("phi3") == ready / "phi3.yaml"


def test_a_file_comes_before_a_shipped_space(ready: Path) -> None:
    Path("phi3").write_text("model: a/b\n")
    assert find_space("phi3") == Path("phi3")


def test_a_folder_of_the_same_name_does_not_hide_a_shipped_space(ready: Path) -> None:
    Path("phi3").mkdir()
    assert find_space("phi3") == ready / "phi3.yaml"


@pytest.mark.parametrize(
    ("text", "near"),
    [("phi4", "did you mean 'phi3'"), ("my-spce.yaml", "did you mean 'my-space.yaml'")],
)
def test_a_missing_space_names_the_nearest(text: str, near: str, ready: Path) -> None:
    Path("my-space.yaml").touch()
    with pytest.raises(SpaceError, match=near):
        find_space(text)


@pytest.mark.parametrize("text", ["../shipped/phi3", "a\0b", "x" * 5000, "/etc/nothing"])
def test_odd_names_are_missing_spaces(text: str, ready: Path) -> None:
    with pytest.raises(SpaceError, match=r"no such space file.*phi3 and quickstart"):
        find_space(text)
