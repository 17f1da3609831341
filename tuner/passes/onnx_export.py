"""The `onnx_export` pass: a transformers encoder becomes an ONNX classifier.

Knows nothing of what is done to the graph afterwards, nor of how it is run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from search_spaces.data import DataSpec, labels
from search_spaces.vocabulary import Aspect, ParameterSpec, PassSpec, Value
from tuner.graphs import folders, nodes, quiet
from tuner.models.checkpoint import (
    copy_other_files,
    head_labels,
    load_classifier,
    load_tokenizer,
)
from tuner.passes.base import Pass, PassError, StageContext
from tuner.passes.tolerances import EXACT

INPUTS = ("input_ids", "attention_mask", "token_type_ids")
OUTPUT = "logits"
FIXED: dict[str, tuple[Value, ...]] = {"shapes": ("fixed",)}


class OnnxExport(Pass):
    """Exports the classifier in 32-bit floats, with torch.onnx of PyTorch.

    `exporter`: torchscript traces the model; dynamo captures it with torch.export and optimises
    the graph with onnxscript. A checkpoint without a classification head gets a fresh one for the
    data's labels, the same every time; a head that is there is kept, with its own labels.
    """

    spec = PassSpec(
        name="onnx_export",
        version=1,
        help="Export an encoder with its classification head from PyTorch to ONNX.",
        accepts=frozenset({"hf"}),
        gives="onnx",
        changes=frozenset({Aspect.STRUCTURE}),
        neutral={},
        uses_data=True,
        kinds=frozenset({"encoder"}),
        tasks=("text-classification",),
        libraries=("torch", "transformers", "onnx", "onnxscript", "onnx-ir"),
        parameters=(
            ParameterSpec(
                "exporter",
                str,
                "torchscript",
                "torchscript: a traced graph, which optimize_graph fuses best; dynamo: the newer.",
                choices=("torchscript", "dynamo"),
                search=("torchscript", "dynamo"),
            ),
            ParameterSpec(
                "opset",
                int,
                18,
                "Version of the ONNX operators.",
                low=17,
                high=23,
                search=(18, 21, 23),
            ),
            ParameterSpec(
                "attention",
                str,
                "eager",
                "Attention written out in torch (eager), or torch's fused one taken apart (sdpa).",
                choices=("eager", "sdpa"),
                search=("eager", "sdpa"),
            ),
            ParameterSpec(
                "shapes",
                str,
                "dynamic",
                "Take texts of any number and length, or exactly `batch` of `sequence` tokens.",
                choices=("dynamic", "fixed"),
            ),
            ParameterSpec("batch", int, 1, "Texts at a time.", low=1, high=65_536, applies=FIXED),
            ParameterSpec(
                "sequence",
                int,
                128,
                "Tokens of a text, padding included.",
                low=2,
                high=1_048_576,
                applies=FIXED,
            ),
        ),
    )

    def tolerance(self, parameters: Mapping[str, Value], model_format: str) -> float | None:
        """Nothing but rounding."""
        return EXACT

    def run(self, context: StageContext) -> None:
        """Write `model.onnx`, the configuration with the labels, and the tokenizer."""
        source, target = context.model.path, context.output
        tokenizer = load_tokenizer(source)
        model = _load(source, context.data, str(context.parameters["attention"]))
        example = _example(tokenizer, model, context.parameters)
        path = target / folders.GRAPH
        with quiet.quiet():
            _export(model, example, context.parameters, path)
        _tidy(path)
        copy_other_files(source, target, but=("config.json",))
        model.config.architectures = [type(model).__name__]
        model.config.save_pretrained(target)


def _load(folder: Path, data: DataSpec | None, attention: str) -> Any:
    """The classifier, ready to be traced; its own head, or a fresh one for the data's labels."""
    import torch

    own, wanted = head_labels(folder), () if data is None else labels(data)
    if own is None and not wanted:
        raise PassError(
            "this model has no classification head, and the space has no labelled data to make one "
            "for: name the label's column under data, or start from a classifier"
        )
    if own is not None and wanted and set(own) != set(wanted):
        print(
            f"the model's labels ({', '.join(own)}) are not the data's ({', '.join(wanted)}); "
            "it keeps its own",
            flush=True,
        )
    if own is None:
        print(
            f"the model has no classification head: it gets an untrained one for {len(wanted)} "
            "labels, which guesses until it is fine-tuned",
            flush=True,
        )
    try:
        model = load_classifier(folder, own or wanted, dtype=torch.float32)
    except ValueError as error:
        raise PassError(f"the model cannot be loaded as a classifier: {error}") from error
    model.set_attn_implementation(attention)
    model.config.return_dict = True
    return model.eval()


