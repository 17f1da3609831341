"""Divergence from the baseline, against torch's arithmetic and between runtimes."""

from __future__ import annotations

import json
import shutil
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models
from text_models import Chain, noisy

from evaluators import machine
from evaluators.base import Artifact, Estimate, Measurement, MeasurementError, NotEnoughSamples
from evaluators.divergence import Divergence, compare_windows
from evaluators.measure import measure_job
from evaluators.windows import Tokens
from search_spaces.data import DataSpec

TEXT = (
    "The tram climbed the hill, and Zoë counted 你好 twice. 😀 Nobody knew why!\n"
    "Who told the baker? A parrot flew in, said good evening, and flew out again.\n"
) * 3


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Models this small are slower with more threads than one."""
    monkeypatch.setattr(machine, "cores", lambda: 1)


@pytest.fixture(scope="module")
def text_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def data(tone_file: Path) -> DataSpec:
    return DataSpec((("all", tone_file),), tiny_models.TEMPLATE, "tone")


@pytest.fixture(scope="module")
def rounded(tiny_phi3: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Phi-3 with a little noise in its weights."""
    return noisy(tiny_phi3, tmp_path_factory.mktemp("rounded") / "model", 0.05)


def artifact(folder: Path) -> Artifact:
    """A folder, with its format told from what is in it."""
    if (folder / "genai_config.json").exists():
        return Artifact("genai", folder)
    return Artifact("onnx" if (folder / "model.onnx").exists() else "hf", folder)


def compare(
    model: Path, reference: Path, file: Path | None = None, data: Any = None, **options: Any
) -> Measurement:
    defaults = {p.name: p.default for p in Divergence.spec.parameters}
    asked = defaults | {"file": None if file is None else str(file)} | options
    return Divergence().measure(artifact(model), asked, data, "dev", artifact(reference))


def estimate(measurement: Measurement, metric: str) -> Estimate:
    return Divergence().summarise([measurement], {}, metric, None)


def both(measurement: Measurement) -> tuple[float, float]:
    return (
        estimate(measurement, "divergence").value,
        estimate(measurement, "top1_agreement").value,
    )


def test_the_baseline_does_not_diverge_from_itself(tiny_genai: Path, text_file: Path) -> None:
    measured = compare(tiny_genai, tiny_genai, text_file, context=32)
    assert both(measured) == (0.0, 1.0)
    assert measured.conditions["same_model"]
    agreement = estimate(measured, "top1_agreement")
    assert 0.97 < agreement.low < 1.0  # not certain of other texts
    assert agreement.high == 1.0


