"""Options that name a file or folder: found, missed, and known by their content."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sample_space

from search_spaces.identity import describe
from search_spaces.overrides import Overrides
from search_spaces.paths import content_digest
from search_spaces.problems import SpaceError
from search_spaces.reader import parse_space
from search_spaces.schema import space_schema
from search_spaces.space import Space
from search_spaces.vocabulary import ParameterSpec, Vocabulary

PERPLEXITY = replace(
    sample_space.PERPLEXITY,
    parameters=(ParameterSpec("text", Path, None, "what to read", nullable=True),),
)
VOCABULARY = Vocabulary(
    sample_space.VOCABULARY.passes,
    {**sample_space.VOCABULARY.evaluators, "perplexity": PERPLEXITY},
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = sample_space.write_data(tmp_path)
    (tmp_path / "prose.txt").write_text("Once upon a time.")
    return found


def space_of(path: Path, value: str, overrides: Overrides | None = None) -> Space:
    metrics = f"metrics:\n  perplexity: {{text: {value}}}\n"
    text = sample_space.SPACE.replace("metrics:\n", metrics)
    return parse_space(text, path, VOCABULARY, overrides).space


def test_a_relative_path_is_looked_for_beside_the_space(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = path.parent / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "prose.txt").touch()
    monkeypatch.chdir(elsewhere)
    space = space_of(path, "prose.txt")
    assert space.evaluators["perplexity"] == {"text": str(path.parent / "prose.txt")}
    assert space.files == {("perplexity", "text")}


def test_then_in_the_current_directory(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = path.parent / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "other.txt").touch()
    monkeypatch.chdir(elsewhere)
    found = space_of(path, "other.txt").evaluators["perplexity"]["text"]
    assert found == str(elsewhere / "other.txt")


def test_a_folder_and_null_are_values_too(path: Path) -> None:
    (path.parent / "tasks").mkdir()
    assert space_of(path, "tasks").evaluators["perplexity"]["text"] == str(path.parent / "tasks")
    assert space_of(path, "null").evaluators["perplexity"]["text"] is None


def test_a_file_may_be_called_by_a_number(path: Path) -> None:
    (path.parent / "2024").touch()
    assert space_of(path, "2024").evaluators["perplexity"]["text"] == str(path.parent / "2024")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("prose.text", "there is no file or folder .*prose.text.*; did you mean 'prose.txt'"),
        ("[prose.txt]", "found a list, expected the path of a file or folder or null"),
        ("true", "found .*expected the path of a file or folder or null"),
        ("'nul\\0'", "there is no file or folder"),
        ("''", "found the text '', expected the path of a file or folder or null"),
    ],
)
def test_what_is_no_path_is_said_with_its_line(path: Path, value: str, message: str) -> None:
    with pytest.raises(SpaceError, match=rf"space.yaml:\d+: metrics.perplexity.text: {message}"):
        space_of(path, value)


def test_the_content_and_not_the_place_makes_the_question(path: Path) -> None:
    first = describe(space_of(path, "prose.txt"))
    (path.parent / "copy.txt").write_text("Once upon a time.")
    assert describe(space_of(path, "copy.txt")) == first
    assert str(path.parent) not in str(first)
    (path.parent / "copy.txt").write_text("Twice upon a time.")
    assert describe(space_of(path, "copy.txt")) != first


def test_digest_of_a_folder_is_that_of_its_files_and_their_names(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for folder in (one, other):
        (folder / "deep").mkdir(parents=True)
        (folder / "a.yaml").write_text("a")
        (folder / "deep" / "b.yaml").write_text("b")
    assert content_digest(one) == content_digest(str(other))
    (other / "deep" / "b.yaml").rename(other / "deep" / "c.yaml")
    assert content_digest(one) != content_digest(other)
    before = content_digest(one)
    (one / "a.yaml").write_text("b")
    assert content_digest(one) != before


def test_digest_sees_a_change_that_keeps_the_size(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_text("one")
    os.utime(file, ns=(0, 0))
    before = content_digest(file)
    file.write_text("two")
    assert content_digest(file) != before
    assert content_digest(tmp_path / "none") == content_digest("nul\0")
    assert content_digest(None) is None


def test_schema_takes_a_path() -> None:
    metrics: Any = space_schema(VOCABULARY)["properties"]["metrics"]
    option = metrics["properties"]["perplexity"]["properties"]["text"]
    assert option["type"] == ["string", "number", "null"]
    assert "the path of a file or folder or null" in option["description"]
