"""The jobs of the side-by-side: one Olive config each, and the command of each program for it.

Knows nothing of how they are run.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Json = dict[str, Any]

TEMPLATE = "### Text: {phrase}\n### The tone is:\n{tone}"
RANKS = (4, 16)
PRECISIONS = ("int4", "int8", "fp32")
LIMIT_MS = 400  # of the searched latency: slack enough for int4 and int8, none for fp32
IMPOSSIBLE_MS = 0.001

_NOT_SEARCHED = {
    "int4_block_size": 32,
    "int4_is_symmetric": True,
    "int4_algo_config": "default",
}
"""What Olive's search would vary besides, unless it is told."""


@dataclass(frozen=True)
class Job:
    """`config`: for Olive. `space`: for `tune`, where it is given none it gets the config too.

    `again`: run once more in the same folder, with everything of the first run in its cache.
    """

    name: str
    title: str
    config: Json
    space: str | None = None
    again: bool = False

    @property
    def model(self) -> str:
        """The folder of the model."""
        return str(self.config["input_model"]["model_path"])


def jobs(model: Path, data: Path) -> list[Job]:
    """The jobs on a model's folder and a file of rows with `phrase` and `tone`."""
    one = _pipeline(model, data)
    misspelt = json.loads(json.dumps(one))
    misspelt["passes"]["lora"]["lora_dropuot"] = misspelt["passes"]["lora"].pop("lora_dropout")
    return [
        Job("one", "LoRA, merge, int4", one, again=True),
        Job(
            "search",
            "a search over r and precision",
            _search(one, LIMIT_MS / 16),
            _space(model, data, LIMIT_MS),
        ),
        Job(
            "impossible",
            "the same, with a goal that nothing can meet",
            _search(one, IMPOSSIBLE_MS),
            _space(model, data, IMPOSSIBLE_MS),
        ),
        Job("misspelt", "a misspelt key: lora_dropuot", misspelt),
    ]


def _pipeline(model: Path, data: Path) -> Json:
    """In Olive's words of today; ten steps, so that what is around them shows."""
    return {
        "input_model": {
            "type": "HfModel",
            "model_path": str(model),
            "task": "text-generation",
        },
        "systems": {
            "local": {
                "type": "LocalSystem",
                "accelerators": [
                    {"device": "cpu", "execution_providers": ["CPUExecutionProvider"]}
                ],
            }
        },
        "data_configs": [
            {
                "name": "tones",
                "type": "HuggingfaceContainer",
                "load_dataset_config": {
                    "data_name": "json",
                    "data_files": str(data),
                    "split": "train",
                },
                "pre_process_data_config": {
                    "text_template": TEMPLATE,
                    "strategy": "line-by-line",
                    "max_seq_len": 64,
                },
            }
        ],
        "passes": {
            "lora": {
                "type": "LoRA",
                "r": 16,
                "alpha": 32,
                "lora_dropout": 0.0,
                "target_modules": ["q_proj", "v_proj"],
                "train_data_config": "tones",
                "training_args": {
                    "per_device_train_batch_size": 8,
                    "gradient_accumulation_steps": 1,
                    "gradient_checkpointing": False,
                    "max_steps": 10,
                    "learning_rate": 0.0005,
                    "seed": 0,
                    "logging_steps": 10,
                },
            },
            "merge": {"type": "MergeAdapterWeights"},
            "build": {"type": "ModelBuilder", "precision": "int4"},
        },
        "host": "local",
        "target": "local",
        "output_dir": "out",
        "cache_dir": "cache",
        "no_artifacts": True,
    }


def _search(one: Json, milliseconds: float) -> Json:
    """Olive's own search, as far as it can say this one: latency is of one step of generation.

    The type of the evaluator has to be named: without, olive-ai 0.13 fails before it begins.
    """
    config: Json = json.loads(json.dumps(one))
    model = config["input_model"]["model_path"]
    config["passes"]["lora"]["r"] = {
        "olive_parameter_type": "SearchParameter",
        "type": "Categorical",
        "support": list(RANKS),
    }
    config["passes"]["build"] = [
        {"type": "ModelBuilder", "precision": precision, **_NOT_SEARCHED}
        for precision in PRECISIONS
    ]
    config["data_configs"].append(
        {
            "name": "dummy",
            "type": "TransformersTokenDummyDataContainer",
            "load_dataset_config": {"model_name": model, "seq_len": 1, "past_seq_len": 64},
        }
    )
    goal = {"type": "threshold", "value": milliseconds}
    latency = {"name": "avg", "priority": 1, "goal": goal}
    metric = {
        "name": "latency",
        "type": "latency",
        "data_config": "dummy",
        "sub_types": [latency],
    }
    config["evaluators"] = {"timed": {"type": "OnnxEvaluator", "metrics": [metric]}}
    config["evaluator"] = "timed"
    config["evaluate_input_model"] = False
    config["search_strategy"] = {"execution_order": "joint", "sampler": "sequential"}
    return config


def _space(model: Path, data: Path, milliseconds: float) -> str:
    """The same search as a space; latency is of a whole request of 64 + 16 tokens."""
    return f"""\
model: {json.dumps(str(model))}
task: text-classification
data:
  files: {json.dumps(str(data))}
  template: {json.dumps(TEMPLATE)}
  label: tone
pipeline:
  - lora:
      r: {{choices: {list(RANKS)}}}
      target_modules: [q_proj, v_proj]
      learning_rate: 0.0005
      max_steps: 10
      max_length: 64
  - merge_adapter
  - genai_builder:
      precision: {{choices: [{", ".join(PRECISIONS)}]}}
metrics:
  latency: {{prompt_tokens: 64, new_tokens: 16}}
objectives: [minimize latency, maximize accuracy]
constraints: ["latency<{milliseconds}ms"]
search: {{strategy: auto, trials: {len(RANKS) * len(PRECISIONS)}}}
"""
