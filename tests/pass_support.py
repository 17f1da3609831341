"""What tests of passes share: filling in parameters, and loading what a pass wrote."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Protocol

import numpy as np

from evaluators.base import Artifact
from search_spaces.vocabulary import Value
from tuner.passes import Pass

PROMPT = "### Text: Who knew?\n### The tone is:\n"


class Runner(Protocol):
    """Runs a pass, by name, and gives back the model that comes out."""

    def __call__(self, name: str, model: Artifact, /, **changes: Value) -> Artifact: ...


def filled_in(pass_: Pass, changes: dict[str, Value]) -> dict[str, Value]:
    """Every parameter: its default, or what `changes` says."""
    return {p.name: p.default for p in pass_.spec.parameters} | changes


def hashes(folder: Path) -> dict[str, str]:
    """Content of every file, by relative name."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def next_logits(model: Artifact) -> np.ndarray:
    """The logits after PROMPT, in the runtime of the model's format."""
    return _genai_logits(model.path) if model.format == "genai" else _torch_logits(model)


def _genai_logits(folder: Path) -> np.ndarray:
    import onnxruntime_genai as og

    model = og.Model(str(folder))
    parameters = og.GeneratorParams(model)
    parameters.set_search_options(max_length=40)
    generator = og.Generator(model, parameters)
    generator.append_tokens(og.Tokenizer(model).encode(PROMPT))
    logits = np.array(generator.get_output("logits"))[0, -1]
    for _ in range(3):
        generator.generate_next_token()
    return logits


def _torch_logits(model: Artifact) -> np.ndarray:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    base = model.path if model.base is None else model.base.path
    network = AutoModelForCausalLM.from_pretrained(base)
    if model.base is not None:
        network = PeftModel.from_pretrained(network, model.path)
    ids = AutoTokenizer.from_pretrained(base)(PROMPT, return_tensors="pt").input_ids
    with torch.no_grad():
        return np.asarray(network(input_ids=ids).logits[0, -1].float().numpy())
