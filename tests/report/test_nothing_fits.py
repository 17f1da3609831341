"""What a person reads where nothing fits."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine
from stored_studies import Maker, Model

from tuner.report.answer import console, print_answer
from tuner.report.nothing_fits import change_text
from tuner.report.output import summary, write_summary
from tuner.study.api import Study
from tuner.study.database import open_engine

BASELINE = Model(0.1, 0.70)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_engine(str(tmp_path / "study.db"))
    yield engine
    engine.dispose()


def lines(study: Study) -> list[str]:
    stream = io.StringIO()
    print_answer(console(stream), study)
    return stream.getvalue().splitlines()


def test_the_price_list_says_what_each_step_buys(engine: Engine) -> None:
    models = [Model(0.05, 0.60), Model(0.08, 0.70)]
    shown = lines(Maker(engine, ["latency<10ms"]).study(BASELINE, *models))
    start = next(i for i, line in enumerate(shown) if "What relaxing it would buy" in line)
    assert shown[start].startswith("latency<10ms alone keeps everything out")
    first, second = (line for line in shown[start + 1 :] if line.strip().startswith("latency<"))
    assert "60.0 %" in first
    assert "70.0 % (+10.0 points)" in second
    assert "ms (+" in second
    assert any(line.startswith("The limits are certain") for line in shown)
    assert max(map(len, shown)) <= 80


def test_several_constraints_that_are_only_enough_together_are_said_to_be(engine: Engine) -> None:
    study = Maker(engine, ["latency<10ms", "accuracy>=99%"]).study(BASELINE, Model(0.05, 0.6))
    text = " ".join(" ".join(lines(study)).split())
    assert "No single constraint is to blame: latency<10ms and accuracy>=99% would have" in text


def test_a_constraint_that_would_do_alone_too_is_one_line(engine: Engine) -> None:
    models = [Model(0.05, 0.9), Model(0.005, 0.6)]
    study = Maker(engine, ["latency<10ms", "accuracy>=65%"]).study(BASELINE, *models)
    text = " ".join(" ".join(lines(study)).split())
    assert "Relaxing accuracy>=65% costs least" in text
    assert "Or latency<10ms alone: at latency<" in text
    assert "#0 fits, accuracy 90.0 %" in text


def test_what_was_not_trained_says_so(engine: Engine) -> None:
    models = [Model(0.05, 0.9, "screened"), Model(0.02, 0.9, "screened")]
    shown = lines(Maker(engine, ["latency<10ms"]).study(BASELINE, *models))
    text = " ".join(" ".join(shown).split())
    assert "kept out all that came near, before it was trained" in text
    assert "#1: not trained" in text
    assert "not known" in text
    assert max(map(len, shown)) <= 80


def test_a_limit_far_from_the_value_says_that_measuring_more_would_do(engine: Engine) -> None:
    model = Model(0.05, 0.9, sessions=1)
    study = Maker(engine, ["latency<10ms"], noise=0.15).study(BASELINE, model)
    assert any(line.startswith("Measured in more sessions") for line in lines(study))


def test_a_model_that_was_only_built_has_its_price_too(engine: Engine) -> None:
    maker = Maker(engine, ["size<=5MB"], objectives=["minimize size"])
    shown = lines(maker.study(BASELINE, Model(0.04, 0.7, "built")))
    text = " ".join(" ".join(shown).split())
    assert "none fits them for certain" in text
    assert "size<=5MB alone keeps everything out" in text


def test_the_summary_has_the_same_and_can_be_written_without_a_model(
    engine: Engine, tmp_path: Path
) -> None:
    study = Maker(engine, ["latency<10ms"]).study(BASELINE, Model(0.05, 0.6))
    write_summary(tmp_path / "answer", study)
    data = json.loads((tmp_path / "answer" / "summary.json").read_text())
    assert data == json.loads(json.dumps(summary(study)))
    assert data["chosen"] is None
    assert data["binding"] == [["latency<10ms"]]
    [price] = data["prices"]
    assert list(price["limits"]) == ["latency<10ms"]
    assert price["objectives"]["maximize accuracy"] == 0.6


def test_where_something_fits_there_are_no_prices(engine: Engine) -> None:
    data = summary(Maker(engine, ["latency<1s"]).study(BASELINE, Model(0.05, 0.6)))
    assert (data["binding"], data["prices"], data["nearest"]) == ([], [], [])


@pytest.mark.parametrize(
    ("change", "unit", "text"),
    [
        (0.012, "fraction", "+1.2 points"),
        (-0.0031, "s", "-3.10 ms"),
        (0.0, "s", "the same"),
        (2e6, "B", "+2.00 MB"),
    ],
)
def test_changes_have_a_sign(change: float, unit: str, text: str) -> None:
    assert change_text(change, unit) == text
