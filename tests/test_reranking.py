"""A new question answered from what a study has stored."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine
from stored_studies import Maker, Model, random_models

from tuner.review.evidence import CannotJudge
from tuner.review.reranking import Change, Reranked, efforts, rerank
from tuner.study.api import Study
from tuner.study.database import open_engine
from tuner.study.reader import StudyReader

BASELINE = Model(0.1, 0.70)
MODELS = [
    Model(0.04, 0.60, held_out=0.60),
    Model(0.06, 0.80),
    Model(0.09, 0.90),
    Model(0.03, 0.95, "screened"),
    Model(0.05, 0.65, "stopped"),
    Model(0.02, 0.50, "failed"),
]


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_engine(str(tmp_path / "study.db"))
    yield engine
    engine.dispose()


@pytest.fixture
def study(engine: Engine) -> Study:
    return Maker(engine, ["latency<50ms", "accuracy>=baseline-30%"]).study(BASELINE, *MODELS)


def asked(study: Study, engine: Engine, *constraints: str, **change: object) -> Reranked:
    return rerank(study, StudyReader(engine), Change(constraints, **change))  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", range(6))
def test_the_same_question_has_the_same_answer(engine: Engine, seed: int) -> None:
    constraints = ["latency<=baseline-10%", "accuracy>=baseline-10%", "latency.p90<150ms"]
    study = Maker(engine, constraints, seed=seed).study(BASELINE, *random_models(seed, 12))
    found = asked(study, engine)
    assert [t.number for t in found.front] == [t.number for t in study.front]
    for old, new in zip(study.trials, found.trials, strict=True):
        if not old.cut_short:
            assert old.row.verdict == new.row.verdict
            assert old.constraints == new.constraints
            assert old.objectives == new.objectives
    assert (found.best and found.best.number) == (study.best and study.best.number)


def test_a_constraint_on_the_same_metric_replaces_the_studys_own(
    study: Study, engine: Engine
) -> None:
    found = asked(study, engine, "latency<70ms")
    assert [c.text for c in found.question.constraints] == [
        "latency<70ms",
        "accuracy>=baseline-30%",
    ]
    assert [(a.text, b.text) for a, b in found.replaced] == [("latency<50ms", "latency<70ms")]
    assert {t.number for t in found.front} == {0, 1}
    assert {t.number for t in study.front} == {0}


def test_another_statistic_or_direction_is_another_constraint(study: Study, engine: Engine) -> None:
    found = asked(study, engine, "latency.p95<70ms", "latency>1ms")
    assert len(found.question.constraints) == 4
    assert not found.replaced


def test_own_constraints_can_be_dropped_and_objectives_replaced(
    study: Study, engine: Engine
) -> None:
    found = asked(study, engine, drop=True, objectives=["minimize latency"])
    assert found.question.constraints == ()
    assert [t.number for t in found.front] == [0]
    assert found.info.objectives[0]["text"] == "minimize latency"


def test_a_statistic_that_was_not_reported_comes_from_the_raw_samples(
    study: Study, engine: Engine
) -> None:
    assert "latency.p95" not in study.trials[0].metrics
    found = asked(study, engine, "latency.p95<50ms")
    metric = found.trials[0].metrics["latency.p95"]
    assert metric.value is not None
    assert metric.value > (study.trials[0].metrics["latency"].value or 0)
    assert metric.samples == 192
    assert [t.number for t in found.front] == [0]


def test_a_limit_relative_to_the_baseline_is_judged_item_by_item(engine: Engine) -> None:
    study = Maker(engine, ["latency<1s"]).study(BASELINE, Model(0.04, 0.68))
    found = asked(study, engine, "accuracy>=baseline-6%")
    assert found.trials[0].row.verdict == "feasible"
    estimate = found.trials[0].metrics["accuracy"]
    assert estimate.low is not None
    assert estimate.low < 0.70 - 0.06  # by its own interval alone that could not be told


def test_a_winner_that_was_never_confirmed_is_known_to_be_so(study: Study, engine: Engine) -> None:
    own = asked(study, engine)
    assert own.best is not None
    assert own.best.number == 0
    assert own.confirmed_winner
    other = asked(study, engine, "latency<70ms", "accuracy>=70%")
    assert other.best is not None
    assert other.best.number == 1
    assert not other.confirmed_winner


def test_held_out_data_is_judged_by_the_new_question_too(engine: Engine) -> None:
    models = [Model(0.04, 0.90, held_out=0.50), Model(0.03, 0.85, held_out=0.84)]
    study = Maker(engine, ["latency<100ms"]).study(BASELINE, *models)
    found = asked(study, engine, "accuracy>=70%")
    assert found.confirmations[0].verdict == "infeasible"
    assert [t.number for t in found.front] == [0, 1]
    assert found.best is not None
    assert found.best.number == 1


def test_what_was_given_up_is_named_where_it_may_fit_now(study: Study, engine: Engine) -> None:
    found = asked(study, engine, "latency<70ms")
    assert [j.trial.number for j in found.untrained] == [3, 4]
    assert [j.trial.number for j in asked(study, engine, "latency<35ms").untrained] == [3]
    assert all(t.number not in (3, 4) for t in found.front)


def test_how_much_more_measuring_would_tell_follows_the_interval(engine: Engine) -> None:
    models = [Model(0.04, 0.90, sessions=1), Model(0.05, 0.75)]
    study = Maker(engine, ["latency<1s"], noise=0.05).study(BASELINE, *models)
    metric = study.trials[0].metrics["latency"]
    assert metric.high is not None
    assert metric.value is not None
    middle = (metric.value + metric.high) / 2 * 1000
    found = asked(study, engine, f"latency<{middle:.3f}ms")
    assert [j.trial.number for j in found.undecided] == [0]
    [effort] = efforts(found)
    assert (effort.unit, effort.had) == ("session", 1)
    assert effort.needed in (4, 5)  # half the interval takes four times as many
    near = asked(study, engine, f"latency<{metric.value * 1000.1:.5f}ms")
    assert [e.needed for e in efforts(near) if e.number == 0] == [None]


def test_undecided_accuracy_counts_items(engine: Engine) -> None:
    study = Maker(engine, ["latency<1s"]).study(BASELINE, Model(0.04, 0.75))
    [effort] = efforts(asked(study, engine, "accuracy>=70%"))
    assert (effort.unit, effort.had) == ("item", 120)
    assert effort.needed is not None
    assert effort.needed > 200


@pytest.mark.parametrize(
    ("constraint", "words"),
    [
        (
            "energy<3J",
            "energy was never measured in this study; measured were accuracy, latency and",
        ),
        ("latency.p99<70ms", "p99 needs 299 samples or more, found 192"),
        ("latancy<70ms", "latency"),
        ("latency<70", "did you mean latency<70ms"),
        ("accuracy>=2", "between 0 and 1"),
        ("latency>80ms", "contradicts"),
    ],
)
def test_what_cannot_be_asked_is_refused_in_words(
    study: Study, engine: Engine, constraint: str, words: str
) -> None:
    with pytest.raises(CannotJudge, match=words.replace(".", r"\.")):
        asked(study, engine, constraint)


def test_without_a_baseline_nothing_relative_can_be_asked(engine: Engine) -> None:
    study = Maker(engine, ["latency<1s"]).study(None, Model(0.04, 0.75))
    with pytest.raises(CannotJudge, match="relative to the baseline"):
        asked(study, engine, "accuracy>=baseline-5%")
    assert asked(study, engine, "accuracy>=50%").best is not None


def test_a_space_that_can_no_longer_be_read_is_said_and_answered_all_the_same(
    engine: Engine,
) -> None:
    text = "model: org/tiny\npipeline: [a_pass_that_is_gone]\n"
    maker = Maker(engine, ["latency<50ms"], text=text)
    study = maker.study(BASELINE, *MODELS)
    found = asked(study, engine, "latency<70ms", "latency.p95<90ms")
    assert {t.number for t in found.front} == {0, 1}
    assert "a_pass_that_is_gone" in str(found.evidence.problem)
    with pytest.raises(CannotJudge, match="can no longer be read"):
        asked(study, engine, "zeal<3")


def test_nothing_is_written(study: Study, engine: Engine) -> None:
    before = len(StudyReader(engine).events(study.name))
    asked(study, engine, "latency<70ms")
    assert len(StudyReader(engine).events(study.name)) == before
    again = Study(StudyReader(engine), study.name)
    assert [c["text"] for c in again.info.constraints] == [
        "latency<50ms",
        "accuracy>=baseline-30%",
    ]


def test_a_study_in_which_everything_failed_has_no_answer(engine: Engine) -> None:
    study = Maker(engine, ["latency<1s"]).study(None, Model(0.04, 0.75, "failed"))
    found = asked(study, engine, "latency<2s")
    assert found.best is None
    assert found.nearest == []
    assert len(found.failures) == 1


def test_models_that_were_built_only_are_ranked_by_what_was_measured(engine: Engine) -> None:
    maker = Maker(engine, ["size<=5MB"], objectives=["minimize size"])
    study = maker.study(BASELINE, Model(0.04, 0.7, "built"), Model(0.02, 0.6, "built"))
    found = asked(study, engine, "size<=9MB")
    assert found.best is not None
    assert found.best.number == 1
    nearest = asked(study, engine, "size<=1MB")
    assert nearest.front == []
    assert nearest.best is not None  # the one that misses least: it was built to be looked at
    assert nearest.best.row.verdict == "infeasible"
