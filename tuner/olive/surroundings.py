"""What a config says around its passes: where its model comes from, and what it is for.

Systems, search and engine are `surroundings_engine`. Reads the configuration in a local folder, and
fetches nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from search_spaces.kinds import CAUSAL, ENCODER, kind_of_folder
from search_spaces.paths import exists, is_folder, places_of
from tuner.models.architectures import sort_of
from tuner.olive.config import OliveModel, Setting
from tuner.olive.draft import Draft, Kind
from tuner.olive.surroundings_engine import describe_engine

NO_PICTURES = "no vision, speech or diffusion models"
USER_CODE = "user code builds the model"
VENDOR_MODELS = "models in a vendor's own format"
REMOTE_CODE = "code from a model's folder is never run here"

_TEXT_TASKS = ("text-generation", "text-classification")
_CAUSAL_TASKS = frozenset({"text-generation", "text-generation-with-past", "causal-lm"})
_ENCODER_TASKS = frozenset(
    {
        "default",
        "feature-extraction",
        "fill-mask",
        "question-answering",
        "sentence-similarity",
        "text-classification",
        "token-classification",
        "zero-shot-classification",
    }
)
_CAUSAL_PASSES = frozenset({"modelbuilder", "lora", "qlora", "loftq", "dora", "loha", "lokr"})
_VENDORS = {
    "OpenVINOModel": "OpenVINO's tools",
    "QNNModel": "Qualcomm's QNN tools",
    "QairtModel": "Qualcomm's QAIRT tools",
    "QairtPreparedModel": "Qualcomm's QAIRT tools",
    "SNPEModel": "Qualcomm's SNPE tools",
}
_NOT_TEXT = re.compile(
    r"image|speech|audio|vision|video|detection|segmentation|depth|mask-generation|voice|ocr"
)
_TWO_PARTS = re.compile(r"text2text|summari[sz]ation|translation|seq2seq")
_PART = re.compile(
    r"(vision|audio|speech|image)[_-]?(encoder|decoder|embedding)|embedding/|\bvae\b"
)
_HUB_PAGE = "https://huggingface.co/"
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*(@[\w./-]+)?")


def describe(draft: Draft, instead: str | None = None) -> None:
    """Fill in the model, its kind, the task, the provider and the search, and note the rest.

    `instead`: a model in place of the config's own, a reference from the current folder.
    """
    _describe_model(draft, draft.config.model, instead)
    describe_engine(draft)


def _describe_model(draft: Draft, model: OliveModel, instead: str | None) -> None:
    own = "" if model.path is None else str(model.path.value)
    draft.model = _reference(draft, model) if instead is None else _from_here(instead)
    _refuse_type(draft, model)
    _refuse_sort(draft, model, own)
    draft.model_kind = _kind(draft, model, own if instead is None else draft.model or "")
    draft.task = _task(draft, model)
    for key, setting in model.settings.items():
        handler = _HANDLERS.get(key)
        if handler is not None:
            handler(draft, setting)
        elif key in _ASIDE:
            draft.omit(setting, Kind.ASIDE, *_ASIDE[key])
        elif key in _OMITTED:
            draft.omit(setting, Kind.OMITTED, *_OMITTED[key])


# Where it comes from


def _reference(draft: Draft, model: OliveModel) -> str | None:
    """The model as a space names it; None where the config names no place."""
    adapter = model.settings.get("adapter_path")
    if adapter is not None and isinstance(adapter.value, str):
        if model.path is not None:
            reason = "the adapter's own configuration names the model that it lies on"
            draft.omit(model.path, Kind.ASIDE, reason, "an adapter's model")
        return _place(draft, adapter.value)
    if model.path is None:
        return _elsewhere(draft, model.settings.get("model_path"))
    text = str(model.path.value)
    file = model.settings.get("onnx_file_name")
    if file is not None and isinstance(file.value, str):
        text = f"{text.rstrip('/')}/{file.value}"
    revision = _revision(model)
    return _place(draft, text) + (f"@{revision}" if revision and _HUB_ID.fullmatch(text) else "")


def _place(draft: Draft, text: str) -> str:
    """A hub id as it is; a folder with a mark that it is one."""
    text = text.removeprefix(_HUB_PAGE).rstrip("/") or text
    marked = text.startswith(("/", "~", "./", "../"))
    if marked or (_HUB_ID.fullmatch(text) and not exists(draft.config.path.parent / text)):
        return text
    return f"./{text}"


def _from_here(text: str) -> str:
    """A model that the command line names: a folder is one of the current folder's."""
    path = places_of(text, Path.cwd())[0]
    return str(path) if is_folder(path) else text


