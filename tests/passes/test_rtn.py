from __future__ import annotations

from pathlib import Path

import pytest
import tiny_models
import torch
from pass_support import Runner
from quantized_support import divergence, weights
from safetensors.torch import load_file

from evaluators.base import Artifact
from tuner.passes import PassError


@pytest.mark.parametrize("architecture", ["tiny_llama", "tiny_phi3"])
@pytest.mark.parametrize("symmetric", [True, False])
def test_no_weight_is_off_by_more_than_half_a_step(
    architecture: str, symmetric: bool, request: pytest.FixtureRequest, run_pass: Runner
) -> None:
    given = Artifact("hf", request.getfixturevalue(architecture))
    made = run_pass("rtn", given, symmetric=symmetric)
    steps = load_file(made.path / "model.safetensors")
    before, after = weights(given), weights(made)
    assert before.keys() == after.keys()
    for name, original in before.items():
        scales = steps[f"{name}.scales"].T.float()[..., None]
        off = (after[name] - original).abs().reshape(*scales.shape[:2], -1)
        assert (off <= scales * 0.51).all()  # 0.01: zero points and scales are rounded too


def test_more_bits_and_smaller_groups_come_nearer(tiny_phi3: Path, run_pass: Runner) -> None:
    given = Artifact("hf", tiny_phi3)
    coarse, fine, finest = (
        divergence(run_pass("rtn", given, bits=bits, group_size=group), given)
        for bits, group in ((4, 64), (4, 16), (8, 16))
    )
    assert coarse > fine > 20 * finest


def test_a_zero_point_comes_nearer_than_none(tiny_phi3: Path, run_pass: Runner) -> None:
    given = Artifact("hf", tiny_phi3)
    with_one = divergence(run_pass("rtn", given, symmetric=False), given)
    assert with_one < divergence(run_pass("rtn", given, symmetric=True), given)


@pytest.mark.parametrize("option", ["full_range", "clip_search"])
def test_options_lessen_the_squared_error(option: str, tiny_phi3: Path, run_pass: Runner) -> None:
    given = Artifact("hf", tiny_phi3)
    original = weights(given)

    def error(made: Artifact) -> float:
        found = weights(made)
        return sum(float((found[n] - original[n]).square().sum()) for n in original)

    plain = run_pass("rtn", given, symmetric=True)
    assert error(run_pass("rtn", given, symmetric=True, **{option: True})) < error(plain)


def test_a_group_that_does_not_divide_is_refused_and_those_that_do_are_named(
    tiny_llama: Path, run_pass: Runner
) -> None:
    with pytest.raises(PassError, match=r"rows of 64 .* group_size 16, 32, 64 fits this model"):
        run_pass("rtn", Artifact("hf", tiny_llama), group_size=128)


def test_outputs_that_fill_no_word_are_refused(tmp_path: Path, run_pass: Runner) -> None:
    folder = tiny_models.save_llama(tmp_path, intermediate_size=48, head_dim=18)
    with pytest.raises(PassError, match="cannot be packed"):
        run_pass("rtn", Artifact("hf", folder), group_size=16)


def test_a_decoder_of_another_layout_is_refused(tmp_path: Path, run_pass: Runner) -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    words = tiny_models.tokenizer()
    config = GPT2Config(vocab_size=len(words), n_embd=32, n_layer=1, n_head=2, n_positions=64)
    GPT2LMHeadModel(config).save_pretrained(tmp_path)
    words.save_pretrained(tmp_path)
    with pytest.raises(PassError, match="GPT2LMHeadModel cannot be packed"):
        run_pass("rtn", Artifact("hf", tmp_path))


def test_nothing_is_left_where_the_process_stands(
    tiny_llama: Path, run_pass: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run_pass("rtn", Artifact("hf", tiny_llama))
    assert list(tmp_path.iterdir()) == []


def test_a_row_of_zeros_stays_zero(tmp_path: Path, run_pass: Runner) -> None:
    from transformers import LlamaForCausalLM

    model = LlamaForCausalLM.from_pretrained(tiny_models.save_llama(tmp_path))
    with torch.no_grad():
        model.model.layers[0].mlp.down_proj.weight[3] = 0
    model.save_pretrained(tmp_path)
    for symmetric in (True, False):
        made = run_pass("rtn", Artifact("hf", tmp_path), symmetric=symmetric)
        assert not weights(made)["model.layers.0.mlp.down_proj"][3].any()
