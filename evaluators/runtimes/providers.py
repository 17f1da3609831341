"""Execution providers: which this machine can use, why not the others, how a session gets one.

The one place that knows them. Whether a provider is usable is told from what is installed and
from what the system says of its hardware, without loading a runtime. Knows nothing of models.
"""

from __future__ import annotations

import json
import platform
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from shutil import which
from typing import TYPE_CHECKING, Any

from evaluators.base import MeasurementError
from evaluators.runtimes.errors import refusals
from search_spaces.installed import is_installed
from search_spaces.problems import listed
from search_spaces.vocabulary import Value

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Provider:
    """An execution provider.

    `runtime`: its name in ONNX Runtime, `genai`: in genai_config.json. `distributions`: one of
    them must be installed; `extra` of this program brings one. `module`: the plugin's, where the
    provider is a library that is registered with the runtime, and no part of it.
    `lacking`: why the hardware or the system does not do, or None.
    """

    runtime: str
    genai: str
    distributions: tuple[str, ...] = ()
    extra: str | None = None
    module: str | None = None
    lacking: Callable[[], str | None] = lambda: None


def _no_nvidia() -> str | None:
    if Path("/proc/driver/nvidia/version").exists() or which("nvidia-smi") is not None:
        return None
    return "this machine has no NVIDIA GPU (no driver was found)"


def _no_windows() -> str | None:
    return None if platform.system() == "Windows" else "DirectML is a part of Windows only"


def _no_intel() -> str | None:
    """The plugin offers itself for devices of Intel only, although OpenVINO runs on others."""
    vendor = processor_vendor()
    if vendor is None or "Intel" in vendor:
        return None
    return f"the OpenVINO plugin runs on Intel's processors only; this one is of {vendor}"


PROVIDERS: Mapping[str, Provider] = {
    "cpu": Provider("CPUExecutionProvider", "cpu"),
    "openvino": Provider(
        "OpenVINOExecutionProvider",
        "OpenVINO",
        ("onnxruntime-ep-openvino",),
        "openvino",
        "onnxruntime_ep_openvino",
        _no_intel,
    ),
    "cuda": Provider(
        "CUDAExecutionProvider",
        "cuda",
        ("onnxruntime-gpu", "onnxruntime-genai-cuda"),
        "gpu",
        lacking=_no_nvidia,
    ),
    "dml": Provider(
        "DmlExecutionProvider",
        "dml",
        ("onnxruntime-directml", "onnxruntime-genai-directml", "onnxruntime-genai-winml"),
        lacking=_no_windows,
    ),
    "webgpu": Provider(
        "WebGpuExecutionProvider",
        "WebGPU",
        ("onnxruntime-ep-webgpu",),
        module="onnxruntime_ep_webgpu",
    ),
    "NvTensorRtRtx": Provider(
        "NvTensorRTRTXExecutionProvider",
        "NvTensorRtRtx",
        ("onnxruntime-ep-nv-tensorrt-rtx-cu13", "onnxruntime-ep-nv-tensorrt-rtx-cu12"),
        module="onnxruntime_ep_nv_tensorrt_rtx",
        lacking=_no_nvidia,
    ),
}
"""What a space calls a provider -> what there is to know of it."""


def unavailable(provider: Value) -> str | None:
    """Why an execution provider cannot be used on this machine, or None. Cheap.

    A value that is no provider's name (such as "auto") has nothing against it.
    """
    return _reason(provider) if provider in PROVIDERS else None


@cache
def _reason(name: str) -> str | None:
    provider = PROVIDERS[name]
    lacking = provider.lacking()
    if lacking is not None:
        return lacking
    if not provider.distributions or any(map(is_installed, provider.distributions)):
        return None
    brings = f" (the `{provider.extra}` extra brings it)" if provider.extra else ""
    return f"{listed(provider.distributions)} is not installed{brings}"


