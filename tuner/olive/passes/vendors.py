"""Olive's passes of vendors' tools, of several-part models, and those that change no model.

Each has a reason and the kind of what its lack means; none becomes a step.
"""

from __future__ import annotations

from collections.abc import Mapping

from tuner.olive.config import OlivePass
from tuner.olive.draft import Kind
from tuner.olive.passes.names import words
from tuner.olive.passes.work import Taker, Work

_Answer = tuple[Kind, str, str]

_QNN: _Answer = (
    Kind.ELSEWHERE,
    "it needs Qualcomm's tools (QNN, QAIRT), and their NPU to run what they make",
    "Qualcomm's NPUs",
)
_OPENVINO: _Answer = (
    Kind.ELSEWHERE,
    "it makes models of OpenVINO's own format with Intel's tools (OpenVINO, NNCF, optimum-intel)",
    "OpenVINO's own format",
)
_AMD: _Answer = (
    Kind.ELSEWHERE,
    "it needs AMD's tools (Quark, Vitis AI, Ryzen AI), and their NPU to run what they make",
    "AMD's NPUs",
)
_NVIDIA: _Answer = (
    Kind.ELSEWHERE,
    "it needs NVIDIA's Model Optimizer and a GPU of theirs",
    "NVIDIA's Model Optimizer",
)
_SPLIT: _Answer = (
    Kind.OMITTED,
    "a model stays in one piece",
    "models in several pieces",
)
_PRUNED: _Answer = (
    Kind.CANNOT,
    "single weights or columns are not pruned; drop_layers leaves out whole layers",
    "pruning",
)
_PARTS: _Answer = (
    Kind.CANNOT,
    "a model that is spread over several devices is not made",
    "models spread over devices",
)

ANSWERS: Mapping[str, _Answer] = {
    **dict.fromkeys(
        words(
            "EPContextBinaryGenerator StaticLLM QNNContextBinaryGenerator QNNConversion "
            "QNNModelLibGenerator QNNPreprocess QairtEncapsulation QairtGenAIBuilder QairtMHA2SHA "
            "QairtPipelinePass QairtPreparation SNPEConversion SNPEQuantization "
            "SNPEtoONNXConversion MixedPrecisionOverrides AimetQuantization"
        ),
        _QNN,
    ),
    **dict.fromkeys(
        words(
            "OpenVINOConversion OpenVINOEncapsulation OpenVINOIoUpdate OpenVINOOptimumConversion "
            "OpenVINOQuantization OpenVINOQuantizationWithAccuracy OpenVINOWeightCompression"
        ),
        _OPENVINO,
    ),
    **dict.fromkeys(
        words(
            "QuarkQuantization QuarkQuantizationVitisAI RyzenGenerateModelLLM "
            "VitisGenerateModelLLM VitisGenerateModelSD VitisAIAddMetaData VitisAIQuantization "
            "InputNCHWtoNHWC"
        ),
        _AMD,
    ),
    **dict.fromkeys(["NVModelOptGraphSurgery", "NVModelOptQuantization"], _NVIDIA),
    **dict.fromkeys(
        words("CaptureSplitInfo SplitModel ComposeOnnxModels CaptureLayerAnnotations"), _SPLIT
    ),
    **dict.fromkeys(["SliceGPT", "SparseGPT"], _PRUNED),
    **dict.fromkeys(["PyTorchTensorParallel", "MoEExpertsDistributor"], _PARTS),
    "TorchTRTConversion": (
        Kind.ELSEWHERE,
        "it needs NVIDIA's TensorRT and a GPU of theirs",
        "NVIDIA's TensorRT",
    ),
    "AitkPython": (
        Kind.CANNOT,
        "the work is done by a script of the recipe, and code of a config is not run",
        "code of a user's own",
    ),
    "QuantizationAwareTraining": (
        Kind.CANNOT,
        "models are not trained with quantised weights; qlora trains an adapter on 4-bit ones",
        "training with quantised weights",
    ),
    "SDLoRA": (Kind.CANNOT, "models that make images are not fine-tuned", "models of images"),
    "ConvertHfToGGUF": (Kind.CANNOT, "GGUF files, for llama.cpp, are not written", "GGUF files"),
    "InsertBeamSearch": (
        Kind.OMITTED,
        "how text is generated is said when it is, not in the graph",
        "options of generation",
    ),
    "AppendPrePostProcessingOps": (
        Kind.OMITTED,
        "texts are tokenised beside the graph, not in it",
        "tokenising in graphs",
    ),
    "OptimumMerging": (
        Kind.ASIDE,
        "the builder makes one graph for the first token and the next ones",
        "graphs of language models",
    ),
    "OnnxIODataTypeConverter": (
        Kind.OMITTED,
        "inputs and outputs keep their data types; keep_io of float16 is the choice there is",
        "data types of graphs",
    ),
    "OnnxIOFloat16ToFloat32": (
        Kind.OMITTED,
        "inputs and outputs keep their data types; keep_io of float16 is the choice there is",
        "data types of graphs",
    ),
    "AddOliveMetadata": (
        Kind.ASIDE,
        "how a model was made is kept in its recipe",
        "notes in models",
    ),
    "OnnxDiscrepancyCheck": (
        Kind.ASIDE,
        "every model is held to what its passes can explain, and measured",
        "checks",
    ),
    "SaveTestModelConfig": (Kind.ASIDE, "--test-model makes such a model", "test models"),
}
"""Type -> what its lack means, why, and the words for tables."""


def answered(work: Work, found: OlivePass, type_: str) -> None:
    """A pass of this table: it is omitted as a whole, and with it what it says."""
    kind, reason, group = ANSWERS[type_]
    taker = Taker(work, found, type_)
    work.note(found, kind, reason, group)
    taker.rest(kind if kind is Kind.ASIDE else Kind.OMITTED, f"it belongs to {type_}", group)
