"""The `multi_lora` pass: one GenAI model, and any number of LoRA adapters beside it.

The base is built as `genai_builder` builds it; adapters stay files of their own, which a server
loads and switches between requests. Knows nothing of how they were trained.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from search_spaces.paths import is_folder
from search_spaces.sources import model_folder
from search_spaces.vocabulary import (
    ON_QUANTIZED,
    QUANTIZED,
    Aspect,
    ParameterSpec,
    PassSpec,
    Value,
)
from tuner.genai import adapters, builder, legality, lora_graph
from tuner.genai.errors import Unbuildable
from tuner.genai.parameters import SHARED
from tuner.passes.base import Pass, PassError, StageContext
from tuner.passes.tolerances import of_genai

ACTIVE, BASE = "tuned", "base"
"""The names of the adapter that came in, and of the one that changes nothing."""

_SPLIT = frozenset({"q_proj", "k_proj", "v_proj"})
_NAME = re.compile(r"\w[\w.-]*")
_PACKED: dict[str, Value] = {"precision": "int4"}  # the weights come packed already


class MultiLora(Pass):
    """Builds the adapter's base, and writes adapters for onnxruntime-genai's `Adapters`.

    The output has `adapters/NAME.onnx_adapter` for the adapter that came in (`tuned`), for each of
    `adapters` and for none (`base`, all zero); `adapters.json` says which is active: the one that
    evaluators measure. Ranks and adapted modules may differ. Adapters are never quantised. With
    none of them active, the model computes what the base does. Packed weights of a base stay.
    A model that comes in without an adapter, such as the baseline, is its own base: `base` is
    then active, and without further adapters it is the model that `genai_builder` makes.
    """

    spec = PassSpec(
        name="multi_lora",
        version=1,
        help="Build an ONNX Runtime GenAI model that keeps LoRA adapters apart, to switch between.",
        accepts=frozenset({"adapter", "hf", "quantized"}),
        gives="genai",
        changes=frozenset({Aspect.WEIGHTS, Aspect.STRUCTURE}),
        neutral={"precision": "fp32"},
        kinds=frozenset({"causal"}),
        fixes={QUANTIZED: _PACKED, ON_QUANTIZED: _PACKED},
        libraries=(*builder.LIBRARIES, "onnx", "safetensors"),
        parameters=(
            *SHARED,
            ParameterSpec(
                "adapters",
                list,
                (),
                "Further peft adapters of the same base: folders, relative to the current "
                "directory, or NAME=FOLDER; without a name each is named as its folder.",
            ),
        ),
    )

    def check(self, parameters: Mapping[str, Value]) -> list[str]:
        """Refuse what cannot be built, and adapters that are missing or of another kind."""
        found = legality.check(parameters)
        taken = {ACTIVE: "the adapter that comes in", BASE: "the one that changes nothing"}
        for name, folder in _further(parameters):
            why = adapters.refusal(folder)
            if why is not None:
                found.append(f"adapters: {why}")
            elif name in taken:
                found.append(
                    f"adapters: {folder} would be named as {taken[name]} is: {name}; "
                    "NAME=FOLDER gives it another name"
                )
            taken[name] = str(folder)
        return found

    def environment(self, parameters: Mapping[str, Value]) -> Mapping[str, str]:
        """The content of the further adapters."""
        further = _further(parameters)
        keys = {f"adapters/{name}": adapters.content_key(folder) for name, folder in further}
        return builder.environment(parameters) | keys

    def tolerance(self, parameters: Mapping[str, Value], model_format: str) -> float | None:
        """What the fewest bits that anything is kept in can explain."""
        return of_genai(parameters, model_format)

    def run(self, context: StageContext) -> None:
        """Read and check the adapters, build the base, make room in its graph, write them."""
        tuned = context.model.format == "adapter"
        base = context.model.base if tuned else context.model
        if base is None:
            raise PassError("an adapter needs its base model beside it")
        folders = {ACTIVE: context.model.path} if tuned else {}
        folders |= dict(_further(context.parameters))
        try:
            found, shapes = _read(folders, base.path)
            builder.build(base, _building(context.parameters, shapes), context.output)
            if found:
                slots = lora_graph.open_slots(context.output, shapes)
                active = ACTIVE if tuned else BASE
                lora_graph.write_adapters(context.output, slots, found | {BASE: {}}, active)
        except Unbuildable as error:
            raise PassError(str(error)) from error


def _read(
    folders: Mapping[str, Path], base: Path
) -> tuple[dict[str, adapters.Adapter], dict[str, tuple[int, int]]]:
    """The adapters, all fitting the base, and (in, out) of every module that one changes."""
    found = {name: adapters.read_adapter(folder) for name, folder in folders.items()}
    shapes = adapters.linear_shapes(base)
    for name, adapter in found.items():
        adapters.check_fits(name, adapter, shapes)
    changed = {module for adapter in found.values() for module in adapter}
    return found, {module: shape for module, shape in shapes.items() if module in changed}


def _further(parameters: Mapping[str, Value]) -> list[tuple[str, Path]]:
    """Name and folder of every further adapter."""
    listed = parameters["adapters"]
    assert isinstance(listed, tuple)
    return [_named(str(text)) for text in listed]


def _named(text: str) -> tuple[str, Path]:
    """What `NAME=FOLDER` or a folder says; the folder of an answer stands for the model in it."""
    name, mark, rest = text.partition("=")
    if not mark or _NAME.fullmatch(name) is None or is_folder(Path(text)):
        name, rest = "", text
    folder = Path(rest).expanduser()
    return name or folder.resolve().name, model_folder(folder)


def _building(
    parameters: Mapping[str, Value], adapted: Mapping[str, tuple[int, int]]
) -> dict[str, Value]:
    """What to tell the builder; matrices with an adapter of their own are not fused."""
    split = any(module.rsplit(".", 1)[-1] in _SPLIT for module in adapted)
    return {name: v for name, v in parameters.items() if name != "adapters"} | {
        "fuse_qkv": not split
    }
