"""Scores of labels, against the model's own runtime and against the model in torch."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluators.accuracy import Accuracy
from evaluators.base import Artifact, Measurement, MeasurementError
from evaluators.runtimes.scoring import Scoring, last_position_only
from evaluators.scores import Question, log_probabilities
from evaluators.text import encode_pair, split_prompt
from search_spaces.data import DataSpec, Row, labels, read_split

TEMPLATE = "### Text: {phrase}\n### The tone is:\n{tone}, I think"


@pytest.fixture(scope="module")
def data(tone_file: Path) -> DataSpec:
    return DataSpec((("all", tone_file),), TEMPLATE, "tone")


@pytest.fixture(scope="module")
def measured(tiny_genai: Path, data: DataSpec) -> Measurement:
    return Accuracy().measure(Artifact("genai", tiny_genai), {"max_items": None}, data, "dev")


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
    some = Accuracy().measure(model, {"max_items": 4}, data, "dev")
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
        Accuracy().measure(Artifact("genai", broken), {"max_items": 2}, data, "dev")


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
        Accuracy().measure(Artifact("genai", tiny_genai), {"max_items": None}, data, "dev")


def test_data_without_labels_is_refused(tiny_genai: Path) -> None:
    with pytest.raises(MeasurementError, match="needs data with a label"):
        Accuracy().measure(Artifact("genai", tiny_genai), {"max_items": None}, None, "dev")


def test_a_folder_without_a_tokenizer_is_refused(
    tiny_genai: Path, data: DataSpec, tmp_path: Path
) -> None:
    for name in ("genai_config.json", "model.onnx", "model.onnx.data"):
        shutil.copy(tiny_genai / name, tmp_path / name)
    with pytest.raises(MeasurementError, match="the tokenizer cannot be loaded"):
        Accuracy().measure(Artifact("genai", tmp_path), {"max_items": None}, data, "dev")


def test_a_damaged_graph_is_refused(tiny_genai: Path, data: DataSpec, tmp_path: Path) -> None:
    broken = tmp_path / "model"
    shutil.copytree(tiny_genai, broken)
    (broken / "model.onnx").write_bytes(b"\xff" * 1000)
    with pytest.raises(MeasurementError, match=r"model\.onnx: not an ONNX model"):
        Accuracy().measure(Artifact("genai", broken), {"max_items": None}, data, "dev")
