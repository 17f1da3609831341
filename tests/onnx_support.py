"""What tests of passes on ONNX graphs share: running a graph, and comparing what it says.

Beside it `pass_support` has what the tests of all passes share.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import tiny_models

from evaluators.base import Artifact
from evaluators.text import classifier_text
from tuner.models.checkpoint import load_tokenizer

TEXTS = [classifier_text(tiny_models.TEMPLATE, "tone", row) for row in tiny_models.tone_rows()[:24]]


def logits(model: Artifact, batch: int = 24) -> np.ndarray:
    """The logits of TEXTS [24, labels], `batch` texts at a time, padded to the longest of them."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    path = str(model.path / "model.onnx")
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    tokenizer = load_tokenizer(model.path)
    rows = []
    for start in range(0, len(TEXTS), batch):
        words = tokenizer(TEXTS[start : start + batch], padding=True, return_tensors="np")
        feed = {i.name: words[i.name].astype(np.int64) for i in session.get_inputs()}
        rows.append(session.run(["logits"], feed)[0])
    return np.concatenate(rows)


def distance(model: Artifact, like: Artifact) -> float:
    """How far the logits of two models are apart, as a share of how far they spread."""
    ours, theirs = logits(model).astype(np.float32), logits(like)
    return float(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs - theirs.mean()))


def graph(model: Artifact) -> onnx.ModelProto:
    """The graph of a model, with its weights."""
    return onnx.load(model.path / "model.onnx")


def operators(model: Artifact) -> Counter[str]:
    """How many nodes there are of each operator."""
    return Counter(node.op_type for node in graph(model).graph.node)


def node_names(model: Artifact, op_type: str) -> list[str]:
    """The names of all nodes of an operator."""
    return [node.name for node in graph(model).graph.node if node.op_type == op_type]


def size(model: Artifact) -> int:
    """Bytes of the graph and its weights."""
    return sum(path.stat().st_size for path in model.path.glob("model.onnx*"))


def inode(folder: Path, name: str) -> int:
    """What a file is on disk: two names with one number share their content."""
    return (folder / name).stat().st_ino
