"""What a config says of systems, of the search, and of Olive's engine.

Everything runs on this machine. Knows nothing of models, data or passes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tuner.olive.config import OliveSystem, Setting
from tuner.olive.draft import Draft, Kind

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"

HERE = frozenset(
    {
        CPU,
        CUDA,
        "DmlExecutionProvider",
        "WebGpuExecutionProvider",
        "NvTensorRTRTXExecutionProvider",
        "OpenVINOExecutionProvider",
    }
)
"""Execution providers that a model can be built for here, whether or not the machine has them."""

_VENDORS = {
    "QNNExecutionProvider": "Qualcomm's NPU and its runtime",
    "VitisAIExecutionProvider": "AMD's NPU and its runtime",
    "MIGraphXExecutionProvider": "AMD's GPU and its runtime",
    "ROCMExecutionProvider": "AMD's GPU and its runtime",
    "TensorrtExecutionProvider": "NVIDIA's TensorRT",
    "CoreMLExecutionProvider": "Apple's hardware",
}
_STRATEGIES = {"tpe": "tpe", "random": "random", "sequential": "grid", "exhaustive": "grid"}


def describe_engine(draft: Draft) -> None:
    """Fill in the provider and the search, and note every other key."""
    _systems(draft)
    _search(draft)
    for key, setting in draft.config.engine.items():
        _engine_key(draft, key, setting)


# Systems


def _systems(draft: Draft) -> None:
    config = draft.config
    named = {s.value: s for s in (config.host, config.target) if s is not None}
    for name, system in config.systems.items():
        used = named.get(name)
        if used is None:
            place = Setting(name, system.where, system.line)
            reason = "neither host nor target names it"
            draft.omit(place, Kind.ASIDE, reason, "systems that are not used")
        else:
            _system(draft, system)
    draft.provider = _provider(draft)


def _system(draft: Draft, system: OliveSystem) -> None:
    place = Setting(system.type, system.where, system.line)
    match system.type:
        case "AzureML":
            reason = "it runs on this machine, not in Azure ML"
            draft.omit(place, Kind.OMITTED, reason, "Azure ML computes")
        case "Docker":
            reason = "it runs on this machine, not in a container"
            draft.omit(place, Kind.OMITTED, reason, "containers")
        case "PythonEnvironment" | "IsolatedORT":
            reason = "every stage runs in a process of its own, in this Python environment"
            draft.omit(place, Kind.ASIDE, reason, "Python environments")
    if system.type == "LocalSystem":
        reason = "it says nothing that changes the model"
        draft.omit_all(system.settings, Kind.ASIDE, reason, "settings of systems")


def _provider(draft: Draft) -> str:
    """The execution provider that the config is for; noted where nothing here builds for it."""
    place, wanted = _wanted(draft)
    if wanted in HERE:
        return wanted
    if place is not None:
        needs = _VENDORS.get(wanted, "a runtime that is not here")
        reason = f"the result runs on the CPU here; {_bare(wanted)} needs {needs}"
        draft.omit(place, Kind.OMITTED, reason, "execution providers of other vendors")
    return CPU


def _bare(provider: str) -> str:
    return provider.removesuffix("ExecutionProvider")


def _wanted(draft: Draft) -> tuple[Setting | None, str]:
    """The provider, and what names it: the target's, else the engine's, else by the device."""
    config = draft.config
    target = config.systems.get("" if config.target is None else str(config.target.value))
    if target is not None and target.providers:
        _others(draft, Setting(list(target.providers), target.where, target.line))
        return Setting(target.providers[0], target.where, target.line), target.providers[0]
    told = config.engine.get("execution_providers")
    if told is not None and isinstance(told.value, list) and told.value:
        _others(draft, told)
        first = told.value[0]
        name = str(first[0] if isinstance(first, list) and first else first)
        return Setting(name, told.where, told.line), name
    if target is not None and target.device == "gpu":
        return Setting("gpu", target.where, target.line), CUDA
    return None, CPU


def _others(draft: Draft, providers: Setting) -> None:
    for other in providers.value[1:]:
        reason = "a model is built for one execution provider, the first"
        found = Setting(other, providers.where, providers.line)
        draft.omit(found, Kind.OMITTED, reason, "several execution providers")


# Search


def _search(draft: Draft) -> None:
    """`search:` of the space: each key with its exact value. Without sampler Olive lists all."""
    search = draft.config.search
    if search is None:
        return
    told = search.settings
    sampler = told.get("sampler") or told.get("search_algorithm")
    name = "sequential" if sampler is None else str(sampler.value)
    draft.search["strategy"] = _STRATEGIES.get(name, "grid")
    bounds = [told[key].value for key in ("max_samples", "num_samples", "max_iter") if key in told]
    positive = [bound for bound in bounds if bound > 0]
    if positive:
        draft.search["trials"] = min(positive)
    if "max_time" in told:
        draft.search["max_time"] = f"{told['max_time'].value:g}s"
    if "seed" in told:
        draft.search["seed"] = told["seed"].value
    _search_rest(draft, told)


def _search_rest(draft: Draft, told: Mapping[str, Setting]) -> None:
    for key, setting in told.items():
        if key == "execution_order" and setting.value == "pass-by-pass":
            reason = "all passes are searched together; no pass is settled before the next"
            draft.omit(setting, Kind.OMITTED, reason, "pass-by-pass search")
        elif key == "stop_when_goals_met" and setting.value:
            reason = "a search goes on to its bound, for something better than good enough"
            draft.omit(setting, Kind.OMITTED, reason, "stopping at the first that is good enough")
        elif key in ("group", "multivariate"):
            reason = "how the sampler models parameters is the program's own"
            draft.omit(setting, Kind.OMITTED, reason, "options of a sampler")
        elif key in ("execution_order", "stop_when_goals_met", "include_pass_params"):
            draft.omit(setting, Kind.ASIDE, "it is so here", "options of the search")
        elif key == "output_model_num":
            reason = "all models of the Pareto front are listed; one is written out"
            draft.omit(setting, Kind.ASIDE, reason, "how many models are written")


# Engine


def _engine_key(draft: Draft, key: str, setting: Setting) -> None:
    last = key.rpartition(".")[2]
    if last in _ANSWERED:
        return
    if key.startswith("passes."):
        _run_key(draft, last, setting)
    elif key in ("pass_flows", "builds"):
        _flows(draft, key, setting)
    elif key in _OMITTED and setting.value not in (False, "", [], {}):
        draft.omit(setting, Kind.OMITTED, *_OMITTED[key])
    else:
        reason, group = _ASIDE.get(key, ("it changes nothing of the model", "engine settings"))
        draft.omit(setting, Kind.ASIDE, reason, group)


def _run_key(draft: Draft, key: str, setting: Setting) -> None:
    """What stands beside a pass's parameters."""
    if key == "evaluator":
        reason = "the models at the end are measured, not those between passes"
        draft.omit(setting, Kind.OMITTED, reason, "evaluators of single passes")
    elif key == "host":
        draft.omit(setting, Kind.ASIDE, "it runs on this machine", "hosts of single passes")
    elif key == "disable_search":
        reason = "what is given is fixed, and what is not has its default"
        draft.omit(setting, Kind.ASIDE, reason, "options of the search")
    else:
        draft.omit(setting, Kind.ASIDE, *_FILES)


