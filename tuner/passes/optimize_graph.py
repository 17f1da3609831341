"""The `optimize_graph` pass: the same computation with fewer or faster operators.

Knows nothing of how the model was exported or is run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from evaluators.base import Artifact
from evaluators.machine import cpu_model
from search_spaces.problems import hint, listed
from search_spaces.vocabulary import Aspect, ParameterSpec, PassSpec, Value
from tuner.graphs import folders, nodes, quiet
from tuner.passes.base import Pass, PassError, StageContext
from tuner.passes.tolerances import FUSED

TRANSFORMERS: dict[str, tuple[Value, ...]] = {"tool": ("ort_transformers",)}
STEPS = (
    "constant_folding",
    "dead_node_elimination",
    "graph_fusion",
    "subexpression_elimination",
    "weight_tying",
)
"""What onnxslim does, step by step."""


class OptimizeGraph(Pass):
    """Rewrites the graph; what it computes stays the same, up to rounding.

    `ort_transformers`: onnxruntime.transformers.optimizer, which runs ONNX Runtime's own rewriting
    up to `level` and then fuses what belongs to a transformer (it knows BERT's shape; attention is
    recognised in graphs of the torchscript exporter with eager attention). `ort_offline`: ONNX
    Runtime's own rewriting alone, kept in the file; at level all it is made for this kind of
    processor. `onnxslim`: folds constants and removes what is double or dead.
    """

    spec = PassSpec(
        name="optimize_graph",
        version=1,
        help="Fuse and fold operators of an ONNX model, with the tool of your choice.",
        accepts=frozenset({"onnx"}),
        gives=None,
        changes=frozenset({Aspect.STRUCTURE}),
        kinds=frozenset({"encoder"}),
        tasks=("text-classification",),
        libraries=("onnxruntime", "onnxruntime-gpu", "onnx", "onnxslim", "sympy", "torch"),
        parameters=(
            ParameterSpec(
                "tool",
                str,
                "ort_transformers",
                "What rewrites the graph.",
                choices=("ort_transformers", "ort_offline", "onnxslim"),
                search=("ort_transformers", "ort_offline", "onnxslim"),
            ),
            ParameterSpec(
                "level",
                str,
                "basic",
                "How far ONNX Runtime goes; extended: fused operators of its own, all: layout too.",
                choices=("basic", "extended", "all"),
                search=("basic", "extended"),
                applies={"tool": ("ort_transformers", "ort_offline")},
            ),
            ParameterSpec(
                "fuse_attention",
                bool,
                True,
                "One operator for all of a layer's attention.",
                search=(True, False),
                applies=TRANSFORMERS,
            ),
            ParameterSpec(
                "fuse_skip_layer_norm",
                bool,
                True,
                "A residual sum and the layer normalisation behind it in one.",
                search=(True, False),
                applies=TRANSFORMERS,
            ),
            ParameterSpec(
                "fuse_bias_skip_layer_norm",
                bool,
                True,
                "The bias before it in the same operator too.",
                applies=TRANSFORMERS | {"fuse_skip_layer_norm": (True,)},
            ),
            ParameterSpec(
                "fuse_embed_layer_norm",
                bool,
                True,
                "All embeddings and their layer normalisation in one.",
                applies=TRANSFORMERS | {"fuse_attention": (True,)},
            ),
            ParameterSpec(
                "fuse_gelu",
                bool,
                True,
                "One operator for a GELU.",
                applies=TRANSFORMERS,
            ),
            ParameterSpec(
                "fuse_bias_gelu",
                bool,
                True,
                "The bias before a GELU in the same operator.",
                applies=TRANSFORMERS | {"fuse_gelu": (True,)},
            ),
            ParameterSpec(
                "approximate_gelu",
                bool,
                False,
                "GELU by its tanh formula: quicker, and a little different.",
                applies=TRANSFORMERS | {"fuse_gelu": (True,)},
            ),
            ParameterSpec(
                "skip_steps",
                list,
                (),
                "Steps of onnxslim to leave out, such as [graph_fusion].",
                applies={"tool": ("onnxslim",)},
            ),
        ),
    )

    def check(self, parameters: Mapping[str, Value]) -> list[str]:
        """Refuse steps that onnxslim does not have, or that leave nothing to do."""
        skipped = nodes.names(parameters["skip_steps"])
        if set(STEPS) <= set(skipped):
            return ["skip_steps leaves nothing to do: name fewer steps"]
        return [
            f"skip_steps: {name!r} is none of {listed(STEPS)}{hint(name, STEPS)}"
            for name in skipped
            if name not in STEPS
        ]

    def environment(self, parameters: Mapping[str, Value]) -> Mapping[str, str]:
        """The processor, for a level at which ONNX Runtime looks at it."""
        if parameters["tool"] != "onnxslim" and parameters["level"] == "all":
            return {"cpu": str(cpu_model())}
        return {}

    def tolerance(self, parameters: Mapping[str, Value], model_format: str) -> float | None:
        """Rounding, of 8-bit operators too."""
        return FUSED

    def run(self, context: StageContext) -> None:
        """Rewrite, and link the model's other files."""
        graph = folders.load(context.model)
        before = sum(nodes.count(graph).values())
        rewrite = {
            "ort_transformers": _by_transformers,
            "ort_offline": _by_runtime,
            "onnxslim": _by_onnxslim,
        }[str(context.parameters["tool"])]
        try:
            with TemporaryDirectory() as folder, quiet.quiet():
                made = rewrite(graph, context.model, context.parameters, Path(folder))
        except Exception as error:
            reason = " ".join(str(error).split())[:200]
            raise PassError(
                f"{context.parameters['tool']} cannot optimise this graph "
                f"({type(error).__name__}: {reason}); try another tool"
            ) from error
        print(f"{before} operators before, {sum(nodes.count(made).values())} after", flush=True)
        folders.save(made, context.model, context.output)


