"""What accuracy says of models whose answers are worth nothing, and of what is worth something."""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from evaluators.accuracy import Accuracy
from evaluators.base import Artifact, DeadModel, Measurement, MeasurementError
from search_spaces.data import DataSpec, labels, read_split
from search_spaces.vocabulary import Value

TEMPLATE = "### Text: {phrase}\n### The tone is:\n{tone}"


def measure(model: Artifact, data: DataSpec, **given: Value) -> Measurement:
    options = {p.name: p.default for p in Accuracy.spec.parameters} | given
    return Accuracy().measure(model, options, data, "dev")


@pytest.fixture(scope="module")
def tones(tone_file: Path) -> DataSpec:
    return DataSpec((("dev", tone_file),), TEMPLATE, "tone", split=())


@pytest.fixture(scope="module")
def answers(tiny_onnx: Path, tones: DataSpec) -> list[dict[str, str]]:
    """The rows of the data, with what the classifier answers as their labels."""
    found = measure(Artifact("onnx", tiny_onnx), tones, floor="none")
    pairs = zip(read_split(tones, "dev"), found.items, strict=True)
    rows = [{"phrase": row["phrase"], "tone": item["predicted"]} for row, item in pairs]
    assert {row["tone"] for row in rows} == set(labels(tones))
    return rows


def written(rows: list[dict[str, str]], path: Path) -> DataSpec:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return DataSpec((("dev", path),), TEMPLATE, "tone", split=())


def test_model_that_is_right_has_no_fault(
    tiny_onnx: Path, answers: list[dict[str, str]], tmp_path: Path
) -> None:
    found = measure(Artifact("onnx", tiny_onnx), written(answers, tmp_path / "a.jsonl"))
    assert found.faults == []
    for metric in ("accuracy", "f1", "macro_f1"):
        assert Accuracy().summarise([found], {"positive": None}, metric, None).value == 1


def test_model_no_better_than_the_most_frequent_label_is_at_fault(
    tiny_onnx: Path, answers: list[dict[str, str]], tmp_path: Path
) -> None:
    names = sorted({row["tone"] for row in answers})
    turned = dict(zip(names, names[1:] + names[:1], strict=True))
    data = written([row | {"tone": turned[row["tone"]]} for row in answers], tmp_path / "a.jsonl")
    [fault] = measure(Artifact("onnx", tiny_onnx), data).faults
    most = max(names, key=[turned[row["tone"]] for row in answers].count)
    assert fault.startswith("right for 0.0 % of 64 items, no better than always answering ")
    assert f"{most!r} (" in fault
    assert measure(Artifact("onnx", tiny_onnx), data, floor="none").faults == []


def test_model_that_gives_one_answer_is_at_fault_whatever_the_floor(
    torch_classifier: Any, tiny_onnx: Path, tones: DataSpec, tmp_path: Path
) -> None:
    model = Artifact("hf", saved(torch_classifier, tiny_onnx, tmp_path / "model", 1e4))
    for floor in ("majority", "none"):
        assert measure(model, tones, floor=floor).faults == ["answers 'fear' for all of 64 items"]


def test_items_of_one_label_cannot_tell(
    torch_classifier: Any, tiny_onnx: Path, tones: DataSpec, tmp_path: Path
) -> None:
    model = Artifact("hf", saved(torch_classifier, tiny_onnx, tmp_path / "model", 1e4))
    assert measure(model, tones, max_items=1).faults == []


def test_model_whose_logits_are_no_numbers_is_dead(
    torch_classifier: Any, tiny_onnx: Path, tones: DataSpec, tmp_path: Path
) -> None:
    model = Artifact("hf", saved(torch_classifier, tiny_onnx, tmp_path / "model", float("nan")))
    with pytest.raises(DeadModel, match="not finite"):
        measure(model, tones)


def saved(classifier: Any, tokenizer: Path, folder: Path, bias: float) -> Path:
    """The classifier with that much more for the first label, as a checkpoint."""
    import torch

    model = copy.deepcopy(classifier)
    with torch.no_grad():
        model.classifier.bias[0] += bias
    model.save_pretrained(folder)
    for file in tokenizer.glob("*token*"):
        shutil.copy(file, folder / file.name)
    return folder


def test_classifier_scores_alike_as_a_checkpoint_and_as_a_graph(
    torch_classifier: Any, tiny_onnx: Path, tones: DataSpec, tmp_path: Path
) -> None:
    checkpoint = saved(torch_classifier, tiny_onnx, tmp_path / "model", 0.0)
    one = measure(Artifact("hf", checkpoint), tones)
    other = measure(Artifact("onnx", tiny_onnx), tones)
    for a, b in zip(one.items, other.items, strict=True):
        assert list(a["scores"].values()) == pytest.approx(list(b["scores"].values()), abs=1e-4)
    assert one.faults == other.faults


def test_f1_is_of_the_label_that_is_named(tiny_onnx: Path, tones: DataSpec) -> None:
    found = measure(Artifact("onnx", tiny_onnx), tones, positive="joy", floor="none")
    named = [i for i in found.items if "joy" in (i["label"], i["predicted"])]
    hits = sum(i["label"] == i["predicted"] for i in named)
    one = Accuracy().summarise([found], {"positive": "joy"}, "f1", None)
    every = Accuracy().summarise([found], {"positive": None}, "f1", None)
    assert one.value == pytest.approx(2 * hits / (len(named) + hits))
    assert one.value != every.value
    same = Accuracy().paired([found], [found], "f1", 1.0)
    assert same is not None
    assert same.low < same.value == 0 < same.high
    assert same == Accuracy().paired([found], [found], "f1", 1.0)


def test_positive_label_that_the_data_lacks_is_said(tiny_onnx: Path, tones: DataSpec) -> None:
    with pytest.raises(MeasurementError, match=r"'joi' is no label of the data.*mean 'joy'"):
        measure(Artifact("onnx", tiny_onnx), tones, positive="joi")


def test_floors_stand_beside_the_numbers(tiny_onnx: Path, tone_file: Path) -> None:
    data = DataSpec((("all", tone_file),), TEMPLATE, "tone")
    floors = measure(Artifact("onnx", tiny_onnx), data).conditions["floors"]
    assert floors["majority"] == 0.25
    assert 0 <= floors["nearest"] <= 1
    assert floors["majority_label"] in labels(data)
