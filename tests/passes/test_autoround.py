from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
from pass_support import Runner, filled_in
from quantized_support import divergence, save_with_outliers

from evaluators.base import Artifact
from search_spaces.vocabulary import Value
from tuner.passes import all_passes

needs_library = pytest.mark.skipif(find_spec("auto_round") is None, reason="auto-round is extra")
ENOUGH: dict[str, Value] = {"calibration_samples": 32, "calibration_length": 64}


@needs_library
def test_learning_comes_nearer_than_plain_rounding(tmp_path: Path, run_pass: Runner) -> None:
    given = Artifact("hf", save_with_outliers(tmp_path))
    plain = divergence(run_pass("rtn", given, symmetric=True), given)
    learned = divergence(run_pass("autoround", given, **ENOUGH, iterations=60), given)
    assert learned < 0.8 * plain


@needs_library
def test_four_bits_may_have_zero_points(tiny_phi3: Path, run_pass: Runner) -> None:
    given = Artifact("hf", tiny_phi3)
    made = run_pass("autoround", given, **ENOUGH, iterations=30, symmetric=False)
    assert divergence(made, given) < divergence(run_pass("rtn", given), given)


def test_eight_bits_with_zero_points_are_refused_before_anything_runs() -> None:
    pass_ = all_passes()["autoround"]
    (problem,) = pass_.check(filled_in(pass_, {"bits": 8, "symmetric": False}))
    assert "symmetric: true" in problem
    assert pass_.check(filled_in(pass_, {"bits": 8, "symmetric": True})) == []
