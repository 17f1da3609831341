"""Reads the graph of an "onnx" or "genai" folder, and writes a folder with another graph.

Every file but the graph and its weights is shared with the folder that came in, by hard links.
Knows nothing of what is done to the graph. Weights are loaded into memory.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from evaluators.base import Artifact
from tuner.graphs import nodes
from tuner.models.links import link_or_copy
from tuner.passes.base import PassError

GRAPH = "model.onnx"
GENAI_CONFIG = "genai_config.json"

BIG = 1 << 30
"""Bytes of weights from which they get a file of their own: protobuf ends at twice as many."""


def graph_path(model: Artifact) -> Path:
    """The ONNX file of a model folder; PassError where there is none."""
    path = model.path / (_decoder(model.path) if model.format == "genai" else GRAPH)
    if not path.is_file():
        raise PassError(f"{model.path} is no {model.format!r} model: it has no {path.name}")
    return path


def _decoder(folder: Path) -> str:
    """The name of the decoder's graph in a GenAI folder."""
    return str(_decoder_config(folder)["filename"])


def cache_shape(folder: Path) -> tuple[int, int]:
    """(heads, size of a head) of the keys and values that a GenAI model keeps."""
    config = _decoder_config(folder)
    return int(config["num_key_value_heads"]), int(config["head_size"])


def _decoder_config(folder: Path) -> dict[str, Any]:
    path = folder / GENAI_CONFIG
    try:
        decoder: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["model"]["decoder"]
        _ = decoder["filename"], decoder["num_key_value_heads"], decoder["head_size"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PassError(f"{path} cannot be read as a GenAI configuration: {error}") from error
    return decoder


def load(model: Artifact) -> Any:
    """The graph with its weights, as an `onnx.ModelProto` in which every node has a name."""
    import onnx

    path = graph_path(model)
    graph = onnx.load(path, load_external_data=False)
    for tensor in graph.graph.initializer:
        if tensor.external_data:
            _take_in(tensor, path)
    _name_nodes(graph)
    return graph


def _take_in(tensor: Any, graph: Path) -> None:
    """Read a weight that is kept beside its graph.

    onnx would refuse files with several hard links, as which stages share what they leave alone.
    """
    import onnx
    from onnx.external_data_helper import ExternalDataInfo

    where = ExternalDataInfo(tensor)
    file = graph.parent / where.location
    if not file.resolve().is_relative_to(graph.parent.resolve()):
        raise PassError(f"{graph}: {tensor.name} is said to be outside of the folder: {file}")
    with file.open("rb") as data:
        data.seek(where.offset or 0)
        tensor.raw_data = data.read(-1 if where.length is None else where.length)
    tensor.data_location = onnx.TensorProto.DEFAULT
    del tensor.external_data[:]


def read(path: Path) -> Any:
    """A graph that a tool wrote, with its weights."""
    import onnx

    return onnx.load(path)


def write(graph: Any, path: Path) -> None:
    """Write a graph for a tool to read; weights that are too many for one file beside it."""
    import onnx
    from onnx.external_data_helper import load_external_data_for_model

    apart = weight_bytes(graph) >= BIG
    onnx.save_model(graph, path, **_storage(path, apart))
    if apart:  # they were taken out of the graph
        load_external_data_for_model(graph, str(path.parent))


def save(graph: Any, model: Artifact, output: Path) -> None:
    """Write a model folder: `model` with this graph. The graph cannot be used afterwards.

    Weights get a file of their own, NAME.data, where they are many or were in one before.
    """
    import onnx

    path = graph_path(model)
    nodes.drop_unread(graph)  # quantisers leave the matrices that several nodes have shared
    before = _weight_files(path)
    link_others(model.path, output, {path.name, *before})
    apart = bool(before) or weight_bytes(graph) >= BIG
    onnx.save_model(graph, output / path.name, **_storage(path, apart))


def link_others(source: Path, target: Path, but: set[str]) -> None:
    """Give `target` the files of `source`, as links where possible; `but`: relative names."""
    for path in sorted(source.rglob("*")):
        name = path.relative_to(source).as_posix()
        if path.is_file() and name not in but:
            link_or_copy(path, target / name)


def _storage(path: Path, apart: bool) -> dict[str, Any]:
    """How `onnx.save_model` lays out the weights."""
    return {"save_as_external_data": apart, "location": f"{path.name}.data" if apart else None}


def weight_bytes(graph: Any) -> int:
    """Bytes of the weights in memory."""
    return sum(len(tensor.raw_data) for tensor in graph.graph.initializer)


def _weight_files(path: Path) -> set[str]:
    """The files beside the graph that hold its weights, by name relative to its folder."""
    import onnx

    graph = onnx.load(path, load_external_data=False)
    return {
        entry.value
        for tensor in graph.graph.initializer
        for entry in tensor.external_data
        if entry.key == "location"
    }


def _name_nodes(graph: Any) -> None:
    """Give a name to nodes that have none: after their operator, numbered in graph order."""
    taken = {node.name for node in graph.graph.node}
    names = (f"node_{i}" for i in range(len(taken) + len(graph.graph.node)))
    free: Iterator[str] = (name for name in names if name not in taken)
    for node in graph.graph.node:
        if not node.name:
            node.name = f"{node.op_type}_{next(free)}"
