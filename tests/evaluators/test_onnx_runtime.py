"""Encoder classifiers in onnxruntime: what goes in, what comes out, and on what it ran."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluators import machine
from evaluators.base import MeasurementError
from evaluators.runtimes.onnx import Encoder, SessionSettings
from evaluators.runtimes.providers import openvino_settings, unavailable

TEXTS = ["Who knew?", "The last bus left with my friends, and the town went quiet.", "Sunlight"]
NO_OPENVINO = unavailable("openvino")

Edited = Callable[..., Path]


@pytest.fixture(scope="module")
def encoder(tiny_onnx: Path) -> Encoder:
    return Encoder(tiny_onnx)


@pytest.fixture(scope="module")
def expected(torch_classifier: Any, tiny_onnx: Path) -> np.ndarray:
    """The logits of the texts in torch, each text alone."""
    import torch
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_onnx)
    with torch.no_grad():
        rows = [torch_classifier(**tokenizer(t, return_tensors="pt")).logits for t in TEXTS]
    return np.asarray(torch.cat(rows).numpy())


def test_padded_batch_gives_what_torch_gives_of_each_text_alone(
    encoder: Encoder, expected: np.ndarray
) -> None:
    ids, cut = encoder.tokenise(TEXTS)
    assert cut == 0
    assert len({len(row) for row in ids}) > 1
    np.testing.assert_allclose(encoder.logits(ids), expected, rtol=0, atol=1e-4)


def test_texts_get_the_special_tokens_that_the_tokenizer_adds(encoder: Encoder) -> None:
    ids, _ = encoder.tokenise(TEXTS)
    assert all((row[0], row[-1]) == (1, 2) for row in ids)


def test_text_beyond_the_model_is_cut_at_its_end(encoder: Encoder) -> None:
    ids, cut = encoder.tokenise([TEXTS[0], "word " * 900])
    assert cut == 1
    assert len(ids[1]) == encoder.context_length == 256
    assert ids[1][-1] == 2, "the last token is still the separator"


def test_positions_behind_the_padding_leave_less_room(tiny_onnx: Path, edited: Edited) -> None:
    folder = edited(tiny_onnx, model_type="roberta", max_position_embeddings=20, pad_token_id=3)
    assert Encoder(folder).context_length == 16


def test_labels_come_in_the_order_of_the_logits(tiny_onnx: Path, edited: Edited) -> None:
    names = {str(i): f"label {i}" for i in reversed(range(12))}
    assert Encoder(edited(tiny_onnx, id2label=names)).labels == [f"label {i}" for i in range(12)]


def test_probabilities_of_all_labels_sum_to_one(encoder: Encoder, expected: np.ndarray) -> None:
    found = encoder.log_probabilities(encoder.tokenise(TEXTS[:1])[0][0])
    assert sum(np.exp(list(found.values()))) == pytest.approx(1)
    assert max(found, key=found.__getitem__) == encoder.labels[expected[0].argmax()]


def test_labels_that_are_not_as_many_as_logits_are_refused(tiny_onnx: Path, edited: Edited) -> None:
    encoder = Encoder(edited(tiny_onnx, id2label={"0": "joy", "1": "fear"}))
    with pytest.raises(MeasurementError, match="names 2 labels, but the graph gives 4 logits"):
        encoder.log_probabilities([1, 9, 2])


def test_graph_of_a_fixed_shape_is_filled_up(
    fixed_onnx: Path, encoder: Encoder, expected: np.ndarray
) -> None:
    fixed = Encoder(fixed_onnx)
    ids, _ = encoder.tokenise(TEXTS)
    assert {values.shape for values in fixed.feed(ids[:1]).values()} == {(2, 48)}
    np.testing.assert_allclose(fixed.logits(ids[:1]), expected[:1], rtol=0, atol=1e-4)
    np.testing.assert_allclose(fixed.logits(ids[1:]), expected[1:], rtol=0, atol=1e-4)


def test_rows_that_a_fixed_graph_cannot_take_are_refused(fixed_onnx: Path) -> None:
    fixed = Encoder(fixed_onnx)
    with pytest.raises(MeasurementError, match="takes 2 sequences at a time, not 3"):
        fixed.logits([[1, 9, 2]] * 3)
    with pytest.raises(MeasurementError, match="takes 48 tokens, but there is a sequence of 49"):
        fixed.logits([[9] * 49])


def test_session_without_settings_is_on_the_cpu_with_every_core(encoder: Encoder) -> None:
    conditions = encoder.conditions()
    assert conditions["provider"] == "CPUExecutionProvider"
    assert conditions["threads"] == machine.cores()
    assert conditions["versions"].keys() == {"onnxruntime"}
    assert json.loads(json.dumps(conditions)) == conditions


def test_session_settings_of_the_folder_are_used(tiny_onnx: Path, edited: Edited) -> None:
    session = {
        "execution_provider": "cpu",
        "session_options": {
            "intra_op_num_threads": 1,
            "execution_mode": "ORT_PARALLEL",
            "graph_optimization_level": "ORT_ENABLE_BASIC",
        },
        "config_entries": {"session.intra_op.allow_spinning": "0"},
    }
    folder = edited(tiny_onnx, session)
    conditions = Encoder(folder).conditions()
    assert conditions["threads"] == 1
    assert conditions["session_options"] == session["session_options"]
    options = SessionSettings.read(folder).options()
    assert options.execution_mode.name == "ORT_PARALLEL"
    assert options.graph_optimization_level.name == "ORT_ENABLE_BASIC"
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"


@pytest.mark.parametrize(
    ("session", "message"),
    [
        ({"provider": "cpu"}, "found 'provider', expected execution_provider"),
        ({"execution_provider": "gpu"}, "execution_provider 'gpu', expected cpu, openvino"),
        ({"session_options": {"threads": 2}}, "knows no session option 'threads'"),
        ({"session_options": {"execution_mode": "both"}}, "knows no execution_mode 'both'"),
        ({"session_options": {"intra_op_num_threads": "two"}}, "cannot be 'two'"),
        ({"config_entries": []}, "must be JSON objects"),
        ([], "expected a JSON object"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(
    tiny_onnx: Path, edited: Edited, session: Any, message: str
) -> None:
    with pytest.raises(MeasurementError, match=message):
        Encoder(edited(tiny_onnx, session))


def test_folder_that_is_no_classifier_is_refused(
    tiny_genai: Path, tiny_onnx: Path, edited: Edited, tmp_path: Path
) -> None:
    with pytest.raises(MeasurementError, match=r"there is no model\.onnx"):
        Encoder(tmp_path / "none")
    broken = edited(tiny_onnx)
    (broken / "model.onnx").write_bytes(b"\xff" * 1000)
    with pytest.raises(MeasurementError, match="onnxruntime cannot load the model"):
        Encoder(broken)
    generating = edited(tiny_onnx)
    for name in ("model.onnx", "model.onnx.data"):
        (generating / name).unlink(missing_ok=True)
        (generating / name).symlink_to(tiny_genai / name)
    with pytest.raises(MeasurementError, match="expected the inputs"):
        Encoder(generating)


def test_logits_that_are_no_numbers_are_refused(tiny_onnx: Path, edited: Edited) -> None:
    import onnx
    from onnx import numpy_helper

    folder = edited(tiny_onnx)
    model = onnx.load(folder / "model.onnx")
    head = next(i for i in model.graph.initializer if list(i.dims) == [4])
    nothing = np.full(4, np.nan, np.float32)
    head.CopyFrom(numpy_helper.from_array(nothing, head.name))
    onnx.save(model, folder / "model.onnx")
    with pytest.raises(MeasurementError, match="logits are not finite"):
        Encoder(folder).logits([[1, 9, 2]])


def test_provider_that_is_missing_is_said(tiny_onnx: Path, edited: Edited) -> None:
    missing = [name for name in ("cuda", "dml", "openvino") if unavailable(name)]
    assert missing
    for name in missing:
        with pytest.raises(MeasurementError, match=f"asks for {name}, which cannot be used: "):
            Encoder(edited(tiny_onnx, {"execution_provider": name}))


@pytest.mark.skipif(NO_OPENVINO is not None, reason=str(NO_OPENVINO))
@pytest.mark.parametrize(("precision", "most", "least"), [("fp32", 1e-4, 0), ("bf16", 0.2, 1e-4)])
def test_openvino_takes_the_whole_graph_in_the_precision_asked_for(
    tiny_onnx: Path,
    edited: Edited,
    expected: np.ndarray,
    precision: str,
    most: float,
    least: float,
) -> None:
    session = {
        "execution_provider": "openvino",
        "provider_options": openvino_settings(1, precision),
    }
    encoder = Encoder(edited(tiny_onnx, session))
    conditions = encoder.conditions()
    assert conditions["provider"] == "OpenVINOExecutionProvider"
    assert list(conditions["nodes"]) == ["OpenVINOExecutionProvider"]
    assert "onnxruntime-ep-openvino" in conditions["versions"]
    off = np.abs(encoder.logits(encoder.tokenise(TEXTS)[0]) - expected).max()
    assert least <= off <= most


@pytest.mark.skipif(NO_OPENVINO is not None, reason=str(NO_OPENVINO))
def test_openvino_computes_the_same_with_any_number_of_threads(
    tiny_onnx: Path, edited: Edited
) -> None:
    found = []
    for threads in (1, 2):
        settings = openvino_settings(threads, "bf16")
        session = {"execution_provider": "openvino", "provider_options": settings}
        encoder = Encoder(edited(tiny_onnx, session))
        found.append(encoder.logits(encoder.tokenise(TEXTS)[0]))
    assert np.array_equal(*found)
