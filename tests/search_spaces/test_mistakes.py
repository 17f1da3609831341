from __future__ import annotations

import random
from pathlib import Path

import pytest
from sample_space import SPACE, VOCABULARY, read, write_data
from space_mistakes import MISTAKES, mutated

from search_spaces.problems import SpaceError
from search_spaces.reader import read_space


@pytest.mark.parametrize(
    ("old", "new", "line", "part"),
    [case[1:] for case in MISTAKES],
    ids=[case[0].replace(" ", "_") for case in MISTAKES],
)
def test_a_mistake_is_told_with_its_line_and_its_cure(
    old: str, new: str, line: int | None, part: str, tmp_path: Path
) -> None:
    assert old in SPACE
    with pytest.raises(SpaceError) as caught:
        read(SPACE.replace(old, new, 1), write_data(tmp_path))
    told = [p for p in caught.value.problems if part in p.message]
    assert told, f"{part!r} is not in:\n{caught.value}"
    assert told[0].line == line, str(caught.value)
    assert told[0].file == str(tmp_path / "space.yaml")


def test_the_space_without_mistakes_is_read(tmp_path: Path) -> None:
    assert read(SPACE, write_data(tmp_path)).notices == ()


def test_one_mistake_is_told_once_and_drags_no_others_along(tmp_path: Path) -> None:
    path = write_data(tmp_path)
    single = [case for case in MISTAKES if case[3] is not None and case[3] < 19]
    for name, old, new, _, _ in single:
        with pytest.raises(SpaceError) as caught:
            read(SPACE.replace(old, new, 1), path)
        assert len(caught.value.problems) <= 2, f"{name}:\n{caught.value}"


def test_everything_wrong_is_told_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = (
        SPACE.replace("text-classification", "chat")
        .replace("max_steps: 100", "max_steps: many")
        .replace("latency<50ms", "latency<50")
        .replace("trials: 30", "trials: -3")
        .replace("memory: 4GB", "memory: lots")
    )
    with pytest.raises(SpaceError) as caught:
        read(text, write_data(tmp_path))
    assert [p.line for p in caught.value.problems] == [2, 11, 23, 25, 26]
    assert str(caught.value).splitlines()[0].startswith(f"{tmp_path / 'space.yaml'}:2: task: found")


@pytest.mark.parametrize("text", ["", "  \n", "# only a comment\n", "---\n", "null\n"])
def test_an_empty_file_is_said_to_be_empty(text: str, tmp_path: Path) -> None:
    with pytest.raises(SpaceError, match=r"empty|found nothing"):
        read(text, tmp_path / "space.yaml")


@pytest.mark.parametrize("text", ["[1, 2]", "just text", "7", "- a\n- b\n"])
def test_a_file_that_is_no_mapping_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(SpaceError, match="expected a mapping with model"):
        read(text, tmp_path / "space.yaml")


def test_a_ten_megabyte_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "big.yaml"
    path.write_bytes(b"- a\n" * 2_621_440)
    with pytest.raises(SpaceError, match="larger than 1 MiB"):
        read_space(path, VOCABULARY)


def test_a_missing_file_names_the_nearest_beside_it(tmp_path: Path) -> None:
    (tmp_path / "phi3.yaml").write_text(SPACE)
    with pytest.raises(SpaceError, match=r"no such space file.*phi3\.yaml"):
        read_space(tmp_path / "ph3.yaml", VOCABULARY)


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpaceError, match="a folder, expected a space file"):
        read_space(tmp_path, VOCABULARY)


def test_a_file_that_is_not_utf8_names_the_line(tmp_path: Path) -> None:
    path = tmp_path / "space.yaml"
    path.write_bytes(b"model: a/b\ntask: caf\xe9\n")
    with pytest.raises(SpaceError, match=r":2: not UTF-8"):
        read_space(path, VOCABULARY)


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    path = write_data(tmp_path)
    path.write_bytes(b"\xef\xbb\xbf" + SPACE.encode())
    assert read_space(path, VOCABULARY).space.task == "text-classification"


def test_aliases_that_multiply_are_refused(tmp_path: Path) -> None:
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    for this, last in zip("bcdefghi", "abcdefgh", strict=True):
        lines.append(f"{this}: &{this} [{', '.join([f'*{last}'] * 9)}]")
    with pytest.raises(SpaceError, match="aliases make more than"):
        read("\n".join(lines), tmp_path / "space.yaml")


@pytest.mark.parametrize("text", ["[" * 100_000, "{a: " * 50_000, "- " * 50_000, "? " * 50_000])
def test_deep_nesting_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(SpaceError, match=r":1: (nested more than|not YAML)"):
        read(text, tmp_path / "space.yaml")


def test_very_many_values_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SpaceError, match="more than 20000 values"):
        read("a: [" + "1, " * 100_000 + "]", tmp_path / "space.yaml")


def test_mutants_of_a_space_are_read_or_refused_with_places(tmp_path: Path) -> None:
    path = write_data(tmp_path)
    rng = random.Random(20)
    refusals: list[tuple[str, SpaceError]] = []
    for _ in range(500):
        text = mutated(rng)
        try:
            read(text, path)
        except SpaceError as error:
            refusals.append((text, error))
    assert 200 < len(refusals) < 500
    for text, refusal in refusals:
        lines = text.count("\n") + 1
        assert refusal.problems, text
        for problem in refusal.problems:
            assert problem.message, text
            assert problem.file == str(path), text
            assert problem.line is None or 1 <= problem.line <= lines, text
