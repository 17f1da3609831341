"""Exporting an encoder with its head to ONNX."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import tiny_models
from onnx_support import TEXTS, graph, logits, operators
from pass_support import Exporter, Runner, filled_in, hashes

from evaluators.base import Artifact
from search_spaces.data import DataSpec
from search_spaces.vocabulary import Value
from tuner.models.checkpoint import load_classifier, load_tokenizer
from tuner.passes import PassError, StageContext
from tuner.passes.onnx_export import OnnxExport

LABELS = sorted(tiny_models.PHRASES)


def torch_logits(folder: Path, labels: list[str]) -> np.ndarray:
    import torch

    model = load_classifier(folder, labels, dtype=torch.float32).eval()
    words = load_tokenizer(folder)(TEXTS, padding=True, return_tensors="pt")
    with torch.no_grad():
        out = model(input_ids=words["input_ids"], attention_mask=words["attention_mask"])
    return np.asarray(out.logits)


WHOLE: dict[str, Value] = {"exporter": "dynamo", "opset": 23, "attention": "sdpa"}


@pytest.fixture(scope="module")
def classifier(bert: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """A checkpoint that has a head, of three labels in an order that is not sorted."""
    folder = tmp_path_factory.mktemp("classifier")
    load_classifier(bert.path, ["wide", "narrow", "odd"]).save_pretrained(folder)
    load_tokenizer(bert.path).save_pretrained(folder)
    return Artifact("hf", folder)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"opset": 17},
        {"opset": 23, "attention": "sdpa"},
        {"exporter": "dynamo", "opset": 17},
        WHOLE,
    ],
)
def test_graph_says_what_the_torch_model_says_for_any_number_and_length_of_texts(
    bert: Artifact, exported: Exporter, changes: dict[str, Value]
) -> None:
    made = exported(**changes)
    expected = torch_logits(bert.path, LABELS)
    assert np.abs(logits(made) - expected).max() < 1e-4
    assert np.abs(logits(made, batch=1) - expected).max() < 1e-4
    (opset,) = (o.version for o in graph(made).opset_import if not o.domain)
    assert opset == changes.get("opset", 18)


def test_attention_implementation_and_exporter_make_a_difference_to_the_graph(
    exported: Exporter,
) -> None:
    eager, sdpa, whole = (operators(exported(**c)) for c in ({}, {"attention": "sdpa"}, WHOLE))
    assert eager["Attention"] == sdpa["Attention"] == 0
    assert whole["Attention"] == 4
    assert sdpa != eager


def test_fixed_shapes_are_those_asked_for(bert: Artifact, run_pass: Runner) -> None:
    made = run_pass("onnx_export", bert, shapes="fixed", batch=3, sequence=40)
    for value in graph(made).graph.input:
        assert [dim.dim_value for dim in value.type.tensor_type.shape.dim] == [3, 40]
    tokens = load_tokenizer(made.path)(
        TEXTS[:3], padding="max_length", max_length=40, return_tensors="np"
    )
    session = ort.InferenceSession(made.path / "model.onnx", providers=["CPUExecutionProvider"])
    feed = {i.name: tokens[i.name].astype(np.int64) for i in session.get_inputs()}
    expected = torch_logits(bert.path, LABELS)[:3]
    assert np.abs(session.run(None, feed)[0] - expected).max() < 1e-4


def test_a_length_beyond_the_models_is_refused(bert: Artifact, run_pass: Runner) -> None:
    with pytest.raises(PassError, match="sequence 300 is too long: this model reads 256"):
        run_pass("onnx_export", bert, shapes="fixed", sequence=300)


def test_a_model_without_a_head_gets_one_for_the_labels_of_the_data(
    bert: Artifact, run_pass: Runner, capsys: pytest.CaptureFixture[str]
) -> None:
    made = run_pass("onnx_export", bert)
    config = json.loads((made.path / "config.json").read_text())
    assert list(config["id2label"].values()) == LABELS
    assert config["architectures"] == ["BertForSequenceClassification"]
    assert "no classification head" in capsys.readouterr().out


def test_a_head_that_is_there_is_kept_with_its_own_labels(
    classifier: Artifact, run_pass: Runner, capsys: pytest.CaptureFixture[str]
) -> None:
    made = run_pass("onnx_export", classifier)
    config = json.loads((made.path / "config.json").read_text())
    assert list(config["id2label"].values()) == ["wide", "narrow", "odd"]
    expected = torch_logits(classifier.path, ["wide", "narrow", "odd"])
    assert np.abs(logits(made) - expected).max() < 1e-4
    assert "labels (wide, narrow, odd) are not the data's" in capsys.readouterr().out


@pytest.mark.parametrize("labelled", [True, False])
def test_without_a_head_or_labels_it_says_what_is_missing(
    bert: Artifact, tones: DataSpec, tmp_path: Path, labelled: bool
) -> None:
    data = DataSpec(tones.files, "{phrase}", None, split=()) if labelled else None
    context = StageContext(bert, filled_in(OnnxExport(), {}), tmp_path, "text-classification", data)
    with pytest.raises(PassError, match="no classification head, and the space has no labelled"):
        OnnxExport().run(context)


@pytest.mark.parametrize("changes", [{}, WHOLE])
def test_nothing_of_the_machine_stays_in_the_graph(
    bert: Artifact,
    exported: Exporter,
    run_pass: Runner,
    changes: dict[str, Value],
) -> None:
    content = (exported(**changes).path / "model.onnx").read_bytes()
    for trace in (b"/home/", b"/tmp/", b"site-packages", b"stack_trace", str(bert.path).encode()):
        assert trace not in content
    again = run_pass("onnx_export", bert, **changes)
    assert hashes(again.path) == hashes(exported(**changes).path)


def test_graph_is_valid_and_takes_what_the_tokenizer_gives(
    bert: Artifact, run_pass: Runner, tmp_path: Path
) -> None:
    made = run_pass("onnx_export", bert)
    onnx.checker.check_model(graph(made))
    assert [value.name for value in graph(made).graph.input] == ["input_ids", "attention_mask"]
    for path in bert.path.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    settings = json.loads((bert.path / "tokenizer_config.json").read_text())
    settings["model_input_names"] = ["input_ids", "token_type_ids", "attention_mask"]
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    typed = run_pass("onnx_export", Artifact("hf", tmp_path))
    assert "token_type_ids" in [value.name for value in graph(typed).graph.input]
