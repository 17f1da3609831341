"""The quick start's data is a real task, and stays one."""

from __future__ import annotations

import json
import re
from collections import Counter
from itertools import combinations
from pathlib import Path

import pytest

import search_spaces

Row = dict[str, str]
FOLDER = Path(search_spaces.__file__).parent / "tones"


@pytest.fixture(scope="module")
def splits() -> dict[str, list[Row]]:
    return {
        name: [json.loads(line) for line in (FOLDER / f"{name}.jsonl").open(encoding="utf-8")]
        for name in ("train", "dev", "test")
    }


def words(row: Row) -> set[str]:
    return set(re.findall(r"[a-z']+", row["phrase"].lower()))


def test_there_are_600_distinct_phrases_balanced_in_every_split(
    splits: dict[str, list[Row]],
) -> None:
    rows = [row for split in splits.values() for row in split]
    assert len({row["phrase"] for row in rows}) == len(rows) >= 600
    for split in splits.values():
        assert set(Counter(row["tone"] for row in split).values()) == {len(split) // 4}
        assert {row["tone"] for row in split} == {"joy", "sadness", "fear", "surprise"}


def test_no_two_phrases_are_near_duplicates(splits: dict[str, list[Row]]) -> None:
    bags = [words(row) for split in splits.values() for row in split]
    likeness = max(len(a & b) / len(a | b) for a, b in combinations(bags, 2))
    assert likeness < 0.5


@pytest.mark.parametrize("split", ["dev", "test"])
def test_copying_the_label_of_the_most_similar_phrase_does_not_solve_it(
    splits: dict[str, list[Row]], split: str
) -> None:
    train = [(words(row), row["tone"]) for row in splits["train"]]

    def copied(row: Row) -> str:
        return max(train, key=lambda known: len(known[0] & words(row)))[1]

    right = sum(copied(row) == row["tone"] for row in splits[split])
    assert right / len(splits[split]) < 0.55
