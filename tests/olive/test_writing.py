"""A draft as the text of a space: valid, short, and with what is left out at its end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from olive_configs import TONES, of_2024, of_today, surrounded, written

from search_spaces.overrides import Overrides
from search_spaces.reader import parse_space
from search_spaces.space import Space, Step
from tuner.olive.config import Setting
from tuner.olive.draft import Draft, Kind, StepDraft
from tuner.olive.writing import flow, space_text
from tuner.registry import vocabulary


@pytest.fixture
def draft(tmp_path: Path) -> Draft:
    """A draft with a training, a merge and a build, as a translation would leave it."""
    found = surrounded(written(tmp_path, of_2024()))
    found.omissions.clear()
    lora = StepDraft("lora", {"r": 64, "learning_rate": 0.0001}, "LoRA", {"r": "lora_r"})
    build = StepDraft("genai_builder", {"precision": "int4"}, "ModelBuilder")
    found.data = {"files": "./rows.json", "template": TONES, "label": "tone"}
    found.pipeline = [lora, StepDraft("merge_adapter"), build]
    found.metrics = {"latency": {}, "size": {}}
    found.objectives = ["minimize latency.mean"]
    found.constraints = ["latency.mean<=0.8*baseline"]
    return found


def parsed(text: str, folder: Path) -> Space:
    path = folder / "space.yaml"
    anywhere = Overrides(build_only=True)
    return parse_space(text, path, vocabulary(), anywhere, elsewhere=True).space


def test_the_whole_text_is_what_a_person_would_write(draft: Draft) -> None:
    assert space_text(draft) == (
        """\
# The Olive config config.json, as a space.
model: org/model
task: text-generation
data:
  files: ./rows.json
  template: "### Text: {phrase}\\n### The tone is:\\n{tone}"
  label: tone

pipeline:
  - lora:                            # LoRA
      r: 64                          # lora_r
      learning_rate: 0.0001
  - merge_adapter
  - genai_builder:                   # ModelBuilder
      precision: int4

metrics:
  latency: {}
  size: {}
objectives: [minimize latency.mean]
constraints: ["latency.mean<=0.8*baseline"]
search: {strategy: grid}             # one candidate: everything is fixed
"""
    )


def test_it_is_valid_and_has_the_values(draft: Draft, tmp_path: Path) -> None:
    space = parsed(space_text(draft), tmp_path)
    assert [step.id for step in space.pipeline] == ["lora", "merge_adapter", "genai_builder"]
    assert space.data is not None
    assert space.data.template == TONES


def test_what_is_left_out_stands_at_the_end_with_its_reason(draft: Draft) -> None:
    draft.omit(Setting(True, "passes.lora.double_quant", 3), Kind.OMITTED, "no such base", "b")
    draft.omit(Setting("x", "passes.q.type", 4), Kind.CANNOT, "there is none", "c")
    draft.omit(Setting("cache", "engine.cache_dir", 5), Kind.ASIDE, "caches", "a")
    end = space_text(draft).split("# Not in this space, of what the config says:\n")[1]
    assert end == (
        "# - passes.q.type (x): there is none\n"
        "# - passes.lora.double_quant (true): no such base\n"
        "# Without effect on the model: cache_dir.\n"
    )


def test_alternatives_are_read_as_such(draft: Draft, tmp_path: Path) -> None:
    lora = StepDraft("lora", {"r": {"choices": [4, 8]}}, comments={"r": "lora_r"})
    draft.pipeline = [
        [[lora, StepDraft("merge_adapter")], [StepDraft("qlora")], []],
        StepDraft("merge_adapter"),
        StepDraft("genai_builder", {"precision": "int4"}),
    ]
    space = parsed(space_text(draft), tmp_path)
    [choice] = [item for item in space.pipeline if not hasattr(item, "spec")]
    assert choice.labels == ("lora", "qlora", "none")
    assert "search:" not in space_text(draft)


@pytest.mark.parametrize(
    "template",
    [
        "{a}\n{b}",
        "a: #b\t{a}",
        "{a}\n" + "x" * 90 + "\n\n- y: 'z'\n{b}",
        "  {a}\n" + "y" * 90 + "\n",
        "{a}\u2028\x85\ufeff \U0001f600 \\n \" ' {b}",
        "{a}\r\n{b}",
    ],
)
def test_templates_come_back_as_they_were(draft: Draft, template: str) -> None:
    draft.data = {"files": "./rows.json", "template": template}
    assert yaml.safe_load(space_text(draft))["data"]["template"] == template


def test_a_long_template_is_written_as_lines(draft: Draft) -> None:
    draft.data = {"files": "./rows.json", "template": "{a}\n" + "x" * 90 + "\n{b}"}
    assert "  template: |-\n    {a}\n    xxx" in space_text(draft)


@pytest.mark.parametrize(
    "value",
    [
        "no",
        "1e-4",
        "a: b",
        "",
        "org/name",
        "~",
        0.0001,
        1e22,
        True,
        None,
        ["q_proj", "on"],
        {"choices": [[16, 0.5], "x y"]},
        "null",
        "a,b/c",
        "#x",
    ],
)
def test_values_come_back_as_they_were(value: Any) -> None:
    assert yaml.safe_load(flow(value)) == value


def test_long_lists_are_broken_and_come_back(draft: Draft) -> None:
    names = [f"model.layers.{number}.mlp" for number in range(9)]
    draft.pipeline = [StepDraft("lora", {"target_modules": names})]
    text = space_text(draft)
    assert max(map(len, text.splitlines())) <= 80
    assert yaml.safe_load(text)["pipeline"][0]["lora"]["target_modules"] == names


def test_a_long_comment_stands_above_its_value(draft: Draft) -> None:
    draft.pipeline = [StepDraft("lora", {"r": 64}, comments={"r": "words " * 20})]
    text = space_text(draft)
    assert max(map(len, text.splitlines())) <= 80
    assert yaml.safe_load(text)["pipeline"] == [{"lora": {"r": 64}}]


def test_flags_of_a_step_stand_beside_its_parameters(draft: Draft, tmp_path: Path) -> None:
    draft.pipeline = [
        StepDraft("lora", {"r": 8}, optional=True),
        StepDraft("merge_adapter", optional=True),
    ]
    items = parsed(space_text(draft), tmp_path).pipeline
    assert [isinstance(item, Step) and item.optional for item in items] == [True, True]


def test_paths_are_those_from_where_the_space_will_lie(tmp_path: Path) -> None:
    config = of_today(model="./model")
    found = surrounded(written(tmp_path / "configs", config))
    found.data = {"files": {"train": "./a.json", "dev": ["./b.json", "/c.json"]}}
    found.objectives = ["minimize size"]
    text = space_text(found, tmp_path / "spaces")
    read = yaml.safe_load(text)
    assert read["model"] == "../configs/model"
    assert read["data"]["files"] == {
        "train": "../configs/a.json",
        "dev": ["../configs/b.json", "/c.json"],
    }
    assert yaml.safe_load(space_text(found))["model"] == "./model"
