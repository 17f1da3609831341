"""What the LoRA pass learns, from which tokens, and what it refuses."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import tiny_models
from pass_support import Runner, filled_in, hashes
from safetensors.torch import load_file, save_file

from evaluators.base import Artifact
from evaluators.text import encode_pair, split_prompt
from search_spaces.data import DataSpec
from tuner.passes import PassError, StageContext, all_passes
from tuner.passes.lora import Example, Settings, batch_loss, batches, rate_factor

Row = dict[str, str]


def settings(**changes: Any) -> Settings:
    return Settings(**(filled_in(all_passes()["lora"], {}) | changes))


def load(model: Artifact) -> Any:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(
        model.path if model.base is None else model.base.path
    )
    return base if model.base is None else PeftModel.from_pretrained(base, model.path)


def adapter(model: Artifact) -> dict[str, Any]:
    tensors: dict[str, Any] = load_file(model.path / "adapter_model.safetensors")
    return tensors


def log_probabilities(model: Artifact, ids: list[int]) -> list[float]:
    """Of every token but the first, given those before it; one plain forward."""
    import torch

    with torch.no_grad():
        logits = load(model)(input_ids=torch.tensor([ids])).logits[0, :-1]
    scores = logits.log_softmax(-1)
    return [float(scores[i, token]) for i, token in enumerate(ids[1:])]


def label_loss(model: Artifact, rows: list[Row]) -> float:
    words = tiny_models.tokenizer()
    scores = []
    for row in rows:
        prompt, label = encode_pair(words, *split_prompt(tiny_models.TEMPLATE, "tone", row))
        scores += log_probabilities(model, prompt + label)[-len(label) :]
    return -sum(scores) / len(scores)


def test_training_lowers_the_loss_of_the_labels(
    phi3: Artifact, run_pass: Runner, tone_rows: list[Row]
) -> None:
    trained = run_pass("lora", phi3, max_steps=40, learning_rate=1e-2)
    assert label_loss(phi3, tone_rows[:12]) > 5.0  # one of 600 tokens: the base knows nothing
    assert label_loss(trained, tone_rows[:12]) < 3.0


def test_full_loss_teaches_where_a_text_ends(
    llama: Artifact, run_pass: Runner, tone_rows: list[Row]
) -> None:
    words = tiny_models.tokenizer()
    ids = [*words(tiny_models.TEMPLATE.format(**tone_rows[0])).input_ids, words.eos_token_id]
    trained = run_pass("lora", llama, loss="full", max_steps=40, learning_rate=1e-2)
    before, after = log_probabilities(llama, ids), log_probabilities(trained, ids)
    assert after[-1] > before[-1] + 2.0
    assert sum(after) > sum(before) + 20.0


def test_another_seed_gives_another_adapter(llama: Artifact, run_pass: Runner) -> None:
    first, second = run_pass("lora", llama, seed=1), run_pass("lora", llama, seed=2)
    name = "adapter_model.safetensors"
    assert hashes(first.path)[name] != hashes(second.path)[name]


def test_only_the_target_modules_get_adapters(phi3: Artifact, run_pass: Runner) -> None:
    names = adapter(run_pass("lora", phi3, target_modules=("qkv_proj", "down_proj"))).keys()
    assert {name.split(".")[-3] for name in names} == {"qkv_proj", "down_proj"}


def test_all_linear_leaves_out_the_head(phi3: Artifact, run_pass: Runner) -> None:
    names = adapter(run_pass("lora", phi3)).keys()
    found = {name.split(".")[-3] for name in names}
    assert found == {"qkv_proj", "o_proj", "gate_up_proj", "down_proj"}


def test_unknown_target_module_is_refused_with_the_nearest_and_all_names(
    phi3: Artifact, run_pass: Runner
) -> None:
    with pytest.raises(PassError, match=r"'gate_proj'.*'gate_up_proj'.*It has down_proj, gate_up"):
        run_pass("lora", phi3, target_modules=("qkv_proj", "gate_proj"))


def test_head_is_no_target_module(phi3: Artifact, run_pass: Runner) -> None:
    with pytest.raises(PassError, match="lm_head"):
        run_pass("lora", phi3, target_modules=("lm_head",))


def test_rank_and_scaling_are_written_for_peft(llama: Artifact, run_pass: Runner) -> None:
    made = run_pass("lora", llama, r=8, alpha=12.0, rslora=True, dropout=0.1)
    config = json.loads((made.path / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"], config["use_rslora"]) == (8, 12.0, True)
    assert all(8 in tensor.shape for tensor in adapter(made).values())
    assert load(made).base_model.model.model.layers[0].mlp.up_proj.scaling == {
        "default": pytest.approx(12 / math.sqrt(8))
    }


def test_adapter_names_no_folder_of_this_machine(llama: Artifact, run_pass: Runner) -> None:
    made = run_pass("lora", llama)
    assert set(hashes(made.path)) == {"adapter_config.json", "adapter_model.safetensors"}
    assert str(llama.path) not in (made.path / "adapter_config.json").read_text()


def test_accumulated_batches_train_like_one_large_batch(
    llama: Artifact, tones: DataSpec, tone_rows: list[Row], tmp_path: Path
) -> None:
    file = tmp_path / "eight.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in tone_rows[:8]))
    data = replace(tones, files=(("train", file),))
    made = []
    for size, accumulation in ((8, 1), (2, 4)):
        changes = {"batch_size": size, "gradient_accumulation": accumulation, "max_steps": 1}
        parameters = filled_in(all_passes()["lora"], {"r": 4, **changes})
        output = tmp_path / str(size)
        output.mkdir()
        all_passes()["lora"].run(StageContext(llama, parameters, output, "", data))
        made.append(load_file(output / "adapter_model.safetensors"))
    for name, tensor in made[0].items():
        assert tensor.allclose(made[1][name], atol=1e-5), name


def test_loss_of_a_padded_batch_is_that_of_its_texts_alone(phi3: Artifact) -> None:
    batch = [
        Example([5, 6, 7, 8, 9], 3),
        Example([10, 11], 1),
        Example([12, 13, 14, 15, 16, 17, 18, 19], 6),
    ]
    alone = [-sum(log_probabilities(phi3, e.ids)[e.start - 1 :]) for e in batch]
    assert float(batch_loss(load(phi3), batch)) == pytest.approx(sum(alone), rel=1e-5)


def test_batches_go_through_all_texts_in_new_orders() -> None:
    source = batches([3, 9, 4, 1, 7, 2, 8, 6], 2, seed=0)
    rounds = [list(islice(source, 4)) for _ in range(3)]
    for taken in rounds:
        assert sorted(i for batch in taken for i in batch) == list(range(8))
    assert rounds[0] != rounds[1] != rounds[2]


def test_batches_hold_texts_of_like_length() -> None:
    lengths = [10 * (i % 8) for i in range(64)]
    for batch in islice(batches(lengths, 8, seed=3), 24):
        assert len({lengths[i] for i in batch}) == 1


def test_batches_are_full_where_rows_do_not_divide_evenly() -> None:
    taken = list(islice(batches([1] * 7, 3, seed=0), 7))
    assert {len(batch) for batch in taken} == {3}
    counts = [sum(batch.count(i) for batch in taken) for i in range(7)]
    assert counts == [3] * 7


def test_fewer_rows_than_a_batch_are_one_batch() -> None:
    assert sorted(next(batches([1, 2, 3], 8, seed=0))) == [0, 1, 2]


def test_learning_rate_rises_then_falls_as_told() -> None:
    linear = settings(max_steps=10, warmup_ratio=0.2)
    assert [round(rate_factor(s, linear), 3) for s in (0, 1, 2, 6, 9)] == [
        0.333,
        0.667,
        1,
        0.5,
        0.125,
    ]
    cosine = settings(max_steps=10, scheduler="cosine")
    assert rate_factor(5, cosine) == pytest.approx(0.5)
    assert rate_factor(9, settings(max_steps=10, scheduler="constant")) == 1.0


def test_log_tells_how_many_texts_were_cut_and_how_training_goes(
    llama: Artifact, run_pass: Runner, capsys: pytest.CaptureFixture[str]
) -> None:
    run_pass("lora", llama, max_length=24)
    log = capsys.readouterr().out
    assert "64 texts of 2" in log
    assert re.search(r", [1-9]\d* of them cut to 24\n", log)
    assert "step 4/4  loss " in log
    assert "tokens/s" in log


def test_cut_texts_keep_their_label(
    llama: Artifact, run_pass: Runner, tone_rows: list[Row]
) -> None:
    trained = run_pass("lora", llama, max_length=12, max_steps=40, learning_rate=1e-2)
    assert label_loss(trained, tone_rows[:12]) < 3.0


def run_with_data(model: Artifact, data: DataSpec | None, output: Path, **changes: Any) -> None:
    parameters = filled_in(all_passes()["lora"], changes)
    all_passes()["lora"].run(StageContext(model, parameters, output, "", data))


def test_missing_data_is_refused(llama: Artifact, tmp_path: Path) -> None:
    with pytest.raises(PassError, match="no `data`"):
        run_with_data(llama, None, tmp_path)


def test_label_loss_without_a_label_is_refused(
    llama: Artifact, tones: DataSpec, tmp_path: Path
) -> None:
    with pytest.raises(PassError, match="use loss: full"):
        run_with_data(llama, replace(tones, label=None), tmp_path)


def test_label_that_leaves_no_room_for_a_prompt_is_refused(
    llama: Artifact, tones: DataSpec, tmp_path: Path
) -> None:
    data = replace(tones, template="{phrase}\n{tone}, and much is said after it")
    with pytest.raises(PassError, match=r"max_length 4 leaves no room.* has 1[0-9] tokens"):
        run_with_data(llama, data, tmp_path, max_length=4)


def test_loss_that_is_no_number_is_refused(
    llama: Artifact, run_pass: Runner, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    for path in llama.path.iterdir():
        (broken / path.name).write_bytes(path.read_bytes())
    weights = load_file(broken / "model.safetensors")
    weights["model.norm.weight"][0] = float("nan")
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(PassError, match="the loss is nan at step 1: lower learning_rate"):
        run_pass("lora", Artifact("hf", broken))
