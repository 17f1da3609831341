"""Which nodes of a graph a person means, and which carry the attention mask.

Knows nothing of folders or of quantisation. Graphs are `onnx.ModelProto`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from fnmatch import fnmatchcase
from typing import Any

from search_spaces.problems import hint, listed, nearest
from search_spaces.vocabulary import Value
from tuner.passes.base import PassError

MASK = "attention_mask"


def names(value: Value) -> tuple[str, ...]:
    """A list parameter as texts; a single text is a list of one."""
    if isinstance(value, str):
        return (value,)
    return tuple(str(item) for item in value) if isinstance(value, tuple) else ()


def check_op_types(parameter: str, value: Value, known: Collection[str]) -> list[str]:
    """What is wrong with a list of operators of which only `known` can be handled, in words."""
    given = names(value)
    if not given:
        return [f"{parameter} is empty: name operators, of {listed(sorted(known))}"]
    return [
        f"{parameter}: {name!r} is none of {listed(sorted(known))}{hint(name, known)}"
        for name in given
        if name not in known
    ]


def matching(graph: Any, parameter: str, value: Value) -> list[str]:
    """The nodes that a list of names and patterns (`*/attention/*`) means, in graph order.

    PassError where one of them is not a single node's: it names the nearest.
    """
    known = [node.name for node in graph.graph.node]
    found: set[str] = set()
    for wanted in names(value):
        matches = {name for name in known if name == wanted} or {
            name for name in known if fnmatchcase(name, wanted)
        }
        if not matches:
            raise PassError(f"{parameter}: this graph has no node {wanted!r}{_near(wanted, known)}")
        found |= matches
    return [name for name in known if name in found]


def _near(wanted: str, known: list[str]) -> str:
    """Nodes that may have been meant: of a like name, or with a like part in their path."""
    parts = {part for name in known for part in name.split("/") if part}
    like = [nearest(part, parts) for part in (wanted, *wanted.split("/")) if part.strip("*")]
    inside = [name for name in known for part in like if part and part in name]
    near = list(dict.fromkeys([*filter(None, [nearest(wanted, known)]), *inside]))[:3]
    if near:
        return f"; did you mean {listed(map(repr, near))}?"
    return f"; its names are like {listed(map(repr, known[:3]))}"


def require_ops(graph: Any, parameter: str, value: Value) -> None:
    """PassError where the graph has no node of an operator that the list names."""
    known = sorted(count(graph))
    for name in names(value):
        if name not in known:
            raise PassError(
                f"{parameter}: this graph has no {name!r}{hint(name, known)} "
                f"It has {', '.join(known)}"
            )


def of_types(graph: Any, op_types: Iterable[str]) -> list[str]:
    """The names of the nodes of some operators."""
    wanted = set(op_types)
    return [node.name for node in graph.graph.node if node.op_type in wanted]


def count(graph: Any) -> Counter[str]:
    """How many nodes there are of each operator."""
    return Counter(node.op_type for node in graph.graph.node)


def weights(graph: Any) -> dict[str, Any]:
    """The constants that are stored in the graph, by name."""
    return {tensor.name: tensor for tensor in graph.graph.initializer}


def read_names(graph: Any) -> set[str]:
    """What the nodes of a graph (`onnx.GraphProto`) read, and those of the graphs within it."""
    found = {name for node in graph.node for name in node.input}
    return found.union(*map(read_names, _inner(graph)), (o.name for o in graph.output))


def _inner(graph: Any) -> list[Any]:
    """The graphs that are branches or bodies of its nodes."""
    attributes = [attribute for node in graph.node for attribute in node.attribute]
    return [a.g for a in attributes if a.HasField("g")] + [g for a in attributes for g in a.graphs]


def drop_unread(graph: Any) -> None:
    """Take out stored tensors that nobody reads, and all but one of those of one name."""
    stored = {tensor.name: tensor for tensor in graph.graph.initializer}
    read = read_names(graph.graph)
    kept = [tensor for name, tensor in stored.items() if name in read]
    if len(kept) == len(graph.graph.initializer):
        return
    fresh = [type(tensor).FromString(tensor.SerializeToString()) for tensor in kept]
    del graph.graph.initializer[:]
    graph.graph.initializer.extend(fresh)


def resolve_aliases(graph: Any) -> None:
    """Let every node read a stored tensor by its own name, and drop the Identity that renames it.

    The torchscript exporter writes one where layers share a matrix, and no quantiser looks behind.
    """
    stored = weights(graph)
    kept = {o.name for o in graph.graph.output}.union(*map(read_names, _inner(graph.graph)))
    names: dict[str, str] = {}
    for node in list(graph.graph.node):
        given = [names.get(name, name) for name in node.input]
        if node.op_type == "Identity" and given[0] in stored and node.output[0] not in kept:
            names[node.output[0]] = given[0]
            graph.graph.node.remove(node)
        else:
            node.input[:] = given


def matrices(graph: Any) -> list[tuple[Any, tuple[int, int]]]:
    """Every MatMul by a stored float matrix, with the matrix' shape (inputs, outputs)."""
    from onnx import TensorProto

    floats = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16)
    stored = {n: t for n, t in weights(graph).items() if t.data_type in floats}
    return [
        (node, (shape[-2], shape[-1]))
        for node in graph.graph.node
        if node.op_type == "MatMul"
        and node.input[1] in stored
        and len(shape := tuple(stored[node.input[1]].dims)) == 2
    ]


def products_of_activations(graph: Any) -> list[str]:
    """The names of the MatMuls of which neither side is stored: attention's own."""
    stored = weights(graph)
    return [
        node.name
        for node in graph.graph.node
        if node.op_type == "MatMul" and not any(name in stored for name in node.input)
    ]


def standard_attention(graph: Any) -> list[str]:
    """The names of the Attention nodes of ONNX itself (opset 23), not of ONNX Runtime.

    Most tools know only the latter, whose inputs are others.
    """
    return [n.name for n in graph.graph.node if n.op_type == "Attention" and not n.domain]


def masking(graph: Any) -> set[str]:
    """The nodes in which the attention mask is computed and applied, up to the softmax.

    In them the lowest number there is stands for "do not look": they cannot be rounded to 8 bits
    without either losing every score, or looking at the padding.
    """
    derived, constants = {MASK}, set(weights(graph))
    found: set[str] = set()
    for node in graph.graph.node:
        inputs = [name for name in node.input if name and name not in constants]
        if node.op_type == "Constant" or not (inputs or node.op_type == "Shape"):
            constants.update(node.output)
        elif node.op_type == "Shape":
            constants.update(node.output)  # shapes are no mask, whatever they are shapes of
        elif all(name in derived for name in inputs):
            derived.update(node.output)
            found.add(node.name)
    return found | _applied(graph, derived)


def _applied(graph: Any, mask: set[str]) -> set[str]:
    """The nodes that put the mask on something else, and the softmaxes behind them."""
    found, masked = set(), set()
    for node in graph.graph.node:
        if any(name in mask for name in node.input) or (
            node.op_type == "Softmax" and node.input[0] in masked
        ):
            found.add(node.name)
            masked.update(node.output)
    return found
