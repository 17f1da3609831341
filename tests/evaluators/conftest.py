"""Encoder classifiers as ONNX folders, made of the tiny BERT without any pass."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny_models

LABELS = sorted(tiny_models.PHRASES)

Edited = Callable[..., Path]


def classifier(folder: Path) -> Any:
    """The BERT with a head for the tones, whose bias is such that it predicts each of them."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AutoModelForSequenceClassification.from_pretrained(
            folder, id2label=dict(enumerate(LABELS)), label2id={n: i for i, n in enumerate(LABELS)}
        )
    model.eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    texts = [row["phrase"] for row in tiny_models.tone_rows()]
    with torch.no_grad():
        rows = [model(**tokenizer(text, return_tensors="pt")).logits for text in texts]
        model.classifier.bias -= torch.cat(rows).mean(0)
    return model


def export(model: Any, source: Path, folder: Path, shape: tuple[int, int] | None = None) -> Path:
    """Write `model.onnx`, configuration and tokenizer; of any shape, or of one (batch, tokens)."""
    import torch
    from transformers import AutoTokenizer

    class Wrapped(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = model

        def forward(self, ids: Any, mask: Any, types: Any) -> Any:
            return self.inner(input_ids=ids, attention_mask=mask, token_type_ids=types).logits

    folder.mkdir(parents=True)
    names = ["input_ids", "attention_mask", "token_type_ids"]
    example = torch.ones(shape or (2, 8), dtype=torch.int64)
    axes = {name: {0: "batch", 1: "sequence"} for name in names} | {"logits": {0: "batch"}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Wrapped().eval(),
            (example, example, example * 0),
            str(folder / "model.onnx"),
            dynamo=False,
            opset_version=17,
            input_names=names,
            output_names=["logits"],
            dynamic_axes=None if shape else axes,
        )
    model.config.save_pretrained(folder)
    AutoTokenizer.from_pretrained(source).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def torch_classifier(tiny_bert: Path) -> Any:
    """The classifier that the ONNX folders come of, in torch."""
    return classifier(tiny_bert)


@pytest.fixture(scope="session")
def tiny_onnx(
    torch_classifier: Any, tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A classifier of texts of any number and length, fp32. Read only."""
    return export(torch_classifier, tiny_bert, tmp_path_factory.mktemp("tiny_onnx") / "model")


@pytest.fixture(scope="session")
def fixed_onnx(
    torch_classifier: Any, tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A classifier of exactly two texts of 48 tokens. Read only."""
    folder = tmp_path_factory.mktemp("fixed_onnx") / "model"
    return export(torch_classifier, tiny_bert, folder, (2, 48))


@pytest.fixture(scope="session")
def int8_onnx(tiny_onnx: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The classifier with weights of 8 bits, and activations rounded as they come. Read only."""
    from onnxruntime.quantization import quantize_dynamic

    folder = tmp_path_factory.mktemp("int8_onnx") / "model"
    shutil.copytree(tiny_onnx, folder)
    quantize_dynamic(tiny_onnx / "model.onnx", folder / "model.onnx")
    return folder


@pytest.fixture
def edited(tmp_path: Path) -> Edited:
    """A function that copies a folder and gives it a session, or other entries of its config."""

    def edit(folder: Path, session: Any = None, **config: Any) -> Path:
        to = tmp_path / f"edited{len(list(tmp_path.iterdir()))}"
        shutil.copytree(folder, to)
        if session is not None:
            (to / "session.json").write_text(json.dumps(session), encoding="utf-8")
        found = json.loads((to / "config.json").read_text(encoding="utf-8"))
        (to / "config.json").write_text(json.dumps(found | config), encoding="utf-8")
        return to

    return edit
