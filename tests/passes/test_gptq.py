from __future__ import annotations

from pathlib import Path

import pytest
from pass_support import Runner
from quantized_support import divergence, save_with_outliers

from evaluators.base import Artifact
from search_spaces.data import DataSpec
from search_spaces.vocabulary import Value
from tuner.passes import PassError, StageContext, all_passes

ENOUGH: dict[str, Value] = {"calibration_samples": 32, "calibration_length": 64}


@pytest.fixture(scope="module")
def outliers(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """A tiny Llama that has a few large channels."""
    return Artifact("hf", save_with_outliers(tmp_path_factory.mktemp("outliers")))


@pytest.fixture(scope="module")
def plain(outliers: Artifact, run_pass: Runner) -> float:
    """How far plain rounding is off."""
    return divergence(run_pass("rtn", outliers), outliers)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"act_order": False},
        {"act_order": False, "static_groups": True},
        {"mse": True},
        {"true_sequential": False},
        {"act_order": False, "block_columns": 32},
    ],
    ids=str,
)
def test_it_comes_nearer_than_plain_rounding(
    changes: dict[str, Value], outliers: Artifact, plain: float, run_pass: Runner
) -> None:
    assert divergence(run_pass("gptq", outliers, **ENOUGH, **changes), outliers) < 0.9 * plain


def test_symmetric_and_eight_bits_lie_on_their_sides(
    outliers: Artifact, plain: float, run_pass: Runner
) -> None:
    symmetric = divergence(run_pass("gptq", outliers, **ENOUGH, symmetric=True), outliers)
    fine = divergence(run_pass("gptq", outliers, **ENOUGH, bits=8), outliers)
    assert fine < 0.05 * plain
    assert symmetric < divergence(run_pass("rtn", outliers, symmetric=True), outliers)


def test_another_seed_reads_other_texts(outliers: Artifact, run_pass: Runner) -> None:
    few: dict[str, Value] = {"calibration_samples": 2, "calibration_length": 32}
    first, second = (run_pass("gptq", outliers, **few, seed=seed) for seed in (0, 1))
    one, other = ((m.path / "model.safetensors").read_bytes() for m in (first, second))
    assert one != other


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"calibration_length": 100_000}, "more than the model reads: at most 256 tokens"),
        ({"group_size": 256}, "group_size 16, 32, 64 fits this model"),
    ],
)
def test_what_cannot_be_is_refused(
    changes: dict[str, Value], said: str, tiny_llama: Path, run_pass: Runner
) -> None:
    with pytest.raises(PassError, match=said):
        run_pass("gptq", Artifact("hf", tiny_llama), **changes)


def test_too_few_texts_and_none_are_refused(
    tiny_llama: Path, tmp_path: Path, tones: DataSpec
) -> None:
    pass_ = all_passes()["gptq"]
    parameters = {p.name: p.default for p in pass_.spec.parameters}
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"phrase": "one", "tone": "joy"}\n{"phrase": "two", "tone": "joy"}\n')
    short = DataSpec((("train", rows),), tones.template, split=())
    for data, said in ((short, "too few for one sequence"), (None, "the space has no `data`")):
        context = StageContext(Artifact("hf", tiny_llama), parameters, tmp_path, "", data)
        with pytest.raises(PassError, match=said):
            pass_.run(context)
