"""`tune optimize`: build a model for where it will run, and measure how quick it is there.

With limits it becomes a short search over precision, rounding, provider and threads. Knows which
passes that takes, and what is chosen where nothing was said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from evaluators.machine import cores
from evaluators.runtimes.providers import PROVIDERS, unavailable
from search_spaces.problems import Problem, SpaceError, hint, listed
from tuner.init.text import fitting_algorithms, fitting_blocks
from tuner.report.step_example import yaml_value
from tuner.steps.space import Plan, StepWish, require_labels
from tuner.steps.text import Setting
from tuner.steps.wish import Wish

AUTO = "auto"
PRECISIONS = ("fp32", "fp16", "bf16", "int8", "int4", AUTO)
_ALIASES = {
    **{provider.runtime.lower(): name for name, provider in PROVIDERS.items()},
    **{
        provider.runtime.lower().removesuffix("executionprovider"): n
        for n, provider in PROVIDERS.items()
    },
    "directml": "dml",
    "tensorrt-rtx": "NvTensorRtRtx",
}
_FOUR_BITS_ONLY = ("webgpu", "NvTensorRtRtx")
_OF_VENDORS = ("qnn", "vitisai", "migraphx", "rocm", "tensorrt", "coreml", "cann")
_ON_GPU = ("cuda", "dml", "webgpu", "NvTensorRtRtx")

Values = dict[str, tuple[str, str | None]]


@dataclass(frozen=True, slots=True)
class Target:
    """Where the model will run. `provider`: as spaces call it; `told`: whether anybody said so."""

    provider: str
    told: bool

    @property
    def gpu(self) -> bool:
        """Whether that is a GPU."""
        return self.provider in _ON_GPU

    @property
    def lacking(self) -> str | None:
        """Why this machine cannot run it, so that it is built only; None where it can."""
        return unavailable(self.provider)


def target_of(device: str, provider: str | None) -> Target:
    """Where a model is to run; SpaceError for a provider that nothing here builds for."""
    if provider is None:
        return Target("cuda" if device == "gpu" else "cpu", False)
    option, wanted = f"--provider {provider}", provider.strip().lower()
    found = {name.lower(): name for name in PROVIDERS}.get(wanted) or _ALIASES.get(wanted)
    if found is None:
        plain = wanted.removesuffix("executionprovider")
        if plain in _OF_VENDORS:
            message = f"nothing here builds for it; what is built for: {listed(PROVIDERS)}"
            raise SpaceError([Problem(message, option)])
        near = hint(plain, [*PROVIDERS, *_ALIASES])
        message = f"unknown execution provider, expected {listed(PROVIDERS)}{near}"
        raise SpaceError([Problem(message, option)])
    if device == "gpu" and found not in (*_ON_GPU, "openvino"):
        raise SpaceError([Problem(f"{found} runs on the CPU, --device says gpu", option)])
    return Target(found, True)


def optimize_plan(
    wish: Wish, target: Target, precision: str, adapters: Setting | None = None
) -> tuple[Wish, Plan]:
    """Convert, quantise and choose how it runs; a search where the wish has bounds. SpaceError."""
    if wish.encodes:
        steps = _encoder(wish, target, precision, adapters)
    else:
        steps = _causal(wish, target, precision, adapters)
    metrics, objectives = _measured(wish, target)
    fixed = not wish.bounds
    if not fixed:
        usual = {"strategy": Setting("auto", ""), "trials": Setting("12", "")}
        wish = replace(wish, search=usual | dict(wish.search))
    return wish, Plan(steps, metrics, objectives, fixed)


# Language models


def _causal(wish: Wish, target: Target, precision: str, adapters: Setting | None) -> list[StepWish]:
    if wish.model.reference.format == "genai":
        return _built(wish, target, precision, adapters)
    values: Values = {}
    if target.gpu:
        values["execution_provider"] = (target.provider, None)
    searched = bool(wish.bounds)
    values |= _causal_precision(wish, target, precision, searched=searched)
    told = {} if adapters is None else {"adapters": adapters}
    steps = [StepWish("genai_builder" if adapters is None else "multi_lora", values, told)]
    if wish.model.reference.format == "adapter" and adapters is None:
        steps.insert(0, StepWish("merge_adapter"))
    session = _session(target, searched=searched)
    if session and not target.gpu:
        steps.append(StepWish("session", session))
    return steps


def _built(wish: Wish, target: Target, precision: str, adapters: Setting | None) -> list[StepWish]:
    """What can still be chosen of a model that is built already: how it runs."""
    if precision != AUTO:
        message = "the model is built already; tune quantize makes it smaller"
        raise SpaceError([Problem(message, f"--precision {precision}")])
    if adapters is not None:
        message = "adapters go into a checkpoint that is being built; this model is built already"
        raise SpaceError([Problem(message, adapters.option)])
    return [StepWish("session", _session(target, searched=bool(wish.bounds)))]


def _causal_precision(wish: Wish, target: Target, precision: str, *, searched: bool) -> Values:
    if wish.model.reference.checkpoint.format == "quantized":
        if precision not in (AUTO, "int4"):
            message = "the model's weights have few bits already: int4 or auto"
            raise SpaceError([Problem(message, f"--precision {precision}")])
        return {"precision": ("int4", "the model has 4 bits already")}
    if precision != AUTO:
        if target.provider in _FOUR_BITS_ONLY and precision != "int4":
            message = f"{target.provider} is built for with int4 only"
            raise SpaceError([Problem(message, f"--precision {precision}")])
        return _rounding(wish, precision, searched=searched)
    if target.provider in _FOUR_BITS_ONLY:
        return _rounding(wish, "int4", searched=searched)
    if not searched:
        chosen = ("fp16", "usual on a GPU") if target.gpu else ("int4", "the quickest on a CPU")
        return {"precision": chosen} | _rounding(wish, chosen[0], searched=False, told=False)
    choices = ("fp16", "int4") if target.gpu else ("fp32", "int8", "int4")
    return {"precision": (_choices(choices), None)} | _rounding(wish, "", searched=True, told=False)


def _rounding(wish: Wish, precision: str, *, searched: bool, told: bool = True) -> Values:
    """The precision where it was told, and how weights are rounded to 4 bits."""
    values: Values = {"precision": (precision, None)} if told else {}
    blocks = fitting_blocks(wish.model)
    if searched and precision in ("", "int4"):
        when = ", when: \"precision == 'int4'\""
        values["block_size"] = (_choices(blocks, when), None)
        values["algorithm"] = (_choices(fitting_algorithms(wish.model, blocks), when), None)
    elif precision == "int4" and 32 not in blocks:
        values["block_size"] = (str(blocks[0]), "divides the model's widths")
    return values


# Encoders


def _encoder(
    wish: Wish, target: Target, precision: str, adapters: Setting | None
) -> list[StepWish]:
    if adapters is not None:
        message = "adapters are kept apart for language models that generate; this is an encoder"
        raise SpaceError([Problem(message, adapters.option)])
    require_labels(wish)
    searched = bool(wish.bounds)
    merged = [StepWish("merge_adapter")] if wish.model.reference.format == "adapter" else []
    steps = [] if wish.model.reference.format == "onnx" else [*merged, StepWish("onnx_export")]
    if target.provider in ("cpu", "cuda"):
        steps.append(StepWish("optimize_graph"))
    steps += _encoder_precision(target, precision, searched=searched)
    session = _session(target, searched=searched)
    return [*steps, StepWish("session", session)] if session else steps


def _encoder_precision(target: Target, precision: str, *, searched: bool) -> list[StepWish]:
    if precision == AUTO and searched and not target.gpu:
        lines = (
            "  - one_of:",
            "      - none",
            "      - dynamic_int8",
            "      - static_int8",
            "      - weight_only: {bits: {choices: [4, 8]}}",
        )
        return [StepWish("one_of", lines=lines)]
    if precision == AUTO:
        precision = "fp16" if target.gpu else "fp32" if target.provider == "openvino" else "int8"
    if precision == "bf16":
        message = "not for encoders, expected fp32, fp16, int8 or int4"
        raise SpaceError([Problem(message, "--precision bf16")])
    passes = {"fp16": "float16", "int8": "dynamic_int8", "int4": "weight_only"}
    return [] if precision == "fp32" else [StepWish(passes[precision])]


# Parts of both


def _session(target: Target, *, searched: bool) -> Values:
    values: Values = {}
    if searched and not target.told and target.provider == "cpu" and not unavailable("openvino"):
        values["execution_provider"] = ("{choices: [cpu, openvino]}", None)
    elif target.provider != "cpu":
        values["execution_provider"] = (target.provider, None)
    threads = sorted({max(1, cores() // 2), cores()})
    if searched and not target.gpu and len(threads) > 1:
        values["intra_op_num_threads"] = (_choices(threads), None)
    return values


def _measured(wish: Wish, target: Target) -> tuple[Mapping[str, str], Sequence[str]]:
    """Evaluators and objectives: in a search those that weigh against each other."""
    metrics: dict[str, str] = {}
    objectives: list[str] = []
    if target.lacking is None:
        prompt, new = wish.request
        more = "" if wish.encodes else f", new_tokens: {new}"
        metrics["latency"] = f"{{prompt_tokens: {prompt}{more}}}"
        one_shot = [] if wish.bounds or wish.encodes else ["minimize ttft", "minimize tpot"]
        objectives += ["minimize latency", *one_shot]
    if wish.classifies:
        metrics["accuracy"] = "{}"
        objectives.append("maximize accuracy")
    elif wish.data is not None and not wish.encodes and target.lacking is None:
        metrics["perplexity"] = "{}"
        objectives.append("minimize perplexity")
    metrics["size"] = "{}"
    if not wish.bounds or len(objectives) < 2:
        objectives.append("minimize size")
    return metrics, objectives


def _choices(values: Sequence[object], more: str = "") -> str:
    return str(values[0]) if len(values) == 1 else f"{{choices: {yaml_value(values)}{more}}}"
