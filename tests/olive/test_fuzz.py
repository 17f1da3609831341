"""Broken configs: each is imported, or refused in words with exit code 2."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

import olive_fuzz

HERE = [folder for folder in olive_fuzz.EXAMPLES if folder.is_dir()]

CONFIGS: list[Mapping[str, Any]] = [
    {
        "input_model": {
            "type": "HfModel",
            "model_path": "Qwen/Qwen2.5-0.5B",
            "task": "text-generation",
        },
        "systems": {"box": {"type": "LocalSystem", "accelerators": [{"device": "cpu"}]}},
        "data_configs": [
            {
                "name": "rows",
                "type": "HuggingfaceContainer",
                "load_dataset_config": {"data_name": "json", "data_files": "rows.json"},
                "pre_process_data_config": {"text_template": "{a} {b}", "max_seq_len": 64},
            }
        ],
        "evaluators": {
            "all": {
                "metrics": [
                    {
                        "name": "speed",
                        "type": "latency",
                        "sub_types": [
                            {
                                "name": "avg",
                                "priority": 1,
                                "goal": {"type": "percent-min-improvement", "value": 10},
                            }
                        ],
                    }
                ]
            }
        },
        "passes": {
            "lora": {
                "type": "LoRA",
                "r": 8,
                "train_data_config": "rows",
                "training_args": {"max_steps": 3},
            },
            "builder": [{"type": "ModelBuilder", "precision": "int4"}, {"type": "ModelBuilder"}],
        },
        "search_strategy": {"execution_order": "joint", "sampler": "random", "max_samples": 3},
        "evaluator": "all",
        "target": "box",
    },
    {
        "input_model": {
            "type": "PyTorchModel",
            "config": {"hf_config": {"model_name": "bert-base", "task": "text-classification"}},
        },
        "passes": {
            "convert": {"type": "OnnxConversion", "config": {"target_opset": 17}},
            "quant": {"type": "OnnxDynamicQuantization", "config": {"weight_type": "QInt8"}},
        },
        "engine": {"execution_providers": ["CPUExecutionProvider"], "search_strategy": False},
    },
]


def test_a_broken_config_is_imported_or_refused_in_words(tmp_path: Path) -> None:
    rows = [{"a": f"What is {i}?", "b": f"It is {i}."} for i in range(40)]
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    fared, complaints = olive_fuzz.fuzz(CONFIGS, 100, 1, tmp_path)
    assert not complaints, complaints[0]
    assert fared["import-olive: taken"]
    assert fared["import-olive: refused"]
    assert fared["run: taken"]


def test_so_are_broken_recipes(tmp_path: Path) -> None:
    if not HERE:
        pytest.skip("the examples of recipes (../shared/data) are not here")
    _, complaints = olive_fuzz.fuzz(olive_fuzz.examples(HERE), 30, 2, tmp_path)
    assert not complaints, complaints[0]
