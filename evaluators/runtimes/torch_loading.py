"""Transformers checkpoints ("hf", "quantized", "adapter") as networks of torch, ready to run.

Nothing is asked of the hub, and no code of a model folder is run. A checkpoint that lacks tensors
is refused: the loader would fill the gaps at random. Knows nothing of data or metrics.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from evaluators import machine
from evaluators.base import Artifact, DeadModel, Json, MeasurementError
from evaluators.runtimes.packed import load_dequantized, refuse_missing

ADAPTER_CONFIG = "adapter_config.json"
TRAINED_ON = "trained_on.json"
"""In an adapter's folder: {"labels": [...]} in the order of the head, where it has one."""


def load_network(model: Artifact, classifier: bool) -> Any:
    """The model in eval mode, on the GPU where torch has one, or else the CPU.

    There it has every core that this process may use, or as many as OMP_NUM_THREADS says.
    On the CPU it computes in fp32, on a GPU in the data type that its checkpoint declares. An
    adapter is active, not merged; packed weights are floats again. MeasurementError where it
    cannot be loaded.
    """
    import torch

    if "OMP_NUM_THREADS" not in os.environ:  # which torch has followed already
        torch.set_num_threads(machine.cores())
    base = model.base or model
    if model.format == "adapter" and model.base is None:
        raise MeasurementError(f"{model.path}: an adapter can only be run with its base model")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype: Any = "auto" if device == "cuda" else torch.float32
    with loading(base.path):
        network = _classifier(model, dtype) if classifier else _causal(base, dtype)
    if model.base is not None:
        with loading(model.path):
            network = _with_adapter(network, model.path)
    with loading(model.path):
        return network.to(device).eval()


@contextmanager
def loading(folder: Path) -> Iterator[None]:
    """What the libraries raise of a folder that is not as it should be, as a MeasurementError."""
    from transformers.utils import logging

    before, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()  # its reports of what a checkpoint lacks come as errors here
    logging.disable_progress_bar()
    try:
        yield
    except (MeasurementError, MemoryError):
        raise
    except Exception as error:  # they share no base class, and raise KeyErrors too
        reason = " ".join(str(error).split())[:300] or "no reason given"
        raise MeasurementError(
            f"{folder}: the checkpoint cannot be loaded: {type(error).__name__}: {reason}"
        ) from error
    finally:
        logging.set_verbosity(before)
        if bars:
            logging.enable_progress_bar()


@contextmanager
def running() -> Iterator[None]:
    """What torch raises while a model runs, as a MeasurementError."""
    try:
        yield
    except (RuntimeError, ValueError, IndexError) as error:
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise MeasurementError(f"torch cannot run the model: {reason}") from error


def check_finite(logits: Any) -> None:
    """DeadModel where a logit is not a number, or is infinite."""
    import torch

    if not bool(torch.isfinite(logits).all()):
        raise DeadModel("the model's logits are not finite")


def conditions_of(network: Any, adapter: bool) -> Json:
    """The device that the weights are on, what it computes in and with, threads, versions."""
    import torch

    weights = list(network.parameters())
    devices = sorted({weight.device.type for weight in weights})
    libraries = ["torch", "transformers", *(["peft"] if adapter else [])]
    return {
        "runtime": "torch",
        "device": "+".join(devices),
        "device_name": torch.cuda.get_device_name() if "cuda" in devices else None,
        "dtype": str(network.dtype).removeprefix("torch."),
        "attention": getattr(network.config, "_attn_implementation", None),
        "threads": torch.get_num_threads(),
        "versions": machine.versions(*libraries),
    }


def tokenizer_folder(model: Artifact) -> Path:
    """The folder that the model's tokenizer is in: an adapter's own where it brings one."""
    own = any((model.path / name).is_file() for name in ("tokenizer.json", "tokenizer_config.json"))
    return model.path if own or model.base is None else model.base.path


def read_json(path: Path) -> Json:
    """A JSON object; empty where there is no such file. MeasurementError for anything else."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise MeasurementError(f"{path}: not JSON ({error})") from None
    if not isinstance(found, dict):
        raise MeasurementError(f"{path}: expected a JSON object")
    return found


def _causal(base: Artifact, dtype: Any) -> Any:
    if base.format == "quantized":
        return load_dequantized(base.path, dtype)
    from transformers import AutoModelForCausalLM

    network, found = AutoModelForCausalLM.from_pretrained(base.path, **_plainly(dtype))
    refuse_missing(base.path, found["missing_keys"])
    return network


def _classifier(model: Artifact, dtype: Any) -> Any:
    """The encoder with its head; of an adapter's base, with room for the head that it brings."""
    from transformers import AutoModelForSequenceClassification

    base = model.base or model
    labels: dict[str, Any] = {}
    if model.base is not None and (names := read_json(model.path / TRAINED_ON).get("labels")):
        labels = {
            "id2label": dict(enumerate(names)),
            "label2id": {name: i for i, name in enumerate(names)},
            "ignore_mismatched_sizes": True,  # a head for other labels, which the adapter replaces
        }
    network, found = AutoModelForSequenceClassification.from_pretrained(
        base.path, **_plainly(dtype), **labels
    )
    lost = {*found["missing_keys"], *(key for key, *_ in found["mismatched_keys"])}
    if model.base is not None:
        brought = set(read_json(model.path / ADAPTER_CONFIG).get("modules_to_save") or ())
        lost = {key for key in lost if not brought & set(key.split("."))}
    backbone = f"{network.base_model_prefix}."
    if lost and not any(key.startswith(backbone) for key in lost):
        raise MeasurementError(
            f"{base.path}: the encoder has no classification head, so it says nothing of labels; "
            "fine-tune it (lora, full_finetune) first"
        )
    refuse_missing(base.path, lost)
    return network


def _plainly(dtype: Any) -> dict[str, Any]:
    return {
        "dtype": dtype,
        "output_loading_info": True,
        "local_files_only": True,
        "trust_remote_code": False,
    }


def _with_adapter(network: Any, folder: Path) -> Any:
    from peft import PeftModel

    return PeftModel.from_pretrained(network, folder)
