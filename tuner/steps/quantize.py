"""`tune quantize`: weights of few bits, by the algorithm that its name says.

Knows which pass does an algorithm for which kind of model, and what its options are called there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from search_spaces.kinds import kind_words
from search_spaces.problems import Problem, SpaceError, hint, listed
from tuner.passes import pass_specs
from tuner.steps.space import Plan, StepWish, require_labels
from tuner.steps.text import Setting
from tuner.steps.wish import Wish


@dataclass(frozen=True, slots=True)
class Algorithm:
    """How an algorithm is done. `values`: fixed parameters of the pass.

    `names`: option -> the pass's parameter; "" where there is nothing to tell. `bits`: bits -> the
    value of the parameter they are told by, where that is no number.
    """

    step: str
    values: Mapping[str, str] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    bits: Mapping[str, str] = field(default_factory=dict)


_CHECKPOINT = {"bits": "bits", "group_size": "group_size", "symmetric": "symmetric"}
_BLOCKS = {"bits": "bits", "group_size": "block_size", "symmetric": "symmetric"}
_BUILDER = {"bits": "precision", "group_size": "block_size"}
_PRECISIONS = {"4": "int4", "8": "int8"}


def _weight_only(algorithm: str, **values: str) -> Algorithm:
    return Algorithm("weight_only", {"algorithm": algorithm, **values}, _BLOCKS)


_CAUSAL = {
    **{name: Algorithm(name, {}, _CHECKPOINT) for name in ("awq", "gptq", "autoround", "hqq")},
    "rtn": Algorithm("rtn", {}, _CHECKPOINT),
    "kquant": Algorithm("genai_builder", {"algorithm": "k_quant"}, _BUILDER, _PRECISIONS),
}
_EIGHT_BITS = {"bits": "", "symmetric": "weight_symmetric"}
_ENCODER = {
    "dynamic": Algorithm("dynamic_int8", {}, _EIGHT_BITS, {"8": ""}),
    "static": Algorithm("static_int8", {}, _EIGHT_BITS, {"8": ""}),
    "rtn": _weight_only("rtn"),
    "hqq": _weight_only("hqq"),
    "kquant": _weight_only("k_quant"),
    "gptq": _weight_only("gptq"),
}
_GENAI = {name: a for name, a in _ENCODER.items() if name != "static"}
_ALIASES = {
    "k_quant": "kquant",
    "k-quant": "kquant",
    "auto_round": "autoround",
    "auto-round": "autoround",
    "dynamic_int8": "dynamic",
    "static_int8": "static",
}
ALGORITHMS = tuple(dict.fromkeys([*_CAUSAL, *_ENCODER]))
"""Every name that an algorithm has here, besides aliases."""


def quantize_plan(wish: Wish, name: str) -> tuple[Wish, Plan]:
    """The pipeline, and the wish with its options named as the pass has them. SpaceError."""
    algorithm = _algorithm(wish, name)
    if wish.encodes:
        require_labels(wish)
    if wish.data is None and _reads_data(algorithm):
        message = f"{name} measures on texts: --data FILE is missing; rtn, hqq and kquant need none"
        raise SpaceError([Problem(message, f"--algorithm {name}")])
    settings = _renamed(wish, name, algorithm)
    values: dict[str, tuple[str, str | None]] = {k: (v, None) for k, v in algorithm.values.items()}
    if "precision" in algorithm.names.values() and "precision" not in settings:
        values["precision"] = ("int4", None)
    steps = [StepWish(algorithm.step, values)]
    before = {"adapter": "merge_adapter", "hf": "onnx_export" if wish.encodes else ""}
    if first := before.get(wish.model.reference.format):
        steps.insert(0, StepWish(first))
    return replace(wish, settings=settings), Plan(steps, *_measured(wish))


def _algorithm(wish: Wish, name: str) -> Algorithm:
    built = wish.model.reference.format == "genai"
    known = _ENCODER if wish.encodes else _GENAI if built else _CAUSAL
    wanted = _ALIASES.get(name.lower(), name.lower())
    if wanted in known:
        return known[wanted]
    option = f"--algorithm {name}"
    if wanted in ALGORITHMS:
        kind = "a model that is built" if built else kind_words([wish.model.kind])
        raise SpaceError([Problem(f"not for {kind}; these are: {listed(known)}", option)])
    near = hint(wanted, known)
    raise SpaceError([Problem(f"unknown algorithm, expected {listed(known)}{near}", option)])


def _reads_data(algorithm: Algorithm) -> bool:
    spec = pass_specs()[algorithm.step]
    where = spec.data_where.items()
    return spec.uses_data and all(algorithm.values.get(name) in values for name, values in where)


def _renamed(wish: Wish, name: str, algorithm: Algorithm) -> dict[str, Setting]:
    """The options as the pass calls them."""
    found: dict[str, Setting] = {}
    for option, setting in wish.settings.items():
        if option not in _CHECKPOINT:
            found[option] = setting
            continue
        if option not in algorithm.names:
            message = f"--algorithm {name} has no choice of it"
            raise SpaceError([Problem(message, setting.option)])
        if option == "bits" and algorithm.bits and setting.text not in algorithm.bits:
            message = f"{name} has {listed(algorithm.bits)} bits"
            raise SpaceError([Problem(message, setting.option)])
        parameter = algorithm.names[option]
        value = algorithm.bits.get(setting.text) if option == "bits" else None
        if parameter:
            found[parameter] = setting if value is None else replace(setting, text=value)
    return found


def _measured(wish: Wish) -> tuple[dict[str, str], list[str]]:
    """Evaluators and objectives."""
    metrics, objectives = {"size": "{}"}, ["minimize size"]
    if wish.data is not None and not wish.encodes:
        metrics["perplexity"] = "{}"
        objectives.append("minimize perplexity")
    if wish.classifies:
        metrics["accuracy"] = "{}"
        objectives.append("maximize accuracy")
    return metrics, objectives
