"""The `session` pass: where ONNX Runtime runs the model, and with which options it opens it.

Writes the options into `session.json` or `genai_config.json`; every other file is the one that
came in, shared by hard links. Knows nothing of how the model was built.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evaluators import machine
from evaluators.base import MeasurementError
from evaluators.runtimes.onnx import SESSION, SessionSettings
from evaluators.runtimes.providers import (
    PROVIDERS,
    named_in_genai,
    openvino_settings,
    unavailable,
)
from search_spaces.vocabulary import INPUT, Aspect, ParameterSpec, PassSpec, Value
from tuner.models.links import link_or_copy
from tuner.passes.base import Pass, PassError, StageContext
from tuner.passes.tolerances import FUSED, OTHER_PROVIDER

GENAI_CONFIG = "genai_config.json"

LEVELS = {
    "disable": "ORT_DISABLE_ALL",
    "basic": "ORT_ENABLE_BASIC",
    "extended": "ORT_ENABLE_EXTENDED",
    "all": "ORT_ENABLE_ALL",
}

Applies = dict[str, tuple[Value, ...]]
OF_ORT: Applies = {"execution_provider": ("auto", "cpu", "cuda", "dml")}
"""OpenVINO takes the graph whole, and has its own way with it."""
ON_CPU: Applies = {"execution_provider": ("auto", "cpu")}
CLASSIFIER: Applies = {INPUT: ("onnx",)}
"""GenAI runs operators one after another, and does not hand on what applies here only."""

NUMERIC = (
    "execution_provider",
    "inference_precision",
    "graph_optimization_level",
    "prepacking",
    "flush_denormals",
    "gelu_approximation",
)
"""What can change the numbers that come out. Threads and memory do not, to the bit."""


class Session(Pass):
    """Fixes the execution provider and the session options of a built model.

    Options of onnxruntime's SessionOptions, of its session configuration entries
    (onnxruntime_session_options_config_keys.h) and, where GenAI runs the model, those that it
    reads by name or hands on. OpenVINO comes as a plugin (onnxruntime-ep-openvino) and knows only
    its own properties INFERENCE_NUM_THREADS and INFERENCE_PRECISION_HINT. What a provider other
    than the CPU's computes may differ: the accuracy is then measured on it.
    """

    spec = PassSpec(
        name="session",
        version=2,
        help="Fix where ONNX Runtime runs the model and how: provider, threads, memory, graph.",
        accepts=frozenset({"genai", "onnx"}),
        gives=None,
        changes=frozenset({Aspect.RUNTIME}),
        neutral={},
        libraries=("onnxruntime", "onnxruntime-gpu", "onnxruntime-ep-openvino"),
        parameters=(
            ParameterSpec(
                "execution_provider",
                str,
                "auto",
                "What runs the graph; auto: what the model was built for, the CPU for classifiers.",
                choices=("auto", "cpu", "openvino", "cuda", "dml"),
                search=("cpu", "openvino"),
                unavailable=unavailable,
            ),
            ParameterSpec(
                "inference_precision",
                str,
                "bf16",
                "What OpenVINO computes in; bf16: twice as quick, on a processor that has it.",
                choices=("bf16", "fp32"),
                search=("bf16", "fp32"),
                applies={"execution_provider": ("openvino",)},
            ),
            ParameterSpec(
                "intra_op_num_threads",
                int,
                0,
                "Threads that share the work of one operator; 0: one for each core.",
                low=0,
                high=256,
                search=(0, 1, 2, 4),
            ),
            ParameterSpec(
                "execution_mode",
                str,
                "sequential",
                "Run operators one after another, or those side by side that can be.",
                choices=("sequential", "parallel"),
                search=("sequential", "parallel"),
                applies=ON_CPU | CLASSIFIER,
            ),
            ParameterSpec(
                "inter_op_num_threads",
                int,
                0,
                "Operators that may run side by side; 0: the runtime decides.",
                low=0,
                high=256,
                search=(0, 2),
                applies=ON_CPU | CLASSIFIER | {"execution_mode": ("parallel",)},
            ),
            ParameterSpec(
                "graph_optimization_level",
                str,
                "all",
                "How far ONNX Runtime rewrites the graph when it opens the model.",
                choices=tuple(LEVELS),
                search=("basic", "all"),
                applies=OF_ORT,
            ),
            ParameterSpec(
                "gelu_approximation",
                bool,
                False,
                "Compute GELU by a quicker formula that is off by up to 0.0005.",
                applies=ON_CPU | CLASSIFIER | {"graph_optimization_level": ("extended", "all")},
            ),
            ParameterSpec(
                "allow_spinning",
                bool,
                True,
                "Idle threads wait actively: quicker alone, slower on cores that others use too.",
                search=(True, False),
                applies=OF_ORT,
            ),
            ParameterSpec(
                "dynamic_block_base",
                int,
                0,
                "Deal work out in ever smaller blocks, beginning with one of so many per thread; "
                "0: equal shares.",
                low=0,
                high=64,
                search=(0, 4),
                applies=ON_CPU,
            ),
            ParameterSpec(
                "prepacking",
                bool,
                True,
                "Store weights in the kernels' own layout: quicker; false: less memory.",
                applies=ON_CPU,
            ),
            ParameterSpec(
                "enable_cpu_mem_arena",
                bool,
                True,
                "Keep freed memory for reuse; false: give it back, for a smaller footprint.",
                applies=OF_ORT,
            ),
            ParameterSpec(
                "enable_mem_pattern",
                bool,
                True,
                "Plan the memory of all operators ahead where shapes repeat.",
                applies=OF_ORT,
            ),
            ParameterSpec(
                "enable_mem_reuse",
                bool,
                True,
                "Let an operator write into memory that an earlier one no longer needs.",
                applies=ON_CPU | CLASSIFIER,
            ),
            ParameterSpec(
                "flush_denormals",
                bool,
                False,
                "Take numbers below 1e-38 for zero: quicker where a model has many of them.",
                applies=ON_CPU,
            ),
        ),
    )

    def environment(self, parameters: Mapping[str, Value]) -> Mapping[str, str]:
        """The cores, where they decide the number of threads; the processor, where its kind counts.

        Which precision OpenVINO computes in, and how, depends on the processor.
        """
        found = {}
        if parameters.get("intra_op_num_threads") == 0:
            found["cores"] = str(machine.cores())
        if parameters.get("execution_provider") == "openvino":
            found["processor"] = str(machine.cpu_model())
        return found

    def relevant(
        self, parameters: Mapping[str, Value], aspects: frozenset[Aspect], model_format: str
    ) -> Mapping[str, Value] | None:
        """Of what is computed, only what can change its numbers, where that is not the default."""
        if aspects & self.spec.changes:
            return parameters
        if Aspect.WEIGHTS not in aspects:
            return None
        if model_format == "genai" and parameters["execution_provider"] != "openvino":
            return None  # such models are scored on the CPU, with options of the scoring's own
        own = {n: v for n in NUMERIC if (v := parameters[n]) != self.spec.parameter(n).default}
        if own.get("execution_provider") == "cpu":
            del own["execution_provider"]
        return own or None

    def tolerance(self, parameters: Mapping[str, Value], model_format: str) -> float | None:
        """Little; no comparison where no option can change numbers."""
        if self.relevant(parameters, frozenset({Aspect.WEIGHTS}), model_format) is None:
            return None
        return OTHER_PROVIDER if parameters["execution_provider"] == "openvino" else FUSED

    def run(self, context: StageContext) -> None:
        """Link the model's files and write its configuration anew."""
        source, target = context.model.path, context.output
        if context.model.format == "genai":
            name, content = GENAI_CONFIG, _genai_config(source, context.parameters)
        else:
            name, content = SESSION, _classifier_session(source, context.parameters)
        _link_files(source, target, but=name)
        text = json.dumps(content, indent=4, ensure_ascii=False)
        (target / name).write_text(text + "\n", encoding="utf-8")


