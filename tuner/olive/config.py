"""An Olive config as plain data, the same for both generations of its schema.

`reading` makes it from JSON; the rest of this package translates it. Nested `config` objects are
dissolved, types keep the spelling of the file, and every value knows where it stood, so that what
is said about it names the key as its author wrote it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Setting:
    """A value of the file. `where`: its dotted path there, such as "passes.lora.config.lora_r"."""

    value: Any
    where: str
    line: int


Settings = Mapping[str, Setting]
"""Key -> its value; objects inside a value, such as training_args, stay plain dicts."""


@dataclass(frozen=True, slots=True)
class OliveModel:
    """`input_model`. `path`: a hub id or a folder; None where another place is named (`settings`).

    `type`: such as "HfModel", "PyTorchModel", "ONNXModel". `settings`: all other keys, those of
    `hf_config` among them.
    """

    type: Setting
    path: Setting | None
    task: Setting | None
    settings: Settings


@dataclass(frozen=True, slots=True)
class OliveData:
    """An entry of `data_configs`: what is loaded, and what is done with it, in four parts."""

    name: str
    where: str
    line: int
    type: Setting | None
    load: Settings
    pre_process: Settings
    post_process: Settings
    dataloader: Settings
    settings: Settings
    """What stands beside these parts, such as `user_script`."""


@dataclass(frozen=True, slots=True)
class OliveSystem:
    """An entry of `systems`. `device`: "cpu", "gpu", "npu"; `providers` of all accelerators."""

    name: str
    where: str
    line: int
    type: str
    device: str | None
    providers: tuple[str, ...]
    settings: Settings


@dataclass(frozen=True, slots=True)
class OliveMetric:
    """A sub-type of a metric of an evaluator: what is measured, and what is asked of it.

    `type`: "accuracy", "latency", ...; `sub_type`: "accuracy_score", "avg", "p90", ...;
    `priority`: 1 is what matters most, None where it is only reported. `goal`: Olive's type and
    number, such as ("max-degradation", 0.01). `settings`: what else stands there.
    """

    evaluator: str
    name: str
    type: str
    sub_type: str
    where: str
    line: int
    priority: int | None
    higher_is_better: bool | None
    goal: tuple[str, float] | None
    data: str | None
    settings: Settings


@dataclass(frozen=True, slots=True)
class OlivePass:
    """A pass. `name`: its key in `passes`; `type`: as the file spells it; `settings`: its own."""

    name: str
    type: str
    where: str
    line: int
    settings: Settings


@dataclass(frozen=True, slots=True)
class OliveSearch:
    """`search_strategy`, where it is a search: its keys, such as sampler, max_samples, seed."""

    where: str
    line: int
    settings: Settings


@dataclass(frozen=True, slots=True)
class OliveConfig:
    """A whole config. `passes`: in order; each is a list of alternatives, mostly of one.

    `host`, `target`: the names of systems; `evaluator`: of what measures the result. `engine`:
    everything that belongs to none of the other parts (cache_dir, output_dir, azureml_client ...).
    """

    path: Path
    generation: Literal["2024", "today"]
    model: OliveModel
    passes: tuple[tuple[OlivePass, ...], ...]
    data: Mapping[str, OliveData] = field(default_factory=dict)
    systems: Mapping[str, OliveSystem] = field(default_factory=dict)
    host: Setting | None = None
    target: Setting | None = None
    evaluators: Mapping[str, tuple[OliveMetric, ...]] = field(default_factory=dict)
    evaluator: Setting | None = None
    search: OliveSearch | None = None
    engine: Settings = field(default_factory=dict)