def _elsewhere(draft: Draft, place: Setting | None) -> str | None:
    """A model that an object places, such as one of a registry; a name that stands for it."""
    if place is None or not isinstance(place.value, Mapping):
        return None
    inner = place.value.get("config")
    told: dict[str, Any] = {**place.value, **(inner if isinstance(inner, Mapping) else {})}
    found = next((told[k] for k in ("path", "name", "relative_path") if told.get(k)), None)
    if str(told.get("type")) in ("file", "folder", "string_name") and isinstance(found, str):
        return _place(draft, found)
    named = f" as {found}" if isinstance(found, str) else ""
    reason = f"the model lies in Azure ML{named}, which is not reached; --model gives a copy of it"
    draft.omit(place, Kind.OMITTED, reason, "models in Azure ML")
    return f"./{found}" if isinstance(found, str) else None


def _revision(model: OliveModel) -> str | None:
    for key in _LOADING:
        told = model.settings.get(key)
        if told is not None and isinstance(told.value, Mapping):
            revision = told.value.get("revision")
            return revision if isinstance(revision, str) else None
    return None


# What it is


def _refuse_type(draft: Draft, model: OliveModel) -> None:
    """Models that nothing here takes, by their type, and those that a program builds."""
    type_ = model.type
    if type_.value in _VENDORS:
        reason = f"a model of this type needs {_VENDORS[type_.value]}"
        draft.omit(type_, Kind.ELSEWHERE, reason, VENDOR_MODELS)
    elif type_.value == "DiffusersModel":
        draft.omit(type_, Kind.CANNOT, "diffusion models are not taken", NO_PICTURES)
    elif type_.value.startswith("Composite"):
        reason = "a model of several parts is not taken; a config for each part would be"
        draft.omit(type_, Kind.CANNOT, reason, "models of several parts")
    elif type_.value.startswith("Distributed"):
        reason = "a model that is split over devices is not taken"
        draft.omit(type_, Kind.CANNOT, reason, "models of several parts")
    elif type_.value in ("TensorFlowModel", "OptimumModel"):
        reason = "models of transformers and of ONNX are taken, not of this type"
        draft.omit(type_, Kind.CANNOT, reason, "models of other frameworks")
    for key in ("model_loader", "model_script"):
        if key in model.settings:
            reason = "a program of the recipe's own builds the model; none is run here"
            draft.omit(model.settings[key], Kind.CANNOT, reason, USER_CODE)
            return
    if type_.value == "PyTorchModel" and draft.model is None:
        draft.omit(type_, Kind.CANNOT, "it names no model of transformers", USER_CODE)


def _refuse_sort(draft: Draft, model: OliveModel, name: str) -> None:
    """Models of pictures, sounds and of two halves, by their task, else by their name."""
    task = model.task
    told = str(task.value).lower() if task is not None else ""
    if task is not None and _NOT_TEXT.search(told):
        draft.omit(task, Kind.CANNOT, "language models and encoders of text only", NO_PICTURES)
        return
    if task is not None and _TWO_PARTS.search(told):
        reason = "models of an encoder and a decoder are not taken"
        draft.omit(task, Kind.CANNOT, reason, "no encoder-decoder models")
        return
    sort = sort_of(name)
    place = model.path or model.type
    if sort not in (None, CAUSAL, ENCODER):
        reason = f"by its name a model for {sort}; language models and encoders of text only"
        draft.omit(place, Kind.CANNOT, reason, NO_PICTURES)
    elif _PART.search(name.lower()):
        reason = "by its name the part of a model that sees or hears; language models only"
        draft.omit(place, Kind.CANNOT, reason, NO_PICTURES)


def _kind(draft: Draft, model: OliveModel, name: str) -> str | None:
    """From the folder's configuration, the name, the task, the passes; None: nothing tells."""
    found = kind_of_folder(places_of(name, draft.config.path.parent)[0]) if name else None
    if found is not None:
        return found
    sort = sort_of(name)
    if sort is not None:
        return sort if sort in (CAUSAL, ENCODER) else None
    task = "" if model.task is None else str(model.task.value).lower()
    passes = {one.type.casefold() for several in draft.config.passes for one in several}
    if passes & _CAUSAL_PASSES or task in _CAUSAL_TASKS:
        return CAUSAL
    return ENCODER if task in _ENCODER_TASKS else None


def _task(draft: Draft, model: OliveModel) -> str:
    """What the space says that it is for; a task of neither sort is noted."""
    generation, classification = _TEXT_TASKS
    refused = any(one.kind is Kind.CANNOT for one in draft.omissions)
    task = None if refused else model.task
    told = "" if task is None else str(task.value).lower()
    if draft.model_kind == ENCODER:
        if task is not None and told not in (classification, "default"):
            reason = "an encoder is exported and measured as one that classifies"
            draft.omit(task, Kind.OMITTED, reason, "heads for other tasks")
        return classification
    if told == classification and _judges_accuracy(draft):
        return classification
    if task is not None and told not in _CAUSAL_TASKS and told:
        reason = "a language model is built as one that generates, whatever the task"
        draft.omit(task, Kind.ASIDE, reason, "tasks of language models")
    return generation


