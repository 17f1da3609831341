"""Perplexity, against torch's own arithmetic, between runtimes, and against known truths."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models
from text_models import Chain, changed, noisy

from evaluators import machine
from evaluators.base import (
    Artifact,
    DeadModel,
    Measurement,
    MeasurementError,
    NotEnoughSamples,
)
from evaluators.measure import measure_job
from evaluators.perplexity import Perplexity, score
from evaluators.windows import Tokens, strided
from search_spaces.data import DataSpec

TEXT = (
    "The tram climbed the hill, and Zoë counted 你好 twice. 😀 Nobody knew why!\n"
    "Who told the baker? A parrot flew in, said good evening, and flew out again.\n"
) * 4


@pytest.fixture(scope="module")
def text_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def data(tone_file: Path) -> DataSpec:
    return DataSpec((("all", tone_file),), tiny_models.TEMPLATE, "tone")


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Models this small are slower with more threads than one."""
    monkeypatch.setattr(machine, "cores", lambda: 1)


def measure(model: Path, file: Path | None, data: DataSpec | None = None, **options: Any) -> Any:
    """Measure a folder, "hf" unless it is one of GenAI."""
    format_ = "genai" if (model / "genai_config.json").exists() else "hf"
    defaults = {p.name: p.default for p in Perplexity.spec.parameters}
    asked = defaults | {"file": None if file is None else str(file)} | options
    return Perplexity().measure(Artifact(format_, model), asked, data, "dev")


def value(measurement: Measurement, metric: str = "perplexity") -> float:
    return Perplexity().summarise([measurement], {}, metric, None).value


