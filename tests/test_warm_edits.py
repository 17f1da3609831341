"""Which study a space belongs to, and how edits are put into words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Engine, text
from warm_support import SPACE, Bench

from search_spaces.space import Space
from tuner.pipeline.plan import Source
from tuner.study.database import open_engine
from tuner.study.writer import StudyWriter
from tuner.warm.edits import StudyChoice, edits, identity, resolve_study, study_name


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_engine(str(tmp_path / "study.db"))
    yield engine
    engine.dispose()


@pytest.fixture
def bench(engine: Engine, tmp_path: Path) -> Bench:
    return Bench(engine, tmp_path)


def choice(bench: Bench, space: Space, requested: str | None = None) -> StudyChoice:
    return resolve_study(bench.reader, requested, space, bench.source)


def test_a_budget_is_no_edit(bench: Bench) -> None:
    space = bench.space()
    more = replace(space, search=replace(space.search, trials=99, max_time=60.0))
    name = study_name(space, bench.source)
    bench.record(name, space)
    assert choice(bench, more) == StudyChoice(name)
    assert choice(bench, more, name) == StudyChoice(name)


def test_an_edited_space_continues_the_study_worked_on_last(bench: Bench) -> None:
    for seed in (3, 4):
        space = bench.space(("seed: 3", f"seed: {seed}"))
        bench.record(study_name(space, bench.source), space)
    edited = bench.space(("seed: 3", "seed: 4"), ("20ms", "15ms"))
    found = choice(bench, edited)
    assert found.continues == study_name(bench.space(("seed: 3", "seed: 4")), bench.source)
    assert found.edits == ("cost<15ms instead of cost<20ms",)
    assert found.name == study_name(edited, bench.source)


def test_a_space_of_another_name_or_model_continues_nothing(bench: Bench) -> None:
    bench.record("old", bench.space())
    named = bench.space(text="name: other\n" + SPACE)
    assert choice(bench, named).continues is None
    (bench.folder / "another").mkdir()
    (bench.folder / "another" / "config.json").write_text("{}")
    assert choice(bench, bench.space(("model: model", "model: another"))).continues is None


def test_a_new_name_that_was_asked_for_begins_from_nothing(bench: Bench) -> None:
    bench.record("old", bench.space())
    assert choice(bench, bench.space(("seed: 3", "seed: 4")), "mine") == StudyChoice("mine")


def test_another_question_under_a_name_is_its_next_revision(bench: Bench) -> None:
    first, second, third = (bench.space(("seed: 3", f"seed: {n}")) for n in (3, 4, 5))
    bench.record("mine", first)
    assert choice(bench, second, "mine") == StudyChoice("mine-2", "mine", ("seed 4 instead of 3",))
    bench.record("mine-2", second)
    assert choice(bench, second, "mine") == StudyChoice("mine-2")
    assert choice(bench, first, "mine") == StudyChoice("mine")
    assert choice(bench, third, "mine") == StudyChoice("mine-3", "mine-2", ("seed 5 instead of 4",))
    bench.record("mine-minilm", third)
    assert choice(bench, third, "mine").name == "mine-3", "which is another family"


def test_a_study_killed_before_its_first_trial_still_continues_the_other(bench: Bench) -> None:
    bench.record("mine", bench.space())
    edited = bench.space(("seed: 3", "seed: 4"))
    with StudyWriter(bench.engine, "mine-2") as writer:
        writer(bench.started("mine-2", edited))
    assert choice(bench, edited, "mine").continues == "mine"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("[0, 1, 2]", "[0, 1, 2, 3, 4]", "toy.a gained 3, 4"),
        ("[0, 1, 2]", "[1, 2]", "toy.a lost 0"),
        ("[0, 1, 2]", "[2, 1, 0]", "the order of toy.a"),
        ("{choices: [0, 1, 2]}", "1", "toy.a is 1 instead of 0, 1 or 2"),
        ("{choices: [0, 1, 2]}", "{range: [1, 9]}", "toy.a is 1 to 9 instead of 0, 1 or 2"),
        ("a: {choices: [0, 1, 2]}", "b: 3", "toy.a is no longer set; toy.b is 3"),
        ("  - toy_tail:\n      c: {choices: [0, 1]}\n", "", "no toy_tail"),
        (
            "c: {choices: [0, 1]}",
            "c: {choices: [0, 1]}\n    optional: true",
            "toy_tail is now optional",
        ),
        ('"cost<20ms"', '"cost<20ms", "worth>0.5"', "worth>0.5 is new"),
        ('"cost<20ms"', "", "no cost<20ms"),
        ("20ms", "10ms", "cost<10ms instead of cost<20ms"),
        (
            "[minimize cost, maximize worth]",
            "[minimize cost]",
            "minimize cost instead of minimize cost, maximize worth",
        ),
        ("strategy: grid", "strategy: random", "strategy random instead of grid"),
        (
            '"cost<20ms"',
            "{constraint: cost<20ms, tolerance: 1ms}",
            "the tolerance of cost<20ms",
        ),
        ('"cost<20ms"', '"cost<20ms", "tick<1s"', "ticks is new; tick<1s is new"),
    ],
)
def test_edits_are_said_in_plain_words(bench: Bench, old: str, new: str, words: str) -> None:
    bench.record("old", bench.space())
    found = edits(bench.reader.study("old"), bench.space((old, new)), bench.source)
    assert "; ".join(found) == words


def test_other_content_of_model_or_data_is_an_edit(bench: Bench) -> None:
    bench.record("old", bench.space())
    other = Source("n" * 64, "text-generation", {"train": "d" * 64})
    found = edits(bench.reader.study("old"), bench.space(), other)
    assert found == ("the model's content", "the data's content")
    assert identity(bench.space(), other) != identity(bench.space(), bench.source)


def test_of_a_study_of_an_older_version_what_is_known_is_said(bench: Bench, engine: Engine) -> None:
    bench.record("old", bench.space())
    with engine.begin() as connection:
        connection.execute(text("UPDATE tune_studies SET space = json_remove(space, '$.question')"))
    edited = bench.space(("20ms", "10ms"), ("seed: 3", "seed: 4"), ("[0, 1, 2]", "[0]"))
    found = edits(bench.reader.study("old"), edited, bench.source)
    assert found == ("cost<10ms instead of cost<20ms", "seed 4 instead of 3")
