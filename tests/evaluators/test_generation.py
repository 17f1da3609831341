"""Answers of tiny models against the data's, and what is made of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tiny_models

from evaluators import evaluator_specs
from evaluators.base import Artifact, Json, Measurement, MeasurementError
from evaluators.generation import Generation
from evaluators.measure import measure_job
from search_spaces.data import DataSpec, read_split

WORDS = ("apple", "bread", "cloud", "drum", "eagle", "flute", "grain", "house", "ink", "jar")
ROWS = [
    {"question": f"What comes after {word}?", "answer": f"{word} {number}"}
    for number, word in enumerate(WORDS)
]


def options(**changes: Any) -> dict[str, Any]:
    defaults = {p.name: p.default for p in evaluator_specs()["generation"].parameters}
    return defaults | {"max_new_tokens": 4} | changes


@pytest.fixture
def data(tmp_path: Path) -> DataSpec:
    path = tmp_path / "qa.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    return DataSpec((("all", path),), "{question}\nA: {answer}\n", "answer", answers=True)


def measured(folder: Path, data: DataSpec, format_: str = "hf", **changes: Any) -> Measurement:
    return Generation().measure(Artifact(format_, folder), options(**changes), data, "train")


def test_items_hold_the_greedy_text_and_its_scores(tiny_llama: Path, data: DataSpec) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    found = measured(tiny_llama, data)
    rows = read_split(data, "train")
    assert [item["reference"] for item in found.items] == [row["answer"] for row in rows]
    words = AutoTokenizer.from_pretrained(tiny_llama)
    model = AutoModelForCausalLM.from_pretrained(tiny_llama)
    for item in found.items[:3]:
        assert item["prompt"].endswith("?\nA:")  # the space begins the answer
        ids = words(item["prompt"], return_tensors="pt").input_ids
        with torch.no_grad():
            whole = model.generate(ids, max_new_tokens=4, do_sample=False)
        text = words.decode(whole[0, ids.shape[1] :], skip_special_tokens=True)
        assert item["generated"] == text
        assert 0 <= item["rouge_l"] <= 1
        assert 0 <= item["chrf"] <= 1
        assert item["tokens"] <= 4
    assert found.conditions["split"] == "train"
    json.dumps(found.to_json())


def test_two_runtimes_say_the_same(tiny_phi3: Path, tiny_genai: Path, data: DataSpec) -> None:
    torch_, genai = measured(tiny_phi3, data), measured(tiny_genai, data, "genai")
    assert [i["generated"] for i in torch_.items] == [i["generated"] for i in genai.items]


def test_a_model_that_has_learned_the_answers_scores_them(data: DataSpec, tmp_path: Path) -> None:
    """Trained on two answers until it knows them by heart, it gets these right."""
    folder = tiny_models.save_llama(tmp_path / "model")
    learned = read_split(data, "train")[:2]
    learn(folder, [f"{row['question']}\nA: {row['answer']}</s>" for row in learned])
    found = measured(folder, data, max_new_tokens=12)
    assert not found.faults
    for item in found.items[:2]:
        assert item["exact_match"]
        assert (item["rouge_l"], item["chrf"]) == (1, pytest.approx(1))
    estimate = Generation().summarise([found], options(), "exact_match", None)
    assert 2 / len(found.items) <= estimate.value < 1
    chrf = Generation().summarise([found], options(), "chrf", None)
    assert estimate.value < chrf.value < 1
    assert chrf.low < chrf.value < chrf.high


def learn(folder: Path, texts: list[str]) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    words = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    rows = words(texts, return_tensors="pt", padding=True)
    targets = rows.input_ids.masked_fill(rows.attention_mask == 0, -100)
    for _ in range(40):
        optimizer.zero_grad()
        model(**rows, labels=targets).loss.backward()
        optimizer.step()
    model.save_pretrained(folder)


def test_a_stop_text_ends_the_answer(tiny_llama: Path, data: DataSpec) -> None:
    free = measured(tiny_llama, data, max_new_tokens=12).items[0]
    stop = free["generated"][4]
    cut = measured(tiny_llama, data, max_new_tokens=12, stop=(stop,)).items[0]
    assert cut["generated"] == free["generated"].partition(stop)[0]
    assert cut["tokens"] <= free["tokens"]
    with pytest.raises(MeasurementError, match="stop: an empty text"):
        measured(tiny_llama, data, stop=("\n", ""))


def test_so_many_items_are_spread_over_the_split(tiny_llama: Path, data: DataSpec) -> None:
    rows = read_split(data, "train")
    found = measured(tiny_llama, data, max_items=3, max_new_tokens=1)
    expected = [rows[i * len(rows) // 3]["answer"] for i in range(3)]
    assert [item["reference"] for item in found.items] == expected
    assert len(measured(tiny_llama, data, max_items=None, max_new_tokens=1).items) == len(rows)


def test_what_cannot_be_measured_is_said(tiny_llama: Path, tiny_bert: Path, data: DataSpec) -> None:
    with pytest.raises(MeasurementError, match="a label column"):
        measured(tiny_llama, DataSpec(data.files, data.template))
    with pytest.raises(MeasurementError, match=r"item 1 has \d+ tokens.* context of 256"):
        measured(tiny_llama, data, max_new_tokens=250)
    with pytest.raises(MeasurementError, match="an encoder, expected a model that generates"):
        measured(tiny_bert, data)
    begins = DataSpec(data.files, "{answer} {question}", "answer", answers=True)
    with pytest.raises(MeasurementError, match=r"nothing before \{answer\}"):
        measured(tiny_llama, begins)


def rewired(folder: Path, token: int, to: Path) -> Path:
    """The model with weights such that it says one token, whatever it reads."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        # The embedding is the head too: all rows but one nothing, and no layer changes its input.
        weight = model.get_input_embeddings().weight
        weight[:] = 1.0
        weight[token] = 2.0
        for layer in model.model.layers:
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
    model.save_pretrained(to)
    AutoTokenizer.from_pretrained(folder).save_pretrained(to)
    return to