def _threads(parameters: Mapping[str, Value]) -> int:
    wanted = parameters["intra_op_num_threads"]
    assert isinstance(wanted, int)
    return wanted or machine.cores()


def _config_entries(parameters: Mapping[str, Value]) -> dict[str, str]:
    """Session configuration entries that differ from the runtime's defaults, and spinning."""
    entries = {"session.intra_op.allow_spinning": "1" if parameters["allow_spinning"] else "0"}
    if parameters["execution_mode"] == "parallel":
        entries["session.inter_op.allow_spinning"] = entries["session.intra_op.allow_spinning"]
    if parameters["dynamic_block_base"]:
        entries["session.dynamic_block_base"] = str(parameters["dynamic_block_base"])
    if not parameters["prepacking"]:
        entries["session.disable_prepacking"] = "1"
    if parameters["flush_denormals"]:
        entries["session.set_denormal_as_zero"] = "1"
    if parameters["gelu_approximation"]:
        entries["optimization.enable_gelu_approximation"] = "1"
    return entries


def _session_options(parameters: Mapping[str, Value]) -> dict[str, Any]:
    """What both runtimes know, under the names that they share."""
    return {
        "intra_op_num_threads": _threads(parameters),
        "graph_optimization_level": LEVELS[str(parameters["graph_optimization_level"])],
        "enable_cpu_mem_arena": parameters["enable_cpu_mem_arena"],
        "enable_mem_pattern": parameters["enable_mem_pattern"],
    }


