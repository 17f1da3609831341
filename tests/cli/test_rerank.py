"""`tune rerank`, and what `tune best` says where nothing fits, as users see it."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from cli.conftest import Desk
from stored_studies import Maker, Model

from tuner.study.database import open_engine

BASELINE = Model(0.1, 0.70)
MODELS = [
    Model(0.04, 0.60, held_out=0.60),
    Model(0.06, 0.80),
    Model(0.09, 0.90),
    Model(0.03, 0.95, "screened"),
    Model(0.05, 0.65, "stopped"),
]


def stored(desk: Desk, constraints: Sequence[str], models: Sequence[Model] = MODELS) -> None:
    (desk.folder / "tuned").mkdir(exist_ok=True)
    engine = open_engine(str(desk.folder / "tuned" / "study.db"))
    Maker(engine, constraints).study(BASELINE, *models)
    engine.dispose()


def test_a_new_limit_is_answered_with_what_changed_and_the_command_to_go_on(desk: Desk) -> None:
    stored(desk, ["latency<50ms"])
    done = desk.tune("rerank", "made", "--max", "latency=70ms", "--min", "accuracy=70%")
    assert done.returncode == 0, done.stderr
    text = " ".join(done.stdout.split())
    assert "latency<=70ms (instead of latency<50ms)" in text
    assert "#1 instead of #0: accuracy 60.0 % -> 80.0 %" in text
    assert "#1 was never confirmed on held-out data" in text
    assert "#3 was not trained, and may fit now: latency" in text
    assert "#4 was not trained to the end, and may fit now" in text
    command = "tune --space quickstart --set 'constraints="
    assert f'{command}["latency<=70ms", "accuracy>=70%"]\'' in text
    assert max(len(line) for line in done.stdout.splitlines() if "--space" not in line) <= 80
    assert desk.ran() == []
    assert not (desk.folder / "store").exists()


def test_the_command_that_goes_on_is_one_that_can_be_given(desk: Desk) -> None:
    stored(desk, ["size<=300MB"])
    found = desk.tune("rerank", "made", "--constraint", "latency<45ms", "--json")
    command = json.loads(found.stdout)["command"]
    assert command == "tune --space quickstart --constraint 'latency<45ms'"
    checked = desk.tune("check", "quickstart", "--constraint", "latency<45ms")
    assert checked.returncode == 0, checked.stderr


def test_where_nothing_fits_the_prices_are_told_and_the_code_is_3(desk: Desk) -> None:
    stored(desk, ["latency<50ms"])
    done = desk.tune("rerank", "made", "--max", "latency=10ms")
    assert done.returncode == 3, done.stderr
    assert "Nothing is feasible" in done.stdout
    assert "latency<=10ms alone keeps everything out" in done.stdout
    assert "not trained" in done.stdout
    assert "points)" in done.stdout
    assert max(len(line) for line in done.stdout.splitlines() if "--space" not in line) <= 80


def test_best_tells_the_prices_too(desk: Desk) -> None:
    stored(desk, ["latency<10ms", "accuracy>=baseline-20%"])
    done = desk.tune("best", "made")
    assert done.returncode == 3, done.stderr
    assert "latency<10ms alone keeps everything out" in done.stdout
    data = json.loads(desk.tune("best", "made", "--json").stdout)
    assert data["binding"] == [["latency<10ms"]]
    assert data["nearest"][0]["state"] == "screened"
    first = data["prices"][0]
    assert (first["number"], first["trained"]) == (3, False)
    limit = data["prices"][1]["limits"]["latency<10ms"]
    again = json.loads(desk.tune("rerank", "made", "--constraint", limit, "--json").stdout)
    assert [t["number"] for t in again["front"]] == [data["prices"][1]["number"]]


def test_json_says_all_that_is_printed(desk: Desk) -> None:
    stored(desk, ["latency<50ms"])
    done = desk.tune("rerank", "made", "--max", "latency=70ms", "--json")
    data = json.loads(done.stdout)
    assert data["replaced"] == {"latency<50ms": "latency<=70ms"}
    assert (data["own_choice"], data["changed"]) == (0, data["chosen"]["number"] != 0)
    assert data["surer"]["train"] == [3, 4]
    assert data["baseline_verdict"] == "infeasible"
    assert data["constraints"] == ["latency<=70ms"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["made", "--max", "energy=3J"], "energy was never measured in this study"),
        (["made", "--max", "latency=3"], "did you mean latency<=3ms"),
        (["maed"], "'made'"),
        (["made", "--constrain", "latency<3ms"], "--constraint"),
    ],
)
def test_a_mistake_gets_one_clear_message_and_code_2(
    desk: Desk, arguments: list[str], words: str
) -> None:
    stored(desk, ["latency<50ms"])
    done = desk.tune("rerank", *arguments)
    assert done.returncode == 2, done.stdout
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_where_everything_failed_that_is_the_answer(desk: Desk) -> None:
    stored(desk, ["latency<50ms"], [Model(0.04, 0.7, "failed")])
    done = desk.tune("rerank", "made", "--max", "latency=70ms")
    assert done.returncode == 1, done.stderr
    assert "Every candidate failed" in done.stdout
