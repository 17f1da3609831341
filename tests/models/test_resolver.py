"""How a model is identified, and which folders are models."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from search_spaces.references import Reference, parse_reference
from tuner.models.resolver import ModelError, fetch, fingerprint, needs_fetch
from tuner.passes import PassError

PIN = "0" * 64


def local(folder: Path) -> Reference:
    return parse_reference(str(folder), Path.cwd())


def test_local_folder_is_identified_by_its_content(tiny_phi3: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(tiny_phi3, tmp_path / "copy")
    cache = tmp_path / "cache"
    same = fingerprint(local(tiny_phi3), cache)
    assert fingerprint(local(copy), cache) == same
    (copy / "tokenizer.json").write_text("{}")
    assert fingerprint(local(copy), cache) != same


def test_package_is_identified_by_its_pin_alone(tmp_path: Path) -> None:
    texts = [
        "pypi:some-model==1.0/model",
        "pypi:some-model==1.1/model",
        "pypi:some-model==1.0/other",
        "pypi:other-model==1.0/model",
        f"pypi:some-model==1.0/model#sha256={PIN}",
    ]
    found = {fingerprint(parse_reference(text, tmp_path), tmp_path) for text in texts}
    assert len(found) == 5
    assert all(len(key) == 64 for key in found)
    spelt = parse_reference("pypi:Some_Model==1.0/model", tmp_path)
    assert fingerprint(spelt, tmp_path) in found
    assert list(tmp_path.iterdir()) == []


def test_only_what_is_elsewhere_needs_fetching(tiny_phi3: Path, tmp_path: Path) -> None:
    assert not needs_fetch(local(tiny_phi3))
    assert needs_fetch(parse_reference("pypi:a==1/b", tmp_path))
    assert needs_fetch(parse_reference("org/name", tmp_path))
    with pytest.raises(ValueError, match="nothing to fetch"):
        fetch(local(tiny_phi3), tmp_path)


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, r"it has no config\.json"),
        ({"config.json": "{"}, "is no JSON:"),
        ({"config.json": "[]"}, "is no JSON object"),
        ({"config.json": "{}"}, "has no weights"),
    ],
)
def test_folder_that_is_no_checkpoint_is_refused(
    files: dict[str, str], said: str, tmp_path: Path
) -> None:
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    with pytest.raises(ModelError, match=said):
        fingerprint(local(tmp_path), tmp_path)


def test_a_model_that_cannot_be_had_is_a_refusal_of_a_stage() -> None:
    assert issubclass(ModelError, PassError)


def test_identifying_a_model_loads_no_heavy_library(tiny_phi3: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from tuner.models.resolver import fingerprint; "
        "from search_spaces.references import parse_reference as parse; here = Path.cwd(); "
        f"fingerprint(parse({str(tiny_phi3)!r}, here), Path({str(tmp_path)!r})); "
        "fingerprint(parse('pypi:a==1/b', here), here); "
        "heavy = {'torch', 'transformers', 'huggingface_hub', 'numpy', 'gguf'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