def test_an_equal_model_loaded_beside_the_baseline_does_not_diverge(
    tiny_genai: Path, text_file: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(tiny_genai, copy)
    measured = compare(copy, tiny_genai, text_file, context=32)
    assert not measured.conditions["same_model"]
    assert both(measured) == (0.0, 1.0)


def test_another_runtime_hardly_diverges(
    tiny_genai: Path, tiny_phi3: Path, text_file: Path
) -> None:
    divergence, agreement = both(compare(tiny_genai, tiny_phi3, text_file, context=64))
    assert 0 <= divergence < 1e-8
    assert agreement == 1.0


def test_it_is_torchs_own_divergence(tiny_phi3: Path, rounded: Path, text_file: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    ids = AutoTokenizer.from_pretrained(tiny_phi3)(TEXT)["input_ids"]
    models = [AutoModelForCausalLM.from_pretrained(f).eval() for f in (tiny_phi3, rounded)]
    items = compare(rounded, tiny_phi3, text_file, context=48).items
    parts = [ids[i : i + 48] for i in range(0, len(ids), 48)]
    assert [item["distributions"] for item in items] == [len(part) for part in parts]
    for item, part in zip(items, parts, strict=True):
        with torch.no_grad():
            logits = [model(torch.tensor([part])).logits[0].double() for model in models]
        p, q = (torch.log_softmax(x, -1) for x in logits)
        expected = torch.nn.functional.kl_div(q, p, log_target=True, reduction="sum")
        assert item["kl"] == pytest.approx(float(expected), rel=1e-4)
        assert item["agree"] == int((p.argmax(-1) == q.argmax(-1)).sum())


def test_it_grows_as_the_weights_are_disturbed_more(
    tiny_phi3: Path, text_file: Path, tmp_path: Path
) -> None:
    found = [
        both(
            compare(noisy(tiny_phi3, tmp_path / str(size), size), tiny_phi3, text_file, context=64)
        )
        for size in (0.003, 0.03, 0.3)
    ]
    divergences, agreements = zip(*found, strict=True)
    assert 0 < divergences[0] < divergences[1] / 10 < divergences[2] / 100
    assert 1 >= agreements[0] > agreements[1] > agreements[2]


def test_it_is_known_how_far_known_distributions_lie_apart() -> None:
    before = np.log([[0.5, 0.25, 0.25], [0.2, 0.6, 0.2], [0.1, 0.1, 0.8]])
    after = np.log([[0.25, 0.375, 0.375], [0.2, 0.6, 0.2], [0.1, 0.1, 0.8]])
    tokens = Tokens((), (0, 1, 2, 0), (1, 2, 3, 4))
    first, second = compare_windows(Chain(before), Chain(after), [tokens], context=3)
    assert first["distributions"] == 3
    expected = 0.5 * np.log(2) + 0.5 * np.log(2 / 3)  # not what it is the other way round
    assert first["kl"] == pytest.approx(expected, rel=1e-6)
    assert first["agree"] == 2
    assert second == {
        "distributions": 1,
        "kl": pytest.approx(expected, rel=1e-6),
        "agree": 0,
    }


def test_logits_are_held_for_a_window_at_a_time() -> None:
    table = np.zeros((512, 512), np.float32)
    one, other = Chain(table), Chain(table)
    tokens = Tokens((), tuple(range(512)) * 40, tuple(range(1, 512 * 40 + 1)))
    tracemalloc.start()
    compare_windows(one, other, [tokens], context=128)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    window = 128 * 512 * 4  # of 160
    assert peak < 12 * window
    assert one.fed == other.fed == 512 * 40


def test_rows_of_data_are_read_where_there_is_no_file(
    tiny_phi3: Path, rounded: Path, data: DataSpec
) -> None:
    measured = compare(rounded, tiny_phi3, None, data, max_tokens=100)
    assert sum(item["distributions"] for item in measured.items) == 100
    assert len(measured.items) >= 2
    with pytest.raises(MeasurementError, match="say `file`, or give the space data"):
        compare(rounded, tiny_phi3)


def test_its_interval_is_over_windows(tiny_phi3: Path, rounded: Path, text_file: Path) -> None:
    found = estimate(compare(rounded, tiny_phi3, text_file, context=16), "divergence")
    assert found.samples > 8
    assert 0 < found.low < found.value < found.high
    with pytest.raises(NotEnoughSamples, match="2 windows or texts or more, found 1"):
        estimate(compare(rounded, tiny_phi3, text_file, context=16, max_tokens=16), "divergence")


def test_an_agreement_that_is_high_everywhere_is_not_taken_for_certain() -> None:
    items = [{"distributions": 10, "kl": 0.1, "agree": 10}] * 20
    found = estimate(Measurement(items=items), "top1_agreement")
    assert found.value == found.high == 1.0
    assert 0.97 < found.low < 0.99  # 3.8 of 200 may disagree


def test_an_estimate_crosses_processes(tiny_genai: Path, rounded: Path, text_file: Path) -> None:
    options = {"file": str(text_file), "context": 32, "max_tokens": 100}
    job = {"evaluator": "divergence", "model": artifact(tiny_genai).to_json()}
    job |= {"options": options, "data": None, "split": "dev"}
    job |= {"reference": artifact(rounded).to_json()}
    measured = Measurement.from_json(json.loads(json.dumps(measure_job(job))))
    for metric, unit in (("divergence", ""), ("top1_agreement", "fraction")):
        found = estimate(measured, metric)
        assert found.unit == unit
        assert 0 < found.low < found.value < found.high < 1
    with pytest.raises(MeasurementError, match="the baseline's model; there is none"):
        measure_job(job | {"reference": None})


def retokenised(source: Path, folder: Path, change: Callable[[Any], None]) -> Path:
    """A copy of a checkpoint whose tokenizer.json has been changed."""
    shutil.copytree(source, folder)
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content)
    path.write_text(json.dumps(content), encoding="utf-8")
    return folder


def test_other_tokens_cannot_be_compared(tiny_phi3: Path, text_file: Path, tmp_path: Path) -> None:
    def swap(content: Any) -> None:
        words = content["model"]["vocab"]
        words["a"], words["b"] = words["b"], words["a"]

    other = retokenised(tiny_phi3, tmp_path / "swapped", swap)
    with pytest.raises(MeasurementError, match="2 of the model's 600 tokens are others"):
        compare(other, tiny_phi3, text_file)


def test_text_that_is_cut_otherwise_cannot_be_compared(
    tiny_phi3: Path, text_file: Path, tmp_path: Path
) -> None:
    def forget(content: Any) -> None:
        content["model"]["merges"] = content["model"]["merges"][:20]

    other = retokenised(tiny_phi3, tmp_path / "cut", forget)
    with pytest.raises(MeasurementError, match="cut the text into different tokens"):
        compare(other, tiny_phi3, text_file)


def test_another_size_of_vocabulary_cannot_be_compared(
    tiny_phi3: Path, text_file: Path, tmp_path: Path
) -> None:
    other = tiny_models.save_phi3(tmp_path / "padded", vocab_size=640)
    with pytest.raises(MeasurementError, match="chooses from 640 tokens and the baseline from 600"):
        compare(other, tiny_phi3, text_file)


def test_a_token_that_one_has_in_addition_does_no_harm(
    tiny_phi3: Path, rounded: Path, text_file: Path, tmp_path: Path
) -> None:
    def add(content: Any) -> None:
        added = dict(content["added_tokens"][-1])
        content["added_tokens"].append(added | {"id": 600, "content": "<more>"})

    other = retokenised(rounded, tmp_path / "added", add)
    found = both(compare(other, tiny_phi3, text_file))
    assert found == pytest.approx(both(compare(rounded, tiny_phi3, text_file)))


def test_classifiers_are_compared_by_their_labels(
    tiny_onnx: Path, int8_onnx: Path, torch_classifier: Any, data: DataSpec
) -> None:
    import torch
    from transformers import AutoTokenizer

    from evaluators.runtimes.onnx import Encoder
    from evaluators.text import classifier_text
    from search_spaces.data import read_split

    measured = compare(int8_onnx, tiny_onnx, None, data)
    rows = read_split(data, "dev")
    assert len(measured.items) == len(rows)
    tokenizer, encoder = AutoTokenizer.from_pretrained(tiny_onnx), Encoder(int8_onnx)
    for row, item in zip(rows, measured.items, strict=True):
        ids = tokenizer(classifier_text(data.template, "tone", row), return_tensors="pt")
        with torch.no_grad():
            p = torch_classifier(**ids).logits[0].double().log_softmax(-1)
        q = torch.tensor(encoder.logits([ids["input_ids"][0].tolist()])[0]).double()
        expected = float((p.exp() * (p - q.log_softmax(-1))).sum())
        assert item["distributions"] == 1
        assert item["kl"] == pytest.approx(expected, rel=1e-2, abs=1e-6)
        assert item["agree"] == int(p.argmax() == q.argmax())
    assert both(compare(tiny_onnx, tiny_onnx, None, data)) == (0.0, 1.0)
    assert estimate(measured, "divergence").value > 0


def test_a_classifier_reads_the_lines_of_a_file_as_far_as_tokens_go(
    tiny_onnx: Path, int8_onnx: Path, tmp_path: Path
) -> None:
    path = tmp_path / "lines.txt"
    path.write_text("Who knew?\n\n" + "It rained all day.\n" * 20, encoding="utf-8")
    assert len(compare(int8_onnx, tiny_onnx, path).items) == 21
    few = compare(int8_onnx, tiny_onnx, path, max_tokens=60).items
    assert 2 <= len(few) < 21
    assert len(compare(int8_onnx, tiny_onnx, path, max_tokens=2).items) == 2


def test_the_order_of_labels_does_not_matter(
    tiny_onnx: Path, int8_onnx: Path, data: DataSpec, edited: Callable[..., Path]
) -> None:
    names = {str(i): name for i, name in enumerate(reversed(tiny_models.PHRASES))}
    turned = compare(edited(tiny_onnx, id2label=names), tiny_onnx, None, data)
    assert both(turned)[0] > 0  # its logits stand for other labels
    foreign = edited(int8_onnx, id2label={"0": "a", "1": "b", "2": "c", "3": "d"})
    with pytest.raises(MeasurementError, match="the model's labels are a, b, c and d, the base"):
        compare(foreign, tiny_onnx, None, data)


def test_a_template_that_begins_with_the_label_leaves_an_encoder_nothing_to_read(
    tiny_onnx: Path, tone_file: Path
) -> None:
    data = DataSpec((("all", tone_file),), "{tone}: {phrase}", "tone")
    with pytest.raises(MeasurementError, match="no text for an encoder"):
        compare(tiny_onnx, tiny_onnx, None, data)


def test_a_model_that_generates_and_one_that_classifies_are_not_compared(
    tiny_onnx: Path, tiny_phi3: Path, data: DataSpec
) -> None:
    with pytest.raises(MeasurementError, match="no distributions in common"):
        compare(tiny_onnx, tiny_phi3, None, data)