@cache
def processor_vendor() -> str | None:
    """Who makes the processor, as it says itself ("GenuineIntel"); None where that is unknown."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or None
    found = (line.partition(":") for line in lines)
    return next((v.strip() for name, _, v in found if name.strip() == "vendor_id"), None)


def libraries(provider: str) -> tuple[str, ...]:
    """The installed distributions that bring a provider, besides the runtime itself."""
    return tuple(filter(is_installed, PROVIDERS[provider].distributions))


def named_in_genai(name: str) -> str | None:
    """What a space calls a provider that genai_config.json calls `name`, or None."""
    wanted = name.lower().removesuffix("executionprovider")
    return next((key for key, p in PROVIDERS.items() if p.genai.lower() == wanted), None)


def openvino_settings(threads: int, precision: str) -> dict[str, str]:
    """Options of the OpenVINO provider: it knows no others than those of its own configuration.

    `precision`: "fp32" or "bf16", what it computes in; a processor without bf16 takes fp32.
    """
    hint = {"fp32": "f32", "bf16": "bf16"}[precision]
    own = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": hint}
    return {"load_config": json.dumps({"CPU": own})}


def open_session(
    model: str | bytes, options: Any, provider: str, settings: Mapping[str, str]
) -> Any:
    """An onnxruntime session whose graph runs on the provider, as far as that can.

    `options`: a SessionOptions, `settings`: the provider's own. MeasurementError where the
    provider is not to be had, or where no part of the graph runs on it.
    """
    import onnxruntime as ort

    known = PROVIDERS[provider]
    if provider != "cpu":
        # Without it the runtime does not tell where the parts of a graph run.
        options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    with refusals("onnxruntime cannot load the model"):
        if known.module is None:
            chosen = [known.runtime] if provider == "cpu" else [(known.runtime, dict(settings))]
            _check_offered(provider, ort.get_available_providers())
            session = ort.InferenceSession(model, options, providers=chosen)
        else:
            options.add_provider_for_devices([_device(provider)], dict(settings))
            session = ort.InferenceSession(model, options)
    # A runtime that cannot use a provider takes another, and says so in its log alone.
    if session.get_providers()[0] != known.runtime:
        used = session.get_providers()[0]
        raise MeasurementError(f"the model asks for {provider}, but onnxruntime took {used}")
    if provider != "cpu":
        _check_assigned(provider, assigned(session))
    return session


def assigned(session: Any) -> dict[str, int]:
    """Provider -> how many of the graph's nodes run on it; only where another than the CPU's is."""
    counts: Counter[str] = Counter()
    for part in session.get_provider_graph_assignment_info():
        counts[part.ep_name] += len(part.get_nodes())
    return dict(counts)


def register_in_genai(provider: str) -> None:
    """Make a plugin's provider known to onnxruntime-genai; nothing to do for others.

    MeasurementError where this machine cannot use the provider.
    """
    _refuse_missing(provider)
    if PROVIDERS[provider].module is not None:
        _register_in_genai(provider)


def _check_offered(provider: str, offered: list[str]) -> None:
    if PROVIDERS[provider].runtime not in offered:
        reason = unavailable(provider) or f"this onnxruntime has only {listed(offered)}"
        raise MeasurementError(f"the model asks for {provider}, which cannot be used: {reason}")


def _check_assigned(provider: str, counts: Mapping[str, int]) -> None:
    if not counts.get(PROVIDERS[provider].runtime):
        used = listed(sorted(counts), "and") or "nothing"
        raise MeasurementError(
            f"the model asks for {provider}, which took no part of its graph; it ran on {used}"
        )


def _refuse_missing(provider: str) -> None:
    reason = unavailable(provider)
    if reason is not None:
        raise MeasurementError(f"the model asks for {provider}, which cannot be used: {reason}")


def _device(provider: str) -> Any:
    """The device of a plugin: the processor where it offers that, else its first."""
    import onnxruntime as ort

    _refuse_missing(provider)
    _register_in_onnxruntime(provider)
    name = PROVIDERS[provider].runtime
    devices = [device for device in ort.get_ep_devices() if device.ep_name == name]
    if not devices:
        raise MeasurementError(f"{provider} is installed, but finds no device on this machine")
    on_cpu = (d for d in devices if d.device.type == ort.OrtHardwareDeviceType.CPU)
    return next(on_cpu, devices[0])


# A library is registered once in a process: a second time is an error.
@cache
def _register_in_onnxruntime(provider: str) -> None:
    import onnxruntime as ort

    known = PROVIDERS[provider]
    library = import_module(str(known.module)).get_library_path()
    ort.register_execution_provider_library(known.runtime, library)


@cache
def _register_in_genai(provider: str) -> None:
    import onnxruntime_genai as og

    known = PROVIDERS[provider]
    library = import_module(str(known.module)).get_library_path()
    og.register_execution_provider_library(known.runtime, library)
