"""What tests of passes share: filling in parameters, a zoo of models, and loading what came out."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import tiny_models

from evaluators.base import Artifact
from search_spaces.candidates import complete
from search_spaces.vocabulary import Value
from tuner.models.checkpoint import is_encoder, load_causal, load_classifier, load_tokenizer
from tuner.passes import Pass

PROMPT = "### Text: Who knew?\n### The tone is:\n"
LABELS = sorted(tiny_models.PHRASES)

# Small enough that every pass runs in a second on the tiny models.
TRAINING: dict[str, Value] = {"max_steps": 4, "batch_size": 4}
CALIBRATION: dict[str, Value] = {"calibration_samples": 8, "calibration_length": 32}
QUICK: dict[str, dict[str, Value]] = {
    "lora": {"r": 4} | TRAINING,
    "qlora": {"r": 4} | TRAINING,
    "full_finetune": TRAINING,
    "drop_layers": {"layers": 1},
    "gptq": CALIBRATION,
    "awq": CALIBRATION,
    "autoround": CALIBRATION | {"iterations": 2},
}

ARCHITECTURES = {"phi3": "causal", "llama": "causal", "bert": "encoder"}
MAKERS = {
    "causal": {"quantized": "rtn", "adapter": "lora", "genai": "genai_builder"},
    "encoder": {"adapter": "lora", "onnx": "onnx_export"},
}
"""Kind of model -> format -> the pass that makes one of a checkpoint."""
FLOATS: dict[str, Value] = {"precision": "fp32"}
"""So that the passes that round weights have some to round."""


class Runner(Protocol):
    """Runs a pass, by name, and gives back the model that comes out."""

    def __call__(self, name: str, model: Artifact, /, **changes: Value) -> Artifact: ...


class Exporter(Protocol):
    """Exports the same model with other parameters."""

    def __call__(self, **changes: Value) -> Artifact: ...


class Zoo:
    """A model of each architecture and format, and what every pass makes of it, each made once."""

    def __init__(self, folders: dict[str, Path], run: Runner) -> None:
        self._models = {(name, "hf"): Artifact("hf", folder) for name, folder in folders.items()}
        self._made: dict[tuple[str, str, str], Artifact] = {}
        self._run = run

    def model(self, architecture: str, format_: str) -> Artifact:
        """The model of an architecture, in a format of its kind."""
        key = (architecture, format_)
        if key not in self._models:
            maker = MAKERS[ARCHITECTURES[architecture]][format_]
            changes = FLOATS if format_ == "genai" else {}
            self._models[key] = self._run(maker, self.model(architecture, "hf"), **changes)
        return self._models[key]

    def made(self, name: str, architecture: str, format_: str) -> Artifact:
        """What a pass makes of that model, with quick parameters."""
        key = (name, architecture, format_)
        if key not in self._made:
            self._made[key] = self._run(name, self.model(architecture, format_))
        return self._made[key]


def filled_in(pass_: Pass, changes: dict[str, Value], model_format: str = "hf") -> dict[str, Value]:
    """Every parameter: what the format fixes, what `changes` says, or its default."""
    return complete(pass_.spec, changes, model_format)


def hashes(folder: Path) -> dict[str, str]:
    """Content of every file, by relative name."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def next_logits(model: Artifact) -> np.ndarray:
    """What a model says of PROMPT, in the runtime of its format.

    Of a language model the logits of the next token, of an encoder those of the labels.
    """
    if model.format == "genai":
        return _genai_logits(model.path)
    return _onnx_logits(model.path) if model.format == "onnx" else _torch_logits(model)


def _genai_logits(folder: Path) -> np.ndarray:
    import onnxruntime_genai as og

    model = og.Model(str(folder))
    parameters = og.GeneratorParams(model)
    parameters.set_search_options(max_length=40)
    generator = og.Generator(model, parameters)
    adapters = _adapters(model, folder)
    if adapters is not None:
        generator.set_active_adapter(*adapters)
    generator.append_tokens(og.Tokenizer(model).encode(PROMPT))
    logits = np.array(generator.get_output("logits"))[0, -1]
    for _ in range(3):
        generator.generate_next_token()
    return logits


def _adapters(model: Any, folder: Path) -> tuple[Any, str] | None:
    """The adapters of a folder that has some, loaded, and the name of the active one."""
    import onnxruntime_genai as og

    index = folder / "adapters.json"
    if not index.exists():
        return None
    known = json.loads(index.read_text())
    adapters = og.Adapters(model)
    for name, file in known["adapters"].items():
        adapters.load(str(folder / file), name)
    return adapters, known["active"]


def _onnx_logits(folder: Path) -> np.ndarray:
    import onnxruntime as ort

    session = ort.InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])
    wanted = {i.name for i in session.get_inputs()}
    words = load_tokenizer(folder)(PROMPT, return_tensors="np")
    feed = {name: ids.astype(np.int64) for name, ids in words.items() if name in wanted}
    for name in wanted - feed.keys():
        feed[name] = np.zeros_like(feed["input_ids"])
    return np.asarray(session.run(["logits"], feed)[0])[0].astype(np.float32)


def _torch_logits(model: Artifact) -> np.ndarray:
    import torch
    from peft import PeftModel

    base = model if model.base is None else model.base
    encoder = is_encoder(base.path)
    network = load_classifier(base.path, LABELS) if encoder else load_causal(base)
    if model.base is not None:
        network = PeftModel.from_pretrained(network, model.path)
    network.eval()
    words = load_tokenizer(base.path)(PROMPT, return_tensors="pt")
    with torch.no_grad():
        logits = network(input_ids=words.input_ids, attention_mask=words.attention_mask).logits
    return np.asarray((logits[0] if encoder else logits[0, -1]).float().numpy())
