"""Olive's quantisers of ONNX models as `dynamic_int8`, `static_int8` and `weight_only`.

Source: Olive's quantisation passes over onnxruntime.quantization and neural-compressor, whose
defaults are written out where they differ from those of our passes.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tuner.olive.config import OlivePass, Setting
from tuner.olive.draft import Kind, StepDraft
from tuner.olive.passes import rows, values
from tuner.olive.passes.graphs import is_graph
from tuner.olive.passes.names import words
from tuner.olive.passes.values import Unfit, wrong
from tuner.olive.passes.work import SEARCHED, Taker, Work, is_searched

_TYPES = ("quint8", "qint8", "quint16", "qint16")
_CALIBRATIONS = {"minmax": "minmax", "entropy": "entropy", "percentile": "percentile"}
_MAINS = "operators that are quantised"
_EXTRA = frozenset(
    words(
        "extra.Sigmoid.nnapi ActivationSymmetric WeightSymmetric EnableSubgraph "
        "ForceQuantizeNoInputCheck MatMulConstBOnly AddQDQPairToWeight "
        "OpTypesToExcludeOutputQuantization DedicatedQDQPair QDQOpTypePerChannelSupportToAxis "
        "CalibTensorRangeSymmetric CalibMovingAverage CalibMovingAverageConstant "
        "CalibMaxIntermediateOutputs CalibStridedMinMax CalibPercentile SmoothQuant "
        "SmoothQuantAlpha SmoothQuantFolding UseQDQContribOps MinimumRealRange "
        "TensorQuantOverrides QDQKeepRemovableActivations QDQDisableWeightAdjustForInt32Bias "
        "QuantizeBias DefaultTensorType WeightTensorType ActivationTensorType num_bins"
    )
)


def ort(work: Work, found: OlivePass, type_: str) -> None:
    """OnnxDynamicQuantization, OnnxStaticQuantization and OnnxQuantization."""
    taker = Taker(work, found, type_)
    usual = "dynamic" if type_ == "OnnxDynamicQuantization" else "static"
    mode = taker.take("quant_mode")
    static = (usual if mode is None else mode.value) != "dynamic"
    if mode is not None and mode.value not in ("static", "dynamic") and mode.value != SEARCHED:
        work.wrong(mode.line, f"{mode.where}: {wrong(mode.value, 'static or dynamic')}")
    if static and not is_graph(work) and (work.form() == "genai" or work.is_causal):
        _no_activations(taker)
        return
    step = work.add("static_int8" if static else "dynamic_int8", type_)
    signed = _weights(taker, step)
    _operators(taker, step)
    if static:
        _activations(taker, step)
    else:
        _only_static(taker)
    _symmetry(taker, step, static, signed)
    _extra(taker, step, static)
    taker.finish()


def modes(work: Work, found: OlivePass, type_: str) -> tuple[OlivePass, ...]:
    """The passes that Olive's search makes of one that says neither static nor dynamic."""
    if type_ != "OnnxQuantization" or not is_searched(work.draft, found):
        return (found,)
    mode = found.settings.get("quant_mode")
    if mode is not None and mode.value != SEARCHED:
        return (found,)
    where = f"{found.where}.quant_mode"
    return tuple(
        replace(found, settings={**found.settings, "quant_mode": Setting(name, where, found.line)})
        for name in ("static", "dynamic")
    )


def _no_activations(taker: Taker) -> None:
    """A language model's activations stay floats here: nothing runs them quicker on a processor."""
    reason = "activations of language models stay floats; weights of few bits are what is there"
    taker.work.note(taker.found, Kind.OMITTED, reason, "8-bit activations of language models")
    taker.rest(Kind.OMITTED, "it belongs to that pass", "8-bit activations of language models")


def _weights(taker: Taker, step: StepDraft) -> bool:
    """The weights' type; whether it is signed, which decides about symmetry."""
    taker.put(
        step,
        "weight_type",
        "precision",
        "weight_type",
        default="qint8",
        convert=_weight_type,
        search=("int8", "uint8"),
    )
    taker.put(step, "per_channel", "per_channel", default=False, search=(True, False))
    taker.put(step, "reduce_range", "reduce_range", default=False, search=(True, False))
    return bool(step.parameters.get("weight_type", "qint8") != "quint8")


def _type(value: Any) -> str:
    """A data type as onnxruntime names it; Olive's, or onnxruntime's own of 2024."""
    plain = str(value).casefold()
    name = plain if plain.startswith("q") else f"q{plain}"
    if name in _TYPES:
        return name
    raise Unfit(
        f"{value} is not among {', '.join(_TYPES)}: qint8 is used",
        nearest="qint8",
        group="bits of weights",
    )


