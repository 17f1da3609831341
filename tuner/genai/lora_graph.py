"""Gives a built GenAI graph a place for LoRA adapters, and writes adapters for it.

Beside each adapted matrix come two small ones, which are inputs of the graph: what a runtime
feeds there is the adapter. Where it feeds nothing they are zero, and the model is the base. The
weights that were built stay as they are, quantised or not. Knows nothing of peft.
Source: onnxruntime's LoRA adapters (`AdapterFormat`, `LoraAdapter`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evaluators.runtimes.adapters import ADAPTERS, ADAPTERS_FILE
from search_spaces.problems import listed
from tuner.genai.adapters import Adapter
from tuner.genai.builder import MODEL
from tuner.genai.errors import Unbuildable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_MATRIX = re.compile(r"^(?P<path>/.+)/MatMul\w*/output_0$")
_LAYER = re.compile(r"(?:^|\.)layers\.(?P<layer>\d+)\..*?(?P<name>\w+)$")
_FUSED = {"qkv_proj": ("q_proj", "k_proj", "v_proj"), "gate_up_proj": ("gate_proj", "up_proj")}
_VERSION = 1  # of adapter and model, which the runtime only compares


@dataclass(frozen=True, slots=True)
class Slot:
    """A matrix of the graph that adapters can change.

    `columns`: which of the module's outputs it gives; a fused module may be several matrices.
    `kind`: the ONNX data type of the factors.
    """

    module: str
    path: str
    columns: tuple[int, int]
    inputs: int
    kind: int

    @property
    def names(self) -> tuple[str, str]:
        """The names of the graph's inputs for the two factors."""
        stem = self.path.strip("/").replace("/", ".")
        return f"{stem}.lora_A.weight", f"{stem}.lora_B.weight"

    @property
    def outputs(self) -> int:
        """How many outputs the matrix has."""
        return self.columns[1] - self.columns[0]


def open_slots(folder: Path, shapes: Mapping[str, tuple[int, int]]) -> list[Slot]:
    """Make room in the graph for adapters of these modules (name -> (in, out)); the places made.

    Unbuildable where the graph has no matrix for a module.
    """
    import onnx

    model = onnx.load(folder / MODEL, load_external_data=False)
    graph = model.graph
    slots = _slots(graph, shapes)
    by_path = {slot.path: slot for slot in slots}
    nodes = []
    for node in graph.node:
        nodes.append(node)
        path = _path_of(node)
        if path in by_path:
            nodes += _branch(node, by_path[path])
    del graph.node[:]
    graph.node.extend(nodes)
    for slot in slots:
        _add_inputs(graph, slot)
    onnx.save(model, folder / MODEL)
    return slots


@dataclass(frozen=True, slots=True)
class _Matrix:
    """A matrix of the graph: `/model/layers.0/attn/q_proj`, its width, its ONNX data type."""

    path: str
    outputs: int
    kind: int

    @property
    def name(self) -> str:
        return self.path.rsplit("/", 1)[1]


def _slots(graph: Any, shapes: Mapping[str, tuple[int, int]]) -> list[Slot]:
    matrices = _matrices(graph)
    found = []
    for module, (inputs, outputs) in shapes.items():
        start = 0
        for matrix in _matrices_of(module, matrices):
            end = start + matrix.outputs
            found.append(Slot(module, matrix.path, (start, end), inputs, matrix.kind))
            start = end
        if start != outputs:
            raise Unbuildable(
                f"the GenAI graph has no matrix for {module}, so no adapter can change it; it has "
                f"{listed(sorted({matrix.name for matrix in matrices}), 'and')}"
            )
    return found


def _matrices(graph: Any) -> list[_Matrix]:
    values = {v.name: v.type.tensor_type for v in (*graph.value_info, *graph.output)}
    found = []
    for node in graph.node:
        path = _path_of(node)
        if path is not None:
            value = values[node.output[0]]
            found.append(_Matrix(path, value.shape.dim[-1].dim_value, value.elem_type))
    return found


def _path_of(node: Any) -> str | None:
    """`/model/layers.0/attn/q_proj` for the node that multiplies by that matrix."""
    if node.op_type not in ("MatMul", "MatMulNBits"):
        return None
    match = _MATRIX.match(node.output[0])
    return None if match is None else match["path"]


