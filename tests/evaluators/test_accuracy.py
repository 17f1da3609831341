"""Scores of labels, against the model's own runtime and against the model in torch."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluators.accuracy import Accuracy
from evaluators.base import Artifact, Measurement, MeasurementError
from evaluators.runtimes.providers import openvino_settings, unavailable
from evaluators.runtimes.scoring import Scoring, last_position_only
from evaluators.scores import Question, log_probabilities
from evaluators.text import encode_pair, split_prompt
from search_spaces.data import DataSpec, Row, labels, read_split
from search_spaces.vocabulary import Value

TEMPLATE = "### Text: {phrase}\n### The tone is:\n{tone}, I think"
NO_OPENVINO = unavailable("openvino")


def options(**given: Value) -> dict[str, Value]:
    """The evaluator's options, with their defaults."""
    return {p.name: p.default for p in Accuracy.spec.parameters} | given


@pytest.fixture(scope="module")
def data(tone_file: Path) -> DataSpec:
    return DataSpec((("all", tone_file),), TEMPLATE, "tone")


@pytest.fixture(scope="module")
def measured(tiny_genai: Path, data: DataSpec) -> Measurement:
    return Accuracy().measure(Artifact("genai", tiny_genai), options(max_items=None), data, "dev")


@pytest.fixture(scope="module")
def tokenizer(tiny_phi3: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny_phi3)


def sum_of(logits: np.ndarray[Any, Any], prompt: int, ids: Sequence[int]) -> float:
    """The log-probability of everything after the prompt, from logits at every position."""
    x = logits.astype(np.float64)
    log_p = x - x.max(-1, keepdims=True)
    log_p -= np.log(np.exp(log_p).sum(-1, keepdims=True))
    return float(sum(log_p[i - 1, ids[i]] for i in range(prompt, len(ids))))


def pairs_of(tokenizer: Any, data: DataSpec, row: Row) -> dict[str, tuple[list[int], list[int]]]:
    texts = {c: split_prompt(data.template, "tone", {**row, "tone": c}) for c in labels(data)}
    return {c: encode_pair(tokenizer, *pair) for c, pair in texts.items()}


def test_labels_take_several_tokens_here(tokenizer: Any, data: DataSpec) -> None:
    pairs = pairs_of(tokenizer, data, read_split(data, "dev")[0])
    assert max(len(completion) for _, completion in pairs.values()) > 1


def test_scores_are_those_of_torch(
    tiny_phi3: Path, tokenizer: Any, data: DataSpec, measured: Measurement
) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(tiny_phi3).eval()
    rows = read_split(data, "dev")
    assert len(measured.items) == len(rows)
    for row, item in zip(rows, measured.items, strict=True):
        assert item["label"] == row["tone"]
        for label, (prompt, completion) in pairs_of(tokenizer, data, row).items():
            with torch.no_grad():
                logits = model(torch.tensor([prompt + completion])).logits[0].numpy()
            expected = sum_of(logits, len(prompt), prompt + completion)
            assert item["scores"][label] == pytest.approx(expected, abs=1e-3)


def test_checkpoint_scores_as_the_genai_folder_that_was_made_of_it(
    tiny_phi3: Path, data: DataSpec, measured: Measurement
) -> None:
    found = Accuracy().measure(Artifact("hf", tiny_phi3), options(), data, "dev")
    one, other = ([list(i["scores"].values()) for i in m.items] for m in (found, measured))
    assert np.array(one) == pytest.approx(np.array(other), abs=1e-3)
    assert [i["predicted"] for i in found.items] == [i["predicted"] for i in measured.items]
    assert found.faults == measured.faults


def test_scores_are_those_of_the_models_own_runtime(
    tiny_genai: Path, tokenizer: Any, data: DataSpec, measured: Measurement
) -> None:
    import onnxruntime_genai as og

    model = og.Model(str(tiny_genai))
    for row, item in list(zip(read_split(data, "dev"), measured.items, strict=True))[:6]:
        for label, (prompt, completion) in pairs_of(tokenizer, data, row).items():
            parameters = og.GeneratorParams(model)
            parameters.set_search_options(max_length=128)
            generator = og.Generator(model, parameters)
            generator.append_tokens(np.array([prompt + completion], np.int32))
            logits = generator.get_output("logits")[0]
            expected = sum_of(logits, len(prompt), prompt + completion)
            assert item["scores"][label] == pytest.approx(expected, abs=1e-3)


def test_the_most_probable_label_is_predicted(measured: Measurement) -> None:
    for item in measured.items:
        assert item["scores"][item["predicted"]] == max(item["scores"].values())
    predicted = {item["predicted"] for item in measured.items}
    assert measured.conditions["predicted_classes"] == len(predicted)
    assert measured.conditions["provider"] == "CPUExecutionProvider"


def test_the_estimate_is_the_share_of_right_items(measured: Measurement) -> None:
    found = Accuracy().summarise([measured], {}, "accuracy", None)
    right = [item["label"] == item["predicted"] for item in measured.items]
    assert found.value == sum(right) / len(right)
    assert found.low < found.value < found.high
    assert found.samples == len(right)


