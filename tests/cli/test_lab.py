"""The Olive lab's three commands in their order, then the lab's own program, with a tiny model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tuner.cli.main import _dispatch

TEMPLATE = r"<|user|>\n{prompt}<|end|>\n<|assistant|>\n{response}<|end|>"


@pytest.fixture(scope="module")
def lab(tiny_phi3: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the three commands were run."""
    folder = tmp_path_factory.mktemp("lab")
    rows = [{"prompt": f"Say {n} in words.", "response": f"It is {n}!"} for n in range(40)]
    (folder / "rows.json").write_text(json.dumps(rows))
    data = ("--data", "rows.json", "--template", TEMPLATE)
    quantize = ("quantize", "--model", str(tiny_phi3), "--algorithm", "awq", "--group-size", "16")
    finetune = ("finetune", "--model", "awq", "--method", "lora", "--max-steps", "12", "--r", "4")
    optimize = ("optimize", "--model", "awq", "--adapter", "joy=tuned-adapter", "--device", "cpu")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("TUNER_STORE", str(folder / "store"))
        for command in (
            [*quantize, *data, "-o", "awq"],
            [*finetune, "--learning-rate", "0.05", *data, "-o", "tuned-adapter"],
            [*optimize, "-o", "onnx"],
        ):
            assert _dispatch([*command, "--quiet"]) == 0, command
    return folder


def test_every_step_leaves_what_the_next_one_takes(lab: Path) -> None:
    packed = json.loads((lab / "awq/model/config.json").read_text())
    assert packed["quantization_config"]["quant_method"] == "gptq", "the layout that is read"
    assert (lab / "tuned-adapter/model/adapter_model.safetensors").is_file()
    assert (lab / "onnx/model/genai_config.json").is_file()
    assert (lab / "onnx/model/adapters/joy.onnx_adapter").is_file()


def test_the_labs_program_runs_with_the_adapter_and_without(lab: Path) -> None:
    og = pytest.importorskip("onnxruntime_genai")
    model = og.Model(str(lab / "onnx/model"))
    adapters = og.Adapters(model)
    for name in ("base", "joy"):
        adapters.load(str(lab / f"onnx/model/adapters/{name}.onnx_adapter"), name)
    tokenizer = og.Tokenizer(model)
    prompt = tokenizer.encode("<|user|>\nSay 3 in words.<|end|>\n<|assistant|>\n")

    def written(adapter: str) -> list[int]:
        parameters = og.GeneratorParams(model)
        parameters.set_search_options(max_length=len(prompt) + 12)
        generator = og.Generator(model, parameters)
        generator.set_active_adapter(adapters, adapter)
        generator.append_tokens(prompt)
        while not generator.is_done():
            generator.generate_next_token()
        return list(generator.get_sequence(0))

    with_adapter, without = written("joy"), written("base")
    assert len(with_adapter) > len(prompt)
    assert with_adapter != without
