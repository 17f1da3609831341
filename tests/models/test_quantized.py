from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models
import torch
from safetensors.torch import load_file, save_file

from evaluators.base import Artifact
from tuner.models.checkpoint import load_causal
from tuner.models.quantized import Matrix, Scheme, load_dequantized, save_quantized
from tuner.quantization.decoder import blocks
from tuner.quantization.rounding import rounded
from tuner.quantization.stage import each_matrix

IDS = list(range(5, 45))


def quantised(source: Path, output: Path, scheme: Scheme) -> dict[str, Matrix]:
    """Write the checkpoint with every matrix rounded; the matrices."""
    model = load_causal(Artifact("hf", source), torch.float32)
    matrices = each_matrix(blocks(model), lambda weights: rounded(weights, scheme))
    save_quantized(model, matrices, scheme, source, output)
    return matrices


def logits(model: Any) -> np.ndarray:
    with torch.no_grad():
        return np.asarray(model(torch.tensor([IDS])).logits[0].float().numpy())


def genai_logits(checkpoint: Path, folder: Path, *options: str) -> np.ndarray:
    """What the runtime says of IDS, of a model that its builder makes of the checkpoint."""
    import onnxruntime_genai as og
    import onnxruntime_genai.models
    from onnxruntime_genai.models.builder import create_model, parse_extra_options

    where = (None, str(checkpoint), str(folder), "int8", "cpu", str(folder / "cache"))
    create_model(*where, **parse_extra_options(*where, ["hf_token=false", *options]))
    model = og.Model(str(folder))
    parameters = og.GeneratorParams(model)
    parameters.set_search_options(max_length=64)
    generator = og.Generator(model, parameters)
    generator.append_tokens(IDS)
    return np.array(generator.get_output("logits"))[0]


@pytest.mark.parametrize("bits", [4, 8])
def test_packing_keeps_every_code_and_zero_point(bits: int) -> None:
    source = torch.Generator().manual_seed(0)
    codes = torch.randint(0, 1 << bits, (16, 96), generator=source).to(torch.uint8)
    zeros = torch.arange(48).reshape(16, 3) % (1 << bits)
    zeros[0, 0] = (1 << bits) - 1
    given = Matrix(codes, zeros.to(torch.uint8), torch.rand(16, 3, generator=source).half())
    found = Matrix.unpacked(given.packed(bits), bits)
    assert torch.equal(found.codes, given.codes)
    assert torch.equal(found.zeros, given.zeros)
    assert torch.equal(found.scales, given.scales)


def test_first_code_is_in_the_lowest_bits_and_zero_points_are_stored_less_one() -> None:
    codes = torch.zeros(8, 32, dtype=torch.uint8)
    codes[0, :2] = torch.tensor([3, 15])
    zeros = torch.full((8, 1), 8, dtype=torch.uint8)
    packed = Matrix(codes, zeros, torch.ones(8, 1).half()).packed(4)
    assert packed["qweight"].shape == (4, 8)
    assert packed["qweight"][0, 0] == 3 + 15 * 16
    assert packed["qzeros"].tolist() == [[0x77777777]]
    assert packed["scales"].shape == (1, 8)


def test_a_weight_is_its_code_less_the_zero_point_times_the_scale() -> None:
    codes = torch.tensor([[0, 5], [15, 8]], dtype=torch.uint8)
    zeros = torch.tensor([[8], [3]], dtype=torch.uint8)
    matrix = Matrix(codes, zeros, torch.tensor([[0.5], [2.0]]).half())
    assert matrix.dequantised().tolist() == [[-4.0, -1.5], [24.0, 10.0]]


