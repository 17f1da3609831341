"""The documents' examples are run, so that they stay true."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
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


def test_the_example_evaluator_works(examples: dict[str, Any], tiny_llama: Path) -> None:
    distinct = examples["Distinct"]()
    measured = distinct.measure(Artifact("hf", tiny_llama), {}, None, "dev")
    estimate = distinct.summarise([measured], {}, "distinct", None)
    weights = [t.flatten() for t in load_file(tiny_llama / "model.safetensors").values()]
    assert estimate.value == len(set(torch.cat(weights).tolist()))


def test_the_example_that_times_something_works(examples: dict[str, Any], tiny_llama: Path) -> None:
    tokenise = examples["Tokenise"]()
    options = {p.name: p.default for p in tokenise.spec.parameters} | {"seconds": 0.01}
    model = Artifact("hf", tiny_llama)
    measured = tokenise.measure(model, options, None, "dev", reference=model)
    estimate = tokenise.summarise([measured], options, "tokenise", None)
    assert 0 < estimate.low < estimate.value < estimate.high
    assert estimate.ratio is not None
    assert 0.5 < estimate.ratio.value < 2


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the package of docs/extending.md is installed, as pip installs it."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("installed")
    (source / "pyproject.toml").write_text(blocks("docs/extending.md", "toml")[0])
    module = "\n\n".join(blocks("docs/extending.md", "python"))
    (source / "tune_rounding.py").write_text(module)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    offline = ["--no-index", "--no-deps", "--no-build-isolation", "--target", str(target)]
    subprocess.run([*pip, *offline, str(source)], check=True, capture_output=True)
    return target


def test_the_example_package_is_installed_and_used(
    package: Path, tiny_llama: Path, tmp_path: Path
) -> None:
    (tmp_path / "rounding.yaml").write_text(blocks("docs/extending.md", "yaml")[0])
    (tmp_path / "my-model").symlink_to(tiny_llama)
    store = {"TUNER_STORE": str(tmp_path / "store"), "COLUMNS": "80"}
    settings = {"cwd": tmp_path, "env": {**os.environ, **store, "PYTHONPATH": str(package)}}

    def tune(*arguments: str) -> str:
        command = [str(Path(sys.executable).parent / "tune"), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, **settings)
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout

    assert "Rounds every weight to a number of decimals." in tune("passes", "round_weights")
    assert "different weights" in tune("metrics", "distinct")
    assert "beside      the baseline's model" in tune("metrics", "tokenise")
    answer = json.loads(tune("--space", "rounding.yaml", "--json").splitlines()[-1])
    assert answer["chosen"]["parameters"] == {"round_weights.decimals": 1}


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


@pytest.mark.parametrize("document", sorted((ROOT / "docs").glob("*.md")), ids=lambda p: p.name)
def test_links_between_documents_lead_somewhere(document: Path) -> None:
    text = re.sub(r"```.*?```", "", document.read_text(encoding="utf-8"), flags=re.DOTALL)
    links = re.findall(r"\]\(([^)#:]*)#?[^):]*\)", text)
    assert [link for link in links if link and not (document.parent / link).exists()] == []


def test_the_comparison_with_olive_names_passes_that_there_are() -> None:
    text = (ROOT / "docs" / "olive.md").read_text(encoding="utf-8")
    section = text.partition("\n## Our passes beside Olive's\n")[2].partition("\n### ")[0]
    rows = [line.split("|") for line in section.splitlines() if line[:2] == "| "]
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row[4])}
    assert len(named) > 15
    assert named <= set(vocabulary().passes)