def _weight_type(value: Any) -> str:
    """A data type of weights, which have 8 bits here."""
    name = _type(value)
    if name.endswith("16"):
        nearest = name.replace("16", "8")
        raise Unfit(
            f"weights have 8 bits here: {nearest}", nearest=nearest, group="bits of weights"
        )
    return name


def _operators(taker: Taker, step: StepDraft) -> None:
    if taker.peek("op_types_to_quantize") in (None, []):
        taker.missing(
            "op_types_to_quantize",
            "Olive quantises every operator that it can; here those that make a transformer "
            f"quicker: {', '.join(taker.ours(step, 'op_types'))}",
            _MAINS,
        )
        taker.take("op_types_to_quantize")
    else:
        taker.put(step, "op_types", "op_types_to_quantize")
    taker.put(step, "exclude_ops", "op_types_to_exclude")
    taker.put(step, "exclude_nodes", "nodes_to_exclude")
    taker.unless(
        [],
        "nodes_to_quantize",
        reason="nodes that are left out can be named (exclude_nodes), not those that are not",
        group=_MAINS,
    )
    taker.aside(
        *("quant_preprocess", "optimize_model", "append_first_op_types_to_quantize_list"),
        reason="shapes are found, and the graph is prepared, in any case",
        group="preparation of graphs",
    )


def _activations(taker: Taker, step: StepDraft) -> None:
    taker.put(
        step,
        "format",
        "quant_format",
        default="qdq",
        convert=_lower,
        search=("QOperator", "QDQ"),
    )
    taker.put(
        step,
        "calibration",
        "calibrate_method",
        default="minmax",
        convert=_calibration,
        search=("MinMax", "Entropy", "Percentile"),
    )
    taker.put(step, "activation_type", "activation_type", default="qint8", convert=_type)
    data = rows.data_of(taker.work, taker.take("data_config", "calibration_data_config"))
    for parameter, keys in (
        ("calibration_samples", ("max_samples",)),
        ("calibration_length", rows.LENGTH),
    ):
        said = rows.said(data, *keys)
        if said is not None:
            taker.place(step, parameter, said)
    taker.aside(
        "calibration_providers", reason="ranges are measured on the processor", group="devices"
    )
    taker.omit(
        *("min_real_range", "tensor_quant_overrides", "qnn_extra_options"),
        reason="single tensors have no ranges or types of their own",
        group="types of single tensors",
    )
    taker.aside(
        *("prepare_qdq_config", "prepare_qnn_config"),
        reason="it chooses the operators, which op_types does here",
        group=_MAINS,
    )


def _only_static(taker: Taker) -> None:
    taker.aside(
        *("data_config", "calibrate_method", "calibration_providers", "quant_format"),
        *("activation_type", "min_real_range", "tensor_quant_overrides", "prepare_qdq_config"),
        *("prepare_qnn_config", "qnn_extra_options", "calibration_data_config"),
        reason="nothing is measured beforehand: scales are found while the model runs",
        group="options without effect",
    )


def _symmetry(taker: Taker, step: StepDraft, static: bool, signed: bool) -> None:
    taker.put(step, "weight_symmetric", "weight_symmetric", default=signed)
    if static:
        taker.put(step, "activation_symmetric", "activation_symmetric", default=False)
    taker.unless(
        False,
        "activation_symmetric",
        reason="ranges of activations are as they are found",
        group="ranges of activations",
    )


def _extra(taker: Taker, step: StepDraft, static: bool) -> None:
    """`extra_options` of onnxruntime.quantization."""
    setting = taker.take("extra_options")
    inner = None if setting is None else taker.inside(setting, _EXTRA)
    if inner is None:
        if static:
            step.parameters["const_b_only"] = False
            step.comments["const_b_only"] = "Olive's default"
        return
    inner.put(step, "const_b_only", "MatMulConstBOnly", default=False if static else None)
    if static:
        inner.put(step, "moving_average", "CalibMovingAverage", convert=_flag)
        inner.put(step, "percentile", "CalibPercentile")
    inner.aside(
        *("ActivationSymmetric", "WeightSymmetric", "MinimumRealRange", "TensorQuantOverrides"),
        reason="Olive overwrites it by its own keys",
        group="overruled by another key",
    )
    inner.aside(
        *("CalibStridedMinMax", "CalibMaxIntermediateOutputs", "EnableSubgraph"),
        reason="how ranges are gathered, not what they are",
        group="details of the calibration",
    )
    inner.rest(Kind.OMITTED, "onnxruntime's default is used", "details of the calibration")