def _matrices_of(module: str, matrices: Sequence[_Matrix]) -> list[_Matrix]:
    """A module's matrices in the graph: one, or those of the parts that it fuses, in order."""
    match = _LAYER.search(module)
    if match is None:
        return [matrix for matrix in matrices if matrix.path == f"/{module}"]
    layer = f"/layers.{match['layer']}/"
    own = {matrix.name: matrix for matrix in matrices if layer in matrix.path}
    name = match["name"]
    parts = (name,) if name in own else _FUSED.get(name, ())
    return [own[part] for part in parts if part in own]


def _branch(node: Any, slot: Slot) -> list[Any]:
    """The nodes that add an adapter's change to a matrix's result, which keeps its name."""
    from onnx import helper

    a, b = slot.names
    result, low, base, change = (
        node.output[0],
        *(f"{slot.path}/{part}/output_0" for part in ("lora_A", "base", "lora_B")),
    )
    node.output[0] = base
    return [
        helper.make_node("MatMul", [node.input[0], a], [low], name=f"{slot.path}/lora_A/MatMul"),
        helper.make_node("MatMul", [low, b], [change], name=f"{slot.path}/lora_B/MatMul"),
        helper.make_node("Add", [base, change], [result], name=f"{slot.path}/lora/Add"),
    ]


def _add_inputs(graph: Any, slot: Slot) -> None:
    """Inputs for the factors, of any rank, that are zero where nothing is fed."""
    import numpy as np
    from onnx import helper, numpy_helper

    rank = f"rank_{slot.path.strip('/').replace('/', '.')}"
    dtype = helper.tensor_dtype_to_np_dtype(slot.kind)
    shapes = ((slot.inputs, rank), (rank, slot.outputs))
    for name, shape in zip(slot.names, shapes, strict=True):
        graph.input.append(helper.make_tensor_value_info(name, slot.kind, shape))
        zero = np.zeros([size if isinstance(size, int) else 1 for size in shape], dtype)
        graph.initializer.append(numpy_helper.from_array(zero, name))


def write_adapters(
    folder: Path, slots: Sequence[Slot], adapters: Mapping[str, Adapter], active: str
) -> None:
    """Write each adapter as `adapters/NAME.onnx_adapter`, and `adapters.json` that lists them."""
    (folder / ADAPTERS).mkdir()
    files = {}
    for name, adapter in adapters.items():
        files[name] = f"{ADAPTERS}/{name}.onnx_adapter"
        _export({k: v for s in slots for k, v in _fed(s, adapter)}, slots, folder / files[name])
    text = json.dumps({"active": active, "adapters": files}, indent=2) + "\n"
    (folder / ADAPTERS_FILE).write_text(text, encoding="utf-8")


def _fed(slot: Slot, adapter: Adapter) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """What an adapter feeds into a slot: zeros of rank 1 where it leaves the module alone."""
    import numpy as np

    a, b = slot.names
    factors = adapter.get(slot.module)
    if factors is None:
        yield a, np.zeros((slot.inputs, 1), np.float32)
        yield b, np.zeros((1, slot.outputs), np.float32)
        return
    first, last = slot.columns
    yield a, factors.a
    yield b, factors.b[:, first:last]


def _export(tensors: Mapping[str, NDArray[np.float32]], slots: Sequence[Slot], file: Path) -> None:
    import numpy as np
    import onnxruntime as ort
    from onnx import helper

    kinds = {name: slot.kind for slot in slots for name in slot.names}
    arrays = {
        name: np.ascontiguousarray(value.astype(helper.tensor_dtype_to_np_dtype(kinds[name])))
        for name, value in tensors.items()
    }
    # OrtValue does not copy: `arrays` must live until the export is done.
    values = {
        name: ort.OrtValue.ortvalue_from_numpy_with_onnx_type(_bits(array), kinds[name])
        for name, array in arrays.items()
    }
    format_ = ort.AdapterFormat()
    format_.set_adapter_version(_VERSION)
    format_.set_model_version(_VERSION)
    format_.set_parameters(values)
    format_.export_adapter(str(file))


def _bits(array: Any) -> Any:
    """The array in a data type that numpy itself has: bfloat16 as the integers of its bits."""
    import numpy as np

    return array.view(np.uint16) if array.dtype.name == "bfloat16" else array
