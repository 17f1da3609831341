"""Chains that try a pass: what must come before and after it, so that a runtime can run it.

Derived from the registry: a new pass gets its chain by what it takes and gives. Knows nothing of
families or of how a chain is run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from search_spaces.kinds import CAUSAL, ENCODER
from search_spaces.vocabulary import PassSpec, Value
from tuner.passes import all_passes


@dataclass(frozen=True, slots=True)
class Step:
    """A pass with some parameters; the others have their defaults."""

    name: str
    changes: tuple[tuple[str, Value], ...] = ()

    def __str__(self) -> str:
        shown = [value for _, value in self.changes if isinstance(value, str)]
        shown += [f"{value} bits" for name, value in self.changes if name == "bits"]
        return f"{self.name} ({', '.join(shown)})" if shown else self.name


def step(name: str, **changes: Value) -> Step:
    """A step, with parameters that keep it short."""
    known = {p.name for p in all_passes()[name].spec.parameters} if name in all_passes() else set()
    quick = {key: value for key, value in QUICK.items() if key in known}
    quick |= {"layers": 2} if name == "drop_layers" and "layers" in known else {}
    return Step(name, tuple((quick | changes).items()))


QUICK: dict[str, Value] = {
    "r": 4,
    "max_steps": 4,
    "batch_size": 4,
    "calibration_samples": 8,
    "calibration_length": 32,
    "iterations": 2,
}
"""Parameters that training and calibrating passes have."""

VARIANTS: dict[str, tuple[dict[str, Value], ...]] = {
    "genai_builder": ({"precision": "fp32"}, {"precision": "int8"}, {"precision": "int4"}),
    "onnx_export": ({"exporter": "torchscript"}, {"exporter": "dynamo"}),
    "multi_lora": ({"precision": "fp32"},),
    "weight_only": ({"bits": 4}, {"bits": 8}),
    "session": ({"execution_provider": "cpu"}, {"execution_provider": "openvino"}),
}
"""Passes that are worth a column for each of some values."""

LEAD: dict[tuple[str, str], tuple[Step, ...]] = {
    (CAUSAL, "adapter"): (step("lora"),),
    (CAUSAL, "quantized"): (step("rtn"),),
    (CAUSAL, "genai"): (step("genai_builder", precision="fp32"),),
    (ENCODER, "adapter"): (step("lora"),),
    (ENCODER, "onnx"): (step("onnx_export", exporter="torchscript"),),
}
"""What makes a model of a format out of a checkpoint."""

TAIL: dict[tuple[str, str], tuple[Step, ...]] = {
    (CAUSAL, "hf"): (step("genai_builder", precision="fp32"),),
    (CAUSAL, "adapter"): (step("merge_adapter"), step("genai_builder", precision="fp32")),
    (CAUSAL, "quantized"): (step("genai_builder", precision="int4"),),
    (ENCODER, "hf"): (step("onnx_export", exporter="torchscript"),),
    (ENCODER, "adapter"): (
        step("merge_adapter"),
        step("onnx_export", exporter="torchscript"),
    ),
}
"""What makes of a format something that a runtime can run."""

IN_TORCH = ("hf", "quantized", "adapter")
FORMATS = ("hf", "adapter", "onnx", "genai", "quantized")
"""Which format a pass is given, of those that it takes: the first of these."""

LEAST = {
    "genai_builder (int8)": 0.97,
    "genai_builder (int4)": 0.5,
    "dynamic_int8": 0.8,
    "static_int8": 0.6,
    "weight_only (4 bits)": 0.3,
    "weight_only (8 bits)": 0.97,
    "session (openvino)": 0.98,  # it computes in bf16 where the processor can
}
"""How near (cosine) to PyTorch's the outputs of these must be; of others, NEAR.

Random weights amplify rounding; a matrix that is read wrongly brings the cosine to about 0.
"""
NEAR = 0.999
PACKED = 0.7  # of packed weights the builder rounds the head, and the runtime what comes in


@dataclass(frozen=True, slots=True)
class Column:
    """A pass under test, what comes before it, and what makes its result runnable."""

    subject: Step
    lead: tuple[Step, ...]
    tail: tuple[Step, ...]

    @property
    def steps(self) -> tuple[Step, ...]:
        """The whole chain."""
        return (*self.lead, self.subject, *self.tail)


def columns(kind: str) -> list[Column]:
    """A column for every pass of this package on models of a kind, some with several values."""
    found: list[Column] = []
    for pass_ in all_passes().values():
        ours = type(pass_).__module__.startswith("tuner.")
        if ours and kind in pass_.spec.kinds and _given(kind, pass_.spec):
            found += [_column(kind, pass_.spec, changes) for changes in _variants(pass_.spec, kind)]
    return found


def _variants(spec: PassSpec, kind: str) -> Iterator[dict[str, Value]]:
    """The parameters of each column of a pass, as far as the pass has them."""
    known = {p.name for p in spec.parameters}
    for changes in VARIANTS.get(spec.name, ({},)):
        if changes.keys() <= known:
            yield changes
    if spec.name in VARIANTS and not any(v.keys() <= known for v in VARIANTS[spec.name]):
        yield {}


def _given(kind: str, spec: PassSpec) -> str | None:
    """The format in which a pass gets a model of a kind; None where it takes none of those."""
    there = ("hf", *(format_ for k, format_ in LEAD if k == kind))
    return next((f for f in FORMATS if f in spec.accepts and f in there), None)


def _column(kind: str, spec: PassSpec, changes: Mapping[str, Value]) -> Column:
    given = _given(kind, spec) or "hf"
    made = spec.gives or given
    return Column(
        step(spec.name, **changes), LEAD.get((kind, given), ()), TAIL.get((kind, made), ())
    )


def unavailable(wanted: Step) -> str | None:
    """Why this machine cannot run a step, whatever the model."""
    spec = all_passes()[wanted.name].spec
    for name, value in wanted.changes:
        check = spec.parameter(name).unavailable
        if check is not None and (reason := check(value)):
            return f"not run: {reason}"
    return None


def least(wanted: Step, reference: str) -> float:
    """How near to PyTorch the output of a step must be, for a model built from such a format."""
    if reference == "quantized" and wanted.name == "genai_builder":
        return PACKED
    return LEAST.get(str(wanted), LEAST.get(wanted.name, NEAR))