@pytest.mark.parametrize("architecture", ["tiny_llama", "tiny_phi3"])
def test_loaded_model_has_the_weights_that_codes_stand_for_and_all_else_as_it_was(
    architecture: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    source = request.getfixturevalue(architecture)
    matrices = quantised(source, tmp_path, Scheme(4, 32, False))
    found, original = load_dequantized(tmp_path), load_causal(Artifact("hf", source))
    assert not found.training
    assert matrices
    for name, tensor in found.state_dict().items():
        if name.removesuffix(".weight") in matrices:
            assert torch.equal(tensor, matrices[name.removesuffix(".weight")].dequantised())
        else:
            assert torch.equal(tensor, original.state_dict()[name])


def test_checkpoint_holds_packed_tensors_only_and_a_tied_head_once(
    tiny_llama: Path, tmp_path: Path
) -> None:
    quantised(tiny_llama, tmp_path, Scheme(4, 32, True))
    tensors = load_file(tmp_path / "model.safetensors")
    parts = {name.rsplit(".", 1)[1] for name in tensors if "_proj" in name}
    assert parts == {"qweight", "qzeros", "scales", "g_idx"}
    assert "lm_head.weight" not in tensors
    said = json.loads((tmp_path / "config.json").read_text())["quantization_config"]
    assert (said["quant_method"], said["bits"], said["group_size"]) == ("gptq", 4, 32)
    assert (said["sym"], said["desc_act"]) == (True, False)
    assert (tmp_path / "tokenizer.json").exists()


def test_other_tensors_keep_the_data_type_of_the_checkpoint(
    tiny_llama: Path, tmp_path: Path
) -> None:
    model = load_causal(Artifact("hf", tiny_llama), torch.bfloat16)
    source, output = tmp_path / "source", tmp_path / "output"
    model.save_pretrained(source)
    output.mkdir()
    quantised(source, output, Scheme(4, 32, True))
    tensors = load_file(output / "model.safetensors")
    assert tensors["model.norm.weight"].dtype == torch.bfloat16
    assert load_dequantized(output).dtype == torch.bfloat16
    assert load_dequantized(output, torch.float32).dtype == torch.float32


@pytest.mark.parametrize("architecture", ["tiny_llama", "tiny_phi3"])
@pytest.mark.parametrize(
    "scheme", [Scheme(4, 32, False), Scheme(4, 64, True), Scheme(8, 16, False), Scheme(8, 32, True)]
)
def test_the_genai_builder_reads_the_very_same_weights(
    architecture: str, scheme: Scheme, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    checkpoint, folder = tmp_path / "checkpoint", tmp_path / "genai"
    for made in (checkpoint, folder):
        made.mkdir()
    quantised(request.getfixturevalue(architecture), checkpoint, scheme)
    # The head is left alone, and products are taken in fp32: what is left is rounding of fp32.
    options = ("accuracy_level=1", "nodes_to_exclude=/lm_head/MatMul")
    found = genai_logits(checkpoint, folder, *options)
    expected = logits(load_dequantized(checkpoint))
    assert np.abs(found - expected).max() < 1e-3 * np.abs(expected).max()


def test_an_odd_number_of_zero_points_in_a_row_is_built_too(tmp_path: Path) -> None:
    checkpoint, folder = tmp_path / "checkpoint", tmp_path / "genai"
    for made in (checkpoint, folder):
        made.mkdir()
    odd = {"hidden_size": 96, "intermediate_size": 160, "num_attention_heads": 6}
    source = tiny_models.save_llama(tmp_path / "source", **odd)
    quantised(source, checkpoint, Scheme(4, 32, False))
    options = ("accuracy_level=1", "nodes_to_exclude=/lm_head/MatMul")
    found, expected = (
        genai_logits(checkpoint, folder, *options),
        logits(load_dequantized(checkpoint)),
    )
    assert np.abs(found - expected).max() < 1e-3 * np.abs(expected).max()


def test_a_float_checkpoint_is_refused(tiny_llama: Path) -> None:
    with pytest.raises(ValueError, match="expected a checkpoint with quant_method gptq"):
        load_dequantized(tiny_llama)


def test_groups_whose_inputs_are_not_in_order_are_refused(tiny_llama: Path, tmp_path: Path) -> None:
    quantised(tiny_llama, tmp_path, Scheme(4, 32, True))
    file = tmp_path / "model.safetensors"
    tensors = load_file(file)
    name = next(name for name in tensors if name.endswith("g_idx"))
    save_file(tensors | {name: tensors[name].flip(0).contiguous()}, file)
    with pytest.raises(ValueError, match="not in order"):
        load_dequantized(tmp_path)
