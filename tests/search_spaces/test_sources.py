"""What lies in a model's folder is told from small files, and what cannot be used is refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from search_spaces.references import (
    Reference,
    ReferenceError,
    adapter_on,
    parse_reference,
)
from search_spaces.vocabulary import ON_QUANTIZED

Files = Mapping[str, Any]

PLAIN: Files = {
    "config.json": {"architectures": ["Phi3ForCausalLM"]},
    "model.safetensors": "",
    "tokenizer.json": {},
}
GPTQ = {"quant_method": "gptq", "bits": 4, "group_size": 32, "desc_act": False}
PACKED: Files = {**PLAIN, "config.json": {"quantization_config": GPTQ}}
GENAI: Files = {"genai_config.json": {}, "model.onnx": "", "config.json": {}}
ONNX: Files = {"model.onnx": "", "config.json": {}, "tokenizer_config.json": {}}


def put(folder: Path, files: Files) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_text(content if isinstance(content, str) else json.dumps(content))
    return folder


def put_adapter(folder: Path, base: str | None) -> Path:
    config = {"peft_type": "LORA", "base_model_name_or_path": base}
    return put(folder, {"adapter_config.json": config, "adapter_model.safetensors": ""})


def parsed(folder: Path) -> Reference:
    return parse_reference(str(folder), Path.cwd())


@pytest.mark.parametrize(
    ("files", "model_format"),
    [
        (PLAIN, "hf"),
        (PACKED, "quantized"),
        (GENAI, "genai"),
        (ONNX, "onnx"),
        ({**PLAIN, "model.onnx": ""}, "hf"),
        ({}, "hf"),
    ],
    ids=["plain", "packed", "genai", "onnx", "export beside weights", "empty"],
)
def test_the_format_is_told_from_the_folder(
    files: Files, model_format: str, tmp_path: Path
) -> None:
    assert parsed(put(tmp_path / "x", files)).format == model_format


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"quant_method": "bitsandbytes"}, "is quantised with bitsandbytes; what can be read"),
        ({"quant_method": "awq"}, "is quantised with awq"),
        ({"quant_method": "fp8"}, "begin with the model before it was quantised"),
        ({"desc_act": True}, r"desc_act \(act-order\)"),
        ({"checkpoint_format": "gptq_v2"}, "in the layout gptq_v2"),
        ({"bits": 3}, "in 3 bits; .* 2, 4 or 8 bits"),
        ({"dynamic": {"-:lm_head": {}}}, "other bits for some layers"),
    ],
)
def test_weights_packed_otherwise_are_refused_in_words(
    changes: Files, said: str, tmp_path: Path
) -> None:
    packing = {"quantization_config": {**GPTQ, **changes}}
    with pytest.raises(ReferenceError, match=said):
        parsed(put(tmp_path / "x", {**PLAIN, "config.json": packing}))


def test_a_graph_alone_says_what_belongs_beside_it(tmp_path: Path) -> None:
    with pytest.raises(ReferenceError, match=r"without config\.json and tokenizer\.json beside it"):
        parsed(put(tmp_path / "x", {"model.onnx": ""}))
    with pytest.raises(ReferenceError, match=r"is a file, .* config\.json and the tokenizer"):
        parsed(tmp_path / "x" / "model.onnx")


def test_the_folder_of_an_answer_stands_for_its_model(tmp_path: Path) -> None:
    put(tmp_path / "answer" / "model", GENAI)
    put(tmp_path / "answer", {"recipe.yaml": "", "summary.json": "{}"})
    found = parsed(tmp_path / "answer")
    assert (found.path, found.format) == (tmp_path / "answer" / "model", "genai")
    assert parsed(put(tmp_path / "answer", PLAIN)).path == tmp_path / "answer"


def test_an_adapter_brings_the_base_that_it_names(tmp_path: Path) -> None:
    plain, packed = put(tmp_path / "plain", PLAIN), put(tmp_path / "packed/model", PACKED)
    found = parsed(put_adapter(tmp_path / "a", str(plain)))
    assert (found.format, found.flow) == ("adapter", "adapter")
    assert found.base == parsed(plain)
    found = parsed(put_adapter(tmp_path / "b", str(packed.parent)))
    assert (found.format, found.flow) == ("adapter", ON_QUANTIZED)
    assert found.checkpoint.path == packed
    found = parsed(put_adapter(tmp_path / "c", "org/name"))
    assert found.checkpoint.repo == "org/name"


def test_the_base_beside_an_adapter_is_found_where_the_answer_was_moved(tmp_path: Path) -> None:
    put_adapter(tmp_path / "answer/model", str(tmp_path / "gone" / "base"))
    base = put(tmp_path / "answer/base", PACKED)
    assert parsed(tmp_path / "answer").checkpoint.path == base


@pytest.mark.parametrize(
    ("base", "said"),
    [
        (None, "its adapter_config.json names none"),
        ("/no/such/folder", "there is no folder /no/such/folder"),
        ("genai", "is an ONNX Runtime GenAI model, expected a checkpoint"),
    ],
)
def test_an_adapter_without_a_base_says_how_to_name_one(
    base: str | None, said: str, tmp_path: Path
) -> None:
    put(tmp_path / "genai", GENAI)
    named = str(tmp_path / base) if base == "genai" else base
    with pytest.raises(ReferenceError, match=said) as caught:
        parsed(put_adapter(tmp_path / "a", named))
    assert "model: {adapter: FOLDER, base: MODEL}" in str(caught.value)


def test_the_base_that_a_user_names_comes_before_the_adapters_own(tmp_path: Path) -> None:
    put(tmp_path / "mine", PACKED)
    put_adapter(tmp_path / "a", "org/name")
    found = adapter_on("a", "mine", tmp_path)
    assert found.checkpoint.path == tmp_path / "mine"
    with pytest.raises(ReferenceError, match="'mine' is a checkpoint of packed weights, expected"):
        adapter_on("mine", "mine", tmp_path)


def test_a_models_format_is_told_from_the_hubs_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    kept = tmp_path / "hub" / "models--org--name"
    put(kept / "refs", {"main": "c0ffee"})
    assert parse_reference("org/name", tmp_path).format == "hf"
    put(kept / "snapshots" / "c0ffee", {"config.json": {"quantization_config": GPTQ}})
    assert parse_reference("org/name", tmp_path).format == "quantized"
    assert parse_reference("org/name@main", tmp_path).format == "quantized"
    assert parse_reference("org/name@c0ffee", tmp_path).format == "quantized"
    assert parse_reference("org/name@other", tmp_path).format == "hf"
    bad = {"quantization_config": {"quant_method": "fp8"}}
    put(kept / "snapshots" / "c0ffee", {"config.json": bad})
    with pytest.raises(ReferenceError, match=r"^org/name is quantised with fp8"):
        parse_reference("org/name", tmp_path)
