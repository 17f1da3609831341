from __future__ import annotations

from pathlib import Path

import pytest
from pass_support import Runner
from quantized_support import divergence, weights
from safetensors.torch import load_file

from evaluators.base import Artifact


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("norm", [0.7, 1.0])
def test_the_error_that_it_minimises_is_less_than_that_of_plain_rounding(
    symmetric: bool, norm: float, tiny_phi3: Path, run_pass: Runner
) -> None:
    given = Artifact("hf", tiny_phi3)
    plain = weights(run_pass("rtn", given, symmetric=symmetric))
    fitted = weights(run_pass("hqq", given, symmetric=symmetric, lp_norm=norm))
    for name, original in weights(given).items():
        before, after = (
            float((found[name] - original).abs().pow(norm).sum()) for found in (plain, fitted)
        )
        assert after < before


def test_symmetric_zero_points_are_the_middle(tiny_phi3: Path, run_pass: Runner) -> None:
    made = run_pass("hqq", Artifact("hf", tiny_phi3), symmetric=True)
    tensors = load_file(made.path / "model.safetensors")
    zeros = [tensor for name, tensor in tensors.items() if name.endswith("qzeros")]
    assert zeros
    assert all((tensor == 0x77777777).all() for tensor in zeros)  # 8, stored less one


def test_it_is_no_further_off_than_plain_rounding(tiny_phi3: Path, run_pass: Runner) -> None:
    given = Artifact("hf", tiny_phi3)
    plain = divergence(run_pass("rtn", given), given)
    assert divergence(run_pass("hqq", given), given) < plain
    assert divergence(run_pass("hqq", given, bits=8), given) < 0.05 * plain


def test_a_fit_that_makes_a_group_worse_is_not_taken(tiny_phi3: Path, run_pass: Runner) -> None:
    given = Artifact("hf", tiny_phi3)
    original = weights(given)
    plain = weights(run_pass("rtn", given))
    hurried = weights(run_pass("hqq", given, beta=0.1, iterations=1))
    for name in original:
        before, after = (
            (found[name] - original[name]).abs().pow(0.7).reshape(-1, 32).sum(-1)
            for found in (plain, hurried)
        )
        assert (after <= before * 1.01).all()
