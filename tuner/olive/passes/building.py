"""Olive's ModelBuilder, MobiusBuilder and ExtractAdapters as `genai_builder` and `multi_lora`.

Source: Olive's ModelBuilder, which hands its options on to the builder of ONNX Runtime GenAI;
the options themselves are in `options`. What an earlier pass leaves to the builder is in
`Work.rounding`.
"""

from __future__ import annotations

from collections.abc import Mapping

from search_spaces.problems import listed
from tuner.genai.legality import PRECISIONS_OF
from tuner.olive.config import OlivePass, Setting
from tuner.olive.draft import Kind, StepDraft
from tuner.olive.passes import options, training, values
from tuner.olive.passes.values import Unfit
from tuner.olive.passes.work import Taker, Work

PROVIDERS: Mapping[str, str] = {
    "CPUExecutionProvider": "cpu",
    "CUDAExecutionProvider": "cuda",
    "DmlExecutionProvider": "dml",
    "WebGpuExecutionProvider": "webgpu",
    "NvTensorRTRTXExecutionProvider": "NvTensorRtRtx",
}
"""ONNX Runtime's names of what the builder can build for; all others get the CPU's graph."""

_MOST = {"int8": 8, "int4": 4}


def builder(work: Work, found: OlivePass, type_: str) -> None:
    """ModelBuilder: `genai_builder`, or `multi_lora` where an adapter is to be kept apart."""
    taker = Taker(work, found, type_)
    if taker.flag("metadata_only"):
        _metadata(taker)
        return
    packed = work.form() == "quantized"
    step = _step(taker)
    _provider(taker, step)
    _precision(taker, step, packed)
    told = options.options_of(taker)
    options.rounding(taker, step, told, packed)
    options.others(taker, step, told)
    _head(work, found, step, packed)
    taker.omit(
        "search",
        reason="how text is generated is said when it is (`tune generate`), not in the model",
        group="options of generation",
    )
    taker.finish()
    told.finish()


def extract_adapters(work: Work, found: OlivePass, type_: str) -> None:
    """ExtractAdapters, whose effect is that the builder behind it keeps adapters apart."""
    taker = Taker(work, found, type_)
    built = work.draft.last("genai_builder")
    if built is not None and not _is_dora(work):
        _kept_apart(work, built, type_)
    kind = str(taker.peek("adapter_type", "lora")).casefold()
    if kind not in ("lora", "dora"):
        taker.omit(
            "adapter_type", reason="adapters are LoRA's here", group="other adapters than LoRA"
        )
    taker.aside(
        *("adapter_type", "make_inputs", "dynamic_lora_r", "optional_inputs", "pack_inputs"),
        reason="adapters are inputs of the graph, of any rank, and may be left away",
        group="files of adapters",
    )
    taker.unless(
        "onnx_adapter",
        *("save_format", "pack_weights"),
        reason="adapters are written as .onnx_adapter files, which GenAI loads",
        group="files of adapters",
    )
    taker.finish()


def mobius(work: Work, found: OlivePass, type_: str) -> None:
    """MobiusBuilder: a language model alone is the GenAI builder's work; parts are nobody's."""
    taker = Taker(work, found, type_)
    if taker.peek("components_to_export") is not None or not work.is_causal:
        reason = "Mobius exports models of several parts; genai_builder builds language models"
        work.note(found, Kind.CANNOT, reason, "models of several parts")
        taker.rest(Kind.OMITTED, "it belongs to models of several parts", "models of several parts")
        return
    work.note(
        found, Kind.OMITTED, "genai_builder builds the graph in place of Mobius", "other builders"
    )
    taker.aside("runtime", reason="GenAI's folder is what comes out", group="other builders")
    step = _step(taker)
    _provider(taker, step)
    _precision(taker, step, work.form() == "quantized")
    taker.finish()


# The step


def _step(taker: Taker) -> StepDraft:
    """`genai_builder`; `multi_lora` where the adapter stays apart, or the base loses bits."""
    work = taker.work
    if work.form() != "adapter":
        return work.add("genai_builder", taker.type)
    apart = "ExtractAdapters" in work.types
    if _is_dora(work):
        reason = "a DoRA adapter hangs on the weights that it scales: it is merged, not kept apart"
        work.note(taker.found, Kind.OMITTED, reason, "DoRA adapters kept apart")
    elif apart or str(taker.peek("precision")) in options.QUANTISED:
        return work.add("multi_lora", taker.type)
    training.unpacked(work, taker.type)
    return work.add("genai_builder", taker.type)


def _is_dora(work: Work) -> bool:
    """Whether the adapter that was trained last is one of DoRA, which only merging can apply."""
    trained = work.draft.last("lora") or work.draft.last("qlora")
    return trained is not None and trained.parameters.get("dora") is True


