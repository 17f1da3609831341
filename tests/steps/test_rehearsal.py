"""`--test-model`: the same space with a stand-in, cut down, and with rows made up where need be."""

from __future__ import annotations

from pathlib import Path

import pytest

from search_spaces import parse_space
from search_spaces.data import read_split
from search_spaces.problems import SpaceError
from search_spaces.space import Choices, Fixed, Space, Step, steps_of
from tuner.registry import vocabulary
from tuner.steps.rehearsal import TRIALS, rehearsal

SPACE = """
model: {model}
task: text-classification
data:
  files: {data}
  template: "{{phrase}} is {{tone}}"
  label: tone
pipeline:
  - lora: {{epochs: 3, r: 64, batch_size: {{choices: [2, 8, 16]}}}}
  - merge_adapter
  - genai_builder: {{precision: int4, block_size: 128}}
metrics:
  accuracy: {{}}
  latency: {{processes: 5}}
objectives: [minimize latency]
constraints: ["accuracy>=0.9", "size<1GB", "size<=baseline-1%"]
search: {{trials: 40}}
"""


def read(model: Path, data: Path) -> Space:
    text = SPACE.format(model=model, data=data)
    return parse_space(text, None, vocabulary(), elsewhere=not data.exists()).space


@pytest.fixture
def tried(tiny_phi3: Path, tone_file: Path, tmp_path: Path) -> tuple[Space, tuple[str, ...]]:
    return rehearsal(read(tiny_phi3, tone_file), vocabulary(), tmp_path)


def domains(space: Space) -> dict[str, object]:
    steps: list[Step] = [s for item in space.pipeline for s in steps_of(item)]
    return {f"{s.id}.{name}": d for s in steps for name, d in s.parameters.items()}


def test_stand_in_has_the_architecture_and_is_no_longer_the_model(
    tried: tuple[Space, tuple[str, ...]], tiny_phi3: Path
) -> None:
    space, _ = tried
    assert space.test_model
    assert space.model.path is not None
    assert space.model.path != tiny_phi3
    assert '"model_type": "phi3"' in (space.model.path / "config.json").read_text()


def test_training_and_trials_are_cut_but_not_what_was_chosen(
    tried: tuple[Space, tuple[str, ...]],
) -> None:
    space, notices = tried
    found = domains(space)
    assert found["lora.epochs"] == Fixed(None)
    assert found["lora.max_steps"] == Fixed(5)
    assert found["lora.r"] == Fixed(64)
    assert found["lora.batch_size"] == Choices((2, 4))
    assert found["genai_builder.block_size"] == Fixed(32)
    assert found["genai_builder.precision"] == Fixed("int4")
    assert space.search.trials == TRIALS
    assert space.evaluators["latency"]["processes"] == 1
    [cut] = [notice for notice in notices if "cut down" in notice]
    assert "lora.epochs, lora.batch_size and genai_builder.block_size" in cut


def test_what_random_weights_cannot_hold_is_left_out_by_name(
    tried: tuple[Space, tuple[str, ...]],
) -> None:
    space, notices = tried
    assert [c.text for c in space.constraints] == ["size<1GB"]
    assert not space.limits.faults
    assert not space.limits.fidelity
    assert any("accuracy>=0.9" in notice for notice in notices)
    assert any("size<=baseline-1%" in notice for notice in notices)


def test_rows_are_made_up_where_the_data_is_not_here(tiny_phi3: Path, tmp_path: Path) -> None:
    space, notices = rehearsal(read(tiny_phi3, tmp_path / "no.jsonl"), vocabulary(), tmp_path)
    assert space.data is not None
    rows = read_split(space.data, "train")
    assert len(rows) > 100
    assert rows[0].keys() == {"phrase", "tone"}
    assert any("no.jsonl is not here: rows are made up" in notice for notice in notices)


def test_a_model_of_which_nothing_is_known_is_refused(tmp_path: Path, tone_file: Path) -> None:
    (tmp_path / "model").mkdir()
    space = read(tmp_path / "model", tone_file)
    with pytest.raises(SpaceError, match=r"--test-model: .*config\.json"):
        rehearsal(space, vocabulary(), tmp_path)