def _judges_accuracy(draft: Draft) -> bool:
    found = draft.config.evaluators.values()
    return any(metric.type == "accuracy" for metrics in found for metric in metrics)


# Its other keys


def _loading(draft: Draft, setting: Setting) -> None:
    """`load_kwargs` and what it was called before: how the checkpoint is loaded."""
    if not isinstance(setting.value, Mapping):
        reason = "how the checkpoint is loaded is not said as an object"
        draft.omit(setting, Kind.OMITTED, reason, "loading of checkpoints")
        return
    told: dict[str, Any] = dict(setting.value)
    extra = told.pop("extra_args", None)
    told |= extra if isinstance(extra, Mapping) else {}
    for key, value in told.items():
        inner = Setting(value, f"{setting.where}.{key}", setting.line)
        if value is None or key == "revision":
            continue
        if key == "trust_remote_code":
            known = draft.model is not None and sort_of(draft.model) is not None
            kind = Kind.OMITTED if value and not known else Kind.ASIDE
            draft.omit(inner, kind, f"{REMOTE_CODE}, transformers' own is", REMOTE_CODE)
        elif key in _LOADING_ASIDE:
            draft.omit(inner, Kind.ASIDE, _LOADING_ASIDE[key], "loading of checkpoints")
        elif key in ("torch_dtype", "dtype"):
            reason = "checkpoints are loaded in fp32; the passes say how precise the result is"
            draft.omit(inner, Kind.OMITTED, reason, "precision of loading")
        else:
            reason = "a checkpoint is loaded here as its own configuration says, at full precision"
            draft.omit(inner, Kind.OMITTED, reason, "loading of checkpoints")


def _io_config(draft: Draft, setting: Setting) -> None:
    """Names and shapes of an export: they follow from the model here."""
    value = setting.value
    if not isinstance(value, Mapping) or value.get("dynamic_axes") or value.get("dynamic_shapes"):
        reason = "the inputs and outputs of an export follow from the model's architecture"
        draft.omit(setting, Kind.ASIDE, reason, "inputs and outputs of an export")
        return
    reason = "an exported model takes any batch and any length here"
    draft.omit(setting, Kind.OMITTED, reason, "fixed shapes")


def _dataset(draft: Draft, setting: Setting) -> None:
    reason = "which rows are read is said under data_configs"
    draft.omit(setting, Kind.OMITTED, reason, "rows that the model's entry names")


_LOADING = ("load_kwargs", "from_pretrained_args", "model_loading_args")
_LOADING_ASIDE = {
    "attn_implementation": "all implementations of attention compute the same",
    "device_map": "where a stage runs is the program's own choice",
    "max_memory": "memory is bounded by the space's limits",
    "low_cpu_mem_usage": "memory is bounded by the space's limits",
    "token": "the hub's own login counts",
    "use_auth_token": "the hub's own login counts",
    "cache_dir": "the hub's own cache is used",
    "use_safetensors": "safetensors are read wherever they are",
    "use_cache": "an exported model has its cache whatever this says",
}
_HANDLERS: Mapping[str, Callable[[Draft, Setting], None]] = {
    "load_kwargs": _loading,
    "from_pretrained_args": _loading,
    "model_loading_args": _loading,
    "io_config": _io_config,
    "dataset": _dataset,
}
_ASIDE: Mapping[str, tuple[str, str]] = {
    key: (reason, group)
    for keys, reason, group in (
        (
            "dummy_inputs_func script_dir",
            "example inputs of an export follow from the model's architecture",
            "inputs and outputs of an export",
        ),
        (
            "model_name feature kv_cache is_file is_aml_model model_file_format generative name "
            "version model_storage_kind mlflow_transformer_model_cache_dir test_model_path "
            "test_model_config model_class external_initializers_file_name "
            "constant_inputs_file_name",
            "the model's own files and configuration tell it",
            "what the model's files tell",
        ),
    )
    for key in keys.split()
}
_OMITTED: Mapping[str, tuple[str, str]] = {
    key: (reason, group)
    for keys, reason, group in (
        (
            "inference_settings",
            "how it runs is said by a session step, such as session: {intra_op_num_threads: 4}",
            "session options of the input model",
        ),
        (
            "model_attributes config",
            "a model has the configuration that is in its folder",
            "another configuration than the model's own",
        ),
        (
            "use_ort_extensions custom_task components model_variant model_name_pattern num_ranks "
            "model_components model_component_names",
            "a model is taken whole, with the operators of ONNX Runtime",
            "parts and additions of a model",
        ),
    )
    for key in keys.split()
}