def _kept_apart(work: Work, built: StepDraft, origin: str) -> None:
    """Make the builder's step, and the merging before it, one that keeps adapters apart."""
    steps = work.draft.pipeline
    before = steps.index(built) - 1
    merging = steps[before] if before >= 0 else None
    if isinstance(merging, StepDraft) and merging.pass_ == "merge_adapter":
        steps.remove(merging)
        known = {parameter.name for parameter in work.specs["multi_lora"].parameters}
        built.pass_ = "multi_lora"
        built.origin = f"{built.origin}, {origin}"
        built.parameters = {k: v for k, v in built.parameters.items() if k in known}


def _metadata(taker: Taker) -> None:
    """A builder that only describes an ONNX model; the model is built here, at its precision."""
    work = taker.work
    if work.form() in ("genai", "onnx"):
        taker.rest(Kind.ASIDE, "the model has it already", "descriptions of models")
        return
    packed = work.form() == "quantized"
    step = _step(taker)
    _provider(taker, step)
    step.origin = f"{', '.join(work.rounding.pop('conversion', ()))}, {taker.type}".lstrip(", ")
    half = work.rounding.pop("half", False)
    setting = taker.take("precision")
    where = f"{taker.found.where}.precision"
    asked = Setting("fp16", where, taker.found.line) if half else setting
    _precision(taker, step, packed, asked)
    _head(work, taker.found, step, packed)
    taker.rest(Kind.OMITTED, "the graph is built anew by genai_builder", options.GROUNDS)


def _provider(taker: Taker, step: StepDraft) -> None:
    name = PROVIDERS.get(taker.work.draft.provider, "cpu")
    if name != "cpu":
        step.parameters["execution_provider"] = name


def _precision(taker: Taker, step: StepDraft, packed: bool, asked: Setting | None = None) -> None:
    """`precision`; `asked`: what an earlier pass asks for in place of the builder's own key."""
    unsaid = Setting("fp32", f"{taker.found.where}.precision", taker.found.line)
    setting = asked or taker.take("precision") or unsaid
    taker.place(step, "precision", setting, values.precision)
    if "algorithm" in taker.work.rounding:
        step.parameters["precision"] = f"int{_rounded_bits(taker)}"
        step.comments["precision"] = "by KQuant"
    elif packed and step.parameters.get("precision") != "int4":
        reason = "the weights are packed in few bits already, of which the builder makes int4"
        taker.note(setting, Kind.OMITTED, reason, "precision of packed weights")
        step.parameters["precision"] = "int4"
    _allowed(taker, step, setting)


def _rounded_bits(taker: Taker) -> int:
    """The bits that KQuant asked for, or the nearest that there are."""
    setting, _ = taker.work.rounding.get("bits", (None, None))
    if setting is None:
        return 4
    try:
        return values.few_bits(setting.value)
    except Unfit as unfit:
        if unfit.is_wrong:
            taker.work.wrong(setting.line, f"{setting.where}: {unfit}")
        else:
            taker.note(setting, Kind.OMITTED, str(unfit), unfit.group)
        return int(unfit.nearest or 4)


def _allowed(taker: Taker, step: StepDraft, setting: Setting) -> None:
    """Take the nearest precision where the execution provider cannot run the one asked for."""
    provider = str(step.parameters.get("execution_provider", "cpu"))
    asked = step.parameters.get("precision")
    can = PRECISIONS_OF[provider]
    if not isinstance(asked, str) or asked in can:
        return
    nearest = "int4" if asked in options.QUANTISED else can[0]
    reason = f"{asked} does not run on {provider} ({listed(can)} do): {nearest} is built"
    taker.note(setting, Kind.OMITTED, reason, "precisions of execution providers")
    step.parameters["precision"] = nearest
    step.comments["precision"] = f"in place of {asked}, which does not run on {provider}"


def _head(work: Work, found: OlivePass, step: StepDraft, packed: bool) -> None:
    """The bits of the output head that an earlier quantiser asked for."""
    bits = work.rounding.pop("head", None)
    precision = step.parameters.get("precision")
    usual = _MOST.get(str(precision))
    if bits is None or usual is None or bits == usual or step.pass_ != "genai_builder":
        return
    if bits not in (4, 8) or str(step.parameters.get("algorithm", "default")) not in (
        *("default", "rtn", "k_quant"),
    ):
        work.note(found, Kind.OMITTED, "the head gets the bits that the builder gives it", "heads")
        return
    step.parameters["head_precision"] = f"int{int(bits)}"
    if packed or step.parameters.get("algorithm", "default") == "default":
        step.parameters["algorithm"] = "rtn"
        step.comments["algorithm"] = "a head of other bits that is tied to the embedding needs it"
