"""Which execution providers this machine can use, and the words for those that it cannot."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path
from shutil import which

import pytest

from evaluators.runtimes.providers import (
    PROVIDERS,
    libraries,
    named_in_genai,
    openvino_settings,
    processor_vendor,
    unavailable,
)
from search_spaces.installed import is_installed

LIGHT = """
import sys
from evaluators.runtimes.providers import PROVIDERS, unavailable
for name in PROVIDERS:
    unavailable(name)
print([name for name in ("numpy", "onnxruntime", "torch") if name in sys.modules])
"""


def test_the_processor_can_always_be_used() -> None:
    assert unavailable("cpu") is None


def test_what_is_no_provider_is_not_judged() -> None:
    assert unavailable("auto") is None
    assert unavailable(None) is None
    assert unavailable(3) is None


@pytest.mark.parametrize("name", ["cuda", "NvTensorRtRtx"])
def test_without_a_driver_there_is_no_nvidia_provider(name: str) -> None:
    if Path("/proc/driver/nvidia/version").exists() or which("nvidia-smi"):
        pytest.skip("this machine has an NVIDIA GPU")
    assert unavailable(name) == "this machine has no NVIDIA GPU (no driver was found)"


@pytest.mark.skipif(platform.system() == "Windows", reason="DirectML may be there on Windows")
def test_directml_is_of_windows_only() -> None:
    assert "Windows only" in (unavailable("dml") or "")


def test_a_plugin_that_is_not_installed_is_named() -> None:
    if is_installed("onnxruntime-ep-webgpu"):
        pytest.skip("the plugin is installed")
    assert unavailable("webgpu") == "onnxruntime-ep-webgpu is not installed"


def test_openvino_needs_its_plugin_and_a_processor_that_the_plugin_takes() -> None:
    reason = unavailable("openvino")
    if "Intel" not in (processor_vendor() or "Intel"):
        assert "the OpenVINO plugin runs on Intel's processors only" in (reason or "")
    elif is_installed("onnxruntime-ep-openvino"):
        assert reason is None
    else:
        assert reason is not None
        assert reason.endswith("is not installed (the `openvino` extra brings it)")


def test_asking_loads_no_runtime() -> None:
    output = subprocess.check_output([sys.executable, "-c", LIGHT], text=True)
    assert output.strip() == "[]"


@pytest.mark.parametrize("name", PROVIDERS)
def test_every_provider_is_found_by_its_names_in_genai(name: str) -> None:
    assert named_in_genai(PROVIDERS[name].genai) == name
    assert named_in_genai(PROVIDERS[name].genai.lower()) == name
    assert named_in_genai(f"{PROVIDERS[name].genai}ExecutionProvider") == name


def test_a_provider_of_another_kind_is_not_found() -> None:
    assert named_in_genai("QNN") is None


def test_libraries_are_those_that_are_installed() -> None:
    assert libraries("cpu") == ()
    for name in PROVIDERS:
        assert all(is_installed(distribution) for distribution in libraries(name))


def test_openvino_is_told_in_its_own_properties() -> None:
    assert openvino_settings(3, "fp32") == {
        "load_config": '{"CPU": {"INFERENCE_NUM_THREADS": 3, "INFERENCE_PRECISION_HINT": "f32"}}'
    }
