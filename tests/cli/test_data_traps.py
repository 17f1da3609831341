"""Data that would make a number a lie is told of, or refused, before anything runs."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from cli.conftest import SPACE, Desk

SHARED = Path(__file__).parents[3] / "shared" / "data"
CLASSIFY = SPACE.replace("text-generation", "text-classification")
ONE_FILE = 'data: {files: data.jsonl, template: "{phrase}: {tone}", label: tone}\n'
SPLIT = (
    "data:\n  files: {train: train.jsonl, dev: dev.jsonl}\n"
    '  template: "{phrase}: {tone}"\n  label: tone\n'
)

Rows = Sequence[tuple[str, object]]


def rows_of(count: int, first: int = 0) -> list[tuple[str, object]]:
    """Phrases that have no word in common, over two labels."""
    return [(f"p{i} q{i} r{i}", "joy" if i % 2 else "fear") for i in range(first, first + count)]


def put(desk: Desk, block: str, **files: Rows) -> None:
    desk.write(CLASSIFY + block)
    for name, rows in files.items():
        lines = [json.dumps({"phrase": phrase, "tone": tone}) + "\n" for phrase, tone in rows]
        desk.write("".join(lines), f"{name}.jsonl")


def one_line(text: str) -> str:
    return " ".join(text.split())


def leaky(desk: Desk) -> None:
    train = rows_of(40)
    put(desk, SPLIT, train=train, dev=[*train[:3], ("p9 q9 r9 !", "joy"), *rows_of(16, 40)])


LEAK = (
    "warning: 4 of 20 dev rows are (near) copies of training rows "
    "(3 equal, 1 with nearly the same words): accuracy is flattered"
)


@pytest.mark.parametrize("command", ["check", "plan"])
def test_a_leak_is_told_of_before_anything_runs(desk: Desk, command: str) -> None:
    leaky(desk)
    done = desk.tune(command, "space.yaml")
    assert done.returncode == 0, done.stderr
    assert f"{LEAK}; for example 'p0 q0 r0'" in one_line(done.stdout)
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_plan_says_what_rows_there_are_and_good_data_gives_no_warning(desk: Desk) -> None:
    put(desk, ONE_FILE, data=rows_of(50))
    done = desk.tune("plan", "space.yaml")
    assert "data         30 train, 10 dev, 10 test rows; 2 labels: fear, joy\n" in done.stdout
    assert "warning" not in done.stdout + done.stderr
    assert desk.tune("check", "space.yaml").stdout.strip() == "space: fine, 625 candidates"


def test_a_run_says_it_first_and_keeps_it_with_the_study(desk: Desk) -> None:
    leaky(desk)
    done = desk.tune("--space", "space.yaml", "--trials", "2")
    assert done.returncode == 0, done.stderr
    said = one_line(done.stdout)
    assert (
        said.index("data 40 train, 20 dev rows") < said.index("warning: 4 of 20") < said.index("#0")
    )
    again = desk.tune("--space", "space.yaml", "--trials", "2", "--json")
    events = [json.loads(line) for line in again.stdout.splitlines()]
    [checked] = [e for e in events if e["event"] == "DataChecked"]
    assert checked["report"]["splits"] == {"train": 40, "dev": 20}
    assert checked["floors"]["dev"]["majority"] == 0.5
    [study] = [e["study"] for e in events if e["event"] == "StudyStarted"]
    best = json.loads(desk.tune("best", study, "--json").stdout)
    assert best["data"] == {"report": checked["report"], "floors": checked["floors"]}
    assert events[-1]["data"] == best["data"]


BROKEN: Mapping[str, tuple[bytes, str]] = {
    "empty": (b"", "data.jsonl: the file is empty"),
    "one row": (
        b'{"phrase": "a", "tone": "joy"}\n',
        "data.jsonl: label 'joy' has 1 row, too few to be in every split (train, dev, test); "
        "it takes 3 different rows of every label",
    ),
    "wrong column": (
        b'{"phrases": "a", "tone": "joy"}\n',
        "data.jsonl, row 1: no column 'phrase'; there is 'phrases', 'tone'; did you mean 'phrases'",
    ),
    "mixed encodings": (
        '{"phrase": "caf\u00e9", "tone": "joy"}\n'.encode()
        + '{"phrase": "caf\u00e9", "tone": "joy"}\n'.encode("latin-1"),
        "data.jsonl, line 2: byte 50 (0xe9) is not UTF-8; in Windows-1252 it would be",
    ),
    "UTF-16": ('{"phrase": "a"}\n'.encode("utf-16"), "data.jsonl: the file is UTF-16"),
    "null": (b'{"phrase": null, "tone": "joy"}\n', "row 1: column 'phrase' is null"),
    "mixed labels": (
        b'{"phrase": "a", "tone": 1}\n{"phrase": "a", "tone": "joy"}\n',
        "row 2: column 'tone' is text (joy), but in row 1 it is a number (1)",
    ),
    "a list": (
        b'{"phrase": "a", "tone": "joy"}\n["b", "joy"]\n',
        "line 2: a list, expected an object",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_cannot_be_used_is_refused_with_file_and_line(desk: Desk, name: str) -> None:
    content, words = BROKEN[name]
    refused(desk, content, words, "check", "space.yaml")


def test_a_run_refuses_it_too(desk: Desk) -> None:
    refused(desk, *BROKEN["mixed encodings"], "--space", "space.yaml")


def refused(desk: Desk, content: bytes, words: str, *arguments: str) -> None:
    desk.write(CLASSIFY + ONE_FILE)
    (desk.folder / "data.jsonl").write_bytes(content)
    done = desk.tune(*arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert str(desk.folder) in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_a_label_that_cannot_be_judged_is_refused_and_one_never_trained_warned_of(
    desk: Desk,
) -> None:
    put(desk, SPLIT, train=[*rows_of(10), ("odd one", "awe")], dev=rows_of(10, 10))
    done = desk.tune("check", "space.yaml")
    assert done.returncode == 2
    assert "dev.jsonl: the dev split has no row with label 'awe' (train has 1)" in done.stderr
    put(desk, SPLIT, train=rows_of(10), dev=[*rows_of(10, 10), ("odd one", "awe")])
    done = desk.tune("check", "space.yaml")
    assert done.returncode == 0
    assert "have a label that no training row has ('awe')" in one_line(done.stdout)


def test_a_byte_order_mark_of_utf8_does_no_harm(desk: Desk) -> None:
    put(desk, ONE_FILE, data=rows_of(50))
    path = desk.folder / "data.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert desk.tune("check", "space.yaml").returncode == 0


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs data which is not part of this")
def test_tens_of_thousands_of_rows_are_looked_at_in_seconds(desk: Desk) -> None:
    names = ("train", "dev", "test")
    files = ", ".join(f"{s}: {SHARED / f'goemotions-{s}.jsonl'}" for s in names)
    desk.write(CLASSIFY + SPLIT.replace("{train: train.jsonl, dev: dev.jsonl}", f"{{{files}}}"))
    began = time.monotonic()
    done = desk.tune("check", "space.yaml")
    assert time.monotonic() - began < 30  # some three where nothing else runs
    assert re.search(r"87 of 2,738 dev rows are \(near\) copies", one_line(done.stdout))
