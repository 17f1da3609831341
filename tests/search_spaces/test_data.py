"""Reading data files and dividing them into splits."""

from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from search_spaces.data import (
    DataError,
    DataSpec,
    Row,
    content_key,
    labels,
    read_split,
    split_names,
    template_columns,
    template_parts,
    text_key,
    text_of,
)

TEMPLATE = "Text: {phrase}\nTone: {tone}"
SPLITS = ("train", "dev", "test")


def rows_of(count: int) -> list[Row]:
    """Distinct rows over two labels, a third of them "joy"."""
    return [
        {"phrase": f"phrase {i}", "tone": "joy" if i % 3 == 0 else "fear"} for i in range(count)
    ]


def write(path: Path, rows: list[Row]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def spec_of(*files: tuple[str, Path], label: str | None = "tone", seed: int = 0) -> DataSpec:
    return DataSpec(files, TEMPLATE, label, seed=seed)


def one_file(tmp_path: Path, name: str, content: str | bytes) -> DataSpec:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return spec_of(("train", path))


def unsplit(spec: DataSpec) -> DataSpec:
    """The same files, nothing taken out of them."""
    return DataSpec(spec.files, spec.template, spec.label, split=())


def test_a_specification_survives_json(tmp_path: Path) -> None:
    spec = spec_of(("train", tmp_path / "a.csv"), ("dev", tmp_path / "b.csv"), seed=3)
    assert DataSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec


TWO_ROWS: list[Row] = [{"phrase": 'a "b", c', "tone": "joy"}, {"phrase": "1.50", "tone": "fear"}]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", '[{"phrase": "a \\"b\\", c", "tone": "joy"}, {"phrase": 1.50, "tone": "fear"}]'),
        ("a.json", '{"phrase": "a \\"b\\", c", "tone": "joy"}\n{"phrase": 1.50, "tone": "fear"}\n'),
        ("a.jsonl", '{"phrase":"a \\"b\\", c","tone":"joy"}\r\n\r\n{"phrase":1.50,"tone":"fear"}'),
        ("a.csv", '\ufeffphrase,tone\r\n"a ""b"", c",joy\r\n1.50,fear\r\n'),
        ("a.tsv", 'id\tphrase\ttone\n7\t"a ""b"", c"\tjoy\n8\t1.50\tfear\n'),
        ("A.CSV", 'tone,phrase\njoy,"a ""b"", c"\n\nfear,1.50\n'),
    ],
)
def test_every_format_gives_the_same_rows(tmp_path: Path, name: str, content: str) -> None:
    spec = unsplit(one_file(tmp_path, name, content))
    assert read_split(spec, "train") == TWO_ROWS


