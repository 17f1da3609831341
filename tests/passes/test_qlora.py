"""What QLoRA trains, what it records of the base, and what merging makes of it."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import numpy as np
import pytest
from pass_support import Runner, next_logits
from safetensors.torch import load_file

from evaluators.base import Artifact
from tuner.models.checkpoint import load_causal
from tuner.training.quantized_base import Quantisation, load_as_seen, load_quantised

NF4 = Quantisation("nf4", True, "fp32")


def distance(folder: Artifact, how: Quantisation) -> float:
    """How far the matrices are, on average, from those of the checkpoint."""
    import torch

    seen, stored = load_as_seen(folder, how), load_causal(folder, torch.float32)
    pairs = zip(seen.model.layers.parameters(), stored.model.layers.parameters(), strict=True)
    return sum(float((a - b).detach().abs().mean()) for a, b in pairs)


def as_in_training(base: Artifact) -> Any:
    """The quantised base; for inference on a CPU bitsandbytes has kernels that round to bf16."""
    return load_quantised(base.path, NF4, "cpu").train()


def test_only_matrices_of_the_decoder_are_quantised(llama: Artifact) -> None:
    model = load_quantised(llama.path, NF4, "cpu")
    kinds = Counter(type(module).__name__ for module in model.modules())
    assert kinds["Linear4bit"] == 7 * 2
    assert type(model.lm_head).__name__ == "Linear"
    assert model.lm_head.weight is model.model.embed_tokens.weight


def test_4_bits_are_near_the_weights_and_normal_quantiles_nearer(llama: Artifact) -> None:
    nf4, double = Quantisation("nf4", False, "fp32"), NF4
    fp4 = Quantisation("fp4", False, "fp32")
    assert 0 < distance(llama, nf4) < distance(llama, fp4) < 0.2 * 14
    assert distance(llama, nf4) == pytest.approx(distance(llama, double), rel=0.05)
    assert distance(llama, nf4) != distance(llama, double)


@pytest.mark.parametrize("model", ["phi3", "llama"])
def test_the_base_as_seen_computes_what_the_quantised_one_does(
    model: str, request: pytest.FixtureRequest
) -> None:
    import torch

    base = request.getfixturevalue(model)
    ids = torch.tensor([[5, 6, 7, 8, 9]])
    with torch.no_grad():
        packed = as_in_training(base)(input_ids=ids).logits
        seen = load_as_seen(base, NF4)(input_ids=ids).logits
        stored = load_causal(base)(input_ids=ids).logits
    torch.testing.assert_close(seen, packed, rtol=0, atol=1e-3)
    assert (seen - stored).abs().max() > 0.1


@pytest.mark.parametrize("compute_dtype", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("quant_type", ["nf4", "fp4"])
def test_training_lowers_the_loss(
    llama: Artifact,
    run_pass: Runner,
    capsys: pytest.CaptureFixture[str],
    quant_type: str,
    compute_dtype: str,
) -> None:
    options: dict[str, Any] = {"quant_type": quant_type, "compute_dtype": compute_dtype}
    run_pass("qlora", llama, max_steps=20, learning_rate=1e-2, **options)
    losses = [float(line.split()[3]) for line in _steps(capsys.readouterr().out)]
    assert np.mean(losses[:3]) > 5
    assert np.mean(losses[-3:]) < 3.5


def _steps(log: str) -> list[str]:
    return [line for line in log.splitlines() if line.startswith("step ")]


def test_how_the_base_was_quantised_is_recorded(llama: Artifact, run_pass: Runner) -> None:
    made = run_pass("qlora", llama, quant_type="fp4", double_quant=False)
    assert json.loads((made.path / "trained_on.json").read_text()) == {
        "quantisation": {"quant_type": "fp4", "double_quant": False, "compute_dtype": "fp32"}
    }
    assert "quantization" not in (made.path / "adapter_config.json").read_text()


@pytest.mark.parametrize("model", ["phi3", "llama"])
def test_merged_with_dequantize_it_computes_what_was_trained(
    model: str, request: pytest.FixtureRequest, run_pass: Runner
) -> None:
    import torch
    from peft import PeftModel

    base = request.getfixturevalue(model)
    made = run_pass("qlora", base, learning_rate=1e-2)
    merged = run_pass("merge_adapter", made, dequantize=True)
    trained = PeftModel.from_pretrained(as_in_training(base), made.path).train()
    ids = torch.tensor([[5, 6, 7, 8, 9]])
    with torch.no_grad():
        torch.testing.assert_close(
            load_causal(merged)(input_ids=ids).logits,
            trained(input_ids=ids).logits,
            rtol=0,
            atol=1e-3,
        )
    np.testing.assert_allclose(
        next_logits(run_pass("merge_adapter", made)), next_logits(made), rtol=0, atol=1e-4
    )
    assert np.abs(next_logits(merged) - next_logits(made)).max() > 0.1


def test_merged_with_dequantize_it_is_a_plain_checkpoint(llama: Artifact, run_pass: Runner) -> None:
    merged = run_pass("merge_adapter", run_pass("qlora", llama), dequantize=True)
    assert (merged.path / "config.json").read_text() == (llama.path / "config.json").read_text()
    after, before = (load_file(m.path / "model.safetensors") for m in (merged, llama))
    assert {k: (v.shape, v.dtype) for k, v in after.items()} == {
        k: (v.shape, v.dtype) for k, v in before.items()
    }
