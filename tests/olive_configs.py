"""Olive configs for tests, of both generations, written on the spot."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tuner.olive import data, surroundings
from tuner.olive.draft import Draft, Kind
from tuner.olive.reading import read_config

TONES = "### Text: {phrase}\n### The tone is:\n{tone}"


def written(folder: Path, config: Any, name: str = "config.json") -> Path:
    """A config as a file."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(config, indent=2), encoding="utf-8")
    return path


def of_2024(model: str = "org/model", **passes: Any) -> dict[str, Any]:
    """A config as the Phi-3 recipes of 2024 had them: LoRA, merging, int4."""
    training = {"learning_rate": 0.0001, "max_steps": 10, "per_device_train_batch_size": 1}
    lora = {
        "target_modules": ["o_proj", "qkv_proj"],
        "lora_r": 64,
        "lora_alpha": 64,
        "lora_dropout": 0.1,
        "train_data_config": "rows",
        "eval_dataset_size": 0.3,
        "training_args": training,
    }
    pre = {"text_cols": ["phrase", "tone"], "text_template": TONES, "source_max_len": 2048}
    return {
        "input_model": {
            "type": "PyTorchModel",
            "config": {"hf_config": {"model_name": model, "task": "text-generation"}},
        },
        "data_configs": [
            {
                "name": "rows",
                "type": "HuggingfaceContainer",
                "load_dataset_config": {
                    "params": {"data_name": "json", "data_files": "rows.json", "split": "train"}
                },
                "pre_process_data_config": {
                    "params": {"dataset_type": "corpus", "corpus_strategy": "join", **pre}
                },
            }
        ],
        "passes": passes
        or {
            "lora": {"type": "LoRA", "config": lora},
            "merge": {"type": "MergeAdapterWeights"},
            "builder": {"type": "ModelBuilder", "config": {"precision": "int4"}},
        },
        "engine": {"search_strategy": False, "cache_dir": "cache"},
    }


def of_today(
    passes: Any = None, *, model: Any = "org/Qwen2.5-0.5B", task: str | None = None, **more: Any
) -> dict[str, Any]:
    """A config of today's schema; by default it builds a language model in int4."""
    input_model = {"type": "HfModel", "model_path": model}
    if task is not None:
        input_model["task"] = task
    return {
        "input_model": input_model,
        "passes": passes or {"b": {"type": "ModelBuilder", "precision": "int4"}},
        **more,
    }


def rows_config(load: Any, pre: Any = None, name: str = "rows", **more: Any) -> dict[str, Any]:
    """An entry of `data_configs`."""
    found = {"name": name, "type": "HuggingfaceContainer", "load_dataset_config": load, **more}
    return found if pre is None else {**found, "pre_process_data_config": pre}


def surrounded(path: Path) -> Draft:
    """The draft of a config before its data and passes are looked at."""
    draft = Draft(read_config(path))
    surroundings.describe(draft)
    return draft


def with_data(path: Path) -> Draft:
    """The draft with its data, before its passes are looked at."""
    draft = surrounded(path)
    data.describe(draft)
    return draft


def told(draft: Draft, kind: Kind) -> dict[str, str]:
    """Key -> reason of what is left out in that way."""
    return {o.where: o.reason for o in draft.omissions if o.kind is kind}