def log_probabilities_by_torch(folder: Path, ids: list[int], context: int) -> list[float]:
    """Of every token but the first, each with the `context` tokens before it and no other."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    found = []
    with torch.no_grad():
        for i in range(1, len(ids)):
            logits = model(torch.tensor([ids[max(0, i - context) : i]])).logits[0, -1]
            found.append(float(torch.log_softmax(logits.double(), -1)[ids[i]]))
    return found


def test_a_text_in_one_window_has_torchs_own_loss(tiny_llama: Path, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    path = tmp_path / "short.txt"
    path.write_text(TEXT[:160], encoding="utf-8")
    measured = measure(tiny_llama, path)
    assert measured.conditions["context"] == 256  # all that the model can take
    ids = AutoTokenizer.from_pretrained(tiny_llama)(TEXT[:160], return_tensors="pt").input_ids
    with torch.no_grad():
        loss = AutoModelForCausalLM.from_pretrained(tiny_llama)(ids, labels=ids).loss
    (item,) = measured.items
    assert item["tokens"] == ids.shape[1] - 1
    assert item["nll"] == pytest.approx(float(loss) * item["tokens"], rel=1e-4)


def test_every_token_is_read_with_what_stands_before_it(tiny_llama: Path, text_file: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_llama)
    ids = tokenizer(TEXT)["input_ids"][:40]
    measured = measure(tiny_llama, text_file, max_tokens=40, context=16, stride=1)
    expected = log_probabilities_by_torch(tiny_llama, ids, 15)
    # The first window of 16 scores 15 tokens, the others one each, after 15 others.
    assert [item["tokens"] for item in measured.items] == [15] + [1] * 24
    for item, log_p in zip(measured.items[1:], expected[15:], strict=True):
        assert item["nll"] == pytest.approx(-log_p, rel=1e-4, abs=1e-4)
    assert measured.items[0]["nll"] == pytest.approx(-sum(expected[:15]), rel=1e-4)


def test_two_runtimes_agree(tiny_phi3: Path, tiny_genai: Path, text_file: Path) -> None:
    one, other = (measure(folder, text_file, context=64) for folder in (tiny_phi3, tiny_genai))
    assert len(one.items) > 8
    for metric in ("perplexity", "bits_per_byte"):
        assert value(other, metric) == pytest.approx(value(one, metric), rel=1e-3)
    for a, b in zip(one.items, other.items, strict=True):
        assert (a["tokens"], a["bytes"]) == (b["tokens"], b["bytes"])
        assert a["nll"] == pytest.approx(b["nll"], rel=1e-3)


def test_an_adapter_is_measured_on_its_base(
    tiny_llama: Path, text_file: Path, tmp_path: Path
) -> None:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    base = Artifact("hf", tiny_llama)
    tuned = get_peft_model(
        AutoModelForCausalLM.from_pretrained(tiny_llama), LoraConfig(target_modules=["q_proj"])
    )
    options = {"file": str(text_file), "context": 64, "stride": None, "max_tokens": 200}
    plain = Perplexity().measure(base, options, None, "dev")
    for name, touched in (("zero", False), ("tuned", True)):
        if touched:
            with torch.no_grad():
                for parameter in (p for n, p in tuned.named_parameters() if "lora_B" in n):
                    parameter += 0.1
        tuned.save_pretrained(tmp_path / name)
        adapter = Artifact("adapter", tmp_path / name, base)
        found = value(Perplexity().measure(adapter, options, None, "dev"))
        assert (found != pytest.approx(value(plain), rel=1e-4)) == touched


def test_what_a_model_of_equal_logits_has_is_the_size_of_its_vocabulary(
    tiny_phi3: Path, text_file: Path, tmp_path: Path
) -> None:
    folder = changed(tiny_phi3, tmp_path / "uniform", lambda model: model.lm_head.weight.zero_())
    measured = measure(folder, text_file, context=64)
    found = Perplexity().summarise([measured], {}, "perplexity", None)
    assert (found.value, found.low, found.high) == pytest.approx((600, 600, 600))
    scored = sum(item["tokens"] for item in measured.items)
    expected = scored * math.log2(600) / sum(item["bytes"] for item in measured.items)
    assert value(measured, "bits_per_byte") == pytest.approx(expected)
    assert measured.faults == ["perplexity 600: no better than a guess among all 600 tokens"]


def test_what_is_scored_does_not_depend_on_the_windows(tiny_llama: Path, text_file: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_llama)
    ids = tokenizer(TEXT)["input_ids"]
    first = len(tokenizer.decode(ids[:1]).encode())
    for context, stride in ((16, 5), (40, None), (256, 255)):
        items = measure(tiny_llama, text_file, context=context, stride=stride).items
        assert sum(item["tokens"] for item in items) == len(ids) - 1
        assert sum(item["bytes"] for item in items) == len(TEXT.encode()) - first


@pytest.mark.parametrize("prefix", [(), (0,)])
def test_windows_do_not_change_what_a_model_without_memory_expects(
    prefix: tuple[int, ...],
) -> None:
    source = np.random.default_rng(0)
    model = Chain(source.normal(size=(11, 11)))
    ids = tuple(int(i) for i in source.integers(11, size=300))
    tokens = Tokens(prefix, ids, tuple(range(1, 301)))
    whole = (*prefix, *ids)
    shifted = model.table.astype(np.float64)
    log_p = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    expected = -sum(log_p[a, b] for a, b in itertools.pairwise(whole))
    if prefix:  # where a later window begins, its first token is not scored but read
        assert sum(i["tokens"] for i in score(model, strided(tokens, 32, 16))[0]) == 300
    for context, stride in ((8, 3), (32, 16), (400, 200)):
        items, vocabulary = score(model, strided(tokens, context, stride))
        assert vocabulary == 11
        assert sum(item["nll"] for item in items) == pytest.approx(expected, rel=1e-6)


def test_rows_of_data_are_texts_of_their_own(tiny_llama: Path, data: DataSpec) -> None:
    measured = measure(tiny_llama, None, data)
    assert len(measured.items) == measured.conditions["texts"]
    few = measure(tiny_llama, None, data, max_tokens=60)
    assert 2 <= len(few.items) < len(measured.items)
    assert few.items[0]["tokens"] + few.items[1]["tokens"] <= 60 - len(few.items)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "has no text in it"),
        (b"a", "1 token"),
        (b"caf\xe9 noir", "expected text in UTF-8, found other bytes at 3"),
    ],
)
def test_a_text_that_cannot_be_scored_is_refused(
    tiny_llama: Path, tmp_path: Path, content: bytes, message: str
) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes(content)
    with pytest.raises(MeasurementError, match=message):
        measure(tiny_llama, path)


def test_texts_of_a_token_each_are_refused(tiny_llama: Path, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("word\n" + "a\nb\nc\n" * 4, encoding="utf-8")
    rows = DataSpec((("dev", path), ("train", path)), "{word}", None, split=())
    with pytest.raises(MeasurementError, match="no text has 2 tokens"):
        measure(tiny_llama, None, rows)


def test_neither_a_file_nor_data_is_refused(tiny_llama: Path) -> None:
    with pytest.raises(MeasurementError, match="say `file`, or give the space data"):
        measure(tiny_llama, None)


def test_an_encoder_is_refused(tiny_bert: Path, text_file: Path) -> None:
    with pytest.raises(MeasurementError, match="this one is an encoder"):
        measure(tiny_bert, text_file)


def test_a_stride_that_no_window_allows_is_refused(tiny_llama: Path, text_file: Path) -> None:
    with pytest.raises(MeasurementError, match="stride is 300, but windows of 256 tokens"):
        measure(tiny_llama, text_file, stride=300)


def test_a_single_window_has_no_interval(tiny_llama: Path, text_file: Path) -> None:
    measured = measure(tiny_llama, text_file, max_tokens=50)
    with pytest.raises(NotEnoughSamples, match="2 windows or more, found 1"):
        value(measured)


def test_a_model_that_is_not_finite_is_dead(
    tiny_llama: Path, text_file: Path, tmp_path: Path
) -> None:
    broken = changed(
        tiny_llama, tmp_path / "nan", lambda model: model.model.norm.weight.fill_(math.nan)
    )
    with pytest.raises(DeadModel):
        measure(broken, text_file)


def test_a_token_ruled_out_by_the_model_makes_it_dead() -> None:
    table = np.zeros((4, 4))
    table[:, 3] = -math.inf
    windows = strided(Tokens((), (0, 1, 2, 3), (1, 2, 3, 4)), 8, 4)
    with pytest.raises(DeadModel, match="probability of 0"):
        score(Chain(table), windows)


def test_a_model_that_learnt_its_text_has_no_fault() -> None:
    table = np.full((4, 4), -5.0)
    table[[0, 1, 2, 3], [1, 2, 3, 0]] = 5.0
    items, vocabulary = score(
        Chain(table), strided(Tokens((), (0, 1, 2, 3) * 8, tuple(range(1, 33))), 8, 4)
    )
    measured = Measurement(items=items)
    assert vocabulary == 4
    assert value(measured) == pytest.approx(1.0, abs=1e-3)


def test_an_estimate_crosses_processes_with_unit_and_interval(
    tiny_genai: Path, text_file: Path
) -> None:
    options = {"file": str(text_file), "context": 64, "stride": None, "max_tokens": None}
    job = {"evaluator": "perplexity", "model": Artifact("genai", tiny_genai).to_json()}
    job |= {"options": options, "data": None, "split": "dev", "reference": None}
    measured = Measurement.from_json(json.loads(json.dumps(measure_job(job))))
    for metric, unit in (("perplexity", ""), ("bits_per_byte", "bits/B")):
        found = Perplexity().summarise([measured], options, metric, None)
        assert found.unit == unit
        assert 0 < found.low < found.value < found.high
        assert found.samples == len(measured.items)


@pytest.mark.parametrize("metric", ["perplexity", "bits_per_byte"])
def test_a_paired_difference_is_known_better_than_both_figures(
    tiny_llama: Path, text_file: Path, tmp_path: Path, metric: str
) -> None:
    before = measure(tiny_llama, text_file, context=32)
    after = measure(noisy(tiny_llama, tmp_path / "noisy", 0.01), text_file, context=32)
    evaluator = Perplexity()
    found = evaluator.paired([after], [before], metric, 1.0)
    assert found is not None
    assert found.value == pytest.approx(value(after, metric) - value(before, metric))
    alone = evaluator.summarise([after], {}, metric, None)
    assert found.high - found.low < (alone.high - alone.low) / 3
    same = evaluator.paired([before], [before], metric, 1.0)
    assert same is not None
    assert (same.value, same.low, same.high) == (0.0, 0.0, 0.0)
    half = evaluator.paired([after], [before], metric, 0.5)
    assert half is not None
    assert half.value == pytest.approx(value(after, metric) - 0.5 * value(before, metric))


def test_other_windows_are_not_paired() -> None:
    ours = Measurement(items=[{"tokens": 4, "bytes": 9, "nll": 8.0}] * 3)
    cut = Measurement(items=[{"tokens": 5, "bytes": 9, "nll": 8.5}] * 3)
    other = Measurement(items=[{"tokens": 4, "bytes": 8, "nll": 8.0}] * 3)
    fewer = Measurement(items=ours.items[:2])
    for theirs in (other, fewer):
        for metric in ("perplexity", "bits_per_byte"):
            assert Perplexity().paired([ours], [theirs], metric, 1.0) is None
    assert Perplexity().paired([ours], [cut], "perplexity", 1.0) is None
    found = Perplexity().paired([cut], [ours], "bits_per_byte", 1.0)
    assert found is not None
    assert found.value == pytest.approx(0.5 / 9 / math.log(2))


def test_intervals_hold_the_perplexity_of_all_text_of_the_kind() -> None:
    """Texts of two moods that last for 200 tokens on average, read by a model that ignores them."""
    source = np.random.default_rng(5)
    size, length, tries = 8, 2048, 150
    moods = source.dirichlet(np.ones(size), size=2)
    logits = source.normal(size=size)
    model = Chain(np.tile(logits, (size, 1)))
    nll = np.log(np.exp(logits).sum()) - logits
    truth = math.exp(float(moods.mean(0) @ nll))
    held = 0
    for _ in range(tries):
        mood = (np.cumsum(source.random(length) < 1 / 200) + source.integers(2)) % 2
        drawn = np.stack([source.choice(size, length, p=p) for p in moods])
        ids = tuple(int(i) for i in drawn[mood, np.arange(length)])
        tokens = Tokens((), ids, tuple(range(1, length + 1)))
        items, _ = score(model, strided(tokens, 64, 32))
        found = Perplexity().summarise([Measurement(items=items)], {}, "perplexity", None)
        held += found.low <= truth <= found.high
    assert held / tries >= 0.88