def _by_runtime(graph: Any, model: Artifact, parameters: Mapping[str, Value], folder: Path) -> Any:
    """The graph as ONNX Runtime rewrites it when it opens a model for the CPU."""
    import onnxruntime as ort

    levels = {
        "basic": ort.GraphOptimizationLevel.ORT_ENABLE_BASIC,
        "extended": ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
        "all": ort.GraphOptimizationLevel.ORT_ENABLE_ALL,
    }
    source, target = folder / "source.onnx", folder / "target.onnx"
    folders.write(graph, source)
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = levels[str(parameters["level"])]
    options.optimized_model_filepath = str(target)
    if folders.weight_bytes(graph) >= folders.BIG:
        entry = "session.optimized_model_external_initializers_file_name"
        options.add_session_config_entry(entry, f"{target.name}.data")
    ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    return folders.read(target)


def _by_transformers(
    graph: Any, model: Artifact, parameters: Mapping[str, Value], folder: Path
) -> Any:
    """The graph with a transformer's parts fused."""
    from onnxruntime.transformers.fusion_options import FusionOptions
    from onnxruntime.transformers.optimizer import optimize_model

    options = FusionOptions("bert")
    options.enable_attention = parameters["fuse_attention"]
    options.enable_skip_layer_norm = parameters["fuse_skip_layer_norm"]
    options.enable_bias_skip_layer_norm = parameters["fuse_bias_skip_layer_norm"]
    options.enable_embed_layer_norm = parameters["fuse_embed_layer_norm"]
    options.enable_gelu = parameters["fuse_gelu"]
    options.enable_bias_gelu = parameters["fuse_bias_gelu"]
    options.enable_gelu_approximation = parameters["approximate_gelu"]
    source = folder / "source.onnx"
    folders.write(graph, source)
    heads, hidden = _sizes(model.path)
    return optimize_model(
        str(source),
        model_type="bert",
        num_heads=heads,
        hidden_size=hidden,
        optimization_options=options,
        opt_level={"basic": 1, "extended": 2, "all": 99}[str(parameters["level"])],
    ).model


def _sizes(folder: Path) -> tuple[int, int]:
    """Attention heads and hidden size, as the configuration says; zeros where it does not."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    heads = config.get("num_attention_heads") or config.get("n_heads") or 0
    return int(heads), int(config.get("hidden_size") or config.get("dim") or 0)


def _by_onnxslim(graph: Any, model: Artifact, parameters: Mapping[str, Value], folder: Path) -> Any:
    """The graph without what is double, dead or constant."""
    import onnxslim

    return onnxslim.slim(graph, skip_optimizations=list(nodes.names(parameters["skip_steps"])))
