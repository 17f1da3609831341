"""Makes a search of a recipe: fixed values become choices or ranges around them.

The recipe's own value is always among them, so that its own result is one that the search can give.
Which parameters are worth it is what the passes declare; of these a few are taken, in the order of
what they change most, as a person would.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from evaluators.machine import cores
from search_spaces.references import ReferenceError, parse_reference
from search_spaces.vocabulary import ParameterSpec, PassSpec
from tuner.init.errors import CannotWrite
from tuner.init.model import Model, look_at
from tuner.init.text import fitting_blocks
from tuner.olive.draft import Draft, StepDraft
from tuner.olive.metrics import is_encoder, quality_metric
from tuner.passes import pass_specs

MOST = 8
"""Parameters that are searched, at most."""

TRIALS = 20

_ORDER = (
    ("genai_builder", "precision"),
    ("multi_lora", "precision"),
    ("lora", "r"),
    ("qlora", "r"),
    ("lora", "learning_rate"),
    ("qlora", "learning_rate"),
    ("full_finetune", "learning_rate"),
    ("weight_only", "bits"),
    ("gptq", "group_size"),
    ("awq", "group_size"),
    ("autoround", "group_size"),
    ("hqq", "group_size"),
    ("rtn", "group_size"),
    ("genai_builder", "block_size"),
    ("multi_lora", "block_size"),
    ("weight_only", "block_size"),
    ("static_int8", "calibration"),
    ("static_int8", "per_channel"),
    ("dynamic_int8", "per_channel"),
    ("dynamic_int8", "weight_type"),
    ("optimize_graph", "level"),
    ("gptq", "symmetric"),
    ("rtn", "symmetric"),
    ("awq", "symmetric"),
    ("hqq", "symmetric"),
    ("genai_builder", "accuracy_level"),
    ("genai_builder", "algorithm"),
)
_FEW = 3
"""Named values of a parameter, at most; each is another model to build."""

_SIZES = {"block_size", "group_size"}
_QUANTISING = ("weight_only", "dynamic_int8")
_CPU = "CPUExecutionProvider"


def widen(draft: Draft) -> None:
    """Turn fixed values of the pipeline into choices and ranges, and the draft into a search."""
    specs = pass_specs()
    model = _model(draft)
    changed = sum(_is_open(step) for step in _plain(draft))
    for pass_, name in _ORDER:
        for step in _plain(draft):
            if changed < MOST and step.pass_ == pass_ and _widen(draft, step, specs, name, model):
                changed += 1
    if changed < MOST:
        _threads(draft)
    _goals(draft)
    _search(draft)


def _plain(draft: Draft) -> Iterator[StepDraft]:
    return (item for item in draft.pipeline if isinstance(item, StepDraft))


def _is_open(step: StepDraft) -> int:
    return sum(isinstance(value, Mapping) for value in step.parameters.values())


def _widen(
    draft: Draft, step: StepDraft, specs: Mapping[str, PassSpec], name: str, model: Model | None
) -> bool:
    """Whether the parameter has got more than one value."""
    spec = specs[step.pass_].parameter(name)
    value = step.parameters.get(name, spec.default)
    if isinstance(value, Mapping) or value is None or not _counts(step, specs[step.pass_], spec):
        return False
    wider = _PROPOSALS.get(name, _listed)(draft, step, spec, value)
    if name in _SIZES and "choices" in wider:
        wider = {"choices": _fitting(wider["choices"], value, model)}
    if len(wider.get("choices", (1, 2))) < 2:
        return False
    origin = step.comments.get(name)
    told = f"{origin}, {_said(value)} in the recipe" if origin else f"{_said(value)} in the recipe"
    step.comments[name] = told if name in step.parameters else f"{_said(value)} by default"
    step.parameters[name] = wider
    return True


def _said(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else f"{value}"


def _counts(step: StepDraft, spec: PassSpec, parameter: ParameterSpec) -> bool:
    """Whether the parameter has an effect with the step's other values."""
    for name, values in parameter.applies.items():
        if name not in {p.name for p in spec.parameters}:
            continue
        told = step.parameters.get(name, spec.parameter(name).default)
        options = told.get("choices", values) if isinstance(told, Mapping) else (told,)
        if not any(option in values for option in options):
            return False
    return True


# What a value becomes


def _listed(_: Draft, __: StepDraft, spec: ParameterSpec, value: Any) -> dict[str, Any]:
    """The values that the pass proposes, with the recipe's own."""
    proposed = list(spec.search) if isinstance(spec.search, tuple) else []
    if any(isinstance(v, bool | int | float) for v in proposed):
        return {"choices": sorted({*proposed, value})}
    others = [v for v in proposed if v != value][: _FEW - 1]
    return {"choices": [*others, value]}


