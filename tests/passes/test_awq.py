from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tiny_models
import torch
from pass_support import Runner
from quantized_support import divergence, log_probabilities, save_with_outliers, weights

from evaluators.base import Artifact
from search_spaces.vocabulary import Value
from tuner.models.checkpoint import load_causal
from tuner.models.quantized import Scheme
from tuner.passes import PassError, awq
from tuner.quantization.decoder import blocks
from tuner.quantization.rounding import rounded
from tuner.quantization.scaling import folds

ENOUGH: dict[str, Value] = {"calibration_samples": 32, "calibration_length": 64}


@pytest.fixture(scope="module")
def outliers(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """A tiny Llama that has a few large channels."""
    return Artifact("hf", save_with_outliers(tmp_path_factory.mktemp("outliers")))


@pytest.mark.parametrize("architecture", ["tiny_llama", "tiny_phi3"])
@pytest.mark.parametrize("stored", [torch.float32, torch.bfloat16])
def test_folded_factors_leave_what_the_model_computes(
    architecture: str, stored: torch.dtype, request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue(architecture)
    model = load_causal(Artifact("hf", folder), torch.float32)
    before = log_probabilities(model, folder)
    source = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for block in blocks(model):
            for place in folds(block, model.config, stored):
                width = block.linears[place.names[0]].in_features
                factors = place.shared(torch.rand(width, generator=source) + 0.5)
                taken = place.apply(block, factors)
                assert not torch.equal(taken, torch.ones_like(taken))
                assert torch.allclose(taken, factors, rtol=0.01)
    assert torch.allclose(log_probabilities(model, folder), before, atol=1e-3)


def test_biases_are_folded_too(tmp_path: Path) -> None:
    folder = tiny_models.save_llama(tmp_path, attention_bias=True, mlp_bias=True)
    model = load_causal(Artifact("hf", folder), torch.float32)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.normal_()
        before = log_probabilities(model, folder)
        for block in blocks(model):
            for place in folds(block, model.config, torch.float32):
                width = block.linears[place.names[0]].in_features
                place.apply(block, place.shared(torch.linspace(0.5, 2, width)))
    assert torch.allclose(log_probabilities(model, folder), before, atol=1e-3)


@pytest.mark.parametrize("clip", [True, False])
def test_large_channels_are_spared(clip: bool, outliers: Artifact, run_pass: Runner) -> None:
    plain = divergence(run_pass("rtn", outliers), outliers)
    assert divergence(run_pass("awq", outliers, **ENOUGH, clip=clip), outliers) < 0.6 * plain


def test_clipping_lessens_the_error_of_outputs_and_halves_ranges_at_most() -> None:
    source = torch.Generator().manual_seed(0)
    weights = torch.randn(16, 64, generator=source)
    weights[:, 5] *= 8  # an outlier, on an input that is hardly there
    inputs = torch.randn(200, 64, generator=source)
    inputs[:, 5] *= 0.01
    gram = inputs.T @ inputs / 200
    scheme = Scheme(4, 32, False)

    def error(shrink: Any) -> float:
        change = rounded(weights, scheme, shrink).dequantised() - weights
        return float(((change @ gram) * change).sum())

    ratios = awq.best_shrink(weights, gram, scheme)
    assert ratios.shape == (16, 2)
    assert ((ratios >= 0.5) & (ratios <= 1)).all()
    assert ratios[:, 0].mean() < ratios[:, 1].mean()
    assert error(ratios) < 0.7 * error(1.0)


def test_it_works_on_phi3_and_around_zero(tiny_phi3: Path, run_pass: Runner) -> None:
    given = Artifact("hf", tiny_phi3)
    for symmetric in (True, False):
        plain = divergence(run_pass("rtn", given, symmetric=symmetric), given)
        made = run_pass("awq", given, **ENOUGH, symmetric=symmetric)
        assert divergence(made, given) < plain


def test_one_power_and_no_clipping_is_plain_rounding(tiny_phi3: Path, run_pass: Runner) -> None:
    given = Artifact("hf", tiny_phi3)
    plain, made = (
        weights(run_pass("rtn", given)),
        weights(run_pass("awq", given, n_grid=1, clip=False)),
    )
    for name, expected in plain.items():
        assert torch.allclose(made[name], expected, atol=0.1 * float(expected.abs().max()))
        assert (made[name] - expected).abs().mean() < 0.01 * expected.abs().mean()


def test_norms_that_take_no_factor_are_refused(tmp_path: Path, run_pass: Runner) -> None:
    from transformers import GemmaConfig, GemmaForCausalLM

    words = tiny_models.tokenizer()
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "head_dim": 16}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1}
    config = GemmaConfig(vocab_size=len(words), max_position_embeddings=256, **sizes, **heads)
    GemmaForCausalLM(config).save_pretrained(tmp_path)
    words.save_pretrained(tmp_path)
    with pytest.raises(PassError, match="GemmaRMSNorm"):
        run_pass("awq", Artifact("hf", tmp_path), **ENOUGH)
