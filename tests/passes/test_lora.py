"""What the LoRA pass learns, into which modules, and what it refuses."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models
from pass_support import Runner, hashes, next_logits
from safetensors.torch import load_file, save_file
from training_support import TONES, classified_right, easy_data, load, run_on

from evaluators.base import Artifact
from evaluators.text import encode_pair, split_prompt
from search_spaces.data import DataSpec
from search_spaces.vocabulary import Value
from tuner.passes import PassError

Row = dict[str, str]


def adapter(model: Artifact) -> dict[str, Any]:
    tensors: dict[str, Any] = load_file(model.path / "adapter_model.safetensors")
    return tensors


def log_probabilities(network: Any, ids: list[int]) -> list[float]:
    """Of every token but the first, given those before it; one plain forward."""
    import torch

    with torch.no_grad():
        logits = network(input_ids=torch.tensor([ids])).logits[0, :-1]
    scores = logits.log_softmax(-1)
    return [float(scores[i, token]) for i, token in enumerate(ids[1:])]


def label_loss(model: Artifact, rows: list[Row]) -> float:
    words, network = tiny_models.tokenizer(), load(model)
    scores = []
    for row in rows:
        prompt, label = encode_pair(words, *split_prompt(tiny_models.TEMPLATE, "tone", row))
        scores += log_probabilities(network, prompt + label)[-len(label) :]
    return -sum(scores) / len(scores)


def test_training_lowers_the_loss_of_the_labels(
    phi3: Artifact, run_pass: Runner, tone_rows: list[Row]
) -> None:
    trained = run_pass("lora", phi3, max_steps=40, learning_rate=1e-2)
    assert label_loss(phi3, tone_rows[:12]) > 5.0  # one of 600 tokens: the base knows nothing
    assert label_loss(trained, tone_rows[:12]) < 3.0


def test_an_encoder_learns_the_labels(bert: Artifact, tmp_path: Path) -> None:
    data = easy_data(tmp_path)
    options: dict[str, Value] = {"max_steps": 80, "learning_rate": 3e-3, "batch_size": 8}
    trained = run_on(data, "lora", bert, tmp_path / "adapter", **options)
    assert classified_right(bert, data) <= 0.5
    assert classified_right(trained, data) >= 0.9


def test_a_generated_text_ends_after_the_label(
    llama: Artifact, run_pass: Runner, tone_rows: list[Row]
) -> None:
    words = tiny_models.tokenizer()
    ids = [*words(tiny_models.TEMPLATE.format(**tone_rows[0])).input_ids, words.eos_token_id]
    options: dict[str, Value] = {"max_steps": 40, "learning_rate": 1e-2}
    with_end = log_probabilities(load(run_pass("lora", llama, **options)), ids)[-1]
    without = log_probabilities(load(run_pass("lora", llama, learn_end=False, **options)), ids)[-1]
    assert with_end > math.log(0.5)
    assert without < math.log(0.1)


def test_full_loss_teaches_where_a_text_ends(
    llama: Artifact, run_pass: Runner, tone_rows: list[Row]
) -> None:
    words = tiny_models.tokenizer()
    ids = [*words(tiny_models.TEMPLATE.format(**tone_rows[0])).input_ids, words.eos_token_id]
    trained = run_pass("lora", llama, loss="full", max_steps=40, learning_rate=1e-2)
    before, after = log_probabilities(load(llama), ids), log_probabilities(load(trained), ids)
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


@pytest.mark.parametrize("targets", [("all-linear",), ("query", "dense")])
def test_an_encoder_s_pooler_and_head_are_trained_whole(
    bert: Artifact, run_pass: Runner, targets: tuple[str, ...]
) -> None:
    made = run_pass("lora", bert, target_modules=targets)
    names = adapter(made).keys()
    whole = {name.removeprefix("base_model.model.") for name in names if "lora_" not in name}
    assert whole == {
        "classifier.weight",
        "classifier.bias",
        "bert.pooler.dense.weight",
        "bert.pooler.dense.bias",
    }
    adapted = {
        name.split(".lora_")[0].split(".layer.0.")[-1] for name in names if ".layer.0." in name
    }
    assert {"attention.self.query", "attention.output.dense", "output.dense"} <= adapted
    assert ("attention.self.key" in adapted) == (targets == ("all-linear",))


def test_an_encoder_s_adapter_says_which_labels_it_has(bert: Artifact, run_pass: Runner) -> None:
    made = run_pass("lora", bert)
    assert json.loads((made.path / "trained_on.json").read_text()) == {"labels": TONES}


def test_unknown_target_module_is_refused_with_the_nearest_and_all_names(
    phi3: Artifact, run_pass: Runner
) -> None:
    with pytest.raises(PassError, match=r"'gate_proj'.*'gate_up_proj'.*It has down_proj, gate_up"):
        run_pass("lora", phi3, target_modules=("qkv_proj", "gate_proj"))


@pytest.mark.parametrize(("model", "head"), [("phi3", "lm_head"), ("bert", "classifier")])
def test_head_is_no_target_module(
    model: str, head: str, request: pytest.FixtureRequest, run_pass: Runner
) -> None:
    with pytest.raises(PassError, match=f"no linear module '{head}'"):
        run_pass("lora", request.getfixturevalue(model), target_modules=(head,))


def test_rank_and_scaling_are_written_for_peft(llama: Artifact, run_pass: Runner) -> None:
    made = run_pass("lora", llama, r=8, alpha=12.0, rslora=True, dropout=0.1)
    config = json.loads((made.path / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"], config["use_rslora"]) == (8, 12.0, True)
    assert all(8 in tensor.shape for tensor in adapter(made).values())
    assert load(made).base_model.model.model.layers[0].mlp.up_proj.scaling == {
        "default": pytest.approx(12 / math.sqrt(8))
    }


@pytest.mark.parametrize("initialisation", ["pissa", "olora"])
@pytest.mark.parametrize("rslora", [False, True])
@pytest.mark.parametrize("model", ["phi3", "bert"])
def test_an_adapter_that_began_by_the_base_belongs_to_the_base_as_it_is_stored(
    initialisation: str,
    rslora: bool,
    model: str,
    request: pytest.FixtureRequest,
    run_pass: Runner,
) -> None:
    # At a rate of next to nothing, what is trained is the base itself.
    base = request.getfixturevalue(model)
    options: dict[str, Value] = {"initialisation": initialisation, "rslora": rslora, "r": 4}
    made = run_pass("lora", base, learning_rate=1e-7, max_steps=1, **options)
    np.testing.assert_allclose(next_logits(made), next_logits(base), rtol=0, atol=1e-3)
    config = json.loads((made.path / "adapter_config.json").read_text())
    assert (config["r"], config["init_lora_weights"]) == (8, True)


def test_pissa_begins_with_the_main_directions_and_trains_them(
    llama: Artifact, run_pass: Runner, tone_rows: list[Row]
) -> None:
    options: dict[str, Value] = {"max_steps": 30, "learning_rate": 3e-3}
    trained = run_pass("lora", llama, initialisation="pissa", **options)
    plain = run_pass("lora", llama, **options)
    assert label_loss(trained, tone_rows[:12]) < label_loss(plain, tone_rows[:12])


def test_conversion_keeps_what_was_trained(
    llama: Artifact, run_pass: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from tuner.passes import lora

    ids, seen = torch.tensor([[5, 6, 7, 8, 9]]), {}
    save = lora.save_adapter

    def spy(model: Any, *rest: Any) -> None:
        with torch.no_grad():
            seen["trained"] = model.eval()(input_ids=ids).logits
        save(model, *rest)

    monkeypatch.setattr(lora, "save_adapter", spy)
    chosen: tuple[dict[str, Value], ...] = ({}, {"dora": True}, {"rslora": True})
    for options in chosen:
        made = run_pass("lora", llama, initialisation="pissa", learning_rate=1e-2, **options)
        with torch.no_grad():
            torch.testing.assert_close(
                load(made)(input_ids=ids).logits, seen["trained"], rtol=0, atol=1e-4
            )


def test_a_rank_above_the_base_s_is_refused_where_adapters_begin_by_it(
    llama: Artifact, run_pass: Runner
) -> None:
    with pytest.raises(PassError, match=r"pissa needs r of at most 32, .*k_proj"):
        run_pass("lora", llama, initialisation="pissa", r=33)


def test_dora_learns_lengths_besides(llama: Artifact, run_pass: Runner) -> None:
    made = run_pass("lora", llama, dora=True, target_modules=("q_proj",))
    names = {name.rsplit("q_proj.", 1)[1] for name in adapter(made)}
    assert names == {"lora_A.weight", "lora_B.weight", "lora_magnitude_vector"}


def test_adapter_names_no_folder_of_this_machine(llama: Artifact, run_pass: Runner) -> None:
    made = run_pass("lora", llama)
    assert set(hashes(made.path)) == {"adapter_config.json", "adapter_model.safetensors"}
    assert str(llama.path) not in (made.path / "adapter_config.json").read_text()


def test_a_base_with_packed_weights_is_trained_on_as_what_it_stands_for(
    llama: Artifact, run_pass: Runner, tone_rows: list[Row]
) -> None:
    packed = run_pass("rtn", llama)
    trained = run_pass("lora", packed, max_steps=40, learning_rate=1e-2)
    assert trained.base == packed
    assert label_loss(trained, tone_rows[:12]) < label_loss(packed, tone_rows[:12]) - 2


def test_accumulated_batches_train_like_one_large_batch(
    llama: Artifact, tones: DataSpec, tone_rows: list[Row], tmp_path: Path
) -> None:
    file = tmp_path / "eight.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in tone_rows[:8]))
    data = replace(tones, files=(("train", file),))
    made = []
    for size, accumulation in ((8, 1), (2, 4)):
        options = {"batch_size": size, "gradient_accumulation": accumulation, "max_steps": 1}
        made.append(adapter(run_on(data, "lora", llama, tmp_path / str(size), **options)))
    for name, tensor in made[0].items():
        assert tensor.allclose(made[1][name], atol=1e-5), name


def test_cut_texts_keep_their_label(
    llama: Artifact, run_pass: Runner, tone_rows: list[Row]
) -> None:
    trained = run_pass("lora", llama, max_length=12, max_steps=40, learning_rate=1e-2)
    assert label_loss(trained, tone_rows[:12]) < 3.0


def test_an_encoder_needs_labels(bert: Artifact, tones: DataSpec, tmp_path: Path) -> None:
    with pytest.raises(PassError, match="name the label column"):
        run_on(replace(tones, label=None), "lora", bert, tmp_path)


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
