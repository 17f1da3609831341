"""A training that stops at a share and goes on gives the bytes of one that never stopped."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from pass_support import Runner, filled_in, hashes
from safetensors import safe_open

from evaluators.base import TRAINING_STATE, Artifact
from evaluators.size import Size
from search_spaces.data import DataSpec
from search_spaces.vocabulary import Value
from tuner.execution.stage_job import run_stage
from tuner.passes import StageContext, all_passes

THIRD = 1 / 3
Parameters = dict[str, Value]
QUICK: Parameters = {"max_steps": 6, "learning_rate": 3e-3}
PartRunner = Callable[..., Artifact]


@pytest.fixture(scope="module")
def run_part(tones: DataSpec, tmp_path_factory: pytest.TempPathFactory) -> PartRunner:
    """A function that does a share of a training, going on from an earlier part of it."""

    def run(
        name: str,
        model: Artifact,
        parameters: Parameters,
        share: float = 1.0,
        earlier: Artifact | None = None,
    ) -> Artifact:
        pass_, output = all_passes()[name], tmp_path_factory.mktemp(name)
        given = filled_in(pass_, QUICK | parameters)
        before = None if earlier is None else earlier.path
        task = "text-classification"
        pass_.run(StageContext(model, given, output, task, tones, share, before))
        gives = str(pass_.spec.gives)
        return Artifact(gives, output, model if gives == "adapter" else None)

    return run


def test_passes_that_train_say_what_their_budget_is() -> None:
    budgets = {name: pass_.spec.budget for name, pass_ in all_passes().items()}
    found = {n: budget for n, budget in budgets.items() if budget and not n.startswith("toy")}
    assert found == dict.fromkeys(("lora", "qlora", "full_finetune"), "max_steps")


@pytest.mark.parametrize(
    ("name", "model", "parameters"),
    [
        ("lora", "llama", {}),
        ("lora", "llama", {"dropout": 0.3, "scheduler": "cosine", "gradient_accumulation": 2}),
        ("lora", "llama", {"initialisation": "pissa", "r": 4, "dora": True, "warmup_ratio": 0.5}),
        ("lora", "llama", {"initialisation": "olora", "r": 4, "weight_decay": 0.1}),
        ("lora", "phi3", {"initialisation": "pissa", "rslora": True, "r": 8}),
        ("lora", "bert", {"epochs": 1.5, "batch_size": 16}),
        ("qlora", "llama", {"dropout": 0.1}),
        ("full_finetune", "llama", {"batch_size": 40}),
        ("full_finetune", "bert", {"freeze_embeddings": True, "freeze_layers": 1}),
    ],
)
def test_a_training_in_two_parts_gives_the_bytes_of_one(
    name: str,
    model: str,
    parameters: Parameters,
    request: pytest.FixtureRequest,
    run_part: PartRunner,
    capsys: pytest.CaptureFixture[str],
) -> None:
    base = request.getfixturevalue(model)
    whole = run_part(name, base, parameters)
    first = run_part(name, base, parameters, THIRD)
    capsys.readouterr()
    both = run_part(name, base, parameters, 1.0, first)
    assert "goes on after step 2 of 6" in capsys.readouterr().out
    assert hashes(both.path) == hashes(whole.path)
    assert hashes(both.path).items() - hashes(first.path).items()


def test_a_training_in_three_parts_gives_the_bytes_of_one(
    bert: Artifact, run_part: PartRunner
) -> None:
    first = run_part("lora", bert, {}, 1 / 9)
    second = run_part("lora", bert, {}, THIRD, first)
    assert hashes(second.path) == hashes(run_part("lora", bert, {}, THIRD).path)
    last = run_part("lora", bert, {}, 1.0, second)
    assert hashes(last.path) == hashes(run_part("lora", bert, {}).path)


@pytest.fixture(scope="module")
def parted(bert: Artifact, run_part: PartRunner) -> Artifact:
    """A third of a full fine-tuning. Read only."""
    return run_part("full_finetune", bert, {}, THIRD)


def test_the_state_is_safetensors_and_json(parted: Artifact) -> None:
    folder = parted.path / TRAINING_STATE
    assert sorted(path.name for path in folder.iterdir()) == ["state.json", "state.safetensors"]
    facts = json.loads((folder / "state.json").read_text())
    assert (facts["done"], facts["steps"]) == (2, 6)
    with safe_open(folder / "state.safetensors", "pt") as file:
        kinds = {key.split(".")[0] for key in file.keys()}  # noqa: SIM118  # it is no mapping
    assert kinds == {"weight", "moment", "random"}


def test_the_state_is_no_part_of_the_model(
    bert: Artifact, parted: Artifact, run_part: PartRunner, run_pass: Runner
) -> None:
    whole = run_part("full_finetune", bert, {})
    sizes = [Size().measure(m, {}, None, "dev").samples["size"][0][0] for m in (parted, whole)]
    assert sizes[0] == sizes[1]
    names = [sorted(hashes(run_pass("onnx_export", m).path)) for m in (parted, whole)]
    assert names[0] == names[1]


def test_an_adapter_of_a_share_is_merged_like_any_other(
    llama: Artifact, run_part: PartRunner, run_pass: Runner
) -> None:
    merged = run_pass("merge_adapter", run_part("lora", llama, {}, THIRD))
    assert hashes(merged.path).keys() == hashes(llama.path).keys()


def test_a_job_does_the_share_that_it_is_told(
    bert: Artifact, parted: Artifact, run_part: PartRunner, tones: DataSpec, tmp_path: Path
) -> None:
    given = filled_in(all_passes()["full_finetune"], QUICK)
    payload = {
        "pass": "full_finetune",
        "parameters": given,
        "model": bert.to_json(),
        "task": "text-classification",
        "data": tones.to_json(),
    }
    for name, more in (("part", {"share": THIRD}), ("whole", {"earlier": str(parted.path)})):
        (tmp_path / name).mkdir()
        run_stage(payload | {"output": str(tmp_path / name)} | more)
    assert hashes(tmp_path / "part") == hashes(parted.path)
    assert hashes(tmp_path / "whole") == hashes(run_part("full_finetune", bert, {}).path)


def test_what_cannot_be_gone_on_from_does_not_change_the_result(
    bert: Artifact,
    parted: Artifact,
    run_part: PartRunner,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(parted.path, broken)
    (broken / TRAINING_STATE / "state.safetensors").write_bytes(b"\0" * 100)
    whole = hashes(run_part("full_finetune", bert, {}).path)
    capsys.readouterr()
    made = run_part("full_finetune", bert, {}, 1.0, Artifact("hf", broken))
    assert "starts over, the earlier part cannot be gone on from" in capsys.readouterr().out
    assert hashes(made.path) == whole