def test_a_text_file_has_one_row_a_line_and_keeps_odd_separators(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("one\u2028still one\n\ntwo\n", encoding="utf-8")
    spec = DataSpec((("train", path),), "{text}", split=())
    assert read_split(spec, "train") == [{"text": "one\u2028still one"}, {"text": "two"}]
    assert labels(spec) == ()


def test_parquet_is_read_or_says_what_it_needs(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(b"PAR1 but not really")
    with pytest.raises(DataError, match=r"a\.parquet: (not a Parquet file|.*needs .*pyarrow)"):
        read_split(unsplit(spec_of(("train", path))), "train")


def test_parquet_rows_are_text(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    import pandas as pd

    path = tmp_path / "a.parquet"
    pd.DataFrame({"phrase": [1, 2], "tone": ["joy", "fear"]}).to_parquet(path)
    rows = read_split(unsplit(spec_of(("train", path))), "train")
    assert rows == [{"phrase": "1", "tone": "joy"}, {"phrase": "2", "tone": "fear"}]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", "", r"a\.jsonl: the file is empty"),
        ("a.csv", "\n \n", r"a\.csv: the file is empty"),
        ("a.csv", "phrase,tone\n", r"a\.csv: the file has no rows below its header"),
        ("a.json", "[]", r"a\.json: the file has no rows"),
        ("a.doc", "x", r"unknown kind '\.doc'; expected \.json, \.jsonl, \.csv"),
        ("a.jsonl", '{"phrase": "a", "tone": "joy"}\n{"phrase": }', r"line 2: not JSON.*found"),
        ("a.json", '[{"phrase": "a"},\n{"phrase": ]', r"line 2: not JSON"),
        ("a.jsonl", '"joy"\n', r"line 1: text, expected an object"),
        (
            "a.jsonl",
            '{"phrase": "a", "tone": "joy"}\n["b", "joy"]',
            r"line 2: a list, expected an obj",
        ),
        ("a.jsonl", '["a", "joy"]\n["b", "fear"]', r"line 2: not JSON: .*every line is an object"),
        ("a.jsonl", '{"tone": "joy", "tone": "fear"}', r"line 1: column 'tone' comes twice"),
        ("a.json", '[{"tone": "joy", "tone": "fear"}]', r"a\.json: .* column 'tone' comes twice"),
        ("a.json", "[" * 100_000, r"nested too deeply|not JSON"),
        ("a.jsonl", '{"phrase": "a", "tone": null}', r"row 1: column 'tone' is null"),
        ("a.jsonl", '{"phrase": "a", "tone": NaN}', r"row 1: column 'tone' is null"),
        ("a.jsonl", '{"phrase": ["a"], "tone": "joy"}', r"row 1: column 'phrase' is a list"),
        ("a.jsonl", '{"phrase": "a", "tone": " "}', r"row 1: column 'tone' is empty"),
        ("a.csv", "phrase,tone\na,joy\nb\n", r"line 3: 1 fields, expected 2"),
        ("a.csv", "phrase,phrase\na,joy\n", r"column 'phrase' comes twice"),
        ("a.csv", "phrase,tone\n" + "a" * 140_000 + ",joy\n", r"line 2: a cell of over 131,072 "),
        ("a.tsv", "phrase\ttone\na\tjo\0y\n", r"a\.tsv, line 2: a zero byte"),
        ("a.jsonl", "{}".encode("utf-16"), r"a\.jsonl: the file is UTF-16 .*save it as UTF-8"),
        ("a.jsonl", b"\xff\xfe\0\0", r"the file is UTF-32"),
        ("a.csv", b"PK\x03\x04...", r"a zip archive, such as a spreadsheet"),
        ("a.csv", 'phrase,tone\n"a,joy\n', r"a\.csv, line \d: unexpected end of data"),
        ("a.csv", "phrase;tone\na;joy\n", r"row 1: no column 'phrase'; there is 'phrase;tone'"),
    ],
)
def test_a_broken_file_is_refused_in_words(
    tmp_path: Path, name: str, content: str | bytes, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        read_split(one_file(tmp_path, name, content), "train")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ('1 "joy"', r"row 2: column 'tone' is text \(joy\), but in row 1 it is a number \(1\)"),
        ('"1" 1', r"row 2: column 'tone' is a number \(1\), but in row 1 it is text \(1\)"),
        ("true 1.5", r"row 2: .* a number \(1\.5\), but in row 1 it is true or false"),
    ],
)
def test_a_label_is_of_one_type_in_a_file(tmp_path: Path, labels: str, message: str) -> None:
    lines = [f'{{"phrase": 7, "tone": {label}}}\n' for label in labels.split()]
    with pytest.raises(DataError, match=message):
        read_split(one_file(tmp_path, "a.jsonl", "".join(lines)), "train")


def test_answers_in_words_may_be_numbers_too(tmp_path: Path) -> None:
    lines = '{"phrase": "6 x 7", "tone": 42}\n{"phrase": "who?", "tone": "nobody"}\n'
    spec = one_file(tmp_path, "a.jsonl", lines)
    rows = read_split(replace(spec, split=(), answers=True), "train")
    assert [row["tone"] for row in rows] == ["42", "nobody"]


def test_many_columns_are_not_all_listed(tmp_path: Path) -> None:
    content = ",".join(f"column {i}" for i in range(100)) + "\n" + "," * 99
    with pytest.raises(DataError, match=r"there is 'column 0', .*'column 11', 88 more$"):
        read_split(one_file(tmp_path, "a.csv", content), "train")


