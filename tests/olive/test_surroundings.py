"""What a config says of its model, systems, search and engine, and what is told of the rest."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tuner.olive.draft import Draft, Kind
from tuner.olive.reading import read_config
from tuner.olive.surroundings import describe

Described = Callable[..., Draft]
BUILDER = {"builder": {"type": "ModelBuilder", "precision": "int4"}}


@pytest.fixture
def described(tmp_path: Path) -> Described:
    """The draft of a config that is given by its keys, with a model of a known name."""

    def make(instead: str | None = None, **keys: Any) -> Draft:
        model = {"type": "HfModel", "model_path": "Qwen/Qwen2.5-0.5B"}
        path = tmp_path / "config.json"
        path.write_text(json.dumps({"input_model": model, "passes": BUILDER} | keys))
        draft = Draft(read_config(path))
        describe(draft, instead)
        return draft

    return make


def kinds(draft: Draft) -> dict[str, Kind]:
    return {one.where: one.kind for one in draft.omissions}


def model(**keys: Any) -> dict[str, Any]:
    return {"type": "HfModel", "model_path": "Qwen/Qwen2.5-0.5B"} | keys


def test_a_hub_id_is_a_reference_and_its_revision_belongs_to_it(described: Described) -> None:
    told = model(load_kwargs={"revision": "abc", "attn_implementation": "eager"})
    draft = described(input_model=told)
    assert draft.model == "Qwen/Qwen2.5-0.5B@abc"
    assert kinds(draft) == {"input_model.load_kwargs.attn_implementation": Kind.ASIDE}


def test_a_folder_beside_the_config_is_marked_as_one(described: Described, tmp_path: Path) -> None:
    (tmp_path / "models" / "mine").mkdir(parents=True)
    (tmp_path / "models" / "mine" / "config.json").write_text(
        json.dumps({"model_type": "bert", "architectures": ["BertModel"]})
    )
    draft = described(input_model=model(model_path="models/mine"))
    assert draft.model == "./models/mine"
    assert draft.model_kind == "encoder"
    assert described(input_model=model(model_path="a/b/c")).model == "./a/b/c"
    assert described(input_model=model(model_path="https://huggingface.co/a/b")).model == "a/b"


def test_another_model_is_used_and_tells_its_own_kind(described: Described, tmp_path: Path) -> None:
    folder = tmp_path / "encoder"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "bert"}))
    draft = described(str(folder))
    assert draft.model == str(folder)
    assert (draft.model_kind, draft.task) == ("encoder", "text-classification")


@pytest.mark.parametrize(
    ("told", "kind", "task"),
    [
        (model(), "causal", "text-generation"),
        (model(task="text-classification"), "causal", "text-generation"),
        (model(model_path="google-bert/bert-base-cased"), "encoder", "text-classification"),
        (model(model_path="who/knows"), "causal", "text-generation"),  # its passes tell
    ],
)
def test_the_kind_is_told_by_name_task_or_passes(
    described: Described, told: dict[str, Any], kind: str, task: str
) -> None:
    draft = described(input_model=told)
    assert (draft.model_kind, draft.task) == (kind, task)


def test_a_task_tells_the_kind_where_nothing_else_does(described: Described) -> None:
    passes = {"convert": {"type": "OnnxConversion"}}
    told = model(model_path="who/knows", task="fill-mask")
    draft = described(input_model=told, passes=passes)
    assert draft.model_kind == "encoder"
    assert kinds(draft)["input_model.task"] is Kind.OMITTED
    assert described(input_model=model(model_path="who/knows"), passes=passes).model_kind is None


@pytest.mark.parametrize(
    ("told", "kind", "where"),
    [
        (model(task="image-classification"), Kind.CANNOT, "input_model.task"),
        (model(task="summarization"), Kind.CANNOT, "input_model.task"),
        (model(model_path="openai/whisper-tiny"), Kind.CANNOT, "input_model.model_path"),
        (model(type="DiffusersModel"), Kind.CANNOT, "input_model.type"),
        (model(type="OpenVINOModel"), Kind.ELSEWHERE, "input_model.type"),
        (model(type="ONNXModel", model_path="cpu/vision_encoder/model.onnx"), Kind.CANNOT, None),
        (
            {"type": "PyTorchModel", "model_path": "a/b", "model_loader": "load"},
            Kind.CANNOT,
            "input_model.model_loader",
        ),
    ],
)
def test_models_that_nothing_takes_are_told_by_name(
    described: Described, told: dict[str, Any], kind: Kind, where: str | None
) -> None:
    found = kinds(described(input_model=told))
    assert found[where or "input_model.model_path"] is kind


def test_a_model_of_a_registry_is_named_and_can_be_given(described: Described) -> None:
    place = {"type": "azureml_registry_model", "registry_name": "r", "name": "mine", "version": 1}
    draft = described(input_model=model(model_path=place))
    assert draft.model == "./mine"
    assert draft.omissions[0].kind is Kind.OMITTED
    assert "--model" in draft.omissions[0].reason
    local = {"type": "folder", "config": {"path": "a/b/c"}}
    assert described(input_model=model(model_path=local)).model == "./a/b/c"


def test_code_precision_and_fixed_shapes_of_a_model_are_left_out_by_name(
    described: Described,
) -> None:
    told = model(
        load_kwargs={"trust_remote_code": True, "torch_dtype": "float16"},
        io_config={"input_names": ["x"], "input_shapes": [[1, 128]]},
        dummy_inputs_func="f",
    )
    assert kinds(described(input_model=told)) == {
        "input_model.load_kwargs.trust_remote_code": Kind.ASIDE,
        "input_model.load_kwargs.torch_dtype": Kind.OMITTED,
        "input_model.io_config": Kind.OMITTED,
        "input_model.dummy_inputs_func": Kind.ASIDE,
    }


def test_code_of_a_models_own_is_missed_where_transformers_may_not_have_it(
    described: Described,
) -> None:
    told = model(model_path="someone/other", load_kwargs={"trust_remote_code": True})
    assert kinds(described(input_model=told)) == {
        "input_model.load_kwargs.trust_remote_code": Kind.OMITTED
    }


def systems(type_: str = "LocalSystem", **keys: Any) -> dict[str, Any]:
    return {"target": "box", "systems": {"box": {"type": type_} | keys}}


@pytest.mark.parametrize(
    ("keys", "provider"),
    [
        ({}, "CPUExecutionProvider"),
        (systems(accelerators=["gpu"]), "CUDAExecutionProvider"),
        (
            systems(accelerators=[{"execution_providers": ["WebGpuExecutionProvider"]}]),
            "WebGpuExecutionProvider",
        ),
        ({"engine": {"execution_providers": ["DmlExecutionProvider"]}}, "DmlExecutionProvider"),
    ],
)
def test_the_provider_is_the_targets_or_the_engines(
    described: Described, keys: dict[str, Any], provider: str
) -> None:
    assert described(**keys).provider == provider


def test_a_vendors_provider_is_left_out_for_the_cpu(described: Described) -> None:
    accelerator = {"device": "npu", "execution_providers": ["QNNExecutionProvider"]}
    draft = described(**systems(accelerators=[accelerator]))
    assert draft.provider == "CPUExecutionProvider"
    assert "Qualcomm" in draft.omissions[0].reason


@pytest.mark.parametrize(
    ("type_", "kind"),
    [("AzureML", Kind.OMITTED), ("Docker", Kind.OMITTED), ("PythonEnvironment", Kind.ASIDE)],
)
def test_other_machines_are_left_out_and_unused_systems_aside(
    described: Described, type_: str, kind: Kind
) -> None:
    assert kinds(described(**systems(type_)))["systems.box"] is kind
    assert kinds(described(systems={"box": {"type": type_}}))["systems.box"] is Kind.ASIDE


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (False, {}),
        (True, {"strategy": "grid"}),
        (
            {"execution_order": "joint", "sampler": "tpe", "max_samples": 5, "seed": 3},
            {"strategy": "tpe", "trials": 5, "seed": 3},
        ),
        (
            {"sampler": "random", "sampler_config": {"max_samples": 9}, "max_iter": 4},
            {"strategy": "random", "trials": 4},
        ),
        (
            {"search_algorithm": "exhaustive", "max_time": 600, "max_samples": 0},
            {"strategy": "grid", "max_time": "600s"},
        ),
    ],
)
def test_a_search_keeps_its_values(
    described: Described, told: Any, expected: dict[str, Any]
) -> None:
    assert described(search_strategy=told).search == expected


def test_what_a_search_does_otherwise_is_told(described: Described) -> None:
    told = {
        "execution_order": "pass-by-pass",
        "sampler": "tpe",
        "stop_when_goals_met": True,
        "output_model_num": 2,
    }
    assert kinds(described(search_strategy=told)) == {
        "search_strategy.execution_order": Kind.OMITTED,
        "search_strategy.stop_when_goals_met": Kind.OMITTED,
        "search_strategy.output_model_num": Kind.ASIDE,
    }


def test_every_key_of_the_engine_is_answered_for(described: Described) -> None:
    told = {
        "output_dir": "out",
        "cache_dir": "cache",
        "clean_cache": True,
        "log_severity_level": 0,
        "evaluate_input_model": False,
        "packaging_config": {"type": "Zipfile"},
        "azureml_client": {"workspace_name": "w"},
        "passes": {"builder": {"type": "ModelBuilder", "host": {"type": "LocalSystem"}}},
    }
    found = kinds(described(**told))
    asked = {*told} - {"passes"} | {"passes.builder.host"}
    assert asked <= found.keys()
    assert found["packaging_config"] is Kind.OMITTED
    assert found["output_dir"] is Kind.ASIDE


def test_several_pipelines_in_one_config_cannot_be_one_space(described: Described) -> None:
    assert kinds(described(pass_flows=[["builder"]]))["pass_flows"] is Kind.ASIDE
    found = described(pass_flows=[["builder"], []])
    assert kinds(found)["pass_flows"] is Kind.CANNOT
