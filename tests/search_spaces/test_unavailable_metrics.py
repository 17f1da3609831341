"""Metrics that the machine cannot measure: refused with the reason before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from sample_space import RUNTIME, SPACE, VOCABULARY, write_data

from search_spaces.problems import SpaceError
from search_spaces.reader import Reading, parse_space
from search_spaces.vocabulary import EvaluatorSpec, MetricSpec, Vocabulary


def no_meter() -> str | None:
    return "there is no meter"


JOULES = MetricSpec("joules", "J", True, RUNTIME, "energy", unavailable=no_meter)
MEMORY = MetricSpec("resident", "B", True, RUNTIME, "memory")
ON_GPU = MetricSpec("on_gpu", "B", True, RUNTIME, "memory", unavailable=no_meter)
GENAI = frozenset({"genai"})
EVALUATORS = {
    "energy": EvaluatorSpec("energy", 1, "energy", (), (JOULES,), GENAI),
    "memory": EvaluatorSpec("memory", 1, "memory", (), (MEMORY, ON_GPU), GENAI),
}
WORDS = Vocabulary(VOCABULARY.passes, {**VOCABULARY.evaluators, **EVALUATORS})
METRICS, OBJECTIVES = "  latency: {prompt_tokens: 32}", "[minimize latency, maximize accuracy]"


def read(folder: Path, **changes: str) -> Reading:
    text = SPACE
    for old, new in changes.items():
        text = text.replace({"metrics": METRICS, "objectives": OBJECTIVES}[old], new)
    return parse_space(text, write_data(folder), WORDS)


@pytest.mark.parametrize(
    ("changes", "line", "metric"),
    [
        ({"metrics": METRICS + "\n  energy: {}"}, 21, "joules"),
        ({"objectives": "[minimize joules]"}, 21, "joules"),
        ({"objectives": "[minimize on_gpu]"}, 21, "on_gpu"),
    ],
)
def test_what_cannot_be_measured_here_is_refused(
    tmp_path: Path, changes: dict[str, str], line: int, metric: str
) -> None:
    with pytest.raises(SpaceError) as refused:
        read(tmp_path, **changes)
    [problem] = refused.value.problems
    assert problem.message == f"{metric} cannot be measured here: there is no meter"
    assert problem.line == line


def test_an_evaluator_that_has_other_metrics_too_may_be_named(tmp_path: Path) -> None:
    space = read(tmp_path, metrics=METRICS + "\n  memory: {}").space
    assert "memory" in space.evaluators


def test_a_metric_that_cannot_be_measured_is_of_no_model() -> None:
    assert MEMORY.is_of("genai")
    assert not ON_GPU.is_of("genai")
    assert ON_GPU.lacking() == "there is no meter"
