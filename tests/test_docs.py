"""The documents' examples are run, so that they stay true."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from evaluators.base import Artifact
from search_spaces import parse_space
from tuner.passes import StageContext
from tuner.registry import vocabulary

ROOT = Path(__file__).parent.parent


def blocks(document: str, language: str) -> list[str]:
    text = (ROOT / document).read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


@pytest.fixture(scope="module")
def examples() -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "example"}
    for block in blocks("docs/extending.md", "python"):
        exec(block, names)
    return names


def test_the_example_pass_works(examples: dict[str, Any], tiny_llama: Path, tmp_path: Path) -> None:
    context = StageContext(
        Artifact("hf", tiny_llama), {"decimals": 1}, tmp_path, "text-generation", None
    )
    examples["RoundWeights"]().run(context)
    for tensor in load_file(tmp_path / "model.safetensors").values():
        assert torch.equal(tensor, tensor.round(decimals=1))


def test_the_example_evaluator_works(examples: dict[str, Any], tiny_genai: Path) -> None:
    files = examples["Files"]()
    measured = files.measure(Artifact("genai", tiny_genai), {}, None, "dev")
    estimate = files.summarise([measured], {}, "files", None)
    assert estimate.value == len(list(tiny_genai.iterdir()))


@pytest.mark.parametrize(("document", "position"), [("docs/space.md", 0), ("README.md", 0)])
def test_an_example_space_is_valid(document: str, position: int, tmp_path: Path) -> None:
    text = blocks(document, "yaml")[position]
    (tmp_path / "my-model").mkdir()
    (tmp_path / "tones.jsonl").write_text('{"phrase": "a", "tone": "joy"}\n' * 9)
    space = parse_space(text, tmp_path / "space.yaml", vocabulary()).space
    assert len(space.pipeline) == 4


def test_the_reference_names_every_built_in_evaluator() -> None:
    reference = (ROOT / "docs" / "space.md").read_text(encoding="utf-8")
    built_in = [n for n in vocabulary().evaluators if not n.startswith("toy")]
    assert [n for n in built_in if f"| `{n}` |" not in reference] == []