def _rank(_: Draft, __: StepDraft, spec: ParameterSpec, value: Any) -> dict[str, Any]:
    """Smaller ranks of a large one, as they do as well more often; both sides of a small one."""
    around = {value // 4, value // 2, value} if value >= 32 else {value // 2, value, value * 2}
    return {"choices": sorted(v for v in around if v >= (spec.low or 1))}


def _rate(_: Draft, __: StepDraft, spec: ParameterSpec, value: Any) -> dict[str, Any]:
    """A quarter of a learning rate to four times it."""
    ends = (max(value / 4, spec.low or 0.0), min(value * 4, spec.high or 1.0))
    low, high = (float(f"{end:.2g}") for end in ends)
    return {"range": [min(low, value), max(high, value)], "log": True} if value > 0 else {}


def _precision(draft: Draft, step: StepDraft, _: ParameterSpec, value: Any) -> dict[str, Any]:
    """Precisions that the provider has; one where the checkpoint or a later step fixes it."""
    steps = list(_plain(draft))
    at = next(i for i, found in enumerate(steps) if found is step)
    specs = pass_specs()
    packed = any(specs[s.pass_].gives == "quantized" for s in steps[:at])
    if packed or any(s.pass_ in _QUANTISING for s in steps[at:]):
        return {"choices": [value]}
    wide = ["fp32", "int8", "int4"] if draft.provider == _CPU else ["fp16", "int4"]
    return {"choices": wide if value in wide else [value, *wide]}


_PROPOSALS: Mapping[str, Callable[[Draft, StepDraft, ParameterSpec, Any], dict[str, Any]]] = {
    "r": _rank,
    "learning_rate": _rate,
    "precision": _precision,
}


def _fitting(sizes: list[Any], value: Any, model: Model | None) -> list[Any]:
    """Block sizes that divide the model's matrices, where they are known, and the recipe's."""
    if model is None or not model.config:
        return sizes
    known = set(fitting_blocks(model)) | {value}
    return [size for size in sizes if size in known]


def _model(draft: Draft) -> Model | None:
    """What is known here of the model's sizes."""
    if draft.model is None:
        return None
    try:
        return look_at(parse_reference(draft.model, Path(draft.config.path).parent), None)
    except (ReferenceError, CannotWrite):
        return None


# The rest of a search


def _threads(draft: Draft) -> None:
    """How many threads run it, where that is the CPU's to choose."""
    specs = pass_specs()
    formats = [specs[s.pass_].gives for s in _plain(draft) if specs[s.pass_].gives is not None]
    runs = bool(formats) and formats[-1] in ("onnx", "genai")
    if draft.provider != _CPU or not runs or cores() < 2:
        return
    choices = {"choices": sorted({max(1, cores() // 2), cores()})}
    session = draft.last("session")
    if session is None:
        draft.pipeline.append(StepDraft("session", {"intra_op_num_threads": choices}))
    else:
        session.parameters.setdefault("intra_op_num_threads", choices)


def _goals(draft: Draft) -> None:
    """Something to gain and something to lose, so that there is a choice to make."""
    _rows_to_judge_by(draft)
    if draft.constraints or len(draft.objectives) > 1:
        return
    quality = quality_metric(draft)
    asked = {objective.split()[1].split(".")[0] for objective in draft.objectives}
    if not asked & {"latency", "throughput", "items_throughput"}:
        draft.objectives.append("minimize latency")
    elif quality is not None and not asked & {quality, "lm_eval"}:
        better = "minimize" if quality == "perplexity" else "maximize"
        draft.objectives.append(f"{better} {quality}")
        draft.metrics.setdefault(quality, {})
    elif "size" not in asked and quality is None and not is_encoder(draft):
        draft.objectives.append("minimize size")


def _rows_to_judge_by(draft: Draft) -> None:
    """A search needs rows to choose by, and others to confirm the choice.

    Of a share that the recipe holds out, half is for each, so that as many are trained on.
    """
    split = (draft.data or {}).get("split")
    if draft.data is None or split is None or split.get("test"):
        return
    held = split.get("dev")
    if held:
        half = round(held / 2, 6)
        draft.data["split"] = {"dev": half, "test": half}
    else:
        del draft.data["split"]


def _search(draft: Draft) -> None:
    """Keep the config's own search, but for strategies that list what a range cannot."""
    draft.search = {"strategy": "auto", "trials": TRIALS} | draft.search
    if draft.search["strategy"] == "grid":
        draft.search["strategy"] = "auto"
