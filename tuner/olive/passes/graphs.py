"""Olive's conversion of encoders to ONNX, and what it rewrites there, as `onnx_export` and others.

A language model's graph is made by `genai_builder` here, whatever pass of Olive's makes it: passes
on such a graph before the builder are remembered in `Work.rounding`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tuner.olive.config import OlivePass, Setting
from tuner.olive.draft import Kind, StepDraft
from tuner.olive.passes import training
from tuner.olive.passes.checkpoints import BUILDERS
from tuner.olive.passes.names import FUSIONS
from tuner.olive.passes.values import Unfit, wrong
from tuner.olive.passes.work import Taker, Work

ONNX_INPUTS = frozenset({"onnxmodel", "compositemodel"})
_LEVELS: Mapping[Any, str] = {1: "basic", 2: "extended", 99: "all"}
_FUSED: Mapping[str, str] = {
    "enable_gelu": "fuse_gelu",
    "enable_attention": "fuse_attention",
    "enable_skip_layer_norm": "fuse_skip_layer_norm",
    "enable_embed_layer_norm": "fuse_embed_layer_norm",
    "enable_bias_skip_layer_norm": "fuse_bias_skip_layer_norm",
    "enable_bias_gelu": "fuse_bias_gelu",
    "enable_gelu_approximation": "approximate_gelu",
}
_ALWAYS = ("enable_layer_norm", "enable_shape_inference")
_TOOLS = ("onnxscript", "onnxoptimizer")
_SIMPLER = "simplifications of graphs"
_BATCH = frozenset({"batch", "batch_size", "batch_dim", "n", "b"})
_SEQUENCE = frozenset(
    {"sequence", "sequence_length", "seq_len", "seq_length", "max_seq_len", "sequence_dim", "seq"}
)


def is_graph(work: Work) -> bool:
    """Whether an encoder's graph, or one that came in, is what there is at this point."""
    form = work.form()
    given = work.draft.config.model.type.value
    return form == "onnx" or (form is None and str(given).casefold() in ONNX_INPUTS)


def conversion(work: Work, found: OlivePass, type_: str) -> None:
    """OnnxConversion and OptimumConversion."""
    taker = Taker(work, found, type_)
    if is_graph(work) or work.form() == "genai":
        taker.rest(Kind.ASIDE, "the model is an ONNX model already", "conversion to ONNX")
        work.note(found, Kind.ASIDE, "the model is an ONNX model already", "conversion to ONNX")
    elif work.is_causal:
        _for_builder(taker)
    else:
        _export(taker)


def _for_builder(taker: Taker) -> None:
    """A language model's conversion: the builder behind it makes the graph, or nobody does."""
    work = taker.work
    if not BUILDERS & set(work.later) and not work.is_doomed:
        reason = (
            "genai_builder makes the ONNX models of language models, for ONNX Runtime GenAI; a "
            "plain graph of one is not made"
        )
        work.note(taker.found, Kind.CANNOT, reason, "plain graphs of language models")
    _remember(taker, is_half=taker.peek("torch_dtype") == "float16" or taker.peek("fp16") is True)


def _remember(taker: Taker, *, is_half: bool) -> None:
    """Keep for the builder what a pass does to the graph that the builder makes."""
    rounding = taker.work.rounding
    rounding["conversion"] = (*rounding.get("conversion", ()), taker.type)
    rounding["half"] = bool(rounding.get("half")) or is_half
    taker.rest(
        Kind.OMITTED,
        "genai_builder makes and fuses the graph in its own way",
        "graphs of language models",
    )


