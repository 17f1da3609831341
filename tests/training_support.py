"""What tests of fine-tuning share: data that a tiny encoder learns, and how well it did."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import tiny_models
from pass_support import QUICK, filled_in

from evaluators.base import Artifact
from evaluators.text import classifier_text
from search_spaces.data import DataSpec, read_split
from search_spaces.vocabulary import Value
from tuner.models.checkpoint import is_encoder, load_causal, load_classifier
from tuner.passes import StageContext, all_passes

TONES = sorted(tiny_models.PHRASES)


def load(model: Artifact) -> Any:
    """The network of a checkpoint, or of an adapter on its base, in eval mode."""
    from peft import PeftModel

    base = model.base or model
    encoder = is_encoder(base.path)
    network = load_classifier(base.path, TONES) if encoder else load_causal(base)
    if model.base is not None:
        network = PeftModel.from_pretrained(network, model.path)
    return network.eval()


def easy_data(folder: Path) -> DataSpec:
    """16 rows whose text is their label, said once or more."""
    rows = [
        {"phrase": f"{tone} " * n + "it is", "tone": tone} for tone in TONES for n in (1, 2, 3, 4)
    ]
    file = folder / "easy.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return DataSpec((("train", file),), "{phrase}\n{tone}", "tone", split=())


def run_on(
    data: DataSpec | None, name: str, model: Artifact, output: Path, **changes: Value
) -> Artifact:
    """Run a pass on data other than the tones."""
    pass_ = all_passes()[name]
    parameters = filled_in(pass_, QUICK.get(name, {}) | changes)
    output.mkdir(exist_ok=True)
    pass_.run(StageContext(model, parameters, output, "text-classification", data))
    gives = pass_.spec.gives or model.format
    return Artifact(gives, output, model if gives == "adapter" else None)


def classified_right(model: Artifact, data: DataSpec) -> float:
    """The share of rows whose label an encoder tells."""
    import torch

    words, network = tiny_models.encoder_tokenizer(), load(model)
    rows = read_split(data, "train")
    right = 0
    for row in rows:
        text = words(classifier_text(data.template, "tone", row), return_tensors="pt")
        with torch.no_grad():
            logits = network(input_ids=text.input_ids).logits[0]
        right += network.config.id2label[int(logits.argmax())] == row["tone"]
    return right / len(rows)
