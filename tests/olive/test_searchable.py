"""A recipe becomes a search: its own values among a few others, all of them legal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from olive_configs import TONES, of_2024, of_today, surrounded, written

from search_spaces.candidates import enumerate_candidates
from search_spaces.overrides import Overrides
from search_spaces.reader import parse_space
from search_spaces.space import Space
from tuner.olive.draft import Draft, StepDraft
from tuner.olive.searchable import MOST, widen
from tuner.olive.writing import space_text
from tuner.passes import all_passes
from tuner.pipeline.refusals import hopeless, refusal
from tuner.registry import vocabulary


def drafted(folder: Path, *steps: StepDraft, config: Any = None) -> Draft:
    found = surrounded(written(folder, config or of_2024()))
    found.data = {"files": "./rows.json", "template": TONES, "label": "tone"}
    found.pipeline = list(steps)
    found.objectives = ["minimize latency"]
    return found


def lora(**more: Any) -> StepDraft:
    return StepDraft("lora", {"r": 64, "alpha": 64.0, "learning_rate": 0.0001, **more})


def space_of(draft: Draft, folder: Path) -> Space:
    text = space_text(draft)
    anywhere = Overrides(build_only=True)
    return parse_space(text, folder / "s.yaml", vocabulary(), anywhere, elsewhere=True).space


def test_values_become_choices_and_ranges_with_the_recipes_among_them(tmp_path: Path) -> None:
    builder = StepDraft("genai_builder", {"precision": "int4", "block_size": 16})
    draft = drafted(tmp_path, lora(), StepDraft("merge_adapter"), builder)
    widen(draft)
    adapter = draft.last("lora")
    assert adapter is not None
    assert adapter.parameters["r"] == {"choices": [16, 32, 64]}
    assert adapter.parameters["learning_rate"] == {"range": [2.5e-5, 4e-4], "log": True}
    assert adapter.parameters["alpha"] == 64.0
    assert builder.parameters["precision"] == {"choices": ["fp32", "int8", "int4"]}
    assert builder.parameters["block_size"] == {"choices": [16, 32, 64, 128]}
    assert draft.search == {"strategy": "auto", "trials": 20}
    assert draft.objectives == ["minimize latency", "minimize perplexity"]


def test_a_comment_says_what_the_recipe_has(tmp_path: Path) -> None:
    draft = drafted(tmp_path, lora())
    widen(draft)
    assert "# 64 in the recipe" in space_text(draft)


def test_what_is_searched_is_legal(tmp_path: Path) -> None:
    builder = StepDraft("genai_builder", {"precision": "int4", "accuracy_level": 4})
    draft = drafted(tmp_path, lora(), StepDraft("merge_adapter"), builder)
    widen(draft)
    assert hopeless(space_of(draft, tmp_path), all_passes()) is None


@pytest.mark.parametrize("first", ["gptq", "rtn", "hqq"])
def test_a_packed_checkpoint_keeps_its_precision(tmp_path: Path, first: str) -> None:
    builder = StepDraft("genai_builder", {"precision": "int4"})
    draft = drafted(tmp_path, StepDraft(first, {"group_size": 128}), builder)
    widen(draft)
    assert builder.parameters["precision"] == "int4"
    step = draft.last(first)
    assert step is not None
    assert 128 in step.parameters["group_size"]["choices"]
    space_of(draft, tmp_path)


def test_a_builder_before_another_quantiser_keeps_its_precision(tmp_path: Path) -> None:
    builder = StepDraft("genai_builder", {"precision": "fp32"})
    draft = drafted(tmp_path, builder, StepDraft("weight_only", {"bits": 4}))
    widen(draft)
    assert builder.parameters["precision"] == "fp32"
    weights = draft.last("weight_only")
    assert weights is not None
    assert weights.parameters["bits"] == {"choices": [4, 8]}


def test_a_gpu_has_its_own_precisions_and_no_threads(tmp_path: Path) -> None:
    builder = StepDraft("genai_builder", {"precision": "int4", "execution_provider": "cuda"})
    draft = drafted(tmp_path, builder)
    draft.provider = "CUDAExecutionProvider"
    widen(draft)
    assert builder.parameters["precision"] == {"choices": ["fp16", "int4"]}
    assert draft.last("session") is None


def test_block_sizes_divide_the_model_where_it_is_known(tmp_path: Path) -> None:
    sizes = {"hidden_size": 192, "intermediate_size": 384}
    names = {"model_type": "llama", "architectures": ["LlamaForCausalLM"]}
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text(json.dumps(names | sizes), encoding="utf-8")
    builder = StepDraft("genai_builder", {"precision": "int4", "block_size": 32})
    draft = drafted(tmp_path, builder, config=of_today(model="./model"))
    widen(draft)
    assert builder.parameters["block_size"] == {"choices": [32, 64]}


def test_no_more_is_searched_than_a_person_would(tmp_path: Path) -> None:
    steps = [StepDraft("full_finetune", {"learning_rate": 1e-4}), lora(), StepDraft("gptq")]
    builder = StepDraft("genai_builder", {"precision": "int4", "algorithm": "rtn"})
    draft = drafted(tmp_path, *steps, builder, StepDraft("session", {}))
    widen(draft)
    steps = [step for step in draft.pipeline if isinstance(step, StepDraft)]
    searched = sum(isinstance(v, dict) for step in steps for v in step.parameters.values())
    assert 3 < searched <= MOST


def test_a_search_of_the_configs_own_is_kept(tmp_path: Path) -> None:
    draft = drafted(tmp_path, lora())
    draft.search = {"strategy": "tpe", "trials": 3, "seed": 7}
    draft.constraints = ["latency<=0.8*baseline"]
    widen(draft)
    assert draft.search == {"strategy": "tpe", "trials": 3, "seed": 7}
    assert draft.objectives == ["minimize latency"]


def test_rows_are_held_out_to_choose_by_and_to_confirm_by(tmp_path: Path) -> None:
    draft = drafted(tmp_path, lora())
    assert draft.data is not None
    draft.data["split"] = {"dev": 0.3, "test": 0}
    widen(draft)
    assert draft.data["split"] == {"dev": 0.15, "test": 0.15}
    draft.data["split"] = {"dev": 0, "test": 0}
    widen(draft)
    assert "split" not in draft.data


def test_a_grid_gives_way_where_a_range_is_searched(tmp_path: Path) -> None:
    draft = drafted(tmp_path, lora())
    draft.search = {"strategy": "grid"}
    widen(draft)
    assert draft.search["strategy"] == "auto"


def test_every_candidate_of_an_encoders_search_can_be_built(tmp_path: Path) -> None:
    config = of_today(
        {"q": {"type": "OnnxDynamicQuantization"}},
        model="org/bert-base",
        task="text-classification",
    )
    steps = [StepDraft("onnx_export"), StepDraft("optimize_graph"), StepDraft("static_int8")]
    draft = drafted(tmp_path, *steps, config=config)
    draft.model_kind = "encoder"
    widen(draft)
    assert draft.objectives == ["minimize latency", "maximize accuracy"]
    space = space_of(draft, tmp_path)
    refused = [refusal(c.steps, all_passes()) for c in enumerate_candidates(space)]
    assert refused
    assert not [clash for clash in refused if clash is not None]