def _export(taker: Taker) -> None:
    work = taker.work
    _refuse_others(taker)
    training.unpacked(work, taker.type)
    step = work.add("onnx_export", taker.type)
    dynamo = taker.take("use_dynamo_exporter", "dynamo")
    if dynamo is not None:
        taker.place(step, "exporter", dynamo, _exporter)
    default = 14 if taker.type == "OptimumConversion" else 20
    if taker.peek("target_opset") is None and default < 17:
        taker.missing("target_opset", "opsets begin with 17 here", "opsets")
    taker.put(step, "opset", "target_opset", default=max(17, default))
    if taker.peek("dynamic") is False:
        step.parameters["shapes"] = "fixed"
        taker.take("dynamic")
    taker.take("dynamic")
    _half(taker)
    taker.aside(
        *("device", "parallel_jobs", "past_key_value_name", "merge_adapter_weights"),
        *("save_metadata_for_token_generation", "merge_components", "components"),
        reason="where it is converted, and what only language models have, changes nothing here",
        group="details of the conversion",
    )
    taker.unless(
        True,
        "optimize",
        reason="what the dynamo exporter gives is always optimised by onnxscript",
        group="details of the conversion",
    )
    taker.omit("extra_args", reason="options of optimum's exporter", group="options of optimum")
    taker.finish()


def _refuse_others(taker: Taker) -> None:
    """Only classifiers of text can be exported; other models are refused where they are named."""
    work = taker.work
    if work.draft.model_kind == "encoder" or work.is_doomed:
        return
    task = work.draft.config.model.task
    if task is None or task.value != "text-classification":
        reason = "onnx_export takes encoders that classify text; the config names no such model"
        work.note(taker.found, Kind.CANNOT, reason, "models that are no text classifiers")


def _exporter(value: Any) -> str:
    if isinstance(value, bool):
        return "dynamo" if value else "torchscript"
    raise wrong(value, "true or false")


def _half(taker: Taker) -> None:
    """A conversion of a model that was loaded in 16 bits gives a 16-bit model."""
    setting = taker.take("torch_dtype", "fp16")
    if setting is None or setting.value in ("float32", "fp32", False):
        return
    if setting.value in ("float16", "fp16", True):
        step = taker.work.add("float16", f"{taker.type} ({setting.where.rpartition('.')[2]})")
        step.parameters["keep_io"] = False
        return
    taker.note(setting, Kind.OMITTED, "encoders are exported in 32 bits", "data types of graphs")


def opset(work: Work, found: OlivePass, type_: str) -> None:
    """OnnxOpVersionConversion: the exporter can write that version in the first place."""
    taker = Taker(work, found, type_)
    step = work.draft.last("onnx_export")
    if step is None:
        work.note(found, Kind.OMITTED, "a graph keeps its opset", "opsets")
        taker.rest(Kind.OMITTED, "a graph keeps its opset", "opsets")
        return
    taker.put(step, "opset", "target_opset")
    taker.finish()


def fixed_shapes(work: Work, found: OlivePass, type_: str) -> None:
    """DynamicToFixedShape: an encoder is exported for the shape in the first place."""
    taker = Taker(work, found, type_)
    step = work.draft.last("onnx_export")
    if step is None:
        reason = "shapes can be fixed where an encoder is exported, not of a graph that is there"
        work.note(found, Kind.OMITTED, reason, "fixed shapes")
        taker.rest(Kind.OMITTED, reason, "fixed shapes")
        return
    step.origin = f"{step.origin}, {type_}"
    step.parameters["shapes"] = "fixed"
    _named_sizes(taker, step)
    _whole_shapes(taker, step)
    taker.finish()


def _named_sizes(taker: Taker, step: StepDraft) -> None:
    names, sizes = taker.take("dim_param"), taker.take("dim_value")
    if names is None or sizes is None:
        return
    pairs = zip(_list(names.value), _list(sizes.value), strict=False)
    for name, size in pairs:
        parameter = _dimension(str(name))
        if parameter is None:
            one = Setting(name, names.where, names.line)
            taker.work.draft.omit(one, Kind.OMITTED, f"{name!r} is no dimension here", "dimensions")
        else:
            taker.place(step, parameter, Setting(size, sizes.where, sizes.line))


