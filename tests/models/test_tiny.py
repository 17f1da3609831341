"""A tiny checkpoint keeps what makes an architecture, and nothing of what makes it large."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file

from tuner.models.errors import ModelError
from tuner.models.tiny import POSITIONS, VOCABULARY, shrink, write_tiny

GEMMA_3: dict[str, Any] = {
    "model_type": "gemma3_text",
    "architectures": ["Gemma3ForCausalLM"],
    "hidden_size": 1152,
    "num_attention_heads": 4,
    "num_key_value_heads": 1,
    "num_hidden_layers": 26,
    "sliding_window": 512,
    "sliding_window_pattern": 6,
    "rope_theta": 1_000_000,
    "rope_local_base_freq": 10_000,
}
LLAMA_3: dict[str, Any] = {
    "model_type": "llama",
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "max_position_embeddings": 131_072,
    "tie_word_embeddings": True,
    "dtype": "bfloat16",
    "quantization_config": {"quant_method": "gptq"},
    "rope_theta": 500_000.0,
    "rope_scaling": {
        "rope_type": "llama3",
        "factor": 32.0,
        "high_freq_factor": 4.0,
        "low_freq_factor": 1.0,
        "original_max_position_embeddings": 8192,
    },
}


def hashes(folder: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir()}


def test_heads_are_grouped_shared_or_single_as_the_models_are() -> None:
    assert shrink(LLAMA_3)["num_key_value_heads"] == 2
    assert shrink(GEMMA_3)["num_key_value_heads"] == 1
    assert shrink({"model_type": "phi3"})["num_key_value_heads"] == 4


def test_every_kind_of_layer_is_among_the_layers_that_are_left() -> None:
    tiny = shrink(GEMMA_3)
    assert tiny["num_hidden_layers"] == len(tiny["layer_types"]) == 6
    assert tiny["layer_types"][-1] == "full_attention"
    assert set(tiny["layer_types"][:-1]) == {"sliding_attention"}
    assert tiny["sliding_window"] < POSITIONS
    smollm = shrink({"model_type": "smollm3"})
    assert smollm["no_rope_layers"] == [1, 1, 1, 0]
    far = shrink(
        {"model_type": "qwen2", "layer_types": ["full_attention"] * 20 + ["sliding_attention"] * 12}
    )
    assert set(far["layer_types"]) == {"full_attention", "sliding_attention"}
    assert far["num_hidden_layers"] == len(far["layer_types"]) <= 8


def test_a_head_that_is_wider_than_its_share_stays_so() -> None:
    tiny = shrink(GEMMA_3 | {"head_dim": 256})
    assert tiny["head_dim"] * tiny["num_attention_heads"] == 2 * tiny["hidden_size"]
    tiny = shrink(LLAMA_3)
    assert tiny["head_dim"] * tiny["num_attention_heads"] == tiny["hidden_size"] == 64


def test_tied_embeddings_ropes_and_norms_are_kept() -> None:
    tiny = shrink(LLAMA_3)
    assert tiny["tie_word_embeddings"] is True
    assert tiny["rope_parameters"]["rope_type"] == "llama3"
    assert tiny["rope_parameters"]["factor"] == 32
    assert tiny["rope_parameters"]["original_max_position_embeddings"] == 8192
    assert set(shrink(GEMMA_3)["rope_parameters"]) == {"sliding_attention", "full_attention"}
    assert shrink({"model_type": "gemma2"})["final_logit_softcapping"] == 30
    assert shrink({"model_type": "gemma"})["hidden_act"] == "gelu_pytorch_tanh"


@pytest.mark.parametrize(("share", "head"), [(0.25, 64), (0.4, 80), (0.5, 32), (1.0, 16)])
def test_heads_and_what_a_rope_turns_of_them_are_multiples_of_sixteen(
    share: float, head: int
) -> None:
    tiny = shrink({"model_type": "phi", "partial_rotary_factor": share})
    assert tiny["hidden_size"] == head * tiny["num_attention_heads"]
    assert head * share % 16 == 0


def test_phi_3_has_a_long_rope_only_where_the_model_has_one() -> None:
    plain = shrink({"model_type": "phi3"})
    assert plain["max_position_embeddings"] == plain["original_max_position_embeddings"]
    factors = {"short_factor": [1.0] * 48, "long_factor": [2.0] * 48, "type": "longrope"}
    long = shrink(
        {"model_type": "phi3", "max_position_embeddings": 131_072, "rope_scaling": factors}
    )
    assert long["max_position_embeddings"] > long["original_max_position_embeddings"]
    assert len(long["rope_parameters"]["long_factor"]) == 8


def test_what_is_not_of_the_architecture_is_left_out() -> None:
    tiny = shrink(LLAMA_3)
    assert "quantization_config" not in tiny
    assert tiny["dtype"] == "float32"
    assert tiny["vocab_size"] == VOCABULARY


@pytest.mark.parametrize("kind", ["llama", "gpt2", "roberta", "distilbert"])
def test_a_tiny_model_loads_and_tells_tokens_apart(kind: str, tmp_path: Path) -> None:
    folder = write_tiny(kind, tmp_path)
    words = transformers.AutoTokenizer.from_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    causal = kind in ("llama", "gpt2")
    loader = transformers.AutoModelForCausalLM if causal else transformers.AutoModel
    model = loader.from_pretrained(folder).eval()
    assert len(words) <= config["vocab_size"]
    assert all(config[f"{name}_token_id"] < len(words) for name in ("bos", "eos", "pad"))
    assert config["pad_token_id"] == words.pad_token_id != words.eos_token_id
    text = "a text as long as the model can read " * 40
    ids = words(text, truncation=True, return_tensors="pt").input_ids
    assert ids.shape[1] == POSITIONS
    with torch.no_grad():
        output = model(input_ids=ids)[0][0]
        short = model(input_ids=ids[:, :8])[0][0]
    assert torch.isfinite(output).all()
    assert (short[1:] - short[:-1]).abs().mean() > 0.05
    assert sum(p.numel() for p in model.parameters()) < 1_000_000


def test_an_encoders_tokenizer_wraps_texts_and_pairs(tmp_path: Path) -> None:
    words = transformers.AutoTokenizer.from_pretrained(write_tiny("bert", tmp_path))
    ids = words("good").input_ids
    assert (ids[0], ids[-1]) == (words.cls_token_id, words.sep_token_id)
    assert words("good", "day").input_ids.count(words.sep_token_id) == 2
    assert words.decode(ids, skip_special_tokens=True) == "good"


def test_the_same_model_has_the_same_bytes(tmp_path: Path) -> None:
    folders = [write_tiny("qwen2", tmp_path / name) for name in ("first", "second")]
    assert hashes(folders[0]) == hashes(folders[1])


def test_norms_and_biases_differ_from_ones_and_zeros(tmp_path: Path) -> None:
    tensors = load_file(write_tiny("qwen2", tmp_path) / "model.safetensors")
    flat = {name: tensor for name, tensor in tensors.items() if tensor.dim() == 1}
    assert any(name.endswith("q_proj.bias") for name in flat)
    assert all(tensor.std() > 0.01 for tensor in flat.values())


def test_the_head_that_a_configuration_names_is_made(tmp_path: Path) -> None:
    config = {
        "model_type": "bert",
        "architectures": ["BertForSequenceClassification"],
        "id2label": {"0": "bad", "1": "fair", "2": "good"},
    }
    tensors = load_file(write_tiny(config, tmp_path) / "model.safetensors")
    assert tensors["classifier.weight"].shape == (3, 64)


def test_changes_replace_fields(tmp_path: Path) -> None:
    folder = write_tiny("llama", tmp_path, num_hidden_layers=2)
    assert json.loads((folder / "config.json").read_text())["num_hidden_layers"] == 2


def test_a_type_that_nobody_knows_is_refused_with_the_nearest() -> None:
    with pytest.raises(ModelError, match=r"no model type 'lama'.*llama"):
        shrink({"model_type": "lama"})


def test_a_model_of_several_models_is_refused() -> None:
    with pytest.raises(ModelError, match=r"llava is made of several models.*text_config"):
        shrink({"model_type": "llava"})


def test_a_model_without_layers_is_refused() -> None:
    with pytest.raises(ModelError, match="resnet is no text model"):
        shrink({"model_type": "resnet"})


def test_what_transformers_refuses_is_told_in_words(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot make a tiny llama"):
        write_tiny("llama", tmp_path, num_attention_heads=0)
