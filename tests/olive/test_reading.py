"""An Olive config's file as plain data, and everything that is told of a wrong one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from search_spaces.problems import SpaceError
from tuner.olive.config import OliveConfig
from tuner.olive.reading import read_config

TODAY: dict[str, Any] = {
    "input_model": {
        "type": "HFModel",
        "model_path": "org/model",
        "task": "text-generation",
        "load_kwargs": {"torch_dtype": "float16"},
    },
    "systems": {
        "box": {
            "type": "LocalSystem",
            "accelerators": [{"device": "GPU", "execution_providers": ["CUDAExecutionProvider"]}],
        }
    },
    "data_configs": [
        {
            "name": "rows",
            "type": "HuggingfaceContainer",
            "load_dataset_config": {"data_name": "glue", "params": {"split": "train"}},
            "pre_process_data_config": {"max_samples": 8},
        }
    ],
    "evaluators": {
        "speed": {
            "metrics": [
                {
                    "name": "latency",
                    "type": "latency",
                    "data_config": "rows",
                    "sub_types": [
                        {
                            "name": "avg",
                            "priority": 1,
                            "goal": {"type": "percent-min-improvement", "value": 20},
                        },
                        {"name": "p90"},
                    ],
                    "user_config": {"io_bind": True},
                }
            ]
        },
        "harness": {"type": "LMEvaluator", "tasks": ["mmlu"], "limit": 4},
    },
    "passes": {
        "lora": {"type": "LoRA", "config": {"r": 8}, "train_data_config": "rows"},
        "quant": [
            {"type": "Gptq", "bits": 4, "host": "box"},
            {"type": "OnnxKQuantQuantization", "output_name": "b"},
        ],
    },
    "target": "box",
    "evaluator": "speed",
    "search_strategy": {"execution_order": "joint", "sampler": "tpe", "max_samples": 3, "seed": 7},
    "output_dir": "out",
    "log_severity_level": 0,
}

OF_2024: dict[str, Any] = {
    "azureml_client": {"workspace_name": "w"},
    "input_model": {
        "type": "PyTorchModel",
        "config": {
            "hf_config": {
                "model_name": "org/model",
                "task": "text-generation",
                "from_pretrained_args": {"trust_remote_code": True},
            }
        },
    },
    "systems": {"aml": {"type": "AzureML", "config": {"accelerators": ["gpu"], "hf_token": True}}},
    "data_configs": {
        "rows": {
            "load_dataset_config": {
                "params": {
                    "data_name": "json",
                    "data_files": {"type": "azureml_datastore", "config": {"relative_path": "x"}},
                }
            }
        }
    },
    "passes": {"lora": {"type": "LoRA", "config": {"lora_r": 64}}},
    "engine": {
        "host": "aml",
        "target": {"type": "LocalSystem", "config": {"accelerators": [{"device": "cpu"}]}},
        "search_strategy": False,
        "execution_providers": ["CUDAExecutionProvider"],
        "cache_dir": "cache",
    },
}


def read(folder: Path, config: Any, name: str = "config.json") -> OliveConfig:
    path = folder / name
    path.write_text(config if isinstance(config, str) else json.dumps(config, indent=2))
    return read_config(path)


def problems(folder: Path, config: Any, name: str = "config.json") -> list[str]:
    with pytest.raises(SpaceError) as error:
        read(folder, config, name)
    return [str(problem) for problem in error.value.problems]


def changed(config: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A copy with the value at a dotted path replaced, or removed where it is None."""
    copy: dict[str, Any] = json.loads(json.dumps(config))
    *outer, last = path.split(".")
    place: Any = copy
    for key in outer:
        place = place[int(key)] if isinstance(place, list) else place[key]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return copy


def test_a_config_of_today_is_read_with_paths_and_lines(tmp_path: Path) -> None:
    found = read(tmp_path, TODAY)
    assert found.generation == "today"
    assert found.model.type.value == "HfModel"
    assert found.model.path is not None
    assert (found.model.path.value, found.model.path.where) == (
        "org/model",
        "input_model.model_path",
    )
    assert found.model.path.line == 4
    assert found.systems["box"].device == "gpu"
    assert found.systems["box"].providers == ("CUDAExecutionProvider",)
    assert (
        found.data["rows"].load["split"].where == "data_configs[0].load_dataset_config.params.split"
    )
    assert found.data["rows"].pre_process["max_samples"].value == 8
    lora, quant = found.passes
    assert lora[0].settings["r"].where == "passes.lora.config.r"
    assert lora[0].settings["train_data_config"].where == "passes.lora.train_data_config"
    assert [one.type for one in quant] == ["Gptq", "OnnxKQuantQuantization"]
    assert quant[1].where == "passes.quant[1]"
    assert found.search is not None
    assert {k: s.value for k, s in found.search.settings.items()} == {
        "execution_order": "joint",
        "sampler": "tpe",
        "max_samples": 3,
        "seed": 7,
    }


