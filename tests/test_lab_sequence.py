"""The lab's three steps on one model: quantise, fine-tune the quantised, optimise with the adapter.

Each step is a space whose model is the answer of the one before. What comes out is used by a
program that knows nothing of this one.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models

import tuner
from evaluators.base import Artifact
from search_spaces import read_space
from search_spaces.candidates import enumerate_candidates
from search_spaces.references import parse_reference
from tuner.registry import vocabulary

TEMPLATE = "<|user|>\n{prompt}<|end|>\n<|assistant|>\n{response}<|end|>"
PROMPT = "<|user|>\nWho knew?<|end|>\n<|assistant|>\n"

QUANTISE = """
model: model
task: text-generation
data: {{files: {data}, template: "{template}", label: response, split: {{dev: 0.25, test: 0}}}}
pipeline:
  - awq: {{bits: 4, group_size: 16, calibration_samples: 8, calibration_length: 32}}
objectives: [minimize size]
search: {{strategy: grid}}
"""

FINETUNE = """
model: {model}
task: text-generation
data: {{files: {data}, template: "{template}", label: response, split: {{dev: 0.25, test: 0}}}}
pipeline:
  - lora: {{r: 4, max_steps: 30, batch_size: 8, learning_rate: 0.01, target_modules: [all-linear]}}
objectives: [minimize size]
search: {{strategy: grid}}
"""

OPTIMISE = """
model: {model}
task: text-generation
pipeline:
  - multi_lora:
      execution_provider: cpu
      adapters: ["joy={adapter}"]
      accuracy_level: 1                      # so that only the sums' order differs from torch
      unquantized_nodes: [/lm_head/MatMul]   # the only matrix that awq leaves
objectives: [minimize size]
search: {{strategy: grid}}
"""

PROGRAM = """
import sys
import onnxruntime_genai as og

folder, prompt = sys.argv[1:]
model = og.Model(folder)
adapters = og.Adapters(model)
adapters.load(folder + "/adapters/joy.onnx_adapter", "joy")
tokenizer = og.Tokenizer(model)
for name in ("joy", None):
    parameters = og.GeneratorParams(model)
    parameters.set_search_options(max_length=60, do_sample=False)
    generator = og.Generator(model, parameters)
    if name is not None:
        generator.set_active_adapter(adapters, name)
    generator.append_tokens(tokenizer.encode(prompt))
    while not generator.is_done():
        generator.generate_next_token()
    print(list(map(int, generator.get_sequence(0))))
"""


@dataclass(frozen=True)
class Lab:
    """The folders of the three answers."""

    quantised: Path
    adapter: Path
    optimised: Path


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """All three steps, run once."""
    folder = tmp_path_factory.mktemp("lab")
    tiny_models.save_phi3(folder / "model", num_hidden_layers=2)
    rows = [{"prompt": r["phrase"], "response": r["tone"]} for r in tiny_models.tone_rows()]
    (folder / "rows.json").write_text(json.dumps(rows))
    words = {"data": folder / "rows.json", "template": TEMPLATE.replace("\n", "\\n")}
    quantised = _answer(folder, "awq", QUANTISE.format(**words))
    adapter = _answer(folder, "lora", FINETUNE.format(model=quantised, **words))
    optimised = _answer(folder, "genai", OPTIMISE.format(model=quantised, adapter=adapter))
    return Lab(quantised, adapter, optimised)


def _answer(folder: Path, name: str, text: str) -> Path:
    space, answer = folder / f"{name}.yaml", folder / f"answer-{name}"
    space.write_text(text)
    study = tuner.tune(space, db=str(folder / "study.db"), store=folder / "store", output=answer)
    assert study.best is not None, study
    return answer


def _logits_of_torch(base: Path, adapter: Path | None) -> np.ndarray:
    import torch
    from peft import PeftModel

    from tuner.models.checkpoint import load_causal

    model = load_causal(Artifact("quantized", base), torch.float32)
    if adapter is not None:
        model = PeftModel.from_pretrained(model, adapter)
    with torch.no_grad():
        logits: np.ndarray = model(torch.tensor([_ids()])).logits[0, -1].float().numpy()
    return logits


def _ids() -> list[int]:
    ids: list[int] = tiny_models.tokenizer()(PROMPT).input_ids
    return ids


def _logits_of_genai(folder: Path, adapter: str | None) -> np.ndarray:
    import onnxruntime_genai as og

    model = og.Model(str(folder))
    parameters = og.GeneratorParams(model)
    parameters.set_search_options(max_length=60)
    generator = og.Generator(model, parameters)
    adapters = og.Adapters(model)
    if adapter is not None:
        adapters.load(str(folder / "adapters" / f"{adapter}.onnx_adapter"), adapter)
        generator.set_active_adapter(adapters, adapter)
    generator.append_tokens(np.array([_ids()], np.int32))
    logits: np.ndarray = np.array(generator.get_output("logits"))[0, -1]
    return logits


def test_the_program_of_the_lab_switches_the_adapter_on(lab: Lab) -> None:
    command = [sys.executable, "-c", PROGRAM, str(lab.optimised / "model"), PROMPT]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    adapted, plain = told.strip().splitlines()
    assert adapted != plain


def test_what_it_computes_is_what_torch_does_of_the_packed_base_and_the_adapter(lab: Lab) -> None:
    base, built = lab.quantised / "model", lab.optimised / "model"
    for name, adapter in (("joy", lab.adapter / "model"), (None, None)):
        expected, found = _logits_of_torch(base, adapter), _logits_of_genai(built, name)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-3)
    without = _logits_of_genai(built, None)
    assert np.abs(_logits_of_genai(built, "base") - without).max() < 1e-3
    assert np.abs(_logits_of_genai(built, "joy") - without).max() > 0.5


def test_the_adapter_says_what_it_lies_on(lab: Lab) -> None:
    config: dict[str, Any] = json.loads((lab.adapter / "model/adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(lab.quantised / "model")
    assert not (lab.adapter / "base").exists()


@pytest.mark.parametrize("step", ["quantised", "adapter", "optimised"])
def test_the_recipe_of_every_step_is_a_space_for_the_same(lab: Lab, step: str) -> None:
    space = read_space(getattr(lab, step) / "recipe.yaml", vocabulary()).space
    assert space.model.format == ("hf" if step == "quantised" else "quantized")
    assert len(list(enumerate_candidates(space))) == 1


def test_peft_opens_the_adapter_on_the_base_that_it_names(lab: Lab) -> None:
    found = parse_reference(str(lab.adapter), Path.cwd())
    assert (found.path, found.checkpoint.path) == (lab.adapter / "model", lab.quantised / "model")
    with_adapter = _logits_of_torch(lab.quantised / "model", lab.adapter / "model")
    assert np.abs(with_adapter - _logits_of_torch(lab.quantised / "model", None)).max() > 0.5