def _flag(value: Any) -> bool:
    if isinstance(value, (bool, int)):
        return bool(value)
    raise wrong(value, "true or false")


def _lower(value: Any) -> Any:
    return value.casefold() if isinstance(value, str) else value


def _calibration(value: Any) -> str:
    name = str(value).casefold().rpartition(".")[2]
    if name in _CALIBRATIONS:
        return name
    if name == "distribution":
        raise Unfit("there is no such calibration: minmax is used", nearest="minmax")
    raise wrong(value, "MinMax, Entropy or Percentile")


# neural-compressor


def inc(work: Work, found: OlivePass, type_: str) -> None:
    """IncDynamicQuantization, IncStaticQuantization and IncQuantization."""
    taker = Taker(work, found, type_)
    usual = "dynamic" if type_ == "IncDynamicQuantization" else "static"
    approach = taker.take("approach")
    named = usual if approach is None else str(approach.value)
    if named == "weight_only":
        _inc_weights(taker)
        return
    if named not in ("static", "dynamic"):
        assert approach is not None
        expected = "static, dynamic or weight_only"
        work.wrong(approach.line, f"{approach.where}: {wrong(approach.value, expected)}")
    if named != "dynamic" and not is_graph(work) and work.is_causal:
        _no_activations(taker)
        return
    step = work.add("dynamic_int8" if named == "dynamic" else "static_int8", type_)
    taker.put(step, "reduce_range", "reduce_range", default=False, search=(True, False))
    if named != "dynamic":
        taker.put(step, "format", "quant_format", default="qoperator", convert=_lower)
        taker.put(
            step, "calibration_samples", "calibration_sampling_size", default=100, convert=_one
        )
        taker.take("data_config")
    _inc_rest(taker)
    taker.finish()


def _one(value: Any) -> Any:
    """The first of a list, all of which neural-compressor tries until one does."""
    return value[0] if isinstance(value, list) and value else value


def _inc_weights(taker: Taker) -> None:
    """Weights alone, as `weight_only`."""
    step = taker.work.add("weight_only", taker.type)
    taker.take("data_config")
    setting = taker.take("weight_only_config")
    known = frozenset({"bits", "group_size", "scheme", "algorithm", "sym", "dtype"})
    inner = None if setting is None else taker.inside(setting, known)
    if inner is not None:
        inner.put(step, "algorithm", "algorithm", convert=_inc_algorithm)
        inner.put(step, "bits", "bits", convert=values.few_bits)
        inner.put(step, "block_size", "group_size", convert=values.group_size)
        inner.put(step, "symmetric", "scheme", "sym", convert=_scheme)
        inner.finish()
    taker.aside(
        *("quant_format", "reduce_range", "calibration_sampling_size"),
        reason="only weights are quantised",
        group="options without effect",
    )
    _inc_rest(taker)
    taker.finish()


def _inc_algorithm(value: Any) -> str:
    name = str(value).casefold()
    if name in ("rtn", "gptq"):
        return name
    raise Unfit(
        f"{value} does not work on graphs here: gptq does", nearest="gptq", group="algorithms"
    )


def _scheme(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if value in ("sym", "asym"):
        return bool(value == "sym")
    raise wrong(value, "sym or asym")


def _inc_rest(taker: Taker) -> None:
    taker.aside(
        *("device", "backend", "domain", "workspace", "quant_level", "quant_format"),
        *("calibration_sampling_size", "data_config"),
        reason="what is right for the model and the machine is found out",
        group="details of neural-compressor",
    )
    taker.omit(
        "recipes",
        reason="SmoothQuant and its like are not there",
        group="recipes of neural-compressor",
    )
    taker.omit(
        *("tuning_criterion", "metric", "excluded_precisions", "op_type_dict", "op_type_list"),
        *("op_name_dict", "weight_only_config"),
        reason="what is worth its accuracy is for the search and its constraints to find out",
        group="tuning by neural-compressor",
    )


def prepared(work: Work, found: OlivePass, type_: str) -> None:
    """OnnxQuantizationPreprocess: our quantisers prepare a graph themselves."""
    taker = Taker(work, found, type_)
    taker.rest(Kind.ASIDE, "quantisers prepare a graph themselves", "preparation of graphs")
