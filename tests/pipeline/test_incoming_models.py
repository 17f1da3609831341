"""What a pipeline makes of a model that comes in packed, as an adapter, or built already."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from search_spaces import Overrides, SpaceError, parse_space
from search_spaces.candidates import baseline_candidate, default_candidate, enumerate_candidates
from search_spaces.counting import measure
from search_spaces.references import adapter_on, parse_reference
from search_spaces.space import Space
from tuner.engine.screening import twin_of
from tuner.models.resolver import ModelError, fingerprint
from tuner.passes import all_passes
from tuner.pipeline.plan import Source, plan
from tuner.registry import vocabulary
from tuner.report.recipe import recipe_text

PLAIN = {"architectures": ["Phi3ForCausalLM"], "model_type": "phi3", "vocab_size": 9}
PACKED = {**PLAIN, "quantization_config": {"quant_method": "gptq", "bits": 4, "group_size": 32}}

Put = Callable[..., Path]


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A folder with a model of every format, told by its name; none can be loaded."""
    files: dict[str, dict[str, Any]] = {
        "hf": {"config.json": PLAIN, "model.safetensors": 0},
        "quantized": {"config.json": PACKED, "model.safetensors": 0},
        "genai": {"genai_config.json": {}, "model.onnx": 0},
        "onnx": {"config.json": {"model_type": "bert"}, "model.onnx": 0, "tokenizer.json": {}},
        "adapter": _adapter(tmp_path / "hf"),
        "on_packed": _adapter(tmp_path / "quantized"),
    }
    for folder, contents in files.items():
        (tmp_path / folder).mkdir()
        for name, content in contents.items():
            (tmp_path / folder / name).write_text(json.dumps(content))
    return tmp_path


def _adapter(base: Path) -> dict[str, Any]:
    config = {"peft_type": "LORA", "base_model_name_or_path": str(base)}
    return {"adapter_config.json": config, "adapter_model.safetensors": 0}


def space_of(models: Path, model: str, pipeline: str, task: str = "text-generation") -> Space:
    text = (
        f"model: {model}\ntask: {task}\npipeline: {pipeline}\n"
        "objectives: [minimize size]\nsearch: {strategy: grid}\n"
    )
    return parse_space(text, models / "space.yaml", vocabulary(), Overrides()).space


def planned(space: Space, candidate: Any) -> list[tuple[str, str, str]]:
    source = Source("key", space.task, {}, {}, space.model.flow)
    stages = plan(candidate, source, all_passes())
    return [(s.step, s.input_format, s.output_format) for s in stages]


BASELINES = [
    ("quantized", "[genai_builder]", [("genai_builder", "quantized", "genai")]),
    ("quantized", "[merge_adapter, multi_lora]", [("multi_lora", "quantized", "genai")]),
    (
        "adapter",
        "[merge_adapter, genai_builder]",
        [("merge_adapter", "adapter", "hf"), ("genai_builder", "hf", "genai")],
    ),
    ("on_packed", "[multi_lora]", [("multi_lora", "adapter", "genai")]),
    ("genai", "[weight_only: {algorithm: rtn}, session]", [("session", "genai", "genai")]),
    ("genai", "[session]", [("session", "genai", "genai")]),
]


@pytest.mark.parametrize(("model", "pipeline", "stages"), BASELINES)
def test_the_baseline_is_what_came_in_put_through_what_only_converts(
    model: str, pipeline: str, stages: list[tuple[str, str, str]], models: Path
) -> None:
    if "weight_only" in pipeline:
        pipeline = pipeline.replace("weight_only: {algorithm: rtn}", "dynamic_int8")
    space = space_of(models, model, pipeline)
    assert planned(space, baseline_candidate(space)) == stages


def test_the_baseline_of_an_encoders_graph_is_the_graph(models: Path) -> None:
    space = space_of(models, "onnx", "[dynamic_int8, session]")
    assert planned(space, baseline_candidate(space)) == [("session", "onnx", "onnx")]
    assert len(planned(space, default_candidate(space))) == 2


@pytest.mark.parametrize("model", ["quantized", "on_packed"])
def test_packed_weights_keep_their_bits_under_adapters(model: str, models: Path) -> None:
    choices = "precision: {choices: [fp32, int8, int4]}, block_size: {choices: [16, 32]}"
    pipeline = f"[multi_lora: {{{choices}}}]"
    space = space_of(models, model, pipeline)
    (only,) = enumerate_candidates(space)
    assert only.steps[0].parameters["precision"] == "int4"
    assert measure(space).candidates == 1
    assert measure(space_of(models, "hf", pipeline)).candidates == 5