def test_a_wrong_column_names_the_row_and_the_nearest(tmp_path: Path) -> None:
    content = '{"phrase": "a", "tone": "joy"}\n{"phrases": "b", "tone": "joy"}\n'
    with pytest.raises(DataError) as caught:
        read_split(one_file(tmp_path, "a.jsonl", content), "train")
    assert f"{tmp_path / 'a.jsonl'}, row 2: no column 'phrase'" in str(caught.value)
    assert "there is 'phrases', 'tone'; did you mean 'phrases'?" in str(caught.value)


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_a_byte_that_is_not_utf8_is_located(tmp_path: Path, mark: bytes) -> None:
    content = mark + b"phrase,tone\nfine,joy\ncaf\xe9,fear\n"
    at = content.index(b"\xe9")
    message = rf"line 3: byte {at} \(0xe9\) is not UTF-8; in Windows-1252 .* 'café,fear'"
    with pytest.raises(DataError, match=message):
        read_split(one_file(tmp_path, "a.csv", content), "train")


def test_a_missing_file_names_the_one_beside_it(tmp_path: Path) -> None:
    write(tmp_path / "tones.jsonl", rows_of(3))
    with pytest.raises(DataError, match=r"tone\.jsonl: there is no such file.*'tones\.jsonl'"):
        read_split(spec_of(("all", tmp_path / "tone.jsonl")), "dev")
    with pytest.raises(DataError, match="a folder, expected a file"):
        read_split(spec_of(("all", tmp_path)), "dev")


def test_splits_have_their_shares_of_every_label(tmp_path: Path) -> None:
    spec = spec_of(("all", write(tmp_path / "a.jsonl", rows_of(300))))
    counts = {s: Counter(row["tone"] for row in read_split(spec, s)) for s in SPLITS}
    assert counts["dev"] == counts["test"] == {"joy": 20, "fear": 40}
    assert counts["train"] == {"joy": 60, "fear": 120}
    assert labels(spec) == ("fear", "joy")


def test_sides_depend_on_the_seed_and_not_on_the_order_of_rows(tmp_path: Path) -> None:
    rows = rows_of(60)
    shuffled = random.Random(1).sample(rows, len(rows))
    first = spec_of(("all", write(tmp_path / "a.jsonl", rows)))
    second = spec_of(("all", write(tmp_path / "b.jsonl", shuffled)))
    other = spec_of(("all", tmp_path / "a.jsonl"), seed=1)
    for split in SPLITS:
        sides = [{row["phrase"] for row in read_split(s, split)} for s in (first, second, other)]
        assert sides[0] == sides[1]
        assert sides[0] != sides[2]


def test_the_sides_are_the_same_in_every_version(tmp_path: Path) -> None:
    spec = spec_of(("all", write(tmp_path / "a.jsonl", rows_of(15))))
    found = [[row["phrase"].split()[1] for row in read_split(spec, s)] for s in ("dev", "test")]
    assert found == [["0", "11", "13"], ["2", "12", "14"]]


def test_equal_rows_are_never_on_two_sides(tmp_path: Path) -> None:
    rows = rows_of(40)
    copies = [{**row, "phrase": f" {row['phrase'].upper()}  "} for row in rows]
    relabelled = [{**row, "tone": "fear"} for row in rows if row["tone"] == "joy"]
    path = write(tmp_path / "a.jsonl", [*rows, *copies, *relabelled])
    sides: dict[str, set[str]] = {}
    for split in SPLITS:
        for row in read_split(spec_of(("all", path)), split):
            sides.setdefault(row["phrase"].strip().lower(), set()).add(split)
    assert len(sides) == 40
    assert all(len(splits) == 1 for splits in sides.values())


def test_rows_stay_in_the_order_of_the_file(tmp_path: Path) -> None:
    spec = spec_of(("all", write(tmp_path / "a.jsonl", rows_of(60))))
    for split in SPLITS:
        numbers = [int(row["phrase"].split()[1]) for row in read_split(spec, split)]
        assert numbers == sorted(numbers)


def test_files_of_their_own_are_taken_as_they_are(tmp_path: Path) -> None:
    rows = rows_of(30)
    files = {s: write(tmp_path / f"{s}.jsonl", rows[i * 10 :][:10]) for i, s in enumerate(SPLITS)}
    spec = spec_of(*files.items())
    assert [row for s in SPLITS for row in read_split(spec, s)] == rows


def test_a_split_without_a_file_comes_out_of_train(tmp_path: Path) -> None:
    train, test = rows_of(50), [{**row, "phrase": row["phrase"] + "!"} for row in rows_of(6)]
    spec = spec_of(
        ("train", write(tmp_path / "train.jsonl", train)),
        ("test", write(tmp_path / "test.jsonl", test)),
    )
    dev = read_split(spec, "dev")
    assert read_split(spec, "test") == test
    assert len(dev) == 10
    assert sorted(map(str, dev + read_split(spec, "train"))) == sorted(map(str, train))