def _whole_shapes(taker: Taker, step: StepDraft) -> None:
    """`input_shape`: of an encoder all inputs have one, batch and sequence."""
    taker.take("input_name")
    setting = taker.take("input_shape")
    shapes = _list(setting.value) if setting is not None else []
    first = _list(shapes[0]) if shapes else []
    if setting is None:
        return
    if len(first) != 2:
        taker.note(setting, Kind.OMITTED, "texts have two dimensions", "dimensions")
        return
    for parameter, size in zip(("batch", "sequence"), first, strict=True):
        taker.place(step, parameter, Setting(size, setting.where, setting.line))


def _dimension(name: str) -> str | None:
    plain = name.casefold()
    return "batch" if plain in _BATCH else "sequence" if plain in _SEQUENCE else None


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


# Rewriting


def transformers(work: Work, found: OlivePass, type_: str) -> None:
    """OrtTransformersOptimization."""
    taker = Taker(work, found, type_)
    if not is_graph(work) and (work.is_causal or work.form() == "genai"):
        _remember(taker, is_half=taker.peek("float16") is True)
        return
    step = work.add("optimize_graph", type_)
    if taker.flag("only_onnxruntime"):
        step.parameters["tool"] = "ort_offline"
    _level(taker, step)
    _fusions(taker, step)
    taker.aside(
        *("model_type", "num_heads", "num_key_value_heads", "hidden_size", "use_gpu"),
        reason="found in the graph; a graph is rewritten alike for every device",
        group="found in the graph",
    )
    taker.unless(
        False,
        *("use_gqa", "input_int32", "replace_attn_mask_input_with_seq_len"),
        reason="encoders keep their attention's form, and inputs of 64 bits",
        group="forms of attention and inputs",
    )
    _sixteen(taker)
    taker.finish()


def _level(taker: Taker, step: StepDraft) -> None:
    setting = taker.take("opt_level")
    if setting is None:
        return
    if setting.value == 0 and not isinstance(setting.value, bool):
        if step.parameters.get("tool") == "ort_offline":
            taker.work.draft.pipeline.remove(step)
            taker.note(
                setting, Kind.ASIDE, "nothing is rewritten at level 0", "levels of rewriting"
            )
            return
        reason = "ONNX Runtime's basic rewriting comes before the fusions in any case"
        taker.note(setting, Kind.OMITTED, reason, "levels of rewriting")
        return
    taker.place(step, "level", setting, _level_name)


def _level_name(value: Any) -> str:
    if not isinstance(value, bool) and isinstance(value, int) and value in _LEVELS:
        return _LEVELS[value]
    raise wrong(value, "0, 1, 2 or 99")


def _fusions(taker: Taker, step: StepDraft) -> None:
    setting = taker.take("optimization_options")
    inner = None if setting is None else taker.inside(setting, FUSIONS)
    if inner is None:
        return
    if step.parameters.get("tool") == "ort_offline":
        inner.rest(Kind.ASIDE, "only ONNX Runtime's own rewriting runs", "fusions")
        return
    for key, parameter in _FUSED.items():
        inner.put(step, parameter, key)
    inner.unless(True, *_ALWAYS, reason="this fusion is always made", group="fusions")
    inner.unless(
        False,
        *sorted(FUSIONS),
        reason="encoders of text have no such operators, or keep them",
        group="fusions",
    )


def _sixteen(taker: Taker) -> None:
    """`float16`, which is a step of its own here."""
    half = taker.flag("float16")
    if half:
        step = taker.work.add("float16", f"{taker.type} (float16)")
        taker.put(step, "keep_io", "keep_io_types", default=True, convert=_keep)
        taker.put(step, "op_block_list", "force_fp32_ops")
        taker.put(step, "node_block_list", "force_fp32_nodes")
    taker.aside(
        *("keep_io_types", "force_fp32_ops", "force_fp32_nodes"),
        reason="nothing is made 16 bits wide",
        group="options without effect",
    )
    taker.omit(
        "force_fp16_inputs",
        reason="inputs of single operators have no data type of their own",
        group="data types of graphs",
    )


