"""Where nothing fits: what keeps everything out, and that stated limits let in what they say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Engine
from stored_studies import Maker, Model, random_models

from tuner.review.reranking import Change, rerank
from tuner.review.shortfall import Price, Shortfall, prices_json, shortfall_of
from tuner.study.api import Study
from tuner.study.database import open_engine
from tuner.study.reader import StudyReader


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return open_engine(str(tmp_path / "study.db"))


BASELINE = Model(0.1, 0.70)
IMPOSSIBLE = [
    ("latency<1ms", "accuracy>=baseline-2%"),
    ("latency<=0.01*baseline", "accuracy>=0.99"),
    ("latency<=baseline-95%", "accuracy>=99%"),
    ("latency<baseline-99ms", "accuracy>baseline+29%"),
    ("latency.p95<2ms", "accuracy>=1.3*baseline"),
    ("size<=1MB", "latency<0.5s"),
    ("accuracy>=98.5%", "latency<=20us"),
]


@pytest.mark.parametrize("constraints", IMPOSSIBLE)
@pytest.mark.parametrize("seed", range(4))
def test_a_stated_limit_makes_the_stated_trial_feasible(
    engine: Engine, constraints: tuple[str, ...], seed: int
) -> None:
    study = Maker(engine, constraints, seed=seed).study(BASELINE, *random_models(seed, 9))
    found = shortfall_of(study)
    prices = [p for b in found.bindings for p in b.prices]
    assert prices
    for price in prices:
        texts = [new for _, new in price.limits if new is not None]
        again = rerank(study, StudyReader(engine), Change(texts))
        judged = again.judged[price.trial.number]
        if price.state:
            assert not judged.ruled_out
        elif len(texts) == len(price.limits):
            assert judged.fits, (texts, judged.judgements)


def test_the_stated_limit_is_nearly_the_tightest(engine: Engine) -> None:
    study = Maker(engine, ["latency<1ms"], seed=1).study(BASELINE, Model(0.05, 0.7))
    [(_, text)] = _prices(study)[0].limits
    assert text is not None
    high = study.trials[0].metrics["latency"].high
    assert high is not None
    stated = float(text.removeprefix("latency<").removesuffix("ms")) / 1000
    assert high < stated < 1.011 * high


def test_a_relative_limit_is_priced_in_its_own_form(engine: Engine) -> None:
    study = Maker(engine, ["accuracy>=baseline-2%"]).study(BASELINE, Model(0.05, 0.6))
    [(old, new)] = _prices(study)[0].limits
    assert old == "accuracy>=baseline-2%"
    assert new is not None
    assert new.startswith("accuracy>=baseline-1")
    assert new.endswith("%")


def test_the_price_list_goes_from_the_tightest_limit_to_what_is_better(engine: Engine) -> None:
    models = [Model(0.05, 0.6), Model(0.06, 0.5), Model(0.08, 0.7), Model(0.2, 0.9)]
    study = Maker(engine, ["latency<10ms"]).study(BASELINE, *models)
    assert [p.trial.number for p in _prices(study)] == [0, 2, 3]


def test_where_one_constraint_is_enough_it_is_named_alone(engine: Engine) -> None:
    models = [Model(0.05, 0.5), Model(0.03, 0.3), Model(0.02, 0.4)]
    study = Maker(engine, ["latency<10ms", "accuracy>=45%"]).study(BASELINE, *models)
    assert _binding(study) == [("accuracy>=45%", "latency<10ms")]
    study = Maker(engine, ["latency<10ms", "accuracy>=35%"], name="two").study(BASELINE, *models)
    assert _binding(study) == [("latency<10ms",)]


def test_the_constraint_that_is_cheapest_to_relax_comes_first(engine: Engine) -> None:
    models = [Model(0.05, 0.9), Model(0.005, 0.6)]
    study = Maker(engine, ["latency<10ms", "accuracy>=65%"]).study(BASELINE, *models)
    assert _binding(study) == [("accuracy>=65%",), ("latency<10ms",)]


def test_a_screened_trial_is_offered_as_not_trained(engine: Engine) -> None:
    models = [Model(0.05, 0.9), Model(0.02, 0.9, "screened"), Model(0.08, 0.9, "screened")]
    study = Maker(engine, ["latency<10ms"]).study(BASELINE, *models)
    found = shortfall_of(study)
    assert [(p.trial.number, p.state) for p in found.bindings[0].prices] == [
        (1, "screened"),
        (0, ""),
    ]
    [screened, _] = prices_json(found, study)["prices"]
    assert screened["trained"] is False
    assert screened["objectives"] == {"maximize accuracy": None, "minimize tpot": None}
    assert {1, 0} <= {t.number for t in found.nearest}
    assert study.trials[1].objectives is None
    assert study.trials[1].known_objectives[0] is None


def test_where_everything_was_screened_the_nearest_are_still_named(engine: Engine) -> None:
    models = [Model(0.05, 0.9, "screened"), Model(0.02, 0.9, "screened")]
    study = Maker(engine, ["latency<10ms"]).study(BASELINE, *models)
    assert [t.number for t in study.nearest] == [1, 0]
    assert [t.number for t in shortfall_of(study).nearest] == [1]


def test_what_is_undecided_is_said_to_be_so(engine: Engine) -> None:
    study = Maker(engine, ["accuracy>=70%"]).study(BASELINE, Model(0.05, 0.72))
    [price] = _prices(study)
    assert price.undecided


def test_what_held_out_data_refuted_is_priced_by_it(engine: Engine) -> None:
    models = [Model(0.05, 0.9, held_out=0.5)]
    study = Maker(engine, ["accuracy>=80%"]).study(BASELINE, *models)
    assert study.best is None
    [price] = _prices(study)
    assert price.held_out
    [(_, text)] = price.limits
    assert text is not None
    found = rerank(study, StudyReader(engine), Change([text]))
    assert found.best is not None
    assert found.best.number == 0


def test_a_limit_that_held_out_data_would_refute_is_not_offered(engine: Engine) -> None:
    models = [Model(0.05, 0.9, held_out=0.4)]
    study = Maker(engine, ["latency<1s"]).study(BASELINE, *models)
    asked = rerank(study, StudyReader(engine), Change(["accuracy>=99%"]))
    [price] = shortfall_of(asked).bindings[0].prices
    [(_, text)] = price.limits
    assert text is not None
    found = rerank(study, StudyReader(engine), Change([text]))
    assert found.best is not None
    assert found.best.number == 0


def test_where_everything_failed_there_is_nothing_to_price(engine: Engine) -> None:
    models = [Model(0.05, 0.9, "failed"), Model(0.02, 0.9, "failed")]
    study = Maker(engine, ["latency<10ms"]).study(BASELINE, *models)
    assert shortfall_of(study) == Shortfall()


def test_without_a_baseline_absolute_limits_are_priced(engine: Engine) -> None:
    study = Maker(engine, ["latency<10ms"]).study(None, Model(0.05, 0.9))
    assert len(_prices(study)) == 1


def test_a_metric_that_is_no_longer_installed_leaves_no_prices(engine: Engine) -> None:
    study = Maker(engine, ["latency<10ms"]).study(BASELINE, Model(0.05, 0.9))
    gone = {**study.info.constraints[0], "text": "zeal<3"}
    study.info = replace(study.info, constraints=(gone,))
    found = shortfall_of(study)
    assert "zeal" in str(found.problem)
    assert [t.number for t in found.nearest] == [0]


def _prices(study: Study) -> list[Price]:
    return list(shortfall_of(study).bindings[0].prices)


def _binding(study: Study) -> list[tuple[str, ...]]:
    return [tuple(sorted(b.constraints)) for b in shortfall_of(study).bindings]
