"""A study's space, read where nothing of it is: no model, no data, no function, no plug-in."""

from __future__ import annotations

from pathlib import Path

import pytest
from odd_studies import FOREIGN, write_odd_studies

from evaluators.base import MeasurementError
from search_spaces import SpaceError, parse_space
from search_spaces.vocabulary import Aspect
from tuner.registry import vocabulary
from tuner.review.evidence import Evidence
from tuner.study.api import Study
from tuner.study.database import open_engine
from tuner.study.reader import StudyReader

SPACE = """
model: ./gone
task: text-classification
data: {files: gone.jsonl, template: "{phrase}: {tone}", label: tone}
pipeline:
  - merge_adapter
  - genai_builder: {precision: {choices: [fp32, int4]}}
metrics:
  accuracy: {}
  wit: {function: "gone.py:wit", unit: "", goal: maximize}
objectives: [maximize accuracy, maximize wit]
constraints: ["accuracy>=0.5"]
"""


def test_what_is_not_here_is_no_problem_of_a_space_of_elsewhere(tmp_path: Path) -> None:
    path = tmp_path / "space.yaml"
    with pytest.raises(SpaceError) as here:
        parse_space(SPACE, path, vocabulary())
    told = str(here.value)
    assert all(name in told for name in ("gone", "gone.jsonl", "gone.py"))
    space = parse_space(SPACE, path, vocabulary(), elsewhere=True).space
    assert [o.text for o in space.objectives] == ["maximize accuracy", "maximize wit"]
    assert space.model.text == "./gone"
    assert space.data is not None
    assert space.data.label == "tone"


def test_what_is_wrong_stays_wrong_elsewhere(tmp_path: Path) -> None:
    wrong = SPACE.replace("accuracy>=0.5", "acuracy>=0.5").replace("int4", "int5")
    with pytest.raises(SpaceError) as found:
        parse_space(wrong, tmp_path / "space.yaml", vocabulary(), elsewhere=True)
    assert "acuracy" in str(found.value)
    assert "int5" in str(found.value)


def test_what_a_study_measured_stands_in_for_an_evaluator_that_is_not_here(tmp_path: Path) -> None:
    write_odd_studies(tmp_path / "study.db")
    engine = open_engine(str(tmp_path / "study.db"))
    evidence = Evidence(Study(StudyReader(engine), FOREIGN))
    found = evidence.vocabulary.metric("wit")
    assert found is not None
    assert (found[0].name, found[1].lower_is_better) == ("muse", False)
    assert found[1].depends_on == frozenset(Aspect)
    assert {"elsewhere", "muse"} <= set(evidence.lacking)
    with pytest.raises(MeasurementError, match="'muse' is not installed here"):
        evidence.evaluators["muse"].summarise([], {}, "wit", None)
    engine.dispose()