def _keep(value: Any) -> bool:
    """`keep_io_types`, which may name inputs and outputs: those few are all of an encoder's."""
    if isinstance(value, bool):
        return value
    if isinstance(value, list):
        raise Unfit("all inputs and outputs keep their 32 bits, or none does", nearest=True)
    raise wrong(value, "true or false")


def peephole(work: Work, found: OlivePass, type_: str) -> None:
    """OnnxPeepholeOptimizer, OnnxModelOptimizer and OnnxScriptFusion: small simplifications."""
    taker = Taker(work, found, type_)
    reason = "onnxslim folds constants and takes out what is dead, in place of Olive's tools"
    asked = [taker.peek(f"{tool}_optimize", True) is not False for tool in _TOOLS]
    taker.aside(
        *("fix_com_microsoft_opset", "cast_chain_elimination", "fuse_reshape_operations"),
        reason="graphs are written so that the runtime opens them; it folds casts itself",
        group=_SIMPLER,
    )
    if not is_graph(work):
        work.note(found, Kind.ASIDE, "the builder's graph is simplified already", _SIMPLER)
    elif any(asked):
        work.add("optimize_graph", type_).parameters["tool"] = "onnxslim"
        work.note(found, Kind.OMITTED, reason, _SIMPLER)
    taker.rest(Kind.ASIDE, "it says which of Olive's tools are used", _SIMPLER)


# 16 bits


def float16(work: Work, found: OlivePass, type_: str) -> None:
    """OnnxFloatToFloat16."""
    taker = Taker(work, found, type_)
    if not is_graph(work):
        _builder_half(taker)
        return
    step = work.add("float16", type_)
    taker.put(step, "keep_io", "keep_io_types", default=False, convert=_keep)
    taker.put(step, "min_positive", "min_positive_val", default=1e-7)
    taker.put(step, "max_finite", "max_finite_val", default=1e4)
    taker.put(step, "op_block_list", "op_block_list")
    taker.put(step, "node_block_list", "node_block_list")
    _included(taker)
    taker.finish()


def _included(taker: Taker) -> None:
    taker.aside(
        *("use_symbolic_shape_infer", "disable_shape_infer"),
        reason="how shapes are found changes nothing of the result",
        group="details of the conversion",
    )
    taker.omit(
        *("op_include_list", "node_include_list"),
        reason="what keeps 32 bits is named here, not what gets 16",
        group="data types of graphs",
    )


def _builder_half(taker: Taker) -> None:
    """Of a language model, the builder makes a 16-bit graph in the first place."""
    work = taker.work
    built = work.draft.last("genai_builder")
    if built is None:
        _remember(taker, is_half=True)
        return
    provider = built.parameters.get("execution_provider", "cpu")
    if built.parameters.get("precision") == "fp32" and provider != "cpu":
        built.parameters["precision"] = "fp16"
        built.origin = f"{built.origin}, {taker.type}"
        taker.rest(Kind.OMITTED, "genai_builder builds it in 16 bits", "graphs of language models")
        return
    reason = "the builder decides which data types a graph of this precision has on its provider"
    work.note(taker.found, Kind.OMITTED, reason, "graphs of language models")
    taker.rest(Kind.OMITTED, "it belongs to that pass", "graphs of language models")


def mixed_float16(work: Work, found: OlivePass, type_: str) -> None:
    """OrtMixedPrecision."""
    taker = Taker(work, found, type_)
    if not is_graph(work):
        _builder_half(taker)
        return
    step = work.add("mixed_float16", type_)
    taker.put(
        step,
        "op_block_list",
        "op_block_list",
        default=["SimplifiedLayerNormalization", "SkipSimplifiedLayerNormalization", "Relu", "Add"],
    )
    taker.omit(
        "atol", reason="what keeps 32 bits is named, not sought", group="data types of graphs"
    )
    taker.finish()
