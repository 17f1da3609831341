"""What merging an adapter gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tiny_models
from pass_support import Runner, hashes, next_logits
from safetensors.torch import load_file

from evaluators.base import Artifact
from tuner.passes import PassError, all_passes


def test_merged_model_computes_what_the_adapter_on_its_base_does(
    phi3: Artifact, run_pass: Runner
) -> None:
    adapter = run_pass("lora", phi3, learning_rate=1e-2)
    merged = next_logits(run_pass("merge_adapter", adapter))
    np.testing.assert_allclose(merged, next_logits(adapter), rtol=0, atol=1e-4)
    assert np.abs(merged - next_logits(phi3)).max() > 0.01


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
    merged = run_pass("merge_adapter", run_pass("lora", Artifact("hf", folder)))
    weights = load_file(merged.path / "model.safetensors")
    assert {tensor.dtype for tensor in weights.values()} == {torch.bfloat16}


def test_adapter_without_its_base_is_refused(llama: Artifact, run_pass: Runner) -> None:
    alone = Artifact("adapter", run_pass("lora", llama).path)
    with pytest.raises(PassError, match="base model"):
        run_pass("merge_adapter", alone)


def test_a_model_without_adapter_passes_through() -> None:
    assert all_passes()["merge_adapter"].spec.passes_through == {"hf"}
