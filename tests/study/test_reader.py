from __future__ import annotations

from collections.abc import Iterator

import pytest
from scripted_study import BASELINE, Script, Study, asked, stage, started
from sqlalchemy import Engine, event

from tuner.study.api import Study as StudyOfReader
from tuner.study.events import TWIN, StudyStopped
from tuner.study.reader import StudyNotFoundError, StudyReader

ODD_NAMES = [
    "Robert'); DROP TABLE tune_trials;--",
    '<script>alert("x")</script>',
    "tone\U0001f600 \u202e ünïcode",
    'a "quoted" \\ name',
    "  spaces  ",
    "%s :study ?",
]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_study_may_have_any_name(engine: Engine, name: str) -> None:
    study = Study(engine, name)
    study.send(started(name), asked(0))
    assert study.reader.study(name).name == name
    assert len(study.reader.trials(name)) == 1
    assert study.reader.studies()[0].name == name


def test_a_study_tells_what_was_declared(study: Study) -> None:
    event_ = started()
    study.send(event_, StudyStopped("exhausted", None, 5.0))
    row = study.reader.study("tones")
    assert row.space == event_.space
    assert row.objectives == event_.objectives
    assert row.constraints == event_.constraints
    assert row.settings == event_.settings
    assert row.environment == event_.environment


def test_an_unknown_study_names_the_nearest(study: Study) -> None:
    study.send(started())
    with pytest.raises(StudyNotFoundError, match=r"no study 'tonse' .* nearest name is 'tones'"):
        study.reader.trials("tonse")


def test_an_empty_database_says_so(study: Study) -> None:
    with pytest.raises(StudyNotFoundError, match="holds no studies yet"):
        study.reader.study("tones")
    assert study.reader.studies() == []


def test_studies_are_summed_up_last_worked_on_first(engine: Engine) -> None:
    Study(engine, "one").send_all(Script(40, "one").events())
    Study(engine, "two").send(started("two"))
    two, one = StudyReader(engine).studies()
    trials = [t for t in StudyReader(engine).trials("one") if t.number != BASELINE]
    assert (two.name, two.trials, two.front, two.seconds) == ("two", 0, 0, 0.0)
    assert (one.name, one.space, one.model) == ("one", "quickstart", "org/tiny")
    assert one.trials == 40
    assert one.complete == sum(t.state == "complete" for t in trials)
    assert one.feasible == sum(t.verdict == "feasible" for t in trials) > 0
    assert one.failures == sum(t.reason is not None for t in trials) > 0
    assert one.front == sum(t.on_front for t in trials) > 0
    assert one.chosen == min(t.number for t in trials if t.on_front)


def test_rows_come_in_order_and_can_be_narrowed_to_a_trial(study: Study) -> None:
    study.send_all(Script(12).events())
    reader = study.reader
    assert [t.number for t in reader.trials("tones")] == [BASELINE, *range(12)]
    for rows in (reader.metrics("tones"), reader.constraints("tones"), reader.stages("tones")):
        numbers = [row.number for row in rows]
        assert numbers == sorted(numbers)
    assert reader.metrics("tones", 3) == [m for m in reader.metrics("tones") if m.number == 3]
    assert reader.stages("tones", 3) == [s for s in reader.stages("tones") if s.number == 3]
    judged = reader.constraints("tones", 3)
    assert judged == [c for c in reader.constraints("tones") if c.number == 3]
    assert [c.text for c in judged] == ["latency<50ms", "accuracy>=baseline-2%"]


def test_the_log_can_be_followed(study: Study) -> None:
    study.send_all(Script(3).events())
    log = study.reader.events("tones")
    assert study.reader.events("tones", after=log[4].id) == log[5:]
    assert study.reader.events("tones", after=log[4].id, limit=2) == log[5:7]
    assert study.reader.events("tones", after=log[-1].id) == []


def test_a_study_that_was_not_confirmed_has_no_confirmation(study: Study) -> None:
    study.send(started())
    assert study.reader.confirmations("tones") == []
    assert study.reader.seconds_spent("tones") == 0.0


@pytest.fixture
def queries(engine: Engine) -> Iterator[list[str]]:
    """The statements that are run on the engine."""
    seen: list[str] = []

    def note(_c: object, _cursor: object, statement: str, *_: object) -> None:
        seen.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    yield seen
    event.remove(engine, "before_cursor_execute", note)


@pytest.mark.parametrize("question", ["trials", "metrics", "constraints", "stages", "events"])
def test_the_number_of_queries_does_not_grow_with_the_study(
    study: Study, queries: list[str], question: str
) -> None:
    study.send_all(Script(20).events())
    queries.clear()
    assert len(getattr(study.reader, question)("tones")) >= 20
    assert len(queries) <= 3


def test_what_passes_told_of_a_trial_is_kept(study: Study) -> None:
    cut = "12 of 400 texts were cut to 512 tokens (3.1 % of all tokens lost)"
    study.send(
        started(),
        asked(0),
        stage(0, 0, "lora", share=0.5, notices=(cut,)),
        stage(0, 0, "lora", notices=(cut,)),
        stage(0, 1, "rtn"),
        stage(0, TWIN, "rtn", notices=("of the twin",)),
        asked(1),
        stage(1, 0, "lora", cached=True, notices=(cut,)),
    )
    found = StudyOfReader(study.reader, "tones")
    assert found.notices(0) == found.notices(1) == (f"lora: {cut}",)
    assert found.notices(2) == ()
