"""What is told of data before a number is believed."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from search_spaces import neighbours
from search_spaces.data import DataSpec, Row, read_split
from search_spaces.data_report import DataReport, Finding, report

TEMPLATE = "{phrase}: {tone}"
SHARED = Path(__file__).parents[3] / "shared" / "data"
WORDS = tuple("abcdefghijklmnop")


def phrases(count: int, seed: int = 0) -> list[Row]:
    """Different phrases of eight words, no two nearly the same, over two labels."""
    source = random.Random(seed)
    return [
        {
            "phrase": " ".join([f"{seed}n{i}", f"{seed}m{i}", *source.sample(WORDS, 6)]),
            "tone": "joy" if i % 2 else "fear",
        }
        for i in range(count)
    ]


def write(path: Path, rows: Sequence[Row]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def spec_of(
    tmp_path: Path, splits: Mapping[str, Sequence[Row]], label: str | None = "tone"
) -> DataSpec:
    files = tuple((s, write(tmp_path / f"{s}.jsonl", rows)) for s, rows in splits.items())
    return DataSpec(files, TEMPLATE, label, split=())


def findings(tmp_path: Path, **splits: Sequence[Row]) -> list[Finding]:
    return list(report(spec_of(tmp_path, splits)).findings)


def test_good_data_gives_nothing_but_counts(tmp_path: Path) -> None:
    found = report(spec_of(tmp_path, {"train": phrases(20), "dev": phrases(10, 1)}))
    assert found.splits == {"train": 20, "dev": 10}
    assert found.labels["dev"] == {"fear": 5, "joy": 5}
    assert found.findings == found.warnings == ()
    assert str(found) == "20 train, 10 dev rows; 2 labels: fear, joy"


def test_copies_of_training_rows_are_counted_case_and_spacing_aside(tmp_path: Path) -> None:
    train, dev = phrases(20), phrases(10, 1)
    dev[3] = {**train[0], "phrase": f" {train[0]['phrase'].upper()} "}
    dev[4] = dict(train[1])
    [leak, repeated] = findings(tmp_path, train=train, dev=dev)
    assert (leak.kind, leak.split, leak.count, leak.of) == ("leaked", "dev", 2, 10)
    assert leak.warning
    assert leak.message == (
        "2 of 10 dev rows are (near) copies of training rows "
        "(2 equal, 0 with nearly the same words): accuracy is flattered"
    )
    assert (repeated.count, repeated.of, repeated.warning) == (2, 30, False)


def test_nearly_equal_rows_are_found_and_shown_in_pairs(tmp_path: Path) -> None:
    train, dev = phrases(20), phrases(10, 1)
    dev[3] = {"phrase": train[0]["phrase"] + ", indeed!", "tone": "joy"}  # 8 of 9 words
    dev[4] = {"phrase": " ".join(train[1]["phrase"].split()[:5]), "tone": "joy"}  # 5 of 8
    [leak] = findings(tmp_path, train=train, dev=dev)
    assert leak.count == 1
    assert "(0 equal, 1 with nearly the same words)" in leak.message
    text = train[0]["phrase"]
    assert leak.examples == (f"'{text}, indeed!', in training without 'indeed'",)
    dev[3] = {"phrase": text.replace("0n0", "other") + " n0", "tone": "joy"}
    dev[5] = {"phrase": f"{text}?!", "tone": "joy"}
    train[0] = {"phrase": f"{text} n0", "tone": "joy"}
    train[1] = {"phrase": f"{text} ?", "tone": "fear"}
    [leak] = findings(tmp_path, train=train, dev=dev)
    assert leak.examples == (
        f"'{dev[3]['phrase']}', in training without 'other', with '0n0'",
        f"'{text}?!', in training in other order or punctuation",
    )


def test_a_copy_in_a_hundred_is_told_but_is_no_warning(tmp_path: Path) -> None:
    train, dev = phrases(20), phrases(100, 1)
    dev[3] = dict(train[0])
    [leak] = [f for f in findings(tmp_path, train=train, dev=dev) if f.kind == "leaked"]
    assert (leak.count, leak.warning) == (1, False)
    dev[5] = dict(train[1])
    [leak] = [f for f in findings(tmp_path, train=train, dev=dev) if f.kind == "leaked"]
    assert (leak.count, leak.warning) == (2, True)


def test_what_is_in_dev_and_test_is_not_confirmed_on_unseen_rows(tmp_path: Path) -> None:
    dev, test = phrases(10, 1), phrases(10, 2)
    test[:3] = dev[:3]
    found = findings(tmp_path, train=phrases(20), dev=dev, test=test)
    [leak] = [f for f in found if f.kind == "leaked"]
    assert leak.split == "test"
    assert leak.message.startswith("3 of 10 test rows stand in dev too")


def test_rows_beyond_the_first_copy_are_counted(tmp_path: Path) -> None:
    train, dev = phrases(20), phrases(10, 1)
    [found] = findings(tmp_path, train=[*train, *train[:3], train[0]], dev=[*dev, dev[0]])
    assert (found.kind, found.count, found.of) == ("repeated", 5, 35)
    assert "(4 within train, 1 within dev); all copies of a row are on one side" in found.message
    assert found.examples == (f"'{train[0]['phrase']}' comes 3 times",)
    assert found.warning  # one in eleven dev rows counts twice


def test_a_text_with_two_labels_is_a_contradiction(tmp_path: Path) -> None:
    train = phrases(20)
    train.append({**train[0], "tone": "joy"})
    found = findings(tmp_path, train=train, dev=phrases(10, 1))
    [torn] = [f for f in found if f.kind == "contradicted"]
    assert torn.message.startswith("1 of 30 different texts comes with more than one label")
    assert torn.examples == (f"'{train[0]['phrase']}' is 'fear' and 'joy'",)


def test_a_label_that_no_training_row_has_is_named(tmp_path: Path) -> None:
    dev = [*phrases(10, 1), {"phrase": "whatever else", "tone": "awe"}]
    [found] = findings(tmp_path, train=phrases(20), dev=dev)
    assert (found.kind, found.split, found.warning) == ("unseen_label", "dev", True)
    assert found.message.startswith(
        "1 of 11 dev rows have a label that no training row has ('awe')"
    )


def test_labels_that_are_written_in_two_ways_are_named(tmp_path: Path) -> None:
    labels = ["Joy", "joy ", "1", "1.0", "fear"]
    rows = [{**row, "tone": labels[i % 5]} for i, row in enumerate(phrases(20))]
    found = findings(tmp_path, train=rows)
    assert [f.kind for f in found] == ["similar_labels", "similar_labels"]
    assert [f.message.partition(" differ")[0] for f in found] == [
        "the labels '1' and '1.0'",
        "the labels 'Joy' and 'joy '",
    ]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("  ", "empty"),
        ("word " * 5000, "long"),
        ("caf\u00c3\u00a9 au lait", "encoding"),
        ("it\u00e2\u20ac\u2122s", "encoding"),
        ("lost \ufffd", "encoding"),
    ],
)
def test_odd_texts_are_counted(tmp_path: Path, text: str, kind: str) -> None:
    [found] = findings(tmp_path, train=[*phrases(20), {"phrase": text, "tone": "joy"}])
    assert (found.kind, found.split, found.count, found.of) == (kind, "train", 1, 21)
    assert found.message.startswith("1 of 21 train rows ")


@pytest.mark.parametrize(
    "text", ["caf\u00e9", "\u65e5\u672c\u8a9e", "\u00dcber 5 \u20ac \u2122", "\U0001f61d"]
)
def test_text_in_any_script_is_not_odd(tmp_path: Path, text: str) -> None:
    assert findings(tmp_path, train=[*phrases(20), {"phrase": text, "tone": "joy"}]) == []


def test_data_without_labels_is_looked_at_too(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, {"train": phrases(20), "dev": phrases(5)}, label=None)
    found = report(spec)
    assert found.labels == {}
    assert str(found) == "20 train, 5 dev rows"
    assert "what is measured on them is flattered" in found.warnings[0].message


def test_answers_in_words_are_no_labels(tmp_path: Path) -> None:
    train = [{**row, "tone": f"answer {i}"} for i, row in enumerate(phrases(20))]
    dev = [{**row, "tone": "Answer 1"} for row in phrases(5, 1)]
    spec = replace(spec_of(tmp_path, {"train": [*train, *phrases(1)], "dev": dev}), answers=True)
    found = report(spec)
    assert found.labels == {}
    assert [f.kind for f in found.findings] == ["repeated"]


def test_a_report_survives_json(tmp_path: Path) -> None:
    found = report(spec_of(tmp_path, {"train": phrases(20), "dev": phrases(10)}))
    assert found.findings
    assert DataReport.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_of_many_rows_some_are_looked_at_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbours, "_PAIRS", 100)
    monkeypatch.setattr(neighbours, "_AT_LEAST", 5)
    train = phrases(20)
    near = [{**row, "phrase": row["phrase"] + " more"} for row in train]
    [leak] = findings(tmp_path, train=train, dev=near)
    assert "(0 equal, 5 with nearly the same words of 5 looked at)" in leak.message
    equal = next(f for f in findings(tmp_path, train=train, dev=[*near, *train]))
    assert "(20 equal, " in equal.message  # these are counted in all rows


def test_the_shipped_phrases_have_nothing_to_warn_of() -> None:
    folder = Path(neighbours.__file__).parent / "tones"
    files = tuple((s, folder / f"{s}.jsonl") for s in ("train", "dev", "test"))
    assert report(DataSpec(files, TEMPLATE, "tone", split=())).findings == ()


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs tones.json, which is not part of this")
def test_the_321_copies_in_the_recipe_data_are_found_and_kept_together() -> None:
    spec = DataSpec((("all", SHARED / "tones.json"),), TEMPLATE, "tone")
    found = report(spec)
    [repeated] = [f for f in found.findings if f.kind == "repeated"]
    assert (repeated.count, repeated.of) == (321, 1464)  # rows beyond the first of their kind
    assert "all copies of a row are on one side" in repeated.message
    leaks = [f for f in found.findings if f.kind == "leaked"]
    assert [f.split for f in leaks] == ["dev", "test"]  # nearly equal ones are not kept together
    assert all("(0 equal, " in f.message and f.warning for f in leaks)


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs tones.json, which is not part of this")
def test_a_random_split_of_the_recipe_data_leaks(tmp_path: Path) -> None:
    whole = DataSpec((("train", SHARED / "tones.json"),), TEMPLATE, "tone", split=())
    rows = read_split(whole, "train")
    random.Random(0).shuffle(rows)
    found = findings(tmp_path, train=rows[292:], dev=rows[:292])
    [leak] = [f for f in found if f.kind == "leaked"]
    assert leak.count > 0.3 * leak.of