def test_what_says_how_a_pass_is_run_is_none_of_its_parameters(tmp_path: Path) -> None:
    found = read(tmp_path, TODAY)
    assert set(found.passes[1][0].settings) == {"bits"}
    assert found.engine["passes.quant[0].host"].value == "box"
    assert found.engine["passes.quant[1].output_name"].value == "b"
    assert found.engine["output_dir"].value == "out"


def test_metrics_have_their_goals_and_an_evaluator_with_a_type_is_one_metric(
    tmp_path: Path,
) -> None:
    found = read(tmp_path, TODAY)
    mean, tail = found.evaluators["speed"]
    assert (mean.type, mean.sub_type, mean.priority, mean.data) == ("latency", "avg", 1, "rows")
    assert mean.goal == ("percent-min-improvement", 20.0)
    assert mean.settings["io_bind"].value is True
    assert (tail.sub_type, tail.priority, tail.goal) == ("p90", None, None)
    (harness,) = found.evaluators["harness"]
    assert harness.type == "LMEvaluator"
    assert harness.settings["tasks"].value == ["mmlu"]


def test_a_config_of_2024_is_read_as_the_same_data(tmp_path: Path) -> None:
    found = read(tmp_path, OF_2024)
    assert found.generation == "2024"
    assert found.model.path is not None
    assert found.model.path.where == "input_model.config.hf_config.model_name"
    assert found.model.settings["from_pretrained_args"].value == {"trust_remote_code": True}
    assert found.systems["aml"].device == "gpu"
    assert found.target is not None
    assert found.systems[found.target.value].device == "cpu"
    assert found.data["rows"].load["data_files"].value["type"] == "azureml_datastore"
    assert found.passes[0][0].settings["lora_r"].where == "passes.lora.config.lora_r"
    assert found.engine["cache_dir"].where == "engine.cache_dir"
    assert found.search is None


def test_yaml_is_read_like_json(tmp_path: Path) -> None:
    text = "input_model: {type: hfmodel, model_path: m}\npasses:\n  q: {type: Gptq,\n   bits: 4}\n"
    found = read(tmp_path, text, "config.yaml")
    assert found.passes[0][0].settings["bits"].line == 4


def test_a_search_by_default_is_a_search(tmp_path: Path) -> None:
    found = read(tmp_path, changed(TODAY, "search_strategy", True))
    assert found.search is not None
    assert not found.search.settings


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("passes", None, "passes is missing"),
        ("input_model", None, "input_model is missing"),
        ("input_model", [], "input_model: found a list, expected a mapping"),
        ("input_model.type", None, "input_model.type is missing"),
        ("input_model.type", "HfModle", "did you mean 'HfModel'?"),
        ("input_model.model_path", None, "input_model.model_path is missing"),
        ("input_model.model_path", 3, "input_model.model_path: found the number 3"),
        ("input_model.task", "", "input_model.task: found an empty text"),
        (
            "input_model.lod_kwargs",
            {},
            "a model has no key 'lod_kwargs'; did you mean 'load_kwargs'?",
        ),
        ("pases", {}, "an Olive config has no key 'pases'; did you mean 'passes'?"),
        ("systems.box.type", "LocalSytem", "did you mean 'LocalSystem'?"),
        ("systems.box.acelerators", [], "did you mean 'accelerators'?"),
        ("systems.box.accelerators", ["gpuu"], "unknown device 'gpuu'; did you mean 'gpu'?"),
        (
            "systems.box.accelerators.0.execution_providers",
            ["CUDAExecutionProvder"],
            "did you mean 'CUDAExecutionProvider'?",
        ),
        ("data_configs.0.name", None, "data_configs[0].name is missing"),
        ("data_configs.0.pre_proces_data_config", {}, "did you mean 'pre_process_data_config'?"),
        ("data_configs", 3, "data_configs: found the number 3, expected a list"),
        ("evaluators.speed.metrics.0.type", "latencyy", "did you mean 'latency'?"),
        ("evaluators.speed.metrics.0.sub_types", [], "expected a list of sub-types"),
        ("evaluators.speed.metrics.0.sub_types.0.name", "p42", "unknown name 'p42'"),
        ("evaluators.speed.metrics.0.sub_types.0.goal.value", None, "goal.value is missing"),
        ("evaluators.speed.metrics.0.sub_types.0.goal.value", "20", "expected a number"),
        ("evaluators.speed.metrics.0.sub_types.0.goal.value", -1, "that is not negative"),
        ("evaluators.speed.metrics.0.data_config", "row", "did you mean 'rows'?"),
        ("evaluators.harness.tasks", None, "evaluators.harness.tasks is missing"),
        ("passes.lora.train_data_config", "row", "there is no data config 'row'"),
        ("passes.lora.type", None, "passes.lora.type is missing"),
        ("passes.lora", "LoRA", "passes.lora: found the text 'LoRA', expected a mapping"),
        ("target", "bo", "there is no system 'bo'; did you mean 'box'?"),
        ("evaluator", "fast", "there is no evaluator 'fast'; evaluators has speed and harness"),
        ("search_strategy.sampler", "tpee", "did you mean 'tpe'?"),
        ("search_strategy.max_samples", True, "expected a whole number"),
        ("search_strategy", "yes", "search_strategy: found the text 'yes', expected a mapping"),
    ],
)
def test_what_is_wrong_is_told_with_its_key_and_the_nearest(
    tmp_path: Path, path: str, value: Any, expected: str
) -> None:
    found = problems(tmp_path, changed(TODAY, path, value))
    assert any(expected in one for one in found), found
    assert all(one.startswith(f"{tmp_path}/config.json:") for one in found)