def test_a_model_that_says_nothing_is_dead(
    tiny_llama: Path, data: DataSpec, tmp_path: Path
) -> None:
    silent = rewired(tiny_llama, 2, tmp_path / "silent")  # </s>
    found = measured(silent, data, max_items=4)
    assert [item["tokens"] for item in found.items] == [0] * 4
    assert found.faults == ["generates nothing for all of 4 items"]
    assert measured(silent, data, max_items=1).faults == ["generates nothing for its only item"]


def test_a_model_that_always_says_the_same_is_dead(
    tiny_llama: Path, data: DataSpec, tmp_path: Path
) -> None:
    from transformers import AutoTokenizer

    word = AutoTokenizer.from_pretrained(tiny_llama)("x").input_ids[0]
    same = rewired(tiny_llama, word, tmp_path / "same")
    everything = DataSpec((("train", data.files[0][1]),), data.template, "answer", (), 0, True)
    assert measured(same, everything).faults == ["generates 'xxxx' for all of 10 items"]
    assert not measured(same, everything, max_items=4).faults  # too few to say so
    stopped = measured(same, everything, stop=("x",))
    assert stopped.faults == ["generates nothing for all of 10 items before a stop text"]


def test_a_live_model_has_no_faults(tiny_llama: Path, data: DataSpec) -> None:
    assert not measured(tiny_llama, data).faults


def item(**values: Any) -> Json:
    return {"exact_match": False, "rouge_l": 0.0, "chrf": 0.0} | values


def test_relative_limits_are_judged_on_pairs() -> None:
    before = [Measurement(items=[item(chrf=0.1 * (i % 9)) for i in range(50)])]
    now = [Measurement(items=[item(chrf=0.1 * (i % 9) + 0.1) for i in range(50)])]
    found = Generation().paired(now, before, "chrf", 1.0)
    assert found is not None
    assert found.value == pytest.approx(0.1)
    assert found.low > 0
    other = [Measurement(items=[item()] * 3)]
    assert Generation().paired(now, other, "chrf", 1.0) is None


def test_exact_matches_are_counted_with_wilsons_interval() -> None:
    answers = [Measurement(items=[item(exact_match=i < 3) for i in range(12)])]
    found = Generation().summarise(answers, options(), "exact_match", None)
    assert (found.value, found.samples, found.unit) == (0.25, 12, "fraction")
    assert (found.low, found.high) == (pytest.approx(0.089, abs=1e-3), pytest.approx(0.532, 1e-3))


def test_a_worker_is_given_plain_data(tiny_genai: Path, data: DataSpec) -> None:
    payload = {
        "evaluator": "generation",
        "model": Artifact("genai", tiny_genai).to_json(),
        "options": options(max_items=2),
        "data": data.to_json(),
        "split": "dev",
    }
    answer = measure_job(json.loads(json.dumps(payload)))
    found = Measurement.from_json(json.loads(json.dumps(answer)))
    for metric in Generation.spec.metrics:
        estimate = Generation().summarise([found], options(), metric.name, None)
        assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1
