"""Models of the hub, through the real client: from its cache, and where there is no connection."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pass_support import hashes

COMMIT = "0123456789abcdef0123456789abcdef01234567"

# A process of its own, as the client reads its environment when it is imported.
SCRIPT = """
import sys
from pathlib import Path
from search_spaces.references import parse_reference
from tuner.models.resolver import ModelError, fetch, fingerprint
reference = parse_reference(sys.argv[1], Path.cwd())
try:
    print(fingerprint(reference, Path.cwd()))
    fetch(reference, Path(sys.argv[2]))
except ModelError as error:
    print(error)
"""


def run(text: str, folder: Path, output: str = "out", **environment: str) -> list[str]:
    """What the script printed, run in a folder that is also the place of the hub's cache."""
    cache = {"HF_HOME": str(folder), "HF_HUB_CACHE": str(folder / "hub"), "HF_TOKEN": ""}
    command = [sys.executable, "-c", SCRIPT, text, output]
    done = subprocess.run(
        command, cwd=folder, env=os.environ | cache | environment, text=True, capture_output=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.fixture
def cached(tmp_path: Path, tiny_llama: Path) -> Path:
    """A folder whose hub cache has the tiny Llama as org/tiny, and more than a model."""
    repository = tmp_path / "hub" / "models--org--tiny"
    snapshot = repository / "snapshots" / COMMIT
    (snapshot / "onnx").mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    for path in tiny_llama.iterdir():
        (snapshot / path.name).write_bytes(path.read_bytes())
    return tmp_path


def test_cached_model_is_had_offline(cached: Path, tiny_llama: Path) -> None:
    (key,) = run("org/tiny", cached, HF_HUB_OFFLINE="1")
    assert len(key) == 64
    assert hashes(cached / "out") == hashes(tiny_llama)
    assert [key] == run(f"org/tiny@{COMMIT}", cached, "again", HF_HUB_OFFLINE="1")


def test_without_connection_and_cache_the_reason_is_told(tmp_path: Path) -> None:
    (said,) = run("org/tiny", tmp_path, HF_HUB_OFFLINE="1")
    assert said.startswith("org/tiny cannot be had from the Hugging Face hub, nor from its cache: ")


def test_unreachable_hub_is_told(tmp_path: Path) -> None:
    (said,) = run("org/tiny", tmp_path, HF_ENDPOINT="http://127.0.0.1:9")
    assert said.startswith("org/tiny cannot be had from the Hugging Face hub")