# Classifiers


def _classifier_session(folder: Path, parameters: Mapping[str, Value]) -> dict[str, Any]:
    """The content of `session.json`."""
    try:
        before = SessionSettings.read(folder)
    except MeasurementError as error:
        raise PassError(str(error)) from error
    provider = str(parameters["execution_provider"])
    if provider == "auto":
        provider, own = before.execution_provider, dict(before.provider_options)
    else:
        own = _provider_options(provider, parameters)
    options = _session_options(parameters) | {
        "execution_mode": f"ORT_{str(parameters['execution_mode']).upper()}",
        "inter_op_num_threads": parameters["inter_op_num_threads"],
        "enable_mem_reuse": parameters["enable_mem_reuse"],
    }
    return SessionSettings(provider, options, _config_entries(parameters), own).to_json()


def _provider_options(provider: str, parameters: Mapping[str, Value]) -> dict[str, str]:
    if provider != "openvino":
        return {}
    return openvino_settings(_threads(parameters), str(parameters["inference_precision"]))


# GenAI models


def _genai_config(folder: Path, parameters: Mapping[str, Value]) -> dict[str, Any]:
    """The content of `genai_config.json`: what came in, with other options of the session."""
    config = _read(folder / GENAI_CONFIG)
    options = config["model"]["decoder"].setdefault("session_options", {})
    options.update(_session_options(parameters) | _config_entries(parameters))
    provider = str(parameters["execution_provider"])
    if provider == "auto":
        return config
    _refuse_other_build(_built_for(options), provider)
    if provider == "openvino":
        own = {"device_type": "CPU"} | _provider_options(provider, parameters)
        options["provider_options"] = [{PROVIDERS[provider].genai: own}]
    elif provider == "cpu":
        options["provider_options"] = []
    return config


def _built_for(options: Mapping[str, Any]) -> str:
    """The provider that a GenAI model was built for. For OpenVINO it is built as for the CPU."""
    asked = [name for entry in options.get("provider_options", []) for name in entry]
    built = named_in_genai(asked[0]) or asked[0] if asked else "cpu"
    return "cpu" if built == "openvino" else built


def _refuse_other_build(built: str, wanted: str) -> None:
    if built == ("cpu" if wanted == "openvino" else wanted):
        return
    needed = "cpu" if wanted == "openvino" else wanted
    raise PassError(
        f"the model was built for {built} and cannot run on {wanted}: give genai_builder "
        f"execution_provider {needed}, or session auto, which keeps {built}"
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        config["model"]["decoder"]
    except FileNotFoundError:
        raise PassError(
            f"{path.parent} is no ONNX Runtime GenAI model: it has no {GENAI_CONFIG}"
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise PassError(f"{path} cannot be read as a GenAI configuration: {error}") from error
    return config


def _link_files(source: Path, target: Path, but: str) -> None:
    """Give `target` all files of `source` but one, as links where possible."""
    for path in sorted(source.rglob("*")):
        relative = path.relative_to(source)
        if path.is_file() and relative != Path(but):
            link_or_copy(path, target / relative)