def test_fewer_items_are_spread_over_the_split(
    tiny_genai: Path, data: DataSpec, measured: Measurement
) -> None:
    model = Artifact("genai", tiny_genai)
    some = Accuracy().measure(model, options(max_items=4), data, "dev")
    every = len(measured.items) // 4
    expected = measured.items[::every][:4]
    assert [item["label"] for item in some.items] == [item["label"] for item in expected]
    scores = [[item["scores"][c] for c in labels(data)] for item in (*some.items, *expected)]
    assert scores[:4] == pytest.approx(np.array(scores[4:]), abs=1e-4)


def test_a_batch_does_not_change_the_scores(tiny_genai: Path) -> None:
    scoring = Scoring(tiny_genai)
    rng = np.random.default_rng(0)
    # The second and third completion share a beginning, and one is a beginning of another.
    questions = [
        Question(
            tuple(rng.integers(4, 500, int(length)).tolist()),
            ((7,), (8, 9), (8, 10, 11, 12), (8, 10), (*rng.integers(4, 500, 3).tolist(),)),
        )
        for length in rng.integers(5, 9, 70)
    ]
    together = log_probabilities(scoring, questions)
    alone = [log_probabilities(scoring, [question])[0] for question in questions]
    assert np.array(together) == pytest.approx(np.array(alone), abs=1e-4)
    assert np.all(np.array(together)[:, 2] < np.array(together)[:, 3])


def test_projecting_the_last_position_alone_changes_nothing(tiny_genai: Path) -> None:
    import onnxruntime as ort

    path = tiny_genai / "model.onnx"
    trimmed = last_position_only(path, "logits")
    assert trimmed is not None
    assert len(trimmed) < 2 * path.stat().st_size
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    ids = np.arange(40).reshape(4, 10)
    empty = {
        i.name: np.zeros((4, i.shape[1], 0, i.shape[3] if isinstance(i.shape[3], int) else 16), "f")
        for i in session.get_inputs()
        if i.name.startswith("past")
    }
    feed = {"input_ids": ids, "attention_mask": np.ones_like(ids), **empty}
    whole = session.run(["logits"], feed)[0]
    last, _ = Scoring(tiny_genai).step(ids, None, keep=False)
    assert np.array_equal(last, whole[:, -1])


def test_a_graph_of_another_shape_is_left_alone(tiny_genai: Path) -> None:
    assert last_position_only(tiny_genai / "model.onnx", "no such output") is None


def test_logits_that_are_no_numbers_are_refused(
    tiny_genai: Path, data: DataSpec, tmp_path: Path
) -> None:
    broken = spoil(tiny_genai, tmp_path / "model")
    with pytest.raises(MeasurementError, match="logits are not finite"):
        Accuracy().measure(Artifact("genai", broken), options(max_items=2), data, "dev")