def _flows(draft: Draft, key: str, setting: Setting) -> None:
    """Several pipelines in one config."""
    value: Any = setting.value
    names = [one.name for several in draft.config.passes for one in several]
    if key == "pass_flows" and value == [names]:
        draft.omit(setting, Kind.ASIDE, "it is the order of the passes", "order of passes")
        return
    reason = "a space has one pipeline; write a config for each"
    draft.omit(setting, Kind.CANNOT, reason, "several pipelines in one config")


_ANSWERED = frozenset({"execution_providers", "$schema"})
_FILES = ("where results lie is the store's business; -o DIR is the answer", "files and caches")
_LOGS = ("a stage's log is in the study; the screen shows the progress", "logs")
_AZURE = ("it runs on this machine, not in Azure ML", "Azure ML accounts")
_ASIDE: Mapping[str, tuple[str, str]] = {
    key: told
    for keys, told in (
        (
            "cache_dir cache_config cloud_cache_config clean_cache clean_evaluation_cache "
            "enable_shared_cache output_dir output_name no_artifacts",
            _FILES,
        ),
        ("log_severity_level log_to_file ort_log_severity_level ort_py_log_severity_level", _LOGS),
        ("verbose", _LOGS),
        ("azureml_client azureml_client_config workflow_host", _AZURE),
        (
            "evaluate_input_model",
            ("the model as it came in is measured wherever something is measured", "baseline"),
        ),
        ("plot_pareto_frontier", ("the report shows the Pareto front", "reports")),
        ("workflow_id", ("the space's name is that of the file", "names")),
        ("max_concurrent_builds", ("--workers says it", "how many at once")),
    )
    for key in keys.split()
}
_OMITTED: Mapping[str, tuple[str, str]] = {
    "packaging_config": ("tune package DIR packs the result", "packages"),
    "evaluation_only": ("tune evaluate DIR measures a model as it is", "measuring alone"),
    "auto_optimizer_config": (
        "the passes that are written run; where the tool is to choose: tune optimize",
        "passes of Olive's choice",
    ),
    "data_root": ("files are looked for beside the config; --data FILE gives them", "data roots"),
}
