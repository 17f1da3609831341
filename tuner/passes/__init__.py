"""The registry of passes: those of this package, and those that other distributions bring.

Importing it loads no heavy library: a pass imports what it needs when it runs.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from search_spaces.vocabulary import PassSpec
from tuner.passes.autoround import AutoRound
from tuner.passes.awq import Awq
from tuner.passes.base import Pass, PassError, StageContext
from tuner.passes.drop_layers import DropLayers
from tuner.passes.dynamic_int8 import DynamicInt8
from tuner.passes.float16 import Float16
from tuner.passes.full_finetune import FullFinetune
from tuner.passes.genai_builder import GenaiBuilder
from tuner.passes.gptq import Gptq
from tuner.passes.hqq import Hqq
from tuner.passes.lora import Lora
from tuner.passes.merge_adapter import MergeAdapter
from tuner.passes.mixed_float16 import MixedFloat16
from tuner.passes.multi_lora import MultiLora
from tuner.passes.onnx_export import OnnxExport
from tuner.passes.optimize_graph import OptimizeGraph
from tuner.passes.qlora import QLora
from tuner.passes.rtn import Rtn
from tuner.passes.session import Session
from tuner.passes.static_int8 import StaticInt8
from tuner.passes.weight_only import WeightOnly

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = [
    "BrokenPass",
    "Pass",
    "PassError",
    "StageContext",
    "all_passes",
    "pass_specs",
]

GROUP = "tuner.passes"

_BUILT_IN: tuple[type[Pass], ...] = (
    # A checkpoint is tuned, ...
    DropLayers,
    FullFinetune,
    Lora,
    QLora,
    MergeAdapter,
    # ... its weights are rounded, ...
    Rtn,
    Gptq,
    Hqq,
    Awq,
    AutoRound,
    # ... it is built for ONNX Runtime GenAI, ...
    GenaiBuilder,
    MultiLora,
    # ... or exported to ONNX, ...
    OnnxExport,
    OptimizeGraph,
    Float16,
    MixedFloat16,
    DynamicInt8,
    StaticInt8,
    WeightOnly,
    # ... and opened.
    Session,
)


class BrokenPass(Exception):
    """An installed distribution declares a pass that cannot be used; the message names it."""


@cache
def all_passes() -> dict[str, Pass]:
    """Every pass by name: the built-in ones, then those of the entry points in `tuner.passes`.

    An entry point names a subclass of `Pass` that is made without arguments. BrokenPass where it
    cannot be loaded, is no pass, or takes a name that is already taken.
    """
    from importlib.metadata import entry_points  # a third of this module's cost, if at its top

    passes: dict[str, Pass] = {made.spec.name: made for made in (kind() for kind in _BUILT_IN)}
    for entry in sorted(entry_points(group=GROUP), key=lambda e: e.name):
        found = _load(entry)
        if found.spec.name in passes:
            raise BrokenPass(f"{_named(entry)}: there is a pass {found.spec.name!r} already")
        passes[found.spec.name] = found
    return passes


def pass_specs() -> dict[str, PassSpec]:
    """The declaration of every pass, by name."""
    return {name: p.spec for name, p in all_passes().items()}


def _load(entry: EntryPoint) -> Pass:
    try:
        made = entry.load()()
    except Exception as error:  # code of another distribution may raise anything
        raise BrokenPass(f"{_named(entry)}: {type(error).__name__}: {error}") from error
    if not isinstance(made, Pass) or not isinstance(getattr(made, "spec", None), PassSpec):
        raise BrokenPass(f"{_named(entry)}: not a subclass of tuner.passes.Pass with a `spec`")
    return made


def _named(entry: EntryPoint) -> str:
    origin = f" of {entry.dist.name}" if entry.dist is not None else ""
    return f"pass {entry.name!r}{origin} ({entry.value})"