def test_everything_wrong_is_told_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    config = changed(changed(TODAY, "input_model.type", 3), "target", "none")
    found = problems(tmp_path, changed(config, "systems.box.type", None))
    assert len(found) == 3
    lines = [int(one.split(":")[1]) for one in found]
    assert lines == sorted(lines)


def test_a_value_that_stands_inside_and_beside_config_is_refused(tmp_path: Path) -> None:
    found = problems(tmp_path, changed(TODAY, "passes.lora.r", 4))
    assert "passes.lora.config.r stands beside passes.lora.r" in found[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "an empty file"),
        ("\n \n", "an empty file"),
        ("[]", "found a list, expected an Olive config"),
        ("3", "found the number 3"),
        ('{"a": 1,}', ":1: not JSON: a comma too many"),
        ('{"a": 1\n"b": 2}', ":2: not JSON: a missing comma"),
        ('{"a": [1, 2}', "a missing comma before '}'"),
        ('{\n"a": 1', ":1: not JSON: no '}' closes"),
        ('{"a": 1} x', "after the end stands 'x'"),
        ("{a: 1}", "expected a key in quotes"),
        ("{'a': 1}", "expected a key in quotes"),
        ('{"a" 1}', "no colon after the key 'a'"),
        ('{"a": True}', "did you mean true?"),
        ('{"a": NaN}', "found 'NaN', expected a number"),
        ('{"a": 1e999}', "the number 1e999 is too large"),
        ('{"a": %s}' % ("9" * 400), "is too large"),
        ('{"a": 01}', "found '01'"),
        ('{"a": "x', "a quote that is not closed"),
        ('{"a": "x\ny"}', "a line break or tab inside a text"),
        ('{"a": "\\x"}', "a backslash escape"),
        ('{"a": "\\ud800"}', "a control character"),
        ('{"a": "\\u0000"}', "a control character"),
        ('{"a": 1 // one\n}', "a comment"),
        ('{"a": 1, "a": 2}', "the key 'a' comes twice"),
        ("[" * 1000, "nested more than"),
        ("{" + ", ".join(f'"k{i}": 0' for i in range(30_000)) + "}", "more than 20000 values"),
    ],
)
def test_what_is_no_json_is_told_in_words(tmp_path: Path, text: str, expected: str) -> None:
    found = problems(tmp_path, text)
    assert expected in found[0], found[:2]


def test_a_file_that_is_no_text_a_folder_and_none_are_told(tmp_path: Path) -> None:
    path = tmp_path / "latin.json"
    path.write_bytes(b'{"a":\n"\xe9"}')
    (tmp_path / "olive.json").mkdir()
    for name, expected in (
        ("latin.json", ":2: not UTF-8 text"),
        ("olive.json", "is a folder"),
        ("latn.json", "did you mean 'latin.json'?"),
        ("a\0b.json", "cannot be read"),
    ):
        with pytest.raises(SpaceError) as error:
            read_config(tmp_path / name)
        assert expected in str(error.value)


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(TODAY), encoding="utf-8-sig")
    assert read_config(path).model.type.value == "HfModel"
