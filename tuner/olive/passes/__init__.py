"""Olive's passes as steps of a pipeline: one module a family, and `translate` over them all.

Every key of every pass becomes a value, or an omission with its reason; one that Olive does not
know is a problem. Knows nothing of how a config is read, or how a space is written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace

from search_spaces.problems import hint, short
from search_spaces.vocabulary import PassSpec
from tuner.genai.architectures import refusal_of_model
from tuner.olive.config import OlivePass, Setting
from tuner.olive.draft import Draft, Kind, Omission, StepDraft
from tuner.olive.passes import (
    blocks,
    building,
    checkpoints,
    graphs,
    quantization,
    surgeries,
    training,
    tuning,
    vendors,
)
from tuner.olive.passes.names import PASSES
from tuner.olive.passes.work import Work, of_type
from tuner.registry import vocabulary

Translator = Callable[[Work, OlivePass, str], None]

TRANSLATORS: Mapping[str, Translator] = {
    **dict.fromkeys(("LoRA", "DoRA", "QLoRA", "LoftQ", "LoHa", "LoKr"), training.adapters),
    "MergeAdapterWeights": training.merge,
    **dict.fromkeys(("Gptq", "GptqModel", "GptqQuantizer"), checkpoints.gptq),
    "AutoAWQQuantizer": checkpoints.awq,
    "Rtn": checkpoints.rtn,
    "KQuant": checkpoints.k_quant,
    "AutoClip": checkpoints.clip,
    "SelectiveMixedPrecision": checkpoints.mixed,
    **dict.fromkeys(("QuaRot", "SpinQuant"), checkpoints.rotation),
    **dict.fromkeys(("ModelBuilder", "GenAIModelExporter"), building.builder),
    "MobiusBuilder": building.mobius,
    "ExtractAdapters": building.extract_adapters,
    **dict.fromkeys(("OnnxConversion", "OptimumConversion"), graphs.conversion),
    "OnnxOpVersionConversion": graphs.opset,
    "DynamicToFixedShape": graphs.fixed_shapes,
    "OrtTransformersOptimization": graphs.transformers,
    **dict.fromkeys(
        ("OnnxPeepholeOptimizer", "OnnxModelOptimizer", "OnnxScriptFusion"), graphs.peephole
    ),
    "OnnxFloatToFloat16": graphs.float16,
    "OrtMixedPrecision": graphs.mixed_float16,
    "GraphSurgeries": surgeries.surgeries,
    **dict.fromkeys(
        ("OnnxDynamicQuantization", "OnnxStaticQuantization", "OnnxQuantization"),
        quantization.ort,
    ),
    **dict.fromkeys(
        ("IncDynamicQuantization", "IncStaticQuantization", "IncQuantization"), quantization.inc
    ),
    **dict.fromkeys(
        (
            "OnnxBlockWiseRtnQuantization",
            "OnnxMatMul4Quantizer",
            "OnnxHqqQuantization",
            "OnnxKQuantQuantization",
        ),
        blocks.blocks,
    ),
    "OnnxBnb4Quantization": blocks.bitsandbytes,
    "MatMulNBitsToQDQ": blocks.pairs,
    "OnnxQuantizationPreprocess": quantization.prepared,
    **dict.fromkeys(("OrtSessionParamsTuning", "OrtPerfTuning", "PerfTuning"), tuning.session),
    **dict.fromkeys(vendors.ANSWERS, vendors.answered),
}
"""Type of a pass, in Olive's spelling -> what translates it."""

WIKITEXT = {"hub": "Salesforce/wikitext", "subset": "wikitext-2-raw-v1", "split": "train"}
"""The rows that Olive measures on where a config names none."""

UNKNOWN_TO_THE_BUILDER = "architectures that the GenAI builder cannot build"
_OF_THE_BUILDER = ("genai_builder", "multi_lora")

_BY_PLAIN = {name.casefold(): name for name in PASSES}


def translate(draft: Draft) -> None:
    """Add the steps that a config's passes stand for, and say what of them is left out.

    SpaceError with every pass and key that Olive does not know, and every value that nobody takes.
    """
    work_on(draft)


def work_on(draft: Draft) -> Work:
    """`translate`, with its books: what was taken, and from where."""
    types = tuple(_spelt(found) for passes in draft.config.passes for found in passes[:1])
    work = Work(draft, vocabulary().passes, types)
    for position, alternatives in enumerate(draft.config.passes):
        work.position = position
        if len(alternatives) == 1:
            alternatives = quantization.modes(work, alternatives[0], _spelt(alternatives[0]))
        if len(alternatives) == 1:
            _one(work, alternatives[0])
        else:
            _several(work, alternatives)
    work.problems.raise_if_any()
    _refuse_architecture(draft)
    _rows(work)
    draft.omissions = _once(draft.omissions)
    return work


