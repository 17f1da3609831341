"""Chains of passes that users run: what comes out does in the runtime what was trained."""

from __future__ import annotations

import numpy as np
from pass_support import Runner, next_logits

from evaluators.base import Artifact


def distance(one: np.ndarray, other: np.ndarray) -> float:
    """How far two logit vectors are apart, as a share of the first one's spread."""
    return float(np.abs(one - other).mean() / one.std())


def trained(run_pass: Runner, model: Artifact, name: str = "lora") -> Artifact:
    """An adapter that moves the model's outputs well away from the base's."""
    return run_pass(name, model, r=8, max_steps=12, batch_size=8, learning_rate=0.02)


def test_qlora_goes_on_to_int4(run_pass: Runner, phi3: Artifact) -> None:
    merged = run_pass("merge_adapter", trained(run_pass, phi3, "qlora"))
    built = run_pass("genai_builder", merged, precision="int4", block_size=32)
    learned = next_logits(merged)
    assert distance(learned, next_logits(built)) < 0.5 * distance(learned, next_logits(phi3))


def test_a_qlora_adapter_is_merged_onto_the_rounded_base_too(
    run_pass: Runner, phi3: Artifact
) -> None:
    adapter = trained(run_pass, phi3, "qlora")
    exact = next_logits(run_pass("merge_adapter", adapter))
    rounded = next_logits(run_pass("merge_adapter", adapter, dequantize=True))
    assert 0 < distance(exact, rounded) < distance(exact, next_logits(phi3))


def test_a_model_is_quantised_then_tuned_then_built_with_its_adapter_apart(
    run_pass: Runner, llama: Artifact
) -> None:
    packed = run_pass("awq", llama, group_size=32, calibration_samples=16)
    adapter = trained(run_pass, packed)
    built = run_pass("multi_lora", adapter, precision="int4")
    assert (built.path / "adapters" / "tuned.onnx_adapter").is_file()
    learned = next_logits(adapter)
    assert distance(learned, next_logits(built)) < 0.5 * distance(learned, next_logits(packed))


def test_the_head_of_a_packed_model_may_have_eight_bits(run_pass: Runner, llama: Artifact) -> None:
    packed = run_pass("rtn", llama, group_size=32)
    wanted = next_logits(packed)
    plain = distance(wanted, next_logits(run_pass("genai_builder", packed)))
    finer = next_logits(run_pass("genai_builder", packed, algorithm="rtn_last"))
    assert distance(wanted, finer) < 0.3 * plain


def test_an_adapter_on_a_packed_base_is_merged_into_floats(
    run_pass: Runner, llama: Artifact
) -> None:
    adapter = trained(run_pass, run_pass("rtn", llama, group_size=32))
    merged = run_pass("merge_adapter", adapter)
    assert distance(next_logits(adapter), next_logits(merged)) < 1e-3
    built = run_pass("genai_builder", merged, precision="fp32")
    assert distance(next_logits(adapter), next_logits(built)) < 1e-3


def test_adapters_kept_apart_say_what_the_merged_model_says(
    run_pass: Runner, phi3: Artifact
) -> None:
    adapter = trained(run_pass, phi3)
    apart = run_pass("multi_lora", adapter, precision="fp32")
    merged = run_pass("genai_builder", run_pass("merge_adapter", adapter), precision="fp32")
    assert distance(next_logits(merged), next_logits(apart)) < 1e-4


def test_fewer_layers_tuned_quantised_and_run(run_pass: Runner, bert: Artifact) -> None:
    short = run_pass("drop_layers", bert, layers=2)
    tuned = run_pass("full_finetune", short, max_steps=8)
    exported = run_pass("onnx_export", tuned)
    assert distance(next_logits(tuned), next_logits(exported)) < 1e-4
    rounded = run_pass("dynamic_int8", exported, per_channel=True)
    assert distance(next_logits(tuned), next_logits(rounded)) < 0.2
    size = sum(path.stat().st_size for path in rounded.path.iterdir())
    assert size < 0.6 * sum(path.stat().st_size for path in exported.path.iterdir())
