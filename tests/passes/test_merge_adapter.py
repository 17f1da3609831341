"""What merging an adapter gives."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tiny_models
from pass_support import Runner, hashes, next_logits
from safetensors.torch import load_file

from evaluators.base import Artifact
from search_spaces.vocabulary import Value
from tuner.models.checkpoint import load_classifier
from tuner.passes import PassError, all_passes


@pytest.mark.parametrize("model", ["phi3", "llama", "bert"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"dora": True},
        {"rslora": True, "initialisation": "gaussian"},
        {"initialisation": "pissa"},
        {"initialisation": "olora", "rslora": True},
        {"initialisation": "pissa", "dora": True},
    ],
    ids=lambda options: "+".join(map(str, options.values())) or "plain",
)
def test_merged_model_computes_what_the_adapter_on_its_base_does(
    model: str, options: dict[str, Value], request: pytest.FixtureRequest, run_pass: Runner
) -> None:
    base = request.getfixturevalue(model)
    adapter = run_pass("lora", base, learning_rate=1e-2, **options)
    merged = next_logits(run_pass("merge_adapter", adapter))
    np.testing.assert_allclose(merged, next_logits(adapter), rtol=0, atol=1e-4)
    assert np.abs(merged - next_logits(base)).max() > 0.01


def test_tokenizer_and_chat_template_are_the_base_s_own(llama: Artifact, run_pass: Runner) -> None:
    merged = hashes(run_pass("merge_adapter", run_pass("lora", llama)).path)
    base = hashes(llama.path)
    assert {name for name in base if merged[name] != base[name]} == {"model.safetensors"}
    assert "chat_template.jinja" in merged


def test_base_in_16_bits_stays_in_16_bits(tmp_path: Path, run_pass: Runner) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    folder = tiny_models.save_llama(tmp_path)
    AutoModelForCausalLM.from_pretrained(folder).to(torch.bfloat16).save_pretrained(folder)
    for trainer, options in (("lora", {}), ("qlora", {"dequantize": True})):
        adapter = run_pass(trainer, Artifact("hf", folder))
        merged = run_pass("merge_adapter", adapter, **options)
        weights = load_file(merged.path / "model.safetensors")
        assert {tensor.dtype for tensor in weights.values()} == {torch.bfloat16}


def test_an_encoder_becomes_a_classifier_that_names_its_labels(
    bert: Artifact, run_pass: Runner
) -> None:
    merged = run_pass("merge_adapter", run_pass("lora", bert))
    config = json.loads((merged.path / "config.json").read_text())
    tones = sorted(tiny_models.PHRASES)
    assert config["architectures"] == ["BertForSequenceClassification"]
    assert config["id2label"] == {str(i): tone for i, tone in enumerate(tones)}
    assert str(bert.path) not in (merged.path / "config.json").read_text()
    again = load_classifier(merged.path, tones[::-1])
    assert list(again.config.id2label.values()) == tones  # the head is kept, in its own order


def test_a_base_with_packed_weights_becomes_a_plain_checkpoint(
    llama: Artifact, run_pass: Runner
) -> None:
    adapter = run_pass("lora", run_pass("rtn", llama), learning_rate=1e-2)
    merged = run_pass("merge_adapter", adapter)
    np.testing.assert_allclose(next_logits(merged), next_logits(adapter), rtol=0, atol=1e-4)
    config = json.loads((merged.path / "config.json").read_text())
    assert config == json.loads((llama.path / "config.json").read_text())
    names = load_file(merged.path / "model.safetensors").keys()
    assert names == load_file(llama.path / "model.safetensors").keys()


def test_adapter_without_its_base_is_refused(llama: Artifact, run_pass: Runner) -> None:
    alone = Artifact("adapter", run_pass("lora", llama).path)
    with pytest.raises(PassError, match="base model"):
        run_pass("merge_adapter", alone)


@pytest.mark.parametrize("model", ["llama", "bert"])
def test_dequantize_is_refused_for_an_adapter_of_a_float_base(
    model: str, request: pytest.FixtureRequest, run_pass: Runner
) -> None:
    adapter = run_pass("lora", request.getfixturevalue(model))
    with pytest.raises(PassError, match="not trained on a quantised base"):
        run_pass("merge_adapter", adapter, dequantize=True)


def test_a_model_without_adapter_passes_through() -> None:
    assert all_passes()["merge_adapter"].spec.passes_through == {"hf", "quantized"}
