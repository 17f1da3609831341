"""Olive's passes that quantise a checkpoint, or prepare it for that, as `gptq`, `awq`, `rtn`.

The output head and the embedding, which Olive may quantise with the rest, are the builder's here:
what is asked of them waits in `Work.rounding` until it comes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tuner.olive.config import OlivePass, Setting
from tuner.olive.draft import Kind, StepDraft
from tuner.olive.passes import rows, training, values
from tuner.olive.passes.work import Taker, Work

BUILDERS = frozenset({"ModelBuilder", "GenAIModelExporter"})
_HEAD = ("lm_head",)
_LENGTH = 2048
_SAMPLES = 128
"""Tokens of a text and texts that Olive measures on, where no data config says."""

_LEFT_OUT = "matrices that keep their floats, or get other bits than the rest, cannot be named"
_NAMED = "bits of single modules"


def gptq(work: Work, found: OlivePass, type_: str) -> None:
    """Gptq, GptqModel and GptqQuantizer."""
    taker = Taker(work, found, type_)
    training.unpacked(work, type_)
    step = work.add("gptq", type_)
    whole = type_ == "GptqModel"
    _grid(taker, step, symmetric=whole)
    default_damp = 0.05 if whole else 0.01
    taker.put(step, "damp_percent", "damp_percent", default=default_damp, search=(0.001, 0.01, 0.1))
    taker.put(step, "act_order", "desc_act", default=whole)
    if step.parameters.get("act_order") is not False:
        taker.aside(
            "static_groups", reason="groups are static with act_order", group="static groups"
        )
    taker.put(step, "static_groups", "static_groups")
    if type_ == "GptqQuantizer":
        taker.put(step, "true_sequential", "true_sequential", default=False)
    taker.put(step, "true_sequential", "true_sequential")
    _error(taker, step)
    taker.put(step, "seed", "seed")
    taker.omit(
        *("damp_auto_increment", "moe_fallback_threshold", "moe_fallback_min_k_multiple"),
        reason="what is done where a matrix cannot be inverted is gptq's own affair",
        group="details of GPTQ",
    )
    taker.aside(
        *("layers_block_name", "outside_layer_modules", "inside_layer_modules"),
        *("pack_model_for_onnx_conversion", "device"),
        reason="found in the model itself",
        group="names of modules",
    )
    taker.omit("rotation", reason="weights are not rotated before", group="rotations")
    _calibration(taker, step)
    _modules(taker)
    taker.finish()


def awq(work: Work, found: OlivePass, type_: str) -> None:
    """AutoAWQQuantizer."""
    taker = Taker(work, found, type_)
    training.unpacked(work, type_)
    step = work.add("awq", type_)
    taker.put(step, "bits", "bits", "w_bit", convert=values.few_bits)
    taker.put(step, "group_size", "q_group_size", default=128, convert=values.group_size)
    taker.put(step, "symmetric", "zero_point", default=False, convert=values.opposite)
    taker.aside(
        *("version", "export_compatible", "pack_model_for_onnx_conversion", "input_model_dtype"),
        reason="how packed weights lie in a file; there is one layout here",
        group="layouts of packed weights",
    )
    taker.unless(
        True,
        "duo_scaling",
        reason="scales are sought by the inputs alone here, as duo_scaling false asks",
        group="details of AWQ",
    )
    _calibration(taker, step, length=512)
    _modules(taker)
    taker.finish()


def rtn(work: Work, found: OlivePass, type_: str) -> None:
    """Rtn; after another quantiser it rounds what that left: the head and the embedding."""
    taker = Taker(work, found, type_)
    if work.form() == "quantized":
        _rest_rounded(taker)
    else:
        training.unpacked(work, type_)
        step = work.add("rtn", type_)
        _grid(taker, step)
        if work.rounding.pop("clip", False):
            step.parameters["clip_search"] = True
        _modules(taker)
    taker.finish()


def k_quant(work: Work, found: OlivePass, type_: str) -> None:
    """KQuant: the builder has that algorithm, no pass on checkpoints does."""
    taker = Taker(work, found, type_)
    if not BUILDERS & set(work.later):
        work.note(
            found,
            Kind.CANNOT,
            "k_quant rounds ONNX models here (genai_builder, weight_only), not checkpoints",
            "k_quant of checkpoints",
        )
        taker.rest(Kind.OMITTED, "it belongs to k_quant of a checkpoint", "k_quant of checkpoints")
        return
    for key, name, convert in (
        ("bits", "bits", values.few_bits),
        ("group_size", "block_size", values.group_size),
    ):
        setting = taker.take(key)
        if setting is not None:
            work.rounding[name] = (setting, convert)
    work.rounding["algorithm"] = "k_quant"
    taker.unless(False, "sym", reason="k_quant always has zero points", group="details of k_quant")
    _modules(taker)
    taker.finish()


def clip(work: Work, found: OlivePass, type_: str) -> None:
    """AutoClip: ranges are cut before they are rounded, which `rtn` can do itself."""
    taker = Taker(work, found, type_)
    if "Rtn" in work.later:
        work.rounding["clip"] = True
        reason = "rtn seeks how far to cut, with steps of its own"
    else:
        work.note(found, Kind.OMITTED, "ranges are not cut beforehand", "clipping of ranges")
        reason = "it belongs to the cutting of ranges"
    taker.rest(Kind.OMITTED, reason, "clipping of ranges")


def mixed(work: Work, found: OlivePass, type_: str) -> None:
    """SelectiveMixedPrecision: which modules keep more bits in the quantisers behind it."""
    taker = Taker(work, found, type_)
    setting = taker.take("algorithm")
    name = "" if setting is None else str(setting.value)
    bits = taker.peek("high_bits", 8)
    if name.startswith("k_quant") and bits == 8:
        work.rounding["sensitive_head"] = 8
    if setting is not None and name != "k_quant_last":
        reason = "all matrices of the layers get the same bits; sensitive ones do not keep more"
        taker.note(setting, Kind.OMITTED, reason, "more bits for sensitive layers")
    taker.aside(
        *("bits", "group_size", "sym", "data_config"),
        reason="the quantisers behind it say it too, and theirs counts",
        group="said by the quantisers",
    )
    taker.omit(
        *("high_bits", "high_group_size", "high_sym", "ratio", "kld_memory_mode"),
        reason="it belongs to the choice of sensitive layers",
        group="more bits for sensitive layers",
    )
    taker.finish()


def rotation(work: Work, found: OlivePass, type_: str) -> None:
    """QuaRot and SpinQuant."""
    taker = Taker(work, found, type_)
    reason = "weights are not rotated before they are rounded: outliers cost more accuracy"
    work.note(found, Kind.OMITTED, reason, "rotations")
    taker.rest(Kind.OMITTED, "it belongs to the rotation", "rotations")


# What quantisers share


def _grid(taker: Taker, step: StepDraft, *, symmetric: bool = False) -> None:
    taker.put(step, "bits", "bits", default=4, convert=values.few_bits, search=(4, 8))
    size = "group_size"
    default: int | None = 128
    if taker.type == "GptqModel" and taker.peek(size) is None:
        taker.missing(
            size, "rows have no scale of their own; groups of 128 do", "scales of whole rows"
        )
    taker.put(
        step, size, size, default=default, convert=values.group_size, search=(16, 32, 64, 128)
    )
    taker.put(step, "symmetric", "sym", default=symmetric, search=(True, False))


def _error(taker: Taker, step: StepDraft) -> None:
    """`mse` of GptqModel: a number there, above zero where ranges are sought by their error."""
    setting = taker.take("mse")
    if setting is None:
        return

    def sought(value: Any) -> bool:
        if isinstance(value, (bool, int, float)):
            return value > 0
        raise values.wrong(value, "a number")

    taker.place(step, "mse", setting, sought)


def _modules(taker: Taker) -> None:
    """Which modules are quantised, and how differently: the head can be, by the builder."""
    overrides = taker.take("overrides", "dynamic")
    bits = _head_bits(overrides)
    if taker.flag("lm_head") and bits is None:
        bits = taker.work.rounding.get("sensitive_head", _bits_of(taker))
    if bits is not None:
        taker.work.rounding["head"] = bits
    if overrides is not None and not _only_head(overrides):
        taker.note(overrides, Kind.OMITTED, _LEFT_OUT, _NAMED)
    taker.unless([], "modules_to_not_convert", reason=_LEFT_OUT, group=_NAMED)
    taker.unless(
        False,
        *("embeds", "moe", "quantize_vision"),
        reason="embeddings, experts and vision keep their floats in the checkpoint",
        group="parts that are not quantised",
    )


def _bits_of(taker: Taker) -> Any:
    """The bits that a quantiser gives everything, whoever has answered for them."""
    setting = taker.found.settings.get("bits")
    return 4 if setting is None else setting.value


def _head_bits(overrides: Setting | None) -> Any:
    """The bits that overrides of single modules give the output head."""
    if overrides is None or not isinstance(overrides.value, Mapping):
        return None
    for name, change in overrides.value.items():
        if any(head in str(name) for head in _HEAD) and isinstance(change, Mapping):
            return change.get("bits")
    return None


def _only_head(overrides: Setting) -> bool:
    """Whether nothing but the head and the embedding, which may be one, has other bits."""
    value = overrides.value
    return isinstance(value, Mapping) and all(
        "lm_head" in str(name) or "embed" in str(name) for name in value
    )


def _rest_rounded(taker: Taker) -> None:
    """Rtn behind another quantiser. The builder rounds the head; the embedding goes with it."""
    overrides = taker.take("overrides")
    found = _head_bits(overrides)
    usual = taker.work.rounding.get("sensitive_head", _bits_of(taker))
    bits = found if found is not None else usual
    if taker.flag("lm_head"):
        taker.work.rounding["head"] = bits
    if overrides is not None and not _only_head(overrides):
        taker.note(overrides, Kind.OMITTED, _LEFT_OUT, _NAMED)
    taker.take("bits")
    taker.omit(
        *("group_size", "sym"),
        reason="the builder rounds the head by its own grid: blocks of 32",
        group="grid of the output head",
    )
    if taker.flag("embeds"):
        embeds = Setting(True, f"{taker.found.where}.embeds", taker.found.line)
        reason = "the embedding is quantised where it is tied to the head, and keeps floats else"
        taker.work.draft.omit(embeds, Kind.OMITTED, reason, "quantised embeddings")
    taker.unless([], "modules_to_not_convert", reason=_LEFT_OUT, group=_NAMED)
    taker.unless(
        False,
        *("moe", "quantize_vision"),
        reason="experts and vision keep their floats in the checkpoint",
        group="parts that are not quantised",
    )


def _calibration(taker: Taker, step: StepDraft, *, length: int = _LENGTH) -> None:
    """How many texts are measured on, and how long they are."""
    data = rows.data_of(taker.work, taker.take("data_config"))
    tokens, texts = rows.said(data, *rows.LENGTH), rows.said(data, "max_samples")
    if tokens is not None:
        taker.place(step, "calibration_length", tokens)
    else:
        _assumed(step, "calibration_length", length if data is None else training.LENGTH)
    if texts is not None:
        taker.place(step, "calibration_samples", texts)
        return
    _assumed(step, "calibration_samples", _SAMPLES)
    if data is not None:
        taker.missing(
            "data_config",
            f"Olive measures on all rows where max_samples is missing, here on {_SAMPLES}",
            "texts to measure on",
        )


def _assumed(step: StepDraft, parameter: str, value: int) -> None:
    step.parameters[parameter] = value
    step.comments[parameter] = "Olive's default"
