"""What an accuracy is read against."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from evaluators.floors import Floors, floors
from search_spaces import neighbours
from search_spaces.data import DataError, DataSpec, Row, read_split

TEMPLATE = "Say what tone this has. {phrase}\nThe tone: {tone}"
SHARED = Path(__file__).parents[3] / "shared" / "data"
needs_tones = pytest.mark.skipif(
    not SHARED.is_dir(), reason="needs tones.json, which is not part of this"
)


def rows_of(*pairs: str) -> list[Row]:
    """Rows from `phrase=label`."""
    found = (pair.partition("=") for pair in pairs)
    return [{"phrase": phrase, "tone": tone} for phrase, _, tone in found]


def spec_of(tmp_path: Path, splits: Mapping[str, Sequence[Row]]) -> DataSpec:
    files = []
    for split, rows in splits.items():
        path = tmp_path / f"{split}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        files.append((split, path))
    return DataSpec(tuple(files), TEMPLATE, "tone", split=())


TRAIN = rows_of("so glad today=joy", "what a day=joy", "dark steps behind=fear", "you here=awe")


def test_the_majority_is_that_of_training(tmp_path: Path) -> None:
    dev = rows_of("a b=fear", "c d=fear", "e f=joy", "g h=awe")
    found = floors(spec_of(tmp_path, {"train": TRAIN, "dev": dev}), "dev")
    assert (found.majority_label, found.majority) == ("joy", 0.25)
    assert (found.rows, found.train_rows) == (4, 4)


def test_the_nearest_row_is_that_with_most_words_in_common(tmp_path: Path) -> None:
    dev = rows_of(
        "Glad, so GLAD!=joy",  # right
        "the dark=fear",  # right
        "you and dark steps=awe",  # wrong: more in common with the third
        "said nobody=joy",  # right: nothing in common, so the majority is answered
        "nobody=fear",  # wrong
    )
    found = floors(spec_of(tmp_path, {"train": TRAIN, "dev": dev}), "dev")
    assert found.nearest == pytest.approx(3 / 5)
    assert found.compared == 5


def test_the_words_of_the_template_and_the_label_do_not_count(tmp_path: Path) -> None:
    train = rows_of("tone what this has=joy", "other=joy", "fear fear=fear")
    dev = rows_of("nothing=fear", "at all=joy")
    # Were the label read, the first would be found by it.
    assert floors(spec_of(tmp_path, {"train": train, "dev": dev}), "dev").nearest == 0.5


def test_of_equally_near_rows_the_first_answers(tmp_path: Path) -> None:
    train = rows_of("a x=joy", "a y=fear", "a z=fear", "b=joy")
    dev = rows_of("a=joy", "b=joy", "y=fear")
    assert floors(spec_of(tmp_path, {"train": train, "dev": dev}), "dev").nearest == 1.0


def test_without_training_rows_the_majority_is_that_of_the_split(tmp_path: Path) -> None:
    found = floors(spec_of(tmp_path, {"dev": rows_of("a=joy", "b=fear", "c=fear")}), "dev")
    assert (found.majority_label, round(found.majority, 3)) == ("fear", 0.667)
    assert (found.nearest, found.compared, found.train_rows) == (None, 0, 0)
    assert str(found) == "always 'fear' 66.7 %"


def test_floors_survive_json_and_are_put_into_words(tmp_path: Path) -> None:
    dev = rows_of("so glad=joy", "so what=fear", "you=awe")
    found = floors(spec_of(tmp_path, {"train": TRAIN, "dev": dev}), "dev")
    assert Floors.from_json(json.loads(json.dumps(found.to_json()))) == found
    assert str(found) == "always 'joy' 33.3 %, nearest training row 66.7 %"


def test_of_many_rows_some_are_compared_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbours, "_PAIRS", 0)
    monkeypatch.setattr(neighbours, "_AT_LEAST", 10)
    dev = rows_of(*(f"so glad {i}={'joy' if i % 2 else 'fear'}" for i in range(1000)))
    found = floors(spec_of(tmp_path, {"train": TRAIN[:3], "dev": dev}), "dev")
    assert (found.compared, found.rows, found.majority) == (10, 1000, 0.5)
    assert str(found).endswith(" (of 10 of 1,000 rows)")


def test_what_has_no_label_or_no_such_split_is_refused(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, {"train": TRAIN})
    with pytest.raises(DataError, match="no 'dev' split"):
        floors(spec, "dev")
    with pytest.raises(DataError, match="without a label column"):
        floors(DataSpec(spec.files, TEMPLATE, None, split=()), "train")


@needs_tones
def test_the_nearest_phrase_solves_the_recipe_data(tmp_path: Path) -> None:
    whole = DataSpec((("train", SHARED / "tones.json"),), TEMPLATE, "tone", split=())
    rows = read_split(whole, "train")
    unique = list({row["phrase"]: row for row in rows}.values())
    found = {}
    for name, some in (("rows", rows), ("unique", unique)):
        shares = []
        for seed in range(5):
            mixed = random.Random(seed).sample(some, len(some))
            cut = len(some) // 5
            spec = spec_of(tmp_path, {"train": mixed[cut:], "dev": mixed[:cut]})
            shares.append(floors(spec, "dev").nearest or 0.0)
        found[name] = sum(shares) / len(shares)
    # One can look up 92 % even of the phrases that come once; copies in training add to that.
    assert found["unique"] == pytest.approx(0.92, abs=0.02)
    assert found["rows"] > found["unique"] + 0.01


@needs_tones
def test_keeping_copies_together_does_not_make_the_recipe_data_hard() -> None:
    spec = DataSpec((("all", SHARED / "tones.json"),), TEMPLATE, "tone")
    for split in ("dev", "test"):
        found = floors(spec, split)
        assert 0.85 < (found.nearest or 0.0) < 0.97
        assert (found.majority_label, round(found.majority, 1)) == ("joy", 0.4)


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs goemotions, which is not part of this")
def test_looking_up_is_no_better_than_the_majority_on_the_hard_data() -> None:
    files = tuple((s, SHARED / f"goemotions-{s}.jsonl") for s in ("train", "dev"))
    found = floors(DataSpec(files, TEMPLATE, "tone", split=()), "dev")
    assert found.majority == pytest.approx(0.709, abs=0.001)
    assert found.nearest is not None
    assert 0.64 < found.nearest < found.majority