def spoil(folder: Path, to: Path) -> Path:
    """A copy of a model whose weights are all NaN."""
    shutil.copytree(folder, to)
    weights = to / "model.onnx.data"
    weights.write_bytes(np.full(weights.stat().st_size // 4, np.nan, np.float32).tobytes())
    return to


def test_an_item_beyond_the_context_is_refused(tiny_genai: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"phrase,tone\n{'long ' * 300},joy\nb,fear\n", encoding="utf-8")
    data = DataSpec((("dev", path),), TEMPLATE, "tone", split=())
    with pytest.raises(MeasurementError, match=r"item 1 has \d+ tokens, over the model's context"):
        Accuracy().measure(Artifact("genai", tiny_genai), options(max_items=None), data, "dev")


def test_data_without_labels_is_refused(tiny_genai: Path) -> None:
    with pytest.raises(MeasurementError, match="needs data with a label"):
        Accuracy().measure(Artifact("genai", tiny_genai), options(max_items=None), None, "dev")


def test_a_folder_without_a_tokenizer_is_refused(
    tiny_genai: Path, data: DataSpec, tmp_path: Path
) -> None:
    for name in ("genai_config.json", "model.onnx", "model.onnx.data"):
        shutil.copy(tiny_genai / name, tmp_path / name)
    with pytest.raises(MeasurementError, match="the tokenizer cannot be loaded"):
        Accuracy().measure(Artifact("genai", tmp_path), options(max_items=None), data, "dev")


def test_a_damaged_graph_is_refused(tiny_genai: Path, data: DataSpec, tmp_path: Path) -> None:
    broken = tmp_path / "model"
    shutil.copytree(tiny_genai, broken)
    (broken / "model.onnx").write_bytes(b"\xff" * 1000)
    with pytest.raises(MeasurementError, match=r"model\.onnx: not an ONNX model"):
        Accuracy().measure(Artifact("genai", broken), options(max_items=None), data, "dev")


# Classifiers


def classify(folder: Path, data: DataSpec, most: int | None = None) -> Measurement:
    return Accuracy().measure(Artifact("onnx", folder), options(max_items=most), data, "dev")


@pytest.fixture(scope="module")
def classified(tiny_onnx: Path, data: DataSpec) -> Measurement:
    return classify(tiny_onnx, data)


def test_classifier_s_scores_are_those_of_torch(
    torch_classifier: Any, tiny_onnx: Path, data: DataSpec, classified: Measurement
) -> None:
    import torch
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_onnx)
    rows = read_split(data, "dev")
    assert len(classified.items) == len(rows)
    for row, item in zip(rows, classified.items, strict=True):
        text = f"### Text: {row['phrase']}\n### The tone is:"
        with torch.no_grad():
            logits = torch_classifier(**tokenizer(text, return_tensors="pt")).logits[0]
        expected = torch.log_softmax(logits.double(), 0).tolist()
        assert item["label"] == row["tone"]
        assert [item["scores"][c] for c in labels(data)] == pytest.approx(expected, abs=1e-4)
        assert item["predicted"] == labels(data)[int(logits.argmax())]


def test_classifier_s_estimate_is_the_share_of_right_items(classified: Measurement) -> None:
    found = Accuracy().summarise([classified], {}, "accuracy", None)
    right = [item["label"] == item["predicted"] for item in classified.items]
    assert 0 < found.value == sum(right) / len(right) < 1
    assert classified.conditions["predicted_classes"] > 1
    assert classified.conditions["cut_texts"] == 0


def test_order_of_a_classifier_s_labels_does_not_matter(
    tiny_onnx: Path, data: DataSpec, classified: Measurement, edited: Any
) -> None:
    names = {str(i): name for i, name in enumerate(reversed(labels(data)))}
    turned = classify(edited(tiny_onnx, id2label=names), data)
    for before, after in zip(classified.items, turned.items, strict=True):
        scores = [before["scores"][name] for name in reversed(labels(data))]
        assert [after["scores"][name] for name in labels(data)] == pytest.approx(scores)


def test_what_else_is_scored_does_not_change_an_item(int8_onnx: Path, data: DataSpec) -> None:
    # Its activations are rounded by the range of all that is fed at once.
    everything, some = classify(int8_onnx, data), classify(int8_onnx, data, most=4)
    every = len(everything.items) // 4
    assert list(some.items) == list(everything.items[::every][:4])


def test_labels_that_model_and_data_do_not_share_are_said(
    tiny_onnx: Path, data: DataSpec, edited: Any
) -> None:
    names = {"0": "anger", "1": "joy", "2": "sadness", "3": "surprise"}
    with pytest.raises(MeasurementError, match="the model lacks fear, the data lacks anger"):
        classify(edited(tiny_onnx, id2label=names), data)
    more = {str(i): name for i, name in enumerate((*labels(data), "anger", "shame"))}
    with pytest.raises(MeasurementError, match="not the data's: the data lacks anger and shame"):
        classify(edited(tiny_onnx, id2label=more), data)


def test_template_without_text_before_the_label_is_refused(
    tiny_onnx: Path, tone_file: Path
) -> None:
    data = DataSpec((("all", tone_file),), "{tone}: {phrase}", "tone")
    with pytest.raises(MeasurementError, match="an encoder reads what is before it"):
        classify(tiny_onnx, data)


@pytest.mark.skipif(NO_OPENVINO is not None, reason=str(NO_OPENVINO))
def test_classifier_is_scored_on_the_provider_of_its_session(
    tiny_onnx: Path, data: DataSpec, classified: Measurement, edited: Any
) -> None:
    session = {
        "execution_provider": "openvino",
        "provider_options": openvino_settings(1, "bf16"),
    }
    found = classify(edited(tiny_onnx, session), data)
    assert found.conditions["provider"] == "OpenVINOExecutionProvider"
    pairs = zip(found.items, classified.items, strict=True)
    off = [abs(a["scores"]["joy"] - b["scores"]["joy"]) for a, b in pairs]
    assert 1e-4 < max(off) < 0.5


@pytest.mark.skipif(NO_OPENVINO is not None, reason=str(NO_OPENVINO))
@pytest.mark.parametrize(("precision", "most", "least"), [("fp32", 1e-3, 0), ("bf16", 2, 1e-3)])
def test_generating_model_is_scored_on_openvino_where_it_asks_for_it(
    tiny_genai: Path,
    data: DataSpec,
    measured: Measurement,
    tmp_path: Path,
    precision: str,
    most: float,
    least: float,
) -> None:
    shutil.copytree(tiny_genai, tmp_path / "model")
    path = tmp_path / "model" / "genai_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    options = {"device_type": "CPU"} | openvino_settings(1, precision)
    config["model"]["decoder"]["session_options"]["provider_options"] = [{"OpenVINO": options}]
    path.write_text(json.dumps(config), encoding="utf-8")
    model = Artifact("genai", path.parent)
    found = Accuracy().measure(model, options(max_items=None), data, "dev")
    assert found.conditions["provider"] == "OpenVINOExecutionProvider"
    pairs = zip(found.items, measured.items, strict=True)
    off = max(abs(a["scores"]["joy"] - b["scores"]["joy"]) for a, b in pairs)
    assert least <= off < most