def _once(omissions: list[Omission]) -> list[Omission]:
    """Without those that two alternatives made of the same key."""
    found: dict[tuple[str, str, Kind], Omission] = {}
    for omission in omissions:
        found.setdefault((omission.where, omission.reason, omission.kind), omission)
    return list(found.values())


def _refuse_architecture(draft: Draft) -> None:
    """Note that the GenAI builder cannot build the model, as far as its name or folder tells."""
    steps = (step for step in draft.pipeline if isinstance(step, StepDraft))
    if draft.model is None or not any(step.pass_ in _OF_THE_BUILDER for step in steps):
        return
    why = refusal_of_model(draft.model, draft.config.path.parent)
    if why is not None:
        model = draft.config.model
        draft.omit(model.path or model.type, Kind.CANNOT, why, UNKNOWN_TO_THE_BUILDER)


def _rows(work: Work) -> None:
    """Texts for what measures on some, where the config names none and Olive has its own."""
    draft = work.draft
    if draft.data is not None or draft.model_kind == "encoder" or work.is_doomed:
        return
    for step in _steps(draft.pipeline):
        name = step.pass_
        if _reads(work.specs[name], step):
            draft.data = {"files": dict(WIKITEXT), "template": "{text}"}
            where = Setting("(Olive's default)", "data_configs", 1)
            reason = f"{name} reads texts and the config names none: those of wikitext-2 are used"
            draft.omit(where, Kind.OMITTED, reason, "texts that Olive chooses")
            return


def _reads(spec: PassSpec, step: StepDraft) -> bool:
    """Whether a step learns from texts, with the values that it has."""
    for name, reading in spec.data_where.items():
        value = step.parameters.get(name, spec.parameter(name).default)
        values = value["choices"] if isinstance(value, Mapping) else [value]
        if not any(one in reading for one in values):
            return False
    return spec.uses_data


def _steps(pipeline: Iterable[StepDraft | list[list[StepDraft]]]) -> Iterator[StepDraft]:
    for item in pipeline:
        if isinstance(item, StepDraft):
            yield item
        else:
            yield from (step for branch in item for step in branch)


def _spelt(found: OlivePass) -> str:
    """A type in Olive's own spelling, where it is one."""
    return _BY_PLAIN.get(found.type.casefold(), found.type)


def _one(work: Work, found: OlivePass) -> None:
    type_ = _spelt(found)
    if type_ not in TRANSLATORS:
        message = f"{found.where}: Olive has no pass {short(found.type)}{hint(found.type, PASSES)}"
        work.wrong(found.line, message)
        return
    TRANSLATORS[type_](work, found, type_)


def _several(work: Work, alternatives: tuple[OlivePass, ...]) -> None:
    """Passes of which one is used. Those that nothing stands for are left out, if others remain."""
    draft = work.draft
    before, types = draft.pipeline, work.types
    branches: list[list[StepDraft]] = []
    work.alternatives = True
    doomed: list[tuple[OlivePass, int, int]] = []
    for found in alternatives:
        draft.pipeline = list(before)
        work.types = (*types[: work.position], _spelt(found), *types[work.position + 1 :])
        start = len(draft.omissions)
        _one(work, found)
        added = [s for s in draft.pipeline[len(before) :] if isinstance(s, StepDraft)]
        said = draft.omissions[start:]
        if any(omission.kind in (Kind.CANNOT, Kind.ELSEWHERE) for omission in said):
            doomed.append((found, start, len(draft.omissions)))
        elif added not in branches:
            branches.append(added)
    draft.pipeline, work.types, work.alternatives = before, types, False
    _join(work, branches, doomed)


def _join(
    work: Work, branches: list[list[StepDraft]], doomed: list[tuple[OlivePass, int, int]]
) -> None:
    draft = work.draft
    if branches:
        for found, start, end in doomed:
            for index in range(start, end):
                draft.omissions[index] = replace(draft.omissions[index], kind=Kind.OMITTED)
            draft.omit(of_type(found), Kind.OMITTED, "it is no alternative here", "alternatives")
    filled = [branch for branch in branches if branch]
    if len(branches) == 1 and filled:
        draft.pipeline.extend(filled[0])
    elif filled:
        draft.pipeline.append(branches)