def _example(tokenizer: Any, model: Any, parameters: Mapping[str, Value]) -> dict[str, Any]:
    """Inputs to trace the model with: those that the tokenizer gives and the model takes.

    The second text is padded, so that no tracer takes the mask for a constant.
    """
    import inspect

    import torch

    taken = inspect.signature(model.forward).parameters
    given = set(tokenizer("a").keys())
    batch, sequence = 2, 8
    if parameters["shapes"] == "fixed":
        batch, sequence = cast("int", parameters["batch"]), cast("int", parameters["sequence"])
        _refuse_length(sequence, model.config)
    ids = torch.arange(batch * sequence).reshape(batch, sequence) % (model.config.vocab_size - 1)
    mask = torch.ones_like(ids)
    mask[-1, -(sequence // 4) :] = 0
    tensors = (ids, mask, torch.zeros_like(ids))
    return {
        name: tensor
        for name, tensor in zip(INPUTS, tensors, strict=True)
        if name in taken and (name in given or name == "attention_mask")
    }


def _refuse_length(sequence: int, config: Any) -> None:
    longest = getattr(config, "max_position_embeddings", None)
    if longest and sequence > longest:
        raise PassError(f"sequence {sequence} is too long: this model reads {longest} tokens")


def _export(
    model: Any, example: Mapping[str, Any], parameters: Mapping[str, Value], path: Path
) -> None:
    """Run the exporter. PassError where it cannot capture the model."""
    import torch

    dynamo = parameters["exporter"] == "dynamo"
    dynamic = _dynamo_shapes(example, model) if dynamo else _torchscript_axes(example)
    if parameters["shapes"] == "fixed":
        dynamic = {}
    try:
        torch.onnx.export(
            _classifier(model, list(example)),
            tuple(example.values()),
            path,
            input_names=list(example),
            output_names=[OUTPUT],
            opset_version=cast("int", parameters["opset"]),
            dynamo=dynamo,
            external_data=False,
            verbose=False,
            **dynamic,
        )
    except Exception as error:
        other = "torchscript" if dynamo else "dynamo"
        reason = " ".join(str(error).split())[:200]
        raise PassError(
            f"the {parameters['exporter']} exporter cannot export this model "
            f"({type(error).__name__}: {reason}); try exporter {other}"
        ) from error


def _classifier(model: Any, names: Sequence[str]) -> Any:
    """The model as a module that takes the inputs in this order and returns the logits."""
    import torch

    class Classifier(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *inputs: Any) -> Any:
            return self.model(**dict(zip(names, inputs, strict=True))).logits

    return Classifier().eval()


def _torchscript_axes(example: Mapping[str, Any]) -> dict[str, Any]:
    axes = {name: {0: "batch", 1: "sequence"} for name in example}
    return {"dynamic_axes": axes | {OUTPUT: {0: "batch"}}}


def _dynamo_shapes(example: Mapping[str, Any], model: Any) -> dict[str, Any]:
    import torch

    longest = getattr(model.config, "max_position_embeddings", None)
    batch, sequence = torch.export.Dim("batch"), torch.export.Dim("sequence", max=longest)
    return {"dynamic_shapes": (tuple({0: batch, 1: sequence} for _ in example),)}


def _tidy(path: Path) -> None:
    """Take out what says where and how the graph was made: stack traces, paths, module names.

    And the shapes of what is in between: anybody can infer them, and a tool that changes a matrix
    trips over the one that the dynamo exporter noted.
    """
    import onnx

    graph = onnx.load(path)
    nodes.resolve_aliases(graph)
    del graph.graph.value_info[:]
    parts = (graph, graph.graph, *graph.functions)
    for part in (*parts, *graph.graph.node, *graph.graph.input, *graph.graph.output):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    folders.write(graph, path)
