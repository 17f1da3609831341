"""Which layers are kept, and that what is left is a model like any other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tiny_models
import torch
from pass_support import Runner, hashes
from safetensors.torch import load_file, save_file
from training_support import load, run_on

from evaluators.base import Artifact
from search_spaces.data import DataSpec
from tuner.models.tiny import write_tiny
from tuner.passes import PassError, all_passes
from tuner.passes.drop_layers import ends, evenly, influences, most_changing

FAMILIES = ("llama", "phi3", "qwen2", "gemma3_text", "smollm3", "gpt2")


@pytest.fixture(scope="module")
def deep(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """A Llama of six layers."""
    return Artifact(
        "hf", tiny_models.save_llama(tmp_path_factory.mktemp("deep"), num_hidden_layers=6)
    )


def projections(model: Artifact) -> list[Any]:
    """A tensor of each layer that tells it from the others."""
    network = load(model)
    return [layer.self_attn.q_proj.weight for layer in network.model.layers]


def kept(before: Artifact, after: Artifact) -> list[int]:
    """Which layers of the first the second has."""
    old = projections(before)
    return [
        next(i for i, layer in enumerate(old) if torch.equal(layer, new))
        for new in projections(after)
    ]


@pytest.mark.parametrize(
    ("which", "left", "expected"),
    [
        ("first", 3, [0, 1, 2]),
        ("spread", 3, [0, 2, 5]),
        ("spread", 2, [0, 5]),
        ("protect_ends", 4, [0, 1, 4, 5]),
        ("protect_ends", 3, [0, 4, 5]),
        ("protect_ends", 1, [0]),
        ("first", 6, [0, 1, 2, 3, 4, 5]),
        ("redundancy", 6, [0, 1, 2, 3, 4, 5]),
        ("spread", None, [0, 2, 5]),
    ],
)
def test_layers_are_kept_as_they_were(
    deep: Artifact, run_pass: Runner, which: str, left: int | None, expected: list[int]
) -> None:
    made = run_pass("drop_layers", deep, layers=left, which=which)
    assert kept(deep, made) == expected
    config = json.loads((made.path / "config.json").read_text())
    assert config["num_hidden_layers"] == len(expected)


@pytest.mark.parametrize("count", [1, 2, 6, 7, 12, 30])
def test_every_way_keeps_as_many_as_asked(count: int) -> None:
    for left in range(1, count + 1):
        chosen = [evenly(count, left), ends(count, left, False), ends(count, left, True)]
        chosen.append(most_changing([0.1] * count, left))
        for numbers in chosen:
            assert len(set(numbers)) == left
            assert numbers == sorted(numbers)
            assert set(numbers) <= set(range(count))
        if left > 1:
            assert evenly(count, left)[-1] == count - 1


def test_the_layers_that_change_least_go_and_never_the_first() -> None:
    assert most_changing([0.0, 0.3, 0.1, 0.2], 3) == [0, 1, 3]
    assert most_changing([0.9, 0.3, 0.3, 0.2], 1) == [0]


@pytest.mark.parametrize("save", [tiny_models.save_llama, tiny_models.save_bert])
def test_a_layer_that_does_nothing_is_found_redundant(
    save: Any, tones: DataSpec, tmp_path: Path
) -> None:
    folder = save(tmp_path / "model", num_hidden_layers=4)
    path = folder / "model.safetensors"
    tensors = load_file(path)
    for name, tensor in tensors.items():
        last = name.endswith(("o_proj.weight", "down_proj.weight")) or "output.dense" in name
        if "ers.2." in name or ".layer.2." in name:
            tensors[name] = tensor * 0 if last else tensor
    save_file(tensors, path, metadata={"format": "pt"})
    base = Artifact("hf", folder)
    made = run_on(tones, "drop_layers", base, tmp_path / "out", layers=3, which="redundancy")
    before, after = load(base), load(made)
    ids = torch.tensor([[1, 50, 60, 70, 2]])
    with torch.no_grad():
        same = before(input_ids=ids).logits, after(input_ids=ids).logits
    torch.testing.assert_close(*same, rtol=0, atol=0.02)


def test_influence_is_one_less_cosine_over_the_tokens_of_each_text(deep: Artifact) -> None:
    network, texts = load(deep), [[5, 6, 7], [8, 9, 10, 11, 12]]
    sums, tokens = [0.0] * 6, 0
    for text in texts:
        with torch.no_grad():
            states = network.model(torch.tensor([text]), output_hidden_states=True).hidden_states
        tokens += len(text)
        for i in range(5):  # behind the last, what is given back is normed
            like = torch.nn.functional.cosine_similarity(states[i], states[i + 1], dim=-1)
            sums[i] += float((1 - like).sum())
    expected = [value / tokens for value in sums[:5]]
    assert influences(network, texts)[:5] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_generating_through_a_cache_is_like_reading_all_again(
    family: str, tones: DataSpec, tmp_path: Path
) -> None:
    base = Artifact("hf", write_tiny(family, tmp_path / "model"))
    made = run_on(tones, "drop_layers", base, tmp_path / "out", layers=2, which="spread")
    network, ids = load(made), torch.tensor([[5, 6, 7, 8, 9, 10]])
    with torch.no_grad():
        whole = network(input_ids=ids).logits
        begun = network(input_ids=ids[:, :3], use_cache=True)
        rest = [network(input_ids=ids[:, 3:4], past_key_values=begun.past_key_values)]
        rest.append(network(input_ids=ids[:, 4:], past_key_values=rest[0].past_key_values))
    parts = torch.cat([begun.logits, *(part.logits for part in rest)], 1)
    torch.testing.assert_close(parts, whole, rtol=0, atol=1e-4)


@pytest.mark.parametrize("family", ["bert", "distilbert", "roberta", "modernbert"])
def test_an_encoder_goes_on_to_be_fine_tuned(family: str, tones: DataSpec, tmp_path: Path) -> None:
    base = Artifact("hf", write_tiny(family, tmp_path / "model"))
    made = run_on(tones, "drop_layers", base, tmp_path / "out", layers=2, which="redundancy")
    trained = run_on(tones, "full_finetune", made, tmp_path / "trained")
    assert load(trained).config.num_hidden_layers == 2


def test_kinds_of_layers_go_with_their_layers(tones: DataSpec, tmp_path: Path) -> None:
    kinds = ["full_attention", "sliding_attention", "sliding_attention", "full_attention"]
    base = Artifact("hf", write_tiny("qwen3", tmp_path / "model", layer_types=kinds))
    made = run_on(tones, "drop_layers", base, tmp_path / "out", layers=3, which="protect_ends")
    config = json.loads((made.path / "config.json").read_text())
    assert config["layer_types"] == [kinds[0], kinds[2], kinds[3]]


def test_tokenizer_and_chat_template_stay(deep: Artifact, run_pass: Runner) -> None:
    made, base = hashes(run_pass("drop_layers", deep, layers=3).path), hashes(deep.path)
    assert made.keys() == base.keys()
    assert {name for name in base if made[name] != base[name]} == {
        "config.json",
        "model.safetensors",
    }


def test_more_layers_than_there_are_is_refused(deep: Artifact, run_pass: Runner) -> None:
    with pytest.raises(PassError, match="layers: 7 cannot be kept, the model has 6"):
        run_pass("drop_layers", deep, layers=7)


def test_a_model_whose_layers_share_weights_is_refused(tones: DataSpec, tmp_path: Path) -> None:
    base = Artifact("hf", write_tiny("albert", tmp_path / "model"))
    with pytest.raises(PassError, match="AlbertModel has no list of 4 transformer layers"):
        run_on(tones, "drop_layers", base, tmp_path / "out")


def test_redundancy_needs_data(deep: Artifact, tmp_path: Path) -> None:
    with pytest.raises(PassError, match="measured on data"):
        run_on(None, "drop_layers", deep, tmp_path, layers=3, which="redundancy")


def test_redundancy_reads_so_many_texts_from_all_over_the_data(
    deep: Artifact, tones: DataSpec, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    logs = []
    for samples in (2, 64):
        options: dict[str, Any] = {"layers": 3, "which": "redundancy", "samples": samples}
        run_on(tones, "drop_layers", deep, tmp_path / str(samples), **options)
        logs.append(capsys.readouterr().out)
    assert logs[0].splitlines()[0] != logs[1].splitlines()[0]
    assert "of layers 0 to 5 these are kept: 0, " in logs[0]


def test_what_is_only_measured_does_not_count_elsewhere() -> None:
    spec = all_passes()["drop_layers"].spec
    for name in ("samples", "max_length"):
        assert spec.parameter(name).applies == {"which": ("redundancy",)}
