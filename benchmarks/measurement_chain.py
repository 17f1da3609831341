"""Classifiers whose true cost is known: chains of equal layers in ONNX, a few per cent apart.

A layer is a product with an orthogonal matrix and a hyperbolic tangent, so that numbers neither
grow nor vanish. Five layers more on a hundred are 5 % more work. Knows nothing of statistics.
"""

from __future__ import annotations

import json
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from evaluators.base import Artifact, Json
from evaluators.workloads import Workload, open_workload

LAYERS, WIDTH, VOCABULARY, LABELS = 100, 256, 1000, 4
TOKENS = 32
WORK_JOB = "measurement_chain:work_job"


def write_chain(folder: Path, extra: float, seed: int, threads: int | None = None) -> Artifact:
    """An "onnx" folder of LAYERS layers and `extra` (a fraction of them) more.

    Chains of one seed have their layers in common, and are equal byte for byte where `extra` is.
    `threads`: those that compute; None for a thread a core.
    """
    folder.mkdir(parents=True)
    onnx.save(
        _model(round(LAYERS * (1 + extra)), np.random.default_rng(seed)), folder / "model.onnx"
    )
    config = {
        "vocab_size": VOCABULARY,
        "id2label": {str(i): f"label {i}" for i in range(LABELS)},
        "model_type": "bert",
    }
    (folder / "config.json").write_text(json.dumps(config))
    if threads is not None:
        settings = {"session_options": {"intra_op_num_threads": threads}}
        (folder / "session.json").write_text(json.dumps(settings))
    return Artifact("onnx", folder)


def _model(layers: int, rng: np.random.Generator) -> Any:
    weights = {
        "embedding": rng.standard_normal((VOCABULARY, WIDTH)),
        "head": rng.standard_normal((WIDTH, LABELS)),
    }
    nodes = [helper.make_node("Gather", ["embedding", "input_ids"], ["h0"])]
    for i in range(layers):
        weights[f"w{i}"] = np.linalg.qr(rng.standard_normal((WIDTH, WIDTH)))[0]
        nodes.append(helper.make_node("MatMul", [f"h{i}", f"w{i}"], [f"product{i}"]))
        nodes.append(helper.make_node("Tanh", [f"product{i}"], [f"h{i + 1}"]))
    nodes.append(helper.make_node("ReduceMean", [f"h{layers}"], ["pooled"], axes=[1], keepdims=0))
    nodes.append(helper.make_node("MatMul", ["pooled", "head"], ["logits"]))
    graph = helper.make_graph(
        nodes,
        "chain",
        [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "sequence"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", LABELS])],
        [numpy_helper.from_array(w.astype(np.float32), name) for name, w in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def work_job(payload: Json) -> Json:
    """The true ratio of two models' work: requests in turn in one process, `rounds` of each.

    `payload`: "models" (two artifacts as JSON; the ratio is of the second to the first), "options"
    of the workload, "rounds". Gives the median ratio of neighbouring requests, by seconds of the
    processor over all threads ("processor") and of the clock ("clock").
    """
    loads = [open_workload(Artifact.from_json(m), payload["options"]) for m in payload["models"]]
    ratios: dict[str, list[float]] = {"processor": [], "clock": []}
    for turn in range(payload["rounds"]):
        taken = {which: _cost(loads[which]) for which in ((0, 1) if turn % 2 == 0 else (1, 0))}
        for name in ratios:
            ratios[name].append(taken[1][name] / taken[0][name])
    return {name: statistics.median(values) for name, values in ratios.items()}


def _cost(workload: Workload) -> dict[str, float]:
    busy, started = time.process_time(), time.perf_counter()
    workload.request()
    clock = time.perf_counter() - started
    return {"clock": clock, "processor": time.process_time() - busy}