def test_an_adapter_trained_on_packed_weights_is_known_to_be_on_them(models: Path) -> None:
    data = '{files: rows.json, template: "{a}", split: {dev: 0.5, test: 0}}'
    (models / "rows.json").write_text(json.dumps([{"a": "x"}, {"a": "y"}]))
    pipeline = "[awq, lora, multi_lora: {precision: {choices: [int8, int4]}}]"
    space = space_of(models, "hf", f"{pipeline}\ndata: {data}")
    assert measure(space).candidates == 1
    made = default_candidate(space)
    assert planned(space, made)[2] == ("multi_lora", "adapter", "genai")
    twin = twin_of(made, baseline_candidate(space), space.model.flow)
    assert twin is not None
    assert planned(space, twin.candidate)[-1] == ("multi_lora", "quantized", "genai")


@pytest.mark.parametrize(
    ("model", "pipeline", "said"),
    [
        ("genai", "[genai_builder]", "takes hf or quantized, not genai, which the model is"),
        ("genai", "[drop_layers]", "drop_layers takes hf, not genai, which the model is"),
        ("quantized", "[awq]", "awq takes hf, not quantized, which the model is"),
        ("adapter", "[genai_builder]", "merge_adapter before genai_builder would give what fits"),
        ("on_packed", "[genai_builder]", "not adapter on quantized, which the model is"),
        ("onnx", "[genai_builder]", "not onnx, which the model is"),
        ("hf", "[session]", "takes genai or onnx, not hf, which the model is"),
    ],
)
def test_a_pass_that_cannot_take_the_model_is_refused_before_anything_runs(
    model: str, pipeline: str, said: str, models: Path
) -> None:
    with pytest.raises(SpaceError, match=said):
        space_of(models, model, pipeline)


def test_an_adapter_can_be_put_on_a_base_that_the_space_names(models: Path) -> None:
    space = space_of(models, "{adapter: adapter, base: quantized}", "[multi_lora]")
    assert space.model.checkpoint.path == models / "quantized"
    for wrong, said in [
        ("{adapter: adapter}", "the key 'base' is missing"),
        ("{adaptor: adapter, base: hf}", "did you mean 'adapter'"),
        ("{adapter: hf, base: hf}", "'hf' is no adapter, expected the folder of a peft adapter"),
        ("{adapter: adapter, base: nowhere}", "'nowhere' is neither a folder nor a hub id"),
        ("{adapter: adapter, base: [1]}", "model.base: found a list"),
    ]:
        with pytest.raises(SpaceError, match=said):
            space_of(models, wrong, "[multi_lora]")


@pytest.mark.parametrize("model", ["quantized", "genai", "{adapter: adapter, base: quantized}"])
def test_the_recipe_names_the_same_model(model: str, models: Path) -> None:
    pipeline = "[session]" if model == "genai" else "[multi_lora]"
    space = space_of(models, model, pipeline)
    steps = [step.to_json() for step in default_candidate(space).steps]
    (models / "answer").mkdir()
    text = recipe_text(space, steps, "a trial", models / "answer")
    (models / "adapter" / "adapter_config.json").write_text("{}")  # it names no base any more
    again = parse_space(text, models / "answer" / "recipe.yaml", vocabulary()).space
    assert again.model.path == space.model.path
    assert again.model.flow == space.model.flow
    assert again.model.checkpoint.path == space.model.checkpoint.path


def test_an_adapters_identity_is_its_content_and_its_bases(models: Path) -> None:
    def key(adapter: str = "adapter", base: str = "hf") -> str:
        return fingerprint(adapter_on(adapter, base, models), models / "cache")

    first = key()
    assert key(base="quantized") != first
    shutil.copytree(models / "adapter", models / "moved")
    (models / "moved" / "adapter_config.json").write_text(
        json.dumps({"base_model_name_or_path": "/elsewhere", "peft_type": "LORA"})
    )
    shutil.copytree(models / "hf", models / "base")
    assert key("moved", "base") == first
    assert fingerprint(parse_reference("adapter", models), models / "cache") == first
    (models / "moved" / "adapter_model.safetensors").write_text("1")
    assert key("moved") != first
    (models / "moved" / "adapter_model.safetensors").unlink()
    with pytest.raises(ModelError, match="has no weights"):
        key("moved")


def test_what_turns_out_to_be_of_another_format_is_refused_with_the_cure(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(models))
    commit = "c" * 40
    reference = parse_reference(f"org/name@{commit}", models)
    snapshot = models / "hub" / "models--org--name" / "snapshots" / commit
    snapshot.mkdir(parents=True)
    shutil.copyfile(models / "quantized" / "config.json", snapshot / "config.json")
    with pytest.raises(ModelError, match=r"of format quantized, .*; give the same command again"):
        fingerprint(reference, models / "cache")
    fingerprint(parse_reference(f"org/name@{commit}", models), models / "cache")