def test_several_files_of_one_role_are_read_in_turn(tmp_path: Path) -> None:
    rows = rows_of(6)
    paths = [write(tmp_path / f"{i}.jsonl", rows[i * 3 :][:3]) for i in range(2)]
    spec = unsplit(spec_of(*(("train", path) for path in paths)))
    assert read_split(spec, "train") == rows


def test_without_labels_the_shares_are_of_all_rows(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", rows_of(50))
    spec = DataSpec((("all", path),), "{phrase}", split=(("dev", 0.1),))
    assert [len(read_split(spec, s)) for s in ("train", "dev")] == [45, 5]
    with pytest.raises(DataError, match="no 'test' split; it has train, dev"):
        read_split(spec, "test")


def test_too_few_rows_to_split_are_refused(tmp_path: Path) -> None:
    one = spec_of(("all", write(tmp_path / "one.jsonl", rows_of(1))))
    message = r"one\.jsonl: label 'joy' has 1 row, too few .* it takes 3 different rows of every"
    with pytest.raises(DataError, match=message):
        read_split(one, "dev")
    rare = write(tmp_path / "rare.jsonl", [*rows_of(30), *[{"phrase": "x", "tone": "awe"}] * 5])
    with pytest.raises(DataError, match="label 'awe' has 1 row, too few"):
        read_split(spec_of(("all", rare)), "dev")


def test_three_rows_of_a_label_reach_every_split(tmp_path: Path) -> None:
    spec = spec_of(("all", write(tmp_path / "a.jsonl", rows_of(9))))
    for split in SPLITS:
        assert {row["tone"] for row in read_split(spec, split)} == {"joy", "fear"}


def test_a_label_that_an_evaluation_split_lacks_is_refused(tmp_path: Path) -> None:
    train = write(tmp_path / "train.jsonl", rows_of(9))
    dev = write(tmp_path / "dev.jsonl", rows_of(1))
    spec = DataSpec((("train", train), ("dev", dev)), TEMPLATE, "tone", split=())
    with pytest.raises(DataError) as caught:
        read_split(spec, "dev")
    message = f"{dev}: the dev split has no row with label 'fear' (train has 6), so that accuracy"
    assert message in str(caught.value)


def test_a_label_that_training_lacks_is_no_error(tmp_path: Path) -> None:
    train = write(tmp_path / "train.jsonl", rows_of(1))
    dev = write(tmp_path / "dev.jsonl", rows_of(9))
    spec = DataSpec((("train", train), ("dev", dev)), TEMPLATE, "tone", split=())
    assert labels(spec) == ("fear", "joy")


def test_the_splits_of_data_are_named_in_order(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", rows_of(30))
    assert split_names(spec_of(("all", path))) == ("train", "dev", "test")
    assert split_names(unsplit(spec_of(("all", path)))) == ("train",)


def test_the_text_of_a_row_is_all_but_its_label(tmp_path: Path) -> None:
    row = {"b": "\ufb01ne  Day", "tone": "joy", "a": "x"}
    spec = DataSpec((("all", tmp_path / "a.jsonl"),), "A: {a} B: {b} Tone: {tone}", "tone")
    assert text_of(spec, row) == "x\n\ufb01ne  Day"
    assert text_key(spec, row) == text_key(spec, {"a": " X ", "b": "fine day", "tone": "fear"})
    assert text_key(spec, row) != text_key(spec, {"a": "x fine", "b": "day", "tone": "joy"})


def test_a_single_label_leaves_nothing_to_tell(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [{"phrase": f"p{i}", "tone": "joy"} for i in range(9)])
    with pytest.raises(DataError, match="'tone' is 'joy' in every row"):
        labels(spec_of(("all", path)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"template": "no column"}, r"no \{column\} in it"),
        ({"template": "{phrase"}, "template: "),
        ({"template": "{phrase!r} {tone}"}, "cannot have a format"),
        ({"template": "{phrase:>9} {tone}"}, "cannot have a format"),
        ({"template": "{} {tone}"}, "names no column"),
        ({"template": "{phrase} {tones}"}, "label: 'tone' is not in the template.*'tones'"),
        ({"split": (("dev", 0.5), ("test", 0.5))}, "add up to 1"),
        ({"split": (("dev", 1.5),)}, "dev is 1.5, expected a number between 0 and 1"),
        ({"split": (("train", 0.5),)}, "'train' has no share"),
        ({"split": (("def", 0.5),)}, "unknown split 'def'.*'dev'"),
        ({"files": ()}, "no files"),
    ],
)
def test_a_wrong_specification_is_refused_in_words(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    path = write(tmp_path / "a.jsonl", rows_of(30))
    fields: dict[str, object] = {"files": (("all", path),), "template": TEMPLATE, "label": "tone"}
    with pytest.raises(DataError, match=message):
        read_split(DataSpec(**(fields | changes)), "dev")  # type: ignore[arg-type]


def test_all_and_train_exclude_each_other(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", rows_of(30))
    with pytest.raises(DataError, match="train is what is left of all"):
        read_split(spec_of(("all", path), ("train", path)), "dev")


def test_the_key_follows_the_content_and_not_the_file(tmp_path: Path) -> None:
    rows = rows_of(30)
    spec = spec_of(("all", write(tmp_path / "a.jsonl", rows)))
    lines = "".join(f"{row['phrase']},{row['tone']}\n" for row in rows)
    (tmp_path / "a.csv").write_text("phrase,tone\n" + lines, encoding="utf-8")
    same = spec_of(("all", tmp_path / "a.csv"))
    keys = {s: content_key(spec, s) for s in SPLITS}
    assert {s: content_key(same, s) for s in SPLITS} == keys
    assert len(set(keys.values())) == 3
    assert all(len(key) == 64 for key in keys.values())
    other = DataSpec(spec.files, TEMPLATE + ".", "tone")
    assert content_key(other, "dev") != keys["dev"]


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", rows_of(30))
    spec = spec_of(("all", path))
    before = content_key(spec, "train")
    write(path, rows_of(33))
    assert content_key(spec, "train") != before
    assert sum(len(read_split(spec, s)) for s in SPLITS) == 33


def test_what_a_caller_does_to_rows_stays_with_the_caller(tmp_path: Path) -> None:
    spec = spec_of(("all", write(tmp_path / "a.jsonl", rows_of(30))))
    read_split(spec, "dev")[0]["phrase"] = "changed"
    assert "changed" not in {row["phrase"] for row in read_split(spec, "dev")}


def test_a_template_is_taken_apart() -> None:
    assert template_parts("a {{x}} {phrase}b{tone}") == [
        ("a {", None),
        ("x}", None),
        (" ", "phrase"),
        ("b", "tone"),
    ]
    assert template_columns("{b} {a} {b}") == ("b", "a")


def test_answers_in_words_of_their_own_need_not_be_in_every_split(tmp_path: Path) -> None:
    rows = [{"phrase": f"question {i}", "tone": f"answer {i}"} for i in range(30)]
    spec = spec_of(("all", write(tmp_path / "a.jsonl", rows)))
    with pytest.raises(DataError, match="label 'answer 0' has 1 row"):
        read_split(spec, "dev")
    free = replace(spec, answers=True)
    assert [len(read_split(free, s)) for s in SPLITS] == [18, 6, 6]
    found = sorted(row["tone"] for s in SPLITS for row in read_split(free, s))
    assert found == sorted(row["tone"] for row in rows)
    assert DataSpec.from_json(free.to_json()) == free


def test_answers_that_are_few_names_are_still_split_evenly(tmp_path: Path) -> None:
    spec = spec_of(("all", write(tmp_path / "a.jsonl", rows_of(30))))
    free = replace(spec, answers=True)
    assert [read_split(free, s) for s in SPLITS] == [read_split(spec, s) for s in SPLITS]
    one = [{**row, "tone": "yes"} for row in rows_of(30)]
    same = spec_of(("all", write(tmp_path / "b.jsonl", one)))
    assert len(read_split(replace(same, answers=True), "dev")) == 6
    few = spec_of(("all", write(tmp_path / "c.jsonl", rows_of(2))))
    with pytest.raises(DataError, match="the data has 2 different rows, too few"):
        read_split(replace(few, answers=True), "dev")
