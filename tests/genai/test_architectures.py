"""Which architectures the GenAI builder is said to know, against the builder that is installed."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from pass_support import filled_in, next_logits

from evaluators.base import Artifact
from search_spaces.vocabulary import Value
from tuner.genai import architectures, builder
from tuner.genai.architectures import KNOWN, adapt, refusal, refusal_of_model
from tuner.graphs.quiet import quiet
from tuner.models.tiny import write_tiny
from tuner.passes import all_passes

FP32: dict[str, Value] = {"precision": "fp32"}


def test_the_list_is_the_installed_builders() -> None:
    found = importlib.util.find_spec("onnxruntime_genai")
    if found is None or found.origin is None:
        pytest.skip("onnxruntime-genai is not installed")
    text = (Path(found.origin).parent / "models" / "builder.py").read_text(encoding="utf-8")
    assert set(re.findall(r'config\.architectures\[0\] == "(\w+)"', text)) == KNOWN


def test_every_type_is_transformers_own_with_its_own_model() -> None:
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as NAMES

    told = architectures._ARCHITECTURES
    assert {name: NAMES.get(name) for name in told} == told


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("allenai/Olmo-3-7B-Instruct", "does not know Olmo3ForCausalLM"),
        ("facebook/opt-125m@main", "does not know OPTForCausalLM"),
        ("HuggingFaceTB/SmolLM3-3B", "fails on SmolLM3"),
    ],
)
def test_what_the_builder_cannot_build_is_told_by_the_models_name(
    name: str, words: str, tmp_path: Path
) -> None:
    assert words in (refusal_of_model(name, tmp_path) or "")


@pytest.mark.parametrize("name", ["Qwen/Qwen3.5-9B", "microsoft/phi-4", "someone/something"])
def test_nothing_is_said_of_what_can_be_built_or_is_not_known(name: str, tmp_path: Path) -> None:
    assert refusal_of_model(name, tmp_path) is None


def test_a_folders_configuration_counts_before_its_name(tmp_path: Path) -> None:
    folder = tmp_path / "Olmo-3"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"architectures": ["LlamaForCausalLM"]}))
    assert refusal_of_model("./Olmo-3", tmp_path) is None
    (folder / "config.json").write_text(json.dumps({"architectures": ["GPT2LMHeadModel"]}))
    assert "GPT2LMHeadModel" in (refusal_of_model("./Olmo-3", tmp_path) or "")


def test_a_text_model_goes_by_the_name_of_the_model_it_is_part_of() -> None:
    rope = {"rope_type": "default", "partial_rotary_factor": 0.25}
    config = SimpleNamespace(
        architectures=["Qwen3_5ForCausalLM"], head_dim=64, rope_parameters=dict(rope)
    )
    assert refusal("Qwen3_5ForCausalLM") is None
    adapt(config)
    assert config.architectures == ["Qwen3_5ForConditionalGeneration"]
    assert sum(config.rope_parameters["mrope_section"]) == 8
    own = {**rope, "mrope_section": [4, 2, 2]}
    config.rope_parameters = dict(own)
    adapt(config)
    assert config.rope_parameters == own


def test_the_ropes_of_two_kinds_of_layers_are_told_apart_as_once() -> None:
    ropes = {
        "full_attention": {"rope_type": "default", "rope_theta": 1e6},
        "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
    }
    config = SimpleNamespace(architectures=["Gemma3ForCausalLM"], rope_parameters=ropes)
    adapt(config)
    assert config.rope_parameters == ropes["full_attention"]
    assert config.rope_local_base_freq == 1e4


@pytest.mark.parametrize("model_type", ["qwen3_5_text", "gemma3_text", "hunyuan_v1_dense"])
def test_models_under_another_name_compute_what_torch_does(model_type: str, tmp_path: Path) -> None:
    source = write_tiny(model_type, tmp_path / "source")
    with quiet():
        builder.build(
            Artifact("hf", source),
            filled_in(all_passes()["genai_builder"], FP32),
            tmp_path / "built",
        )
    exact = next_logits(Artifact("hf", source))
    built = next_logits(Artifact("genai", tmp_path / "built"))
    np.testing.assert_allclose(built, exact, rtol=0, atol=1e-3)
