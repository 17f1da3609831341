"""`tuner.tune` does what the command does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from cli.conftest import SPACE, Desk

import tuner
from search_spaces import SpaceError
from tuner.study.events import Told


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    (tmp_path / "model" / "model.safetensors").write_bytes(b"weights")
    made = Desk(tmp_path)
    made.write(SPACE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TOY_COUNTER", raising=False)
    return made


def test_a_study_has_its_best_its_front_and_a_table_of_trials(desk: Desk) -> None:
    told: list[int] = []

    def listen(event: object) -> None:
        if isinstance(event, Told):
            told.append(event.number)

    study = tuner.tune(
        "space.yaml", constraints=["cost<=15ms"], trials=10, store="store", listeners=[listen]
    )
    assert told == [-1, *range(10)]
    assert study.best is not None
    assert study.best in study.front
    assert study.best.metrics["cost"].value is not None
    assert study.best.metrics["cost"].value <= 0.015
    frame = study.trials_dataframe()
    assert list(frame["number"]) == list(range(10))
    assert frame.loc[frame["on_front"], "metrics_cost"].max() <= 0.015
    assert set(frame.columns) >= {"params_toy.a", "metrics_worth", "verdict", "state"}
    assert study.output is not None
    assert (study.output / "model" / "parameters.json").exists()


def test_nothing_feasible_is_an_answer_not_an_error(desk: Desk) -> None:
    study = tuner.tune("space.yaml", constraints=["cost<=1us"], trials=3, store="store")
    assert study.best is None
    assert study.front == []
    assert [t.number for t in study.nearest[:1]] != []
    assert study.output is None


def test_settings_and_objectives_replace_the_files(desk: Desk) -> None:
    study = tuner.tune(
        "space.yaml",
        objectives=["minimize cost"],
        settings={"pipeline.toy.a": 3, "search.trials": 2},
        store="store",
    )
    assert [t.row.steps[0]["parameters"]["a"] for t in study.trials] == [3, 3]
    assert len(study.info.objectives) == 1


def test_a_wrong_space_raises_with_every_problem(desk: Desk) -> None:
    with pytest.raises(SpaceError) as caught:
        tuner.tune("space.yaml", constraints=["costs<1ms"], strategy="tpa", store="store")
    assert len(caught.value.problems) == 2


def test_a_script_without_a_main_guard_works(desk: Desk) -> None:
    script = desk.folder / "script.py"
    script.write_text(
        "import tuner\n"
        "study = tuner.tune('space.yaml', trials=2)\n"
        "print('BEST', study.best.number)\n"
    )
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, check=False, **desk.settings()
    )
    assert done.stdout.startswith("BEST"), done.stderr
